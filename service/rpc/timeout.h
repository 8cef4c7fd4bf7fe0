// The deadlines that clients ask for.
#ifndef RINGPLANE_SERVICE_RPC_TIMEOUT_H_
#define RINGPLANE_SERVICE_RPC_TIMEOUT_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace rpc {

// `grpc-timeout`: one to eight digits and a unit, H M S m u n. Anything else is
// kInvalidArgument.
absl::StatusOr<absl::Duration> ParseGrpcTimeout(std::string_view text);

// `Connect-Timeout-Ms`: one to ten digits. Anything else is kInvalidArgument.
absl::StatusOr<absl::Duration> ParseConnectTimeout(std::string_view text);

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_TIMEOUT_H_
