#include "cql/protocol/request.h"

#include "absl/strings/str_cat.h"
#include "cql/protocol/absl_text.h"

namespace cql::protocol {
namespace {

void ReadValue(Reader* reader, std::vector<BoundValue>* values) {
  const int32_t size = reader->Int();
  if (size == -1) {
    values->push_back(BoundValue::Null());
  } else if (size == -2) {
    values->push_back(BoundValue::Unset());
  } else if (size < 0) {
    reader->Fail("[value] length");
  } else {
    values->push_back(
        BoundValue::Bytes(reader->Raw(static_cast<uint32_t>(size))));
  }
}

void ReadTail(Reader* reader, uint8_t flags, QueryParameters* out) {
  out->serial_consistency.reset();
  out->default_timestamp_us.reset();
  if ((flags & kQueryFlagSerialConsistency) != 0) {
    out->serial_consistency = static_cast<Consistency>(reader->Short());
  }
  if ((flags & kQueryFlagDefaultTimestamp) != 0) {
    out->default_timestamp_us = reader->Long();
  }
}

void ReadParameters(Reader* reader, QueryParameters* parameters,
                    RequestValues* bound) {
  bound->values.clear();
  bound->names.clear();
  parameters->consistency = static_cast<Consistency>(reader->Short());
  const uint8_t flags = reader->Byte();
  parameters->skip_metadata = (flags & kQueryFlagSkipMetadata) != 0;
  if ((flags & kQueryFlagValues) != 0) {
    const bool named = (flags & kQueryFlagNames) != 0;
    const size_t count =
        reader->Count(reader->Short(), named ? 6 : 4, "value count");
    for (size_t i = 0; i < count && reader->ok(); ++i) {
      if (named) bound->names.push_back(reader->String());
      ReadValue(reader, &bound->values);
    }
  }
  parameters->page_size = (flags & kQueryFlagPageSize) != 0 ? reader->Int() : 0;
  parameters->paging_state = {};
  if ((flags & kQueryFlagPagingState) != 0) {
    parameters->paging_state = reader->Bytes().bytes();
  }
  ReadTail(reader, flags, parameters);
}

// The fields of known requests are fixed: what is left over was not understood.
absl::Status Finish(Reader* reader, std::string_view what) {
  if (reader->ok() && reader->remaining() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(AbslText(what), ": ", reader->remaining(),
                     " bytes are left over after byte ", reader->position()));
  }
  return reader->status(what);
}

uint8_t TailFlags(const QueryParameters& parameters) {
  uint8_t flags = 0;
  if (parameters.serial_consistency.has_value()) {
    flags |= kQueryFlagSerialConsistency;
  }
  if (parameters.default_timestamp_us.has_value()) {
    flags |= kQueryFlagDefaultTimestamp;
  }
  return flags;
}

void WriteTail(Writer* writer, const QueryParameters& parameters) {
  if (parameters.serial_consistency.has_value()) {
    writer->Short(static_cast<uint16_t>(*parameters.serial_consistency));
  }
  if (parameters.default_timestamp_us.has_value()) {
    writer->Long(*parameters.default_timestamp_us);
  }
}

}  // namespace

void BeginQueryParameters(Writer* writer, const QueryParameters& parameters,
                          size_t value_count) {
  uint8_t flags = TailFlags(parameters);
  if (value_count != 0) flags |= kQueryFlagValues;
  if (parameters.skip_metadata) flags |= kQueryFlagSkipMetadata;
  if (parameters.page_size > 0) flags |= kQueryFlagPageSize;
  if (!parameters.paging_state.empty()) flags |= kQueryFlagPagingState;
  if (char* p = writer->Extend(value_count != 0 ? 5 : 3)) {
    StoreBig16(p, static_cast<uint16_t>(parameters.consistency));
    p[2] = static_cast<char>(flags);
    if (value_count != 0) {
      StoreBig16(p + 3, static_cast<uint16_t>(value_count));
    }
  }
}

void EndQueryParameters(Writer* writer, const QueryParameters& parameters) {
  if (parameters.page_size > 0) writer->Int(parameters.page_size);
  if (!parameters.paging_state.empty()) writer->Bytes(parameters.paging_state);
  WriteTail(writer, parameters);
}

void EncodeStartup(Writer* writer, const StringMap& options) {
  writer->Short(static_cast<uint16_t>(options.size()));
  for (const auto& [key, value] : options) {
    writer->String(key);
    writer->String(value);
  }
}

void EncodeAuthResponse(Writer* writer, std::string_view token) {
  writer->Bytes(token);
}

std::string PlainToken(std::string_view username, std::string_view password) {
  return absl::StrCat(absl::string_view("\0", 1), AbslText(username),
                      absl::string_view("\0", 1), AbslText(password));
}

void EncodePrepare(Writer* writer, std::string_view text) {
  writer->LongString(text);
}

void EncodeRegister(Writer* writer, std::span<const std::string_view> events) {
  writer->Short(static_cast<uint16_t>(events.size()));
  for (const std::string_view event : events) writer->String(event);
}

void BeginBatch(Writer* writer, BatchType type, size_t entries) {
  writer->Byte(static_cast<uint8_t>(type));
  writer->Short(static_cast<uint16_t>(entries));
}

void EncodeBatchText(Writer* writer, std::string_view text,
                     size_t value_count) {
  writer->Byte(0);
  writer->LongString(text);
  writer->Short(static_cast<uint16_t>(value_count));
}

void EncodeBatchPrepared(Writer* writer, std::string_view statement_id,
                         size_t value_count) {
  writer->Byte(1);
  writer->ShortBytes(statement_id);
  writer->Short(static_cast<uint16_t>(value_count));
}

void EndBatch(Writer* writer, const QueryParameters& parameters) {
  writer->Short(static_cast<uint16_t>(parameters.consistency));
  writer->Byte(TailFlags(parameters));
  WriteTail(writer, parameters);
}

std::optional<std::string_view> StartupRequest::Find(
    std::string_view key) const {
  for (const auto& [name, value] : options) {
    if (name == key) return value;
  }
  return std::nullopt;
}

absl::Status DecodeStartup(std::string_view body, StartupRequest* out) {
  Reader reader(body);
  out->options.clear();
  const size_t count = reader.Count(reader.Short(), 4, "option count");
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    const std::string_view key = reader.String();
    out->options.emplace_back(key, reader.String());
  }
  return Finish(&reader, "STARTUP");
}

absl::StatusOr<std::string_view> DecodeAuthResponse(std::string_view body) {
  Reader reader(body);
  const Cell token = reader.Bytes();
  absl::Status status = Finish(&reader, "AUTH_RESPONSE");
  if (!status.ok()) return status;
  return token.bytes();
}

absl::StatusOr<PlainCredentials> ParsePlainToken(std::string_view token) {
  // [authorization identity] NUL authentication identity NUL password.
  const size_t first = token.find('\0');
  const size_t second =
      first == token.npos ? token.npos : token.find('\0', first + 1);
  if (second == token.npos) {
    return absl::InvalidArgumentError(
        "AUTH_RESPONSE: not a SASL PLAIN token (identity, NUL, username, NUL, "
        "password)");
  }
  return PlainCredentials{token.substr(first + 1, second - first - 1),
                          token.substr(second + 1)};
}

absl::Status DecodeQuery(std::string_view body, QueryRequest* out) {
  Reader reader(body);
  out->text = reader.LongString();
  ReadParameters(&reader, &out->parameters, &out->bound);
  return Finish(&reader, "QUERY");
}

absl::StatusOr<std::string_view> DecodePrepare(std::string_view body) {
  Reader reader(body);
  const std::string_view text = reader.LongString();
  absl::Status status = Finish(&reader, "PREPARE");
  if (!status.ok()) return status;
  return text;
}

absl::Status DecodeExecute(std::string_view body, bool with_metadata_id,
                           ExecuteRequest* out) {
  Reader reader(body);
  out->statement_id = reader.ShortBytes();
  out->metadata_id =
      with_metadata_id ? reader.ShortBytes() : std::string_view();
  ReadParameters(&reader, &out->parameters, &out->bound);
  return Finish(&reader, "EXECUTE");
}

absl::Status DecodeBatch(std::string_view body, BatchRequest* out) {
  Reader reader(body);
  out->entries.clear();
  out->values.clear();
  out->parameters = QueryParameters();
  const uint8_t type = reader.Byte();
  if (type > static_cast<uint8_t>(BatchType::kCounter)) {
    return absl::InvalidArgumentError(
        absl::StrCat("BATCH: unknown type ", static_cast<int>(type)));
  }
  out->type = static_cast<BatchType>(type);
  const size_t count = reader.Count(reader.Short(), 5, "statement count");
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    BatchRequestEntry& entry = out->entries.emplace_back();
    const uint8_t kind = reader.Byte();
    if (kind > 1) {
      return absl::InvalidArgumentError(absl::StrCat("BATCH: statement ", i,
                                                     " has unknown kind ",
                                                     static_cast<int>(kind)));
    }
    entry.prepared = kind == 1;
    entry.text_or_id =
        entry.prepared ? reader.ShortBytes() : reader.LongString();
    const size_t values = reader.Count(reader.Short(), 4, "value count");
    entry.first_value = static_cast<uint32_t>(out->values.size());
    entry.value_count = static_cast<uint32_t>(values);
    for (size_t j = 0; j < values && reader.ok(); ++j) {
      ReadValue(&reader, &out->values);
    }
  }
  out->parameters.consistency = static_cast<Consistency>(reader.Short());
  const uint8_t flags = reader.Byte();
  if ((flags & kQueryFlagNames) != 0) {
    // The specification itself says that the flag cannot work: a server
    // would have to know the names before the statement.
    return absl::InvalidArgumentError("BATCH: named values are not supported");
  }
  ReadTail(&reader, flags, &out->parameters);
  return Finish(&reader, "BATCH");
}

absl::Status DecodeRegister(std::string_view body,
                            std::vector<std::string_view>* events) {
  Reader reader(body);
  events->clear();
  const size_t count = reader.Count(reader.Short(), 2, "event count");
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    events->push_back(reader.String());
  }
  return Finish(&reader, "REGISTER");
}

absl::Status SkipRequestPayload(const FrameHeader& header,
                                std::string_view* body) {
  if ((header.flags & kFlagCustomPayload) == 0) return absl::OkStatus();
  Reader reader(*body);
  const size_t count = reader.Count(reader.Short(), 6, "payload count");
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    reader.String();
    reader.Bytes();
  }
  *body = reader.rest();
  return reader.status("custom payload");
}

namespace internal {

absl::Status CountMismatch(size_t values, size_t columns) {
  return absl::InvalidArgumentError(absl::StrCat(
      values, " values for a statement with ", columns, " bind markers"));
}

absl::Status InColumn(const absl::Status& status, size_t index,
                      const ColumnSpec& column) {
  return absl::Status(status.code(),
                      absl::StrCat("value ", index, " (column '", column.name,
                                   "'): ", status.message()));
}

}  // namespace internal
}  // namespace cql::protocol
