// The errors of the engine: absl::Status values that carry what a CQL ERROR
// frame holds.
#ifndef RINGPLANE_CQL_NODE_ERROR_H_
#define RINGPLANE_CQL_NODE_ERROR_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace cql::node {

// Codes of the CQL binary protocol, those that the engine gives.
enum class CqlCode : int32_t {
  kServerError = 0x0000,
  kProtocolError = 0x000A,
  kTruncateError = 0x1003,
  kWriteFailure = 0x1500,
  kSyntaxError = 0x2000,
  kInvalid = 0x2200,
  kConfigError = 0x2300,
  kAlreadyExists = 0x2400,
  kUnprepared = 0x2500,
};

struct CqlError {
  CqlCode code = CqlCode::kServerError;
  std::string message;
  // kAlreadyExists only; `table` is empty when the keyspace exists.
  std::string keyspace;
  std::string table;
};

absl::Status MakeError(CqlCode code, std::string_view message);
absl::Status InvalidError(std::string_view message);
absl::Status AlreadyExistsError(std::string_view message,
                                std::string_view keyspace,
                                std::string_view table);

// What to put in the ERROR frame. A status that did not come from this engine
// becomes a kServerError with its message.
//
// REQUIRES: !status.ok().
CqlError GetError(const absl::Status& status);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_ERROR_H_
