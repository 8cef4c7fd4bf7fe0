// Requests of the CQL binary protocol, encoded by clients and decoded by
// nodes. Decoded requests are views of the frame's body.
#ifndef RINGPLANE_CQL_PROTOCOL_REQUEST_H_
#define RINGPLANE_CQL_PROTOCOL_REQUEST_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/protocol/codec.h"
#include "cql/protocol/consistency.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/types.h"
#include "cql/protocol/wire.h"

namespace cql::protocol {

// --- Parts of requests -----------------------------------------------------

inline constexpr uint8_t kQueryFlagValues = 0x01;
inline constexpr uint8_t kQueryFlagSkipMetadata = 0x02;
inline constexpr uint8_t kQueryFlagPageSize = 0x04;
inline constexpr uint8_t kQueryFlagPagingState = 0x08;
inline constexpr uint8_t kQueryFlagSerialConsistency = 0x10;
inline constexpr uint8_t kQueryFlagDefaultTimestamp = 0x20;
inline constexpr uint8_t kQueryFlagNames = 0x40;

struct QueryParameters {
  Consistency consistency = Consistency::kOne;
  bool skip_metadata = false;
  int32_t page_size = 0;          // 0 or less: not paged.
  std::string_view paging_state;  // Empty: from the start.
  std::optional<Consistency> serial_consistency;
  std::optional<int64_t> default_timestamp_us;
};

// What stands before and after the values in QUERY and EXECUTE. Between them
// go `value_count` values, by EncodeValue().
void BeginQueryParameters(Writer* writer, const QueryParameters& parameters,
                          size_t value_count);
void EndQueryParameters(Writer* writer, const QueryParameters& parameters);

// Appends `values`, in order, as [value]s of the types of `columns`.
// kInvalidArgument names the column whose value does not fit, or the numbers
// when there are more or fewer values than columns; what was written by then is
// to be dropped.
template <typename... Values>
absl::Status EncodeValues(Writer* writer, std::span<const ColumnSpec> columns,
                          const Values&... values);

// --- Encoding of bodies ----------------------------------------------------

using StringMap = std::vector<std::pair<std::string, std::string>>;

void EncodeStartup(Writer* writer, const StringMap& options);
void EncodeAuthResponse(Writer* writer, std::string_view token);
// SASL PLAIN: a token for EncodeAuthResponse().
std::string PlainToken(std::string_view username, std::string_view password);
void EncodePrepare(Writer* writer, std::string_view text);
void EncodeRegister(Writer* writer, std::span<const std::string_view> events);

// QUERY: this, BeginQueryParameters(), values, EndQueryParameters().
inline void EncodeQueryText(Writer* writer, std::string_view text) {
  writer->LongString(text);
}
// EXECUTE likewise. `metadata_id` is written if it has a value: exactly when
// SCYLLA_USE_METADATA_ID was negotiated.
inline void EncodeExecuteId(Writer* writer, std::string_view statement_id,
                            std::optional<std::string_view> metadata_id) {
  writer->ShortBytes(statement_id);
  if (metadata_id.has_value()) writer->ShortBytes(*metadata_id);
}

enum class BatchType : uint8_t { kLogged = 0, kUnlogged = 1, kCounter = 2 };

// BATCH: this, each entry with its values, EndBatch().
void BeginBatch(Writer* writer, BatchType type, size_t entries);
void EncodeBatchText(Writer* writer, std::string_view text, size_t value_count);
void EncodeBatchPrepared(Writer* writer, std::string_view statement_id,
                         size_t value_count);
// Paging and metadata of the parameters do not apply.
void EndBatch(Writer* writer, const QueryParameters& parameters);

// --- Decoding of bodies ----------------------------------------------------
//
// Each returns kInvalidArgument that says where the body makes no sense. The
// objects may be used again: their vectors keep their room.

struct StartupRequest {
  std::vector<std::pair<std::string_view, std::string_view>> options;

  // Nothing when the key is absent.
  std::optional<std::string_view> Find(std::string_view key) const;
};
absl::Status DecodeStartup(std::string_view body, StartupRequest* out);

struct PlainCredentials {
  std::string_view username;
  std::string_view password;
};
// The token of AUTH_RESPONSE; a null one is empty.
absl::StatusOr<std::string_view> DecodeAuthResponse(std::string_view body);
absl::StatusOr<PlainCredentials> ParsePlainToken(std::string_view token);

struct RequestValues {
  std::vector<BoundValue> values;
  // As many as values, or none.
  std::vector<std::string_view> names;
};

struct QueryRequest {
  std::string_view text;
  QueryParameters parameters;
  RequestValues bound;
};
absl::Status DecodeQuery(std::string_view body, QueryRequest* out);

absl::StatusOr<std::string_view> DecodePrepare(std::string_view body);

struct ExecuteRequest {
  std::string_view statement_id;
  std::string_view metadata_id;  // If negotiated.
  QueryParameters parameters;
  RequestValues bound;
};
absl::Status DecodeExecute(std::string_view body, bool with_metadata_id,
                           ExecuteRequest* out);

struct BatchRequestEntry {
  bool prepared = false;
  std::string_view text_or_id;
  // values[first_value .. first_value + value_count) of the request.
  uint32_t first_value = 0;
  uint32_t value_count = 0;
};
struct BatchRequest {
  BatchType type = BatchType::kLogged;
  QueryParameters parameters;
  std::vector<BatchRequestEntry> entries;
  std::vector<BoundValue> values;
};
absl::Status DecodeBatch(std::string_view body, BatchRequest* out);

absl::Status DecodeRegister(std::string_view body,
                            std::vector<std::string_view>* events);

// The custom payload that stands before the body of a request with flag
// kFlagCustomPayload; `*body` is left without it.
absl::Status SkipRequestPayload(const FrameHeader& header,
                                std::string_view* body);

// --- Details ---------------------------------------------------------------

namespace internal {

absl::Status CountMismatch(size_t values, size_t columns);
// Adds the number and name of the column to `status`.
absl::Status InColumn(const absl::Status& status, size_t index,
                      const ColumnSpec& column);

}  // namespace internal

template <typename... Values>
absl::Status EncodeValues(Writer* writer, std::span<const ColumnSpec> columns,
                          const Values&... values) {
  if (columns.size() != sizeof...(Values)) {
    return internal::CountMismatch(sizeof...(Values), columns.size());
  }
  size_t index = 0;
  absl::Status status;
  const auto encode = [&](const auto& value) {
    status = EncodeValue(writer, columns[index].type, value);
    if (__builtin_expect(!status.ok(), 0)) {
      status = internal::InColumn(status, index, columns[index]);
      return false;
    }
    ++index;
    return true;
  };
  static_cast<void>((encode(values) && ...));
  return status;
}

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_REQUEST_H_
