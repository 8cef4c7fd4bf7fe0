#include "cql/protocol/response.h"

#include "absl/strings/str_cat.h"

namespace cql::protocol {
namespace {

bool SameTable(std::span<const ColumnSpec> columns) {
  for (const ColumnSpec& column : columns) {
    if (column.keyspace != columns[0].keyspace ||
        column.table != columns[0].table) {
      return false;
    }
  }
  return !columns.empty();
}

void WriteColumns(Writer* writer, std::span<const ColumnSpec> columns,
                  bool global) {
  if (global) {
    writer->String(columns[0].keyspace);
    writer->String(columns[0].table);
  }
  for (const ColumnSpec& column : columns) {
    if (!global) {
      writer->String(column.keyspace);
      writer->String(column.table);
    }
    writer->String(column.name);
    WriteType(writer, column.type);
  }
}

// The smallest column: an empty name and a simple type.
constexpr size_t kColumnBytesMin = 4;

ColumnSpecs ReadColumns(Reader* reader, uint32_t flags, size_t count) {
  ColumnSpecs columns;
  const bool global = (flags & kMetadataGlobalTable) != 0 && count != 0;
  std::string_view keyspace;
  std::string_view table;
  if (global) {
    keyspace = reader->String();
    table = reader->String();
  }
  for (size_t i = 0; i < count && reader->ok(); ++i) {
    ColumnSpec& column = columns.emplace_back();
    if (!global) {
      keyspace = reader->String();
      table = reader->String();
    }
    column.keyspace = std::string(keyspace);
    column.table = std::string(table);
    column.name = std::string(reader->String());
    column.type = ReadType(reader);
  }
  return columns;
}

void SkipColumns(Reader* reader, uint32_t flags, size_t count) {
  const bool global = (flags & kMetadataGlobalTable) != 0;
  if (global && count != 0) {
    reader->String();
    reader->String();
  }
  for (size_t i = 0; i < count && reader->ok(); ++i) {
    if (!global) {
      reader->String();
      reader->String();
    }
    reader->String();
    SkipType(reader);
  }
}

void ReadRowsMetadata(Reader* reader, RowsMetadataView* out) {
  RowsMetadataView& metadata = *out;
  metadata.flags = static_cast<uint32_t>(reader->Int());
  const int32_t count = reader->Int();
  // Without columns in the frame the count stands for itself; Create() of
  // RowsView holds it against the rows.
  metadata.column_count = metadata.has_columns()
                              ? static_cast<uint32_t>(reader->Count(
                                    count, kColumnBytesMin, "column count"))
                              : static_cast<uint32_t>(count);
  if (count < 0) reader->Fail("column count");
  if ((metadata.flags & kMetadataMorePages) != 0) {
    metadata.paging_state = reader->Bytes();
  }
  if ((metadata.flags & kMetadataChanged) != 0) {
    metadata.new_metadata_id = reader->ShortBytes();
  }
  if (metadata.has_columns()) {
    const std::string_view before = reader->rest();
    SkipColumns(reader, metadata.flags, metadata.column_count);
    if (reader->ok()) {
      metadata.columns = before.substr(0, before.size() - reader->remaining());
    }
  }
}

SchemaChange ReadSchemaChange(Reader* reader) {
  SchemaChange change;
  change.change = std::string(reader->String());
  change.target = std::string(reader->String());
  change.keyspace = std::string(reader->String());
  if (change.target == "KEYSPACE") return change;
  change.name = std::string(reader->String());
  if (change.target == "FUNCTION" || change.target == "AGGREGATE") {
    const size_t count = reader->Count(reader->Short(), 2, "argument count");
    for (size_t i = 0; i < count && reader->ok(); ++i) {
      change.argument_types.emplace_back(reader->String());
    }
  }
  return change;
}

void WriteSchemaChange(Writer* writer, const SchemaChange& change) {
  writer->String(change.change);
  writer->String(change.target);
  writer->String(change.keyspace);
  if (change.target == "KEYSPACE") return;
  writer->String(change.name);
  if (change.target == "FUNCTION" || change.target == "AGGREGATE") {
    writer->Short(static_cast<uint16_t>(change.argument_types.size()));
    for (const std::string& type : change.argument_types) {
      writer->String(type);
    }
  }
}

}  // namespace

// --- What stands before the body -------------------------------------------

std::optional<std::string_view> ResponsePrefix::FindPayload(
    std::string_view key) const {
  for (const auto& [name, value] : custom_payload) {
    if (name == key) return value;
  }
  return std::nullopt;
}

absl::Status DecodePrefix(const FrameHeader& header, std::string_view* body,
                          ResponsePrefix* out) {
  constexpr uint8_t kAny = kFlagTracing | kFlagWarnings | kFlagCustomPayload;
  if (out != nullptr) {
    out->tracing_id.reset();
    out->warnings.clear();
    out->custom_payload.clear();
  }
  if ((header.flags & kAny) == 0) return absl::OkStatus();
  Reader reader(*body);
  if ((header.flags & kFlagTracing) != 0) {
    const std::string_view id = reader.Raw(16);
    if (out != nullptr && reader.ok()) {
      std::memcpy(out->tracing_id.emplace().bytes.data(), id.data(), 16);
    }
  }
  if ((header.flags & kFlagWarnings) != 0) {
    const size_t count = reader.Count(reader.Short(), 2, "warning count");
    for (size_t i = 0; i < count && reader.ok(); ++i) {
      const std::string_view warning = reader.String();
      if (out != nullptr) out->warnings.push_back(warning);
    }
  }
  if ((header.flags & kFlagCustomPayload) != 0) {
    const size_t count = reader.Count(reader.Short(), 6, "payload count");
    for (size_t i = 0; i < count && reader.ok(); ++i) {
      const std::string_view key = reader.String();
      const Cell value = reader.Bytes();
      if (out != nullptr) out->custom_payload.emplace_back(key, value.bytes());
    }
  }
  *body = reader.rest();
  return reader.status("frame prefix");
}

uint8_t EncodePrefix(Writer* writer, const ResponsePrefix& prefix) {
  uint8_t flags = 0;
  if (prefix.tracing_id.has_value()) {
    flags |= kFlagTracing;
    writer->Raw(prefix.tracing_id->view());
  }
  if (!prefix.warnings.empty()) {
    flags |= kFlagWarnings;
    writer->Short(static_cast<uint16_t>(prefix.warnings.size()));
    for (const std::string_view warning : prefix.warnings) {
      writer->String(warning);
    }
  }
  if (!prefix.custom_payload.empty()) {
    flags |= kFlagCustomPayload;
    writer->Short(static_cast<uint16_t>(prefix.custom_payload.size()));
    for (const auto& [key, value] : prefix.custom_payload) {
      writer->String(key);
      writer->Bytes(value);
    }
  }
  return flags;
}

// --- SUPPORTED, AUTHENTICATE, AUTH_CHALLENGE, AUTH_SUCCESS -----------------

std::optional<std::string_view> Supported::Find(std::string_view key) const {
  for (const auto& [name, values] : options) {
    if (name == key) {
      return values.empty() ? std::string_view() : std::string_view(values[0]);
    }
  }
  return std::nullopt;
}

bool Supported::Has(std::string_view key, std::string_view value) const {
  for (const auto& [name, values] : options) {
    if (name != key) continue;
    for (const std::string& candidate : values) {
      if (candidate == value) return true;
    }
  }
  return false;
}

absl::StatusOr<Supported> DecodeSupported(std::string_view body) {
  Reader reader(body);
  Supported supported;
  const size_t count = reader.Count(reader.Short(), 4, "option count");
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    auto& [key, values] = supported.options.emplace_back();
    key = std::string(reader.String());
    const size_t value_count = reader.Count(reader.Short(), 2, "value count");
    for (size_t j = 0; j < value_count && reader.ok(); ++j) {
      values.emplace_back(reader.String());
    }
  }
  if (!reader.ok()) return reader.status("SUPPORTED");
  return supported;
}

void EncodeSupported(Writer* writer, const Supported& supported) {
  writer->Short(static_cast<uint16_t>(supported.options.size()));
  for (const auto& [key, values] : supported.options) {
    writer->String(key);
    writer->Short(static_cast<uint16_t>(values.size()));
    for (const std::string& value : values) writer->String(value);
  }
}

absl::StatusOr<std::string_view> DecodeAuthenticate(std::string_view body) {
  Reader reader(body);
  const std::string_view name = reader.String();
  if (!reader.ok()) return reader.status("AUTHENTICATE");
  return name;
}

void EncodeAuthenticate(Writer* writer, std::string_view authenticator) {
  writer->String(authenticator);
}

absl::StatusOr<Cell> DecodeAuthToken(std::string_view body) {
  Reader reader(body);
  const Cell token = reader.Bytes();
  if (!reader.ok()) return reader.status("authentication token");
  return token;
}

void EncodeAuthToken(Writer* writer, std::optional<std::string_view> token) {
  if (token.has_value()) {
    writer->Bytes(*token);
  } else {
    writer->NullBytes();
  }
}

// --- Schema changes and events ---------------------------------------------

absl::StatusOr<Event> DecodeEvent(std::string_view body) {
  Reader reader(body);
  Event event;
  event.name = std::string(reader.String());
  if (event.name == "SCHEMA_CHANGE") {
    event.kind = Event::Kind::kSchemaChange;
    event.schema = ReadSchemaChange(&reader);
  } else if (event.name == "TOPOLOGY_CHANGE" || event.name == "STATUS_CHANGE") {
    event.kind = event.name == "STATUS_CHANGE" ? Event::Kind::kStatusChange
                                               : Event::Kind::kTopologyChange;
    event.change = std::string(reader.String());
    const std::optional<Inet> address =
        Inet::FromBytes(reader.Raw(reader.Byte()));
    event.port = reader.Int();
    if (!address.has_value()) {
      reader.Fail("[inet]");
    } else {
      event.address = *address;
    }
  }
  if (!reader.ok()) return reader.status("EVENT");
  return event;
}

void EncodeEvent(Writer* writer, const Event& event) {
  switch (event.kind) {
    case Event::Kind::kSchemaChange:
      writer->String("SCHEMA_CHANGE");
      WriteSchemaChange(writer, event.schema);
      return;
    case Event::Kind::kTopologyChange:
      writer->String("TOPOLOGY_CHANGE");
      break;
    case Event::Kind::kStatusChange:
      writer->String("STATUS_CHANGE");
      break;
    case Event::Kind::kOther:
      writer->String(event.name);
      return;
  }
  writer->String(event.change);
  writer->Byte(event.address.size);
  writer->Raw(event.address.view());
  writer->Int(event.port);
}

// --- RESULT ----------------------------------------------------------------

absl::StatusOr<ColumnSpecs> RowsMetadataView::Columns() const {
  Reader reader(columns);
  ColumnSpecs specs = ReadColumns(&reader, flags, column_count);
  if (!reader.ok()) return reader.status("result metadata");
  return specs;
}

namespace {

// What almost every answer is: all rows, without their columns. False if it is
// something else, or makes no sense.
bool ReadPlainRows(std::string_view body, ResultView* result) {
  constexpr size_t kRowsAt = 16;
  if (body.size() < kRowsAt) return false;
  const auto number = [&body](size_t at) {
    return LoadBig32(body.data() + at);
  };
  const uint32_t columns = number(8);
  const uint32_t rows = number(12);
  if (number(0) != static_cast<uint32_t>(ResultKind::kRows) ||
      number(4) != kMetadataNone || static_cast<int32_t>(columns) < 0 ||
      static_cast<int32_t>(rows) < 0) {
    return false;
  }
  result->kind = ResultKind::kRows;
  result->metadata.flags = kMetadataNone;
  result->metadata.column_count = columns;
  result->row_count = rows;
  result->rows = body.substr(kRowsAt);
  return true;
}

}  // namespace

absl::StatusOr<ResultView> DecodeResult(std::string_view body) {
  // Filled where it is returned: it is large.
  absl::StatusOr<ResultView> decoded{ResultView()};
  ResultView& result = *decoded;
  if (ReadPlainRows(body, &result)) return decoded;
  Reader reader(body);
  const int32_t kind = reader.Int();
  result.kind = static_cast<ResultKind>(kind);
  switch (result.kind) {
    case ResultKind::kVoid:
      break;
    case ResultKind::kRows: {
      ReadRowsMetadata(&reader, &result.metadata);
      const int32_t rows = reader.Int();
      if (rows < 0) reader.Fail("row count");
      result.row_count = static_cast<uint32_t>(rows);
      result.rows = reader.rest();
      break;
    }
    case ResultKind::kSetKeyspace:
      result.content = reader.String();
      break;
    case ResultKind::kPrepared:
    case ResultKind::kSchemaChange:
      result.content = reader.rest();
      break;
    default:
      if (reader.ok()) {
        decoded = absl::InvalidArgumentError(
            absl::StrCat("RESULT of unknown kind ", kind));
        return decoded;
      }
  }
  if (!reader.ok()) decoded = reader.status("RESULT");
  return decoded;
}

absl::StatusOr<PreparedView> DecodePrepared(std::string_view content,
                                            bool with_metadata_id) {
  Reader reader(content);
  PreparedView prepared;
  prepared.id = reader.ShortBytes();
  if (with_metadata_id) prepared.metadata_id = reader.ShortBytes();
  prepared.flags = static_cast<uint32_t>(reader.Int());
  const size_t columns =
      reader.Count(reader.Int(), kColumnBytesMin, "bind marker count");
  const size_t keys = reader.Count(reader.Int(), 2, "partition key count");
  for (size_t i = 0; i < keys && reader.ok(); ++i) {
    const uint16_t index = reader.Short();
    if (index >= columns) reader.Fail("partition key index");
    prepared.partition_key_indexes.push_back(index);
  }
  prepared.bind_markers = ReadColumns(&reader, prepared.flags, columns);
  ReadRowsMetadata(&reader, &prepared.result);
  if (!reader.ok()) return reader.status("RESULT Prepared");
  return prepared;
}

absl::StatusOr<SchemaChange> DecodeSchemaChange(std::string_view content) {
  Reader reader(content);
  SchemaChange change = ReadSchemaChange(&reader);
  if (!reader.ok()) return reader.status("RESULT Schema_change");
  return change;
}

void EncodeVoid(Writer* writer) {
  writer->Int(static_cast<int32_t>(ResultKind::kVoid));
}

void EncodeSetKeyspace(Writer* writer, std::string_view keyspace) {
  writer->Int(static_cast<int32_t>(ResultKind::kSetKeyspace));
  writer->String(keyspace);
}

void EncodeSchemaChangeResult(Writer* writer, const SchemaChange& change) {
  writer->Int(static_cast<int32_t>(ResultKind::kSchemaChange));
  WriteSchemaChange(writer, change);
}

void EncodeRowsHeader(Writer* writer, const RowsMetadata& metadata,
                      uint32_t row_count) {
  const bool changed = metadata.new_metadata_id.has_value();
  const bool with_columns = !metadata.skip_columns || changed;
  const bool global = with_columns && SameTable(metadata.columns);
  uint32_t flags = 0;
  if (global) flags |= kMetadataGlobalTable;
  if (!with_columns) flags |= kMetadataNone;
  if (!metadata.paging_state.empty()) flags |= kMetadataMorePages;
  if (changed) flags |= kMetadataChanged;
  writer->Int(static_cast<int32_t>(ResultKind::kRows));
  writer->Int(static_cast<int32_t>(flags));
  writer->Int(static_cast<int32_t>(metadata.columns.size()));
  if (!metadata.paging_state.empty()) writer->Bytes(metadata.paging_state);
  if (changed) writer->ShortBytes(*metadata.new_metadata_id);
  if (with_columns) WriteColumns(writer, metadata.columns, global);
  writer->Int(static_cast<int32_t>(row_count));
}

void EncodePrepared(Writer* writer, const Prepared& prepared) {
  writer->Int(static_cast<int32_t>(ResultKind::kPrepared));
  writer->ShortBytes(prepared.id);
  if (prepared.metadata_id.has_value()) {
    writer->ShortBytes(*prepared.metadata_id);
  }
  const bool global = SameTable(prepared.bind_markers);
  writer->Int(static_cast<int32_t>(prepared.extra_flags |
                                   (global ? kMetadataGlobalTable : 0)));
  writer->Int(static_cast<int32_t>(prepared.bind_markers.size()));
  writer->Int(static_cast<int32_t>(prepared.partition_key_indexes.size()));
  for (const uint16_t index : prepared.partition_key_indexes) {
    writer->Short(index);
  }
  WriteColumns(writer, prepared.bind_markers, global);
  if (!prepared.has_result) {
    writer->Int(static_cast<int32_t>(kMetadataNone));
    writer->Int(0);
    return;
  }
  const bool result_global = SameTable(prepared.result_columns);
  writer->Int(result_global ? static_cast<int32_t>(kMetadataGlobalTable) : 0);
  writer->Int(static_cast<int32_t>(prepared.result_columns.size()));
  WriteColumns(writer, prepared.result_columns, result_global);
}

}  // namespace cql::protocol
