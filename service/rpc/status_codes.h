// The 16 codes that gRPC, Connect and absl::Status share, in the words of each.
#ifndef RINGPLANE_SERVICE_RPC_STATUS_CODES_H_
#define RINGPLANE_SERVICE_RPC_STATUS_CODES_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace rpc {

// "invalid_argument": Connect's name; "ok" for kOk. Codes that are not of the
// 16 are "unknown".
std::string_view CodeName(absl::StatusCode code);

// The number in grpc-status. Codes that are not of the 16 are 2, unknown.
int GrpcCode(absl::StatusCode code);

// The HTTP status of an error in Connect's unary protocol.
int ConnectHttpStatus(absl::StatusCode code);

// Appends `message` as grpc-message carries it: bytes outside of printable
// ASCII, and '%', as %XX.
void AppendPercentEncoded(std::string_view message, std::string* out);

// Appends `text` as a JSON string, quotes included. Bytes that are no UTF-8
// become U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_STATUS_CODES_H_
