// What `ringplane version` says.
#ifndef RINGPLANE_SERVICE_APP_VERSION_H_
#define RINGPLANE_SERVICE_APP_VERSION_H_

#include <string_view>

namespace app {

extern const std::string_view kVersion;  // "0.1.0"

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_VERSION_H_
