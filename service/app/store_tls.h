// TLS to the store, as the --cql_tls flags say.
#ifndef RINGPLANE_SERVICE_APP_STORE_TLS_H_
#define RINGPLANE_SERVICE_APP_STORE_TLS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "cql/secure_channel.h"

namespace app {

// Null without --cql_tls. kInvalidArgument names the flag that is wrong. Reads
// files, so blocks.
absl::StatusOr<std::shared_ptr<cql::SecureTransport>> GetStoreTls();

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_STORE_TLS_H_
