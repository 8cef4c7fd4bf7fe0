// The one kind of URL that the command line takes: http://host:port.
#ifndef RINGPLANE_SERVICE_APP_URL_H_
#define RINGPLANE_SERVICE_APP_URL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace app {

// "host:port" of "http://host[:port][/]"; without a port it is 80.
absl::StatusOr<std::string> HostPortOfUrl(std::string_view url);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_URL_H_
