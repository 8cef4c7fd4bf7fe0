#include "cql/protocol/error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cql/protocol/absl_text.h"
#include "cql/protocol/wire.h"

namespace cql {
namespace {

// The payload is the body of the ERROR frame.
constexpr absl::string_view kPayload = "ringplane/cql.ServerError";

absl::StatusCode ToAbslCode(ServerCode code) {
  switch (code) {
    case ServerCode::kBadCredentials:
      return absl::StatusCode::kUnauthenticated;
    case ServerCode::kUnavailable:
    case ServerCode::kIsBootstrapping:
    case ServerCode::kReadFailure:
    case ServerCode::kWriteFailure:
      return absl::StatusCode::kUnavailable;
    case ServerCode::kOverloaded:
    case ServerCode::kRateLimit:
      return absl::StatusCode::kResourceExhausted;
    case ServerCode::kWriteTimeout:
    case ServerCode::kReadTimeout:
      return absl::StatusCode::kDeadlineExceeded;
    case ServerCode::kSyntaxError:
    case ServerCode::kInvalid:
    case ServerCode::kConfigError:
      return absl::StatusCode::kInvalidArgument;
    case ServerCode::kUnauthorized:
      return absl::StatusCode::kPermissionDenied;
    case ServerCode::kAlreadyExists:
      return absl::StatusCode::kAlreadyExists;
    case ServerCode::kUnprepared:
      return absl::StatusCode::kFailedPrecondition;
    case ServerCode::kServerError:
    case ServerCode::kProtocolError:
    case ServerCode::kTruncateError:
    case ServerCode::kFunctionFailure:
      break;
  }
  return absl::StatusCode::kInternal;
}

absl::Status MakeStatus(const ServerError& error, std::string_view body) {
  absl::Status status(
      ToAbslCode(error.code),
      absl::StrCat(ServerCodeName(error.code), ": ", error.message));
  status.SetPayload(kPayload, absl::Cord(protocol::AbslText(body)));
  return status;
}

}  // namespace

std::string ServerCodeName(ServerCode code) {
  switch (code) {
    case ServerCode::kServerError:
      return "SERVER_ERROR";
    case ServerCode::kProtocolError:
      return "PROTOCOL_ERROR";
    case ServerCode::kBadCredentials:
      return "BAD_CREDENTIALS";
    case ServerCode::kUnavailable:
      return "UNAVAILABLE";
    case ServerCode::kOverloaded:
      return "OVERLOADED";
    case ServerCode::kIsBootstrapping:
      return "IS_BOOTSTRAPPING";
    case ServerCode::kTruncateError:
      return "TRUNCATE_ERROR";
    case ServerCode::kWriteTimeout:
      return "WRITE_TIMEOUT";
    case ServerCode::kReadTimeout:
      return "READ_TIMEOUT";
    case ServerCode::kReadFailure:
      return "READ_FAILURE";
    case ServerCode::kFunctionFailure:
      return "FUNCTION_FAILURE";
    case ServerCode::kWriteFailure:
      return "WRITE_FAILURE";
    case ServerCode::kSyntaxError:
      return "SYNTAX_ERROR";
    case ServerCode::kUnauthorized:
      return "UNAUTHORIZED";
    case ServerCode::kInvalid:
      return "INVALID";
    case ServerCode::kConfigError:
      return "CONFIG_ERROR";
    case ServerCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case ServerCode::kUnprepared:
      return "UNPREPARED";
    case ServerCode::kRateLimit:
      return "RATE_LIMIT";
  }
  return absl::StrFormat("error 0x%04X", static_cast<uint32_t>(code));
}

std::optional<ServerCode> ErrorCode(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() < 4) return std::nullopt;
  const std::string code(payload->Subcord(0, 4));
  return static_cast<ServerCode>(protocol::LoadBig32(code.data()));
}

std::optional<ServerError> GetServerError(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  absl::StatusOr<ServerError> error =
      protocol::DecodeServerError(std::string(*payload));
  if (!error.ok()) return std::nullopt;
  return *std::move(error);
}

absl::Status ToStatus(const ServerError& error) {
  std::string body;
  protocol::Writer writer(&body);
  protocol::EncodeError(&writer, error);
  writer.Finish();
  return MakeStatus(error, body);
}

namespace protocol {

absl::StatusOr<ServerError> DecodeServerError(std::string_view body) {
  Reader reader(body);
  ServerError error;
  error.code = static_cast<ServerCode>(reader.Int());
  error.message = std::string(reader.String());
  const auto consistency = [&reader] {
    return static_cast<Consistency>(reader.Short());
  };
  switch (error.code) {
    case ServerCode::kUnavailable:
      error.consistency = consistency();
      error.required = reader.Int();
      error.received = reader.Int();
      break;
    case ServerCode::kWriteTimeout:
    case ServerCode::kReadTimeout:
    case ServerCode::kWriteFailure:
    case ServerCode::kReadFailure: {
      error.consistency = consistency();
      error.received = reader.Int();
      error.required = reader.Int();
      if (error.code == ServerCode::kWriteFailure ||
          error.code == ServerCode::kReadFailure) {
        error.failures = reader.Int();
      }
      if (error.code == ServerCode::kWriteTimeout ||
          error.code == ServerCode::kWriteFailure) {
        error.write_type = std::string(reader.String());
      } else {
        error.data_present = reader.Byte() != 0;
      }
      break;
    }
    case ServerCode::kFunctionFailure: {
      error.keyspace = std::string(reader.String());
      error.table = std::string(reader.String());
      const size_t count = reader.Count(reader.Short(), 2, "argument count");
      for (size_t i = 0; i < count && reader.ok(); ++i) {
        error.argument_types.emplace_back(reader.String());
      }
      break;
    }
    case ServerCode::kAlreadyExists:
      error.keyspace = std::string(reader.String());
      error.table = std::string(reader.String());
      break;
    case ServerCode::kUnprepared:
      error.statement_id = std::string(reader.ShortBytes());
      break;
    case ServerCode::kRateLimit:
      error.operation = reader.Byte();
      error.rejected_by_coordinator = reader.Byte() != 0;
      break;
    default:
      break;
  }
  if (!reader.ok()) return reader.status("ERROR");
  return error;
}

absl::Status DecodeError(std::string_view body) {
  absl::StatusOr<ServerError> error = DecodeServerError(body);
  if (!error.ok()) {
    return absl::InternalError(
        absl::StrCat("the server sent an error that cannot be read: ",
                     error.status().message()));
  }
  return MakeStatus(*error, body);
}

void EncodeError(Writer* writer, const ServerError& error) {
  writer->Int(static_cast<int32_t>(error.code));
  writer->String(error.message);
  const auto consistency = [&] {
    writer->Short(static_cast<uint16_t>(error.consistency));
  };
  switch (error.code) {
    case ServerCode::kUnavailable:
      consistency();
      writer->Int(error.required);
      writer->Int(error.received);
      break;
    case ServerCode::kWriteTimeout:
    case ServerCode::kReadTimeout:
    case ServerCode::kWriteFailure:
    case ServerCode::kReadFailure:
      consistency();
      writer->Int(error.received);
      writer->Int(error.required);
      if (error.code == ServerCode::kWriteFailure ||
          error.code == ServerCode::kReadFailure) {
        writer->Int(error.failures);
      }
      if (error.code == ServerCode::kWriteTimeout ||
          error.code == ServerCode::kWriteFailure) {
        writer->String(error.write_type);
      } else {
        writer->Byte(error.data_present ? 1 : 0);
      }
      break;
    case ServerCode::kFunctionFailure:
      writer->String(error.keyspace);
      writer->String(error.table);
      writer->Short(static_cast<uint16_t>(error.argument_types.size()));
      for (const std::string& type : error.argument_types) {
        writer->String(type);
      }
      break;
    case ServerCode::kAlreadyExists:
      writer->String(error.keyspace);
      writer->String(error.table);
      break;
    case ServerCode::kUnprepared:
      writer->ShortBytes(error.statement_id);
      break;
    case ServerCode::kRateLimit:
      writer->Byte(error.operation);
      writer->Byte(error.rejected_by_coordinator ? 1 : 0);
      break;
    default:
      break;
  }
}

}  // namespace protocol
}  // namespace cql
