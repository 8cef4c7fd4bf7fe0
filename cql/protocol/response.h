// Responses of the CQL binary protocol, encoded by nodes and decoded by
// clients. ERROR is in error.h, the rows of a RESULT in rows.h.
#ifndef RINGPLANE_CQL_PROTOCOL_RESPONSE_H_
#define RINGPLANE_CQL_PROTOCOL_RESPONSE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/rows.h"
#include "cql/protocol/types.h"
#include "cql/protocol/value_types.h"
#include "cql/protocol/wire.h"

namespace cql::protocol {

// --- What stands before the body -------------------------------------------

// Views of the frame.
struct ResponsePrefix {
  std::optional<Uuid> tracing_id;
  std::vector<std::string_view> warnings;
  std::vector<std::pair<std::string_view, std::string_view>> custom_payload;

  // Nothing when the key is absent.
  std::optional<std::string_view> FindPayload(std::string_view key) const;
};

// Reads what the header's flags announce and leaves `*body` without it.
// Allocates nothing when there is nothing. `out` may be null.
absl::Status DecodePrefix(const FrameHeader& header, std::string_view* body,
                          ResponsePrefix* out);
// Appends a prefix and returns the flags to set in the header.
uint8_t EncodePrefix(Writer* writer, const ResponsePrefix& prefix);

// --- SUPPORTED, AUTHENTICATE, AUTH_CHALLENGE, AUTH_SUCCESS -----------------

struct Supported {
  std::vector<std::pair<std::string, std::vector<std::string>>> options;

  // The first value of a key ("" if it has none), or nothing.
  std::optional<std::string_view> Find(std::string_view key) const;
  // Whether `value` is one of the values of `key`.
  bool Has(std::string_view key, std::string_view value) const;
};
absl::StatusOr<Supported> DecodeSupported(std::string_view body);
void EncodeSupported(Writer* writer, const Supported& supported);

// The authenticator's class name.
absl::StatusOr<std::string_view> DecodeAuthenticate(std::string_view body);
void EncodeAuthenticate(Writer* writer, std::string_view authenticator);
// The token of AUTH_CHALLENGE or AUTH_SUCCESS.
absl::StatusOr<Cell> DecodeAuthToken(std::string_view body);
void EncodeAuthToken(Writer* writer, std::optional<std::string_view> token);

// --- Schema changes and events ---------------------------------------------

struct SchemaChange {
  std::string change;  // "CREATED", "UPDATED", "DROPPED"
  std::string target;  // "KEYSPACE", "TABLE", "TYPE", "FUNCTION", ...
  std::string keyspace;
  std::string name;                         // Empty for keyspaces.
  std::vector<std::string> argument_types;  // FUNCTION, AGGREGATE.

  bool operator==(const SchemaChange& other) const = default;
};

struct Event {
  enum class Kind { kTopologyChange, kStatusChange, kSchemaChange, kOther };
  Kind kind = Kind::kOther;
  std::string name;    // "TOPOLOGY_CHANGE", ...
  std::string change;  // "NEW_NODE", "UP", ...: topology and status.
  Inet address;        // Topology and status.
  int32_t port = 0;
  SchemaChange schema;
};
// An event of an unknown name is kOther, not an error.
absl::StatusOr<Event> DecodeEvent(std::string_view body);
void EncodeEvent(Writer* writer, const Event& event);

// --- RESULT ----------------------------------------------------------------

inline constexpr uint32_t kMetadataGlobalTable = 0x0001;
inline constexpr uint32_t kMetadataMorePages = 0x0002;
inline constexpr uint32_t kMetadataNone = 0x0004;
inline constexpr uint32_t kMetadataChanged = 0x0008;

enum class ResultKind : int32_t {
  kVoid = 1,
  kRows = 2,
  kSetKeyspace = 3,
  kPrepared = 4,
  kSchemaChange = 5,
};

// The metadata of rows, checked but not made into objects: views of the frame.
struct RowsMetadataView {
  uint32_t flags = 0;
  uint32_t column_count = 0;
  Cell paging_state;                 // Null: these are the last rows.
  std::string_view new_metadata_id;  // kMetadataChanged.
  std::string_view columns;          // Empty with kMetadataNone.

  bool has_columns() const { return (flags & kMetadataNone) == 0; }
  // The columns as objects. REQUIRES: has_columns().
  absl::StatusOr<ColumnSpecs> Columns() const;
};

struct PreparedView {
  std::string_view id;
  std::string_view metadata_id;  // If negotiated.
  uint32_t flags = 0;            // Compare with the mask of SUPPORTED for LWT.
  ColumnSpecs bind_markers;
  std::vector<uint16_t> partition_key_indexes;
  RowsMetadataView result;
};

// A RESULT as far as it can be read without allocating: views of the body.
struct ResultView {
  ResultKind kind = ResultKind::kVoid;
  // kRows.
  RowsMetadataView metadata;
  uint32_t row_count = 0;
  std::string_view rows;  // For RowsView::Create().
  // kSetKeyspace: the keyspace. kPrepared, kSchemaChange: for the functions
  // below.
  std::string_view content;
};
absl::StatusOr<ResultView> DecodeResult(std::string_view body);

// `content` of a ResultView. `with_metadata_id`: SCYLLA_USE_METADATA_ID was
// negotiated.
absl::StatusOr<PreparedView> DecodePrepared(std::string_view content,
                                            bool with_metadata_id);
absl::StatusOr<SchemaChange> DecodeSchemaChange(std::string_view content);

struct RowsMetadata {
  std::span<const ColumnSpec> columns;
  bool skip_columns = false;
  std::string_view paging_state;  // Empty: no more pages.
  std::optional<std::string_view> new_metadata_id;
};

void EncodeVoid(Writer* writer);
void EncodeSetKeyspace(Writer* writer, std::string_view keyspace);
void EncodeSchemaChangeResult(Writer* writer, const SchemaChange& change);
// Everything up to and with the number of rows; the cells follow, each by
// Writer::Bytes() or NullBytes().
void EncodeRowsHeader(Writer* writer, const RowsMetadata& metadata,
                      uint32_t row_count);

struct Prepared {
  std::string_view id;
  std::optional<std::string_view> metadata_id;  // Exactly if negotiated.
  uint32_t extra_flags = 0;                     // The LWT mark.
  std::span<const ColumnSpec> bind_markers;
  std::span<const uint16_t> partition_key_indexes;
  // Of the rows; `has_result` false: the statement has none.
  bool has_result = false;
  std::span<const ColumnSpec> result_columns;
};
void EncodePrepared(Writer* writer, const Prepared& prepared);

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_RESPONSE_H_
