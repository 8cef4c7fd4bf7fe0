#include "cql/node/error.h"

#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace cql::node {
namespace {

constexpr std::string_view kPayload = "ringplane/cql-node-error";

absl::StatusCode StatusCodeOf(CqlCode code) {
  switch (code) {
    case CqlCode::kSyntaxError:
    case CqlCode::kInvalid:
    case CqlCode::kConfigError:
    case CqlCode::kProtocolError:
      return absl::StatusCode::kInvalidArgument;
    case CqlCode::kAlreadyExists:
      return absl::StatusCode::kAlreadyExists;
    case CqlCode::kUnprepared:
      return absl::StatusCode::kNotFound;
    case CqlCode::kServerError:
    case CqlCode::kTruncateError:
    case CqlCode::kWriteFailure:
      break;
  }
  return absl::StatusCode::kUnavailable;
}

// The payload: the code in decimal, then keyspace and table, each after a
// newline (no identifier holds one).
absl::Status Make(CqlCode code, std::string_view message,
                  std::string_view keyspace, std::string_view table) {
  absl::Status status(StatusCodeOf(code), message);
  status.SetPayload(
      kPayload,
      absl::Cord(absl::StrCat(static_cast<int32_t>(code), "\n", keyspace, "\n",
                              table)));
  return status;
}

}  // namespace

absl::Status MakeError(CqlCode code, std::string_view message) {
  return Make(code, message, {}, {});
}

absl::Status InvalidError(std::string_view message) {
  return Make(CqlCode::kInvalid, message, {}, {});
}

absl::Status AlreadyExistsError(std::string_view message,
                                std::string_view keyspace,
                                std::string_view table) {
  return Make(CqlCode::kAlreadyExists, message, keyspace, table);
}

CqlError GetError(const absl::Status& status) {
  CqlError error;
  error.message = std::string(status.message());
  absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return error;
  const std::string text(*payload);
  const size_t first = text.find('\n');
  const size_t second = text.find('\n', first + 1);
  error.code = static_cast<CqlCode>(std::atoi(text.c_str()));
  error.keyspace = text.substr(first + 1, second - first - 1);
  error.table = text.substr(second + 1);
  return error;
}

}  // namespace cql::node
