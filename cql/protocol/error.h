// ERROR frames as absl::Status.
#ifndef RINGPLANE_CQL_PROTOCOL_ERROR_H_
#define RINGPLANE_CQL_PROTOCOL_ERROR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/protocol/consistency.h"

namespace cql {

namespace protocol {
class Writer;
}

enum class ServerCode : int32_t {
  kServerError = 0x0000,
  kProtocolError = 0x000A,
  kBadCredentials = 0x0100,
  kUnavailable = 0x1000,
  kOverloaded = 0x1001,
  kIsBootstrapping = 0x1002,
  kTruncateError = 0x1003,
  kWriteTimeout = 0x1100,
  kReadTimeout = 0x1200,
  kReadFailure = 0x1300,
  kFunctionFailure = 0x1400,
  kWriteFailure = 0x1500,
  kSyntaxError = 0x2000,
  kUnauthorized = 0x2100,
  kInvalid = 0x2200,
  kConfigError = 0x2300,
  kAlreadyExists = 0x2400,
  kUnprepared = 0x2500,
  // ScyllaDB's, when SUPPORTED names this number and STARTUP opted in.
  kRateLimit = 0xF000,
};

// "WRITE_TIMEOUT"; "error 0x1234" for a code that is not known.
std::string ServerCodeName(ServerCode code);

// The content of an ERROR frame. Which fields mean something is said by code.
struct ServerError {
  ServerCode code = ServerCode::kServerError;
  std::string message;

  // kUnavailable, timeouts and failures.
  Consistency consistency = Consistency::kAny;
  int32_t required = 0;       // Replicas that had to answer or be alive.
  int32_t received = 0;       // That answered; kUnavailable: that are alive.
  int32_t failures = 0;       // Failures: that failed.
  bool data_present = false;  // kReadTimeout, kReadFailure.
  std::string write_type;     // kWriteTimeout, kWriteFailure: "SIMPLE", ....

  // kAlreadyExists (table empty: the keyspace exists), kFunctionFailure.
  std::string keyspace;
  std::string table;                        // The function of kFunctionFailure.
  std::vector<std::string> argument_types;  // kFunctionFailure.

  std::string statement_id;  // kUnprepared.

  // kRateLimit.
  uint8_t operation = 0;  // 0: read, 1: write.
  bool rejected_by_coordinator = false;

  bool operator==(const ServerError& other) const = default;
};

// The server's code, if `status` came out of an ERROR frame.
std::optional<ServerCode> ErrorCode(const absl::Status& status);

// The whole error, if `status` came out of an ERROR frame.
std::optional<ServerError> GetServerError(const absl::Status& status);

// A status as a decoded ERROR frame gives it. The absl code is what a caller
// can do about it: kDeadlineExceeded for timeouts, kUnavailable for what other
// replicas may answer, kResourceExhausted for overload and rate limits,
// kInvalidArgument for statements that are wrong, ....
absl::Status ToStatus(const ServerError& error);

namespace protocol {

// The body of an ERROR frame. An unknown code keeps its number and message.
absl::StatusOr<ServerError> DecodeServerError(std::string_view body);

// The same as a status; never OK. A body that makes no sense is kInternal and
// says so.
absl::Status DecodeError(std::string_view body);

void EncodeError(Writer* writer, const ServerError& error);

}  // namespace protocol
}  // namespace cql

#endif  // RINGPLANE_CQL_PROTOCOL_ERROR_H_
