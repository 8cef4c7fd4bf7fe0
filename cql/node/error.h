// The errors of the engine: statuses that carry what a CQL ERROR frame holds,
// as cql::ToStatus() makes them.
#ifndef RINGPLANE_CQL_NODE_ERROR_H_
#define RINGPLANE_CQL_NODE_ERROR_H_

#include <string_view>

#include "absl/status/status.h"
#include "cql/protocol/error.h"

namespace cql::node {

absl::Status MakeError(ServerCode code, std::string_view message);
absl::Status InvalidError(std::string_view message);
// `table` is empty when the keyspace exists.
absl::Status AlreadyExistsError(std::string_view message,
                                std::string_view keyspace,
                                std::string_view table);

// What to put in the ERROR frame. A status without a CQL error becomes
// kServerError with its message.
//
// REQUIRES: !status.ok().
ServerError GetError(const absl::Status& status);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_ERROR_H_
