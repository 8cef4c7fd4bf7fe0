#include "cql/node/error.h"

#include <optional>
#include <string>
#include <utility>

namespace cql::node {

absl::Status MakeError(ServerCode code, std::string_view message) {
  ServerError error;
  error.code = code;
  error.message = std::string(message);
  return ToStatus(error);
}

absl::Status InvalidError(std::string_view message) {
  return MakeError(ServerCode::kInvalid, message);
}

absl::Status AlreadyExistsError(std::string_view message,
                                std::string_view keyspace,
                                std::string_view table) {
  ServerError error;
  error.code = ServerCode::kAlreadyExists;
  error.message = std::string(message);
  error.keyspace = std::string(keyspace);
  error.table = std::string(table);
  return ToStatus(error);
}

ServerError GetError(const absl::Status& status) {
  if (std::optional<ServerError> error = GetServerError(status)) {
    return *std::move(error);
  }
  ServerError error;
  error.message = std::string(status.message());
  return error;
}

}  // namespace cql::node
