#include "service/shell/value_text.h"

#include <cmath>
#include <cstdint>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "cql/protocol/codec.h"
#include "cql/protocol/value_types.h"
#include "service/ingest/text.h"
#include "service/shell/scalar_text.h"

namespace shell {
namespace {

using cql::protocol::Cell;
using cql::protocol::ColumnType;
using cql::protocol::Reader;
using cql::protocol::TypeId;
using ingest::Append;

constexpr char kHex[] = "0123456789abcdef";

void AppendHex(std::string_view bytes, std::string* out) {
  *out += "0x";
  for (const char c : bytes) {
    *out += kHex[static_cast<uint8_t>(c) >> 4];
    *out += kHex[static_cast<uint8_t>(c) & 15];
  }
}

// 'it''s': as CQL writes it, inside of other values.
void AppendQuoted(std::string_view text, std::string* out) {
  *out += '\'';
  for (const char c : text) {
    if (c == '\'') *out += '\'';
    *out += c;
  }
  *out += '\'';
}

// A table's row is one line.
void AppendEscaped(std::string_view text, std::string* out) {
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '\\') {
      *out += "\\\\";
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      Append(out, "\\x", std::string_view(&kHex[byte >> 4], 1),
             std::string_view(&kHex[byte & 15], 1));
    } else {
      *out += c;
    }
  }
}

// One value and all inside of it.
class Writer {
 public:
  Writer(Style style, std::string* out) : style_(style), out_(out) {}

  absl::Status Write(const ColumnType& type, const Cell& cell, bool inside) {
    if (cell.null()) {
      if (style_ != Style::kCsv || inside) *out_ += "null";
      return absl::OkStatus();
    }
    const std::string_view bytes = cell.bytes();
    switch (type.id) {
      case TypeId::kText:
      case TypeId::kAscii:
        WriteText(bytes, inside);
        return absl::OkStatus();
      case TypeId::kBlob:
      case TypeId::kCustom: {
        std::string hex;
        AppendHex(bytes, &hex);
        WriteName(hex);
        return absl::OkStatus();
      }
      case TypeId::kList:
      case TypeId::kSet:
        return WriteSequence(type, bytes);
      case TypeId::kMap:
        return WriteMap(type, bytes);
      case TypeId::kTuple:
      case TypeId::kUdt:
        return WriteFields(type, bytes);
      default:
        // Old clients wrote empty values of types that have none.
        if (bytes.empty()) {
          WriteName("");
          return absl::OkStatus();
        }
        return WriteScalar(type, cell, inside);
    }
  }

 private:
  bool json() const { return style_ == Style::kJson; }

  void WriteText(std::string_view text, bool inside) {
    if (json()) {
      AppendJsonString(text, out_);
    } else if (style_ == Style::kCsv) {
      inside ? AppendQuoted(text, out_) : Append(out_, text);
    } else if (inside) {
      std::string quoted;
      AppendQuoted(text, &quoted);
      AppendEscaped(quoted, out_);
    } else {
      AppendEscaped(text, out_);
    }
  }

  // What JSON has no type of its own for.
  void WriteName(std::string_view text) {
    json() ? AppendJsonString(text, out_) : Append(out_, text);
  }

  template <typename T, typename Use>
  absl::Status Decoded(const ColumnType& type, const Cell& cell, Use use) {
    T value{};
    absl::Status status = cql::protocol::DecodeValue(type, cell, &value);
    if (status.ok()) use(value);
    return status;
  }

  absl::Status WriteScalar(const ColumnType& type, const Cell& cell,
                           bool inside) {
    switch (type.id) {
      case TypeId::kBoolean:
        return Decoded<bool>(type, cell, [this](bool value) {
          *out_ +=
              json() ? (value ? "true" : "false") : (value ? "True" : "False");
        });
      case TypeId::kTinyint:
      case TypeId::kSmallint:
      case TypeId::kInt:
      case TypeId::kBigint:
      case TypeId::kCounter:
        return Decoded<int64_t>(type, cell,
                                [this](int64_t value) { Append(out_, value); });
      case TypeId::kVarint:
        *out_ += VarintText(cell.bytes());
        return absl::OkStatus();
      case TypeId::kDecimal:
        return Decoded<cql::Decimal>(
            type, cell,
            [this](const cql::Decimal& value) { *out_ += DecimalText(value); });
      case TypeId::kFloat:
        return Decoded<float>(type, cell,
                              [this](float value) { WriteFloat(value); });
      case TypeId::kDouble:
        return Decoded<double>(type, cell,
                               [this](double value) { WriteFloat(value); });
      case TypeId::kTimestamp:
        return Decoded<absl::Time>(type, cell, [&](absl::Time value) {
          WriteLiteral(json() ? JsonTimestampText(value) : TimestampText(value),
                       inside);
        });
      case TypeId::kDate:
        return Decoded<cql::Date>(type, cell, [this](cql::Date value) {
          WriteName(absl::FormatCivilTime(value.ToCivil()));
        });
      case TypeId::kTime:
        return Decoded<cql::Time>(type, cell, [this](cql::Time value) {
          WriteName(TimeText(value));
        });
      case TypeId::kDuration:
        return Decoded<cql::Duration>(type, cell,
                                      [this](const cql::Duration& value) {
                                        WriteName(DurationText(value));
                                      });
      case TypeId::kUuid:
      case TypeId::kTimeuuid:
        return Decoded<cql::Uuid>(type, cell, [this](const cql::Uuid& value) {
          WriteName(value.ToString());
        });
      case TypeId::kInet:
        return Decoded<cql::Inet>(type, cell, [&](const cql::Inet& value) {
          WriteLiteral(value.ToString(), inside);
        });
      default:
        return absl::InvalidArgumentError(
            ingest::Cat("no text for ", type.ToString()));
    }
  }

  template <typename T>
  void WriteFloat(T value) {
    const std::string text =
        style_ == Style::kTable ? ShortText(value) : FullText(value);
    std::isfinite(value) ? Append(out_, text) : WriteName(text);
  }

  // What cqlsh quotes inside of other values.
  void WriteLiteral(std::string_view text, bool inside) {
    inside && !json() ? AppendQuoted(text, out_) : WriteName(text);
  }

  absl::Status WriteSequence(const ColumnType& type, std::string_view bytes) {
    const bool list = json() || type.id == TypeId::kList;
    *out_ += list ? '[' : '{';
    Reader reader(bytes);
    const size_t count = reader.Count(reader.Int(), 4, "elements");
    for (size_t i = 0; i < count && reader.ok(); ++i) {
      if (i > 0) *out_ += ", ";
      absl::Status status = Write(type.parameters[0], reader.Bytes(), true);
      if (!status.ok()) return status;
    }
    *out_ += list ? ']' : '}';
    return reader.status(type.ToString());
  }

  absl::Status WriteMap(const ColumnType& type, std::string_view bytes) {
    *out_ += '{';
    Reader reader(bytes);
    const size_t count = reader.Count(reader.Int(), 8, "entries");
    for (size_t i = 0; i < count && reader.ok(); ++i) {
      if (i > 0) *out_ += ", ";
      absl::Status status = WriteKey(type.parameters[0], reader.Bytes());
      if (!status.ok()) return status;
      *out_ += ": ";
      status = Write(type.parameters[1], reader.Bytes(), true);
      if (!status.ok()) return status;
    }
    *out_ += '}';
    return reader.status(type.ToString());
  }

  // JSON's keys are strings: the text of the value.
  absl::Status WriteKey(const ColumnType& type, const Cell& cell) {
    if (!json()) return Write(type, cell, true);
    std::string key;
    absl::Status status = Writer(style_, &key).Write(type, cell, true);
    if (key.starts_with('"')) {
      *out_ += key;
    } else {
      AppendJsonString(key, out_);
    }
    return status;
  }

  // Of a tuple or user type. Fields that are missing at the end are null.
  absl::Status WriteFields(const ColumnType& type, std::string_view bytes) {
    const bool tuple = type.id == TypeId::kTuple;
    const bool list = tuple && json();
    *out_ += list ? '[' : tuple ? '(' : '{';
    Reader reader(bytes);
    for (size_t i = 0; i < type.parameters.size(); ++i) {
      if (i > 0) *out_ += ", ";
      if (!tuple) {
        json() ? AppendJsonString(type.field_names[i], out_)
               : Append(out_, type.field_names[i]);
        *out_ += ": ";
      }
      const Cell field = reader.remaining() == 0 ? Cell{} : reader.Bytes();
      absl::Status status = Write(type.parameters[i], field, true);
      if (!status.ok()) return status;
    }
    *out_ += list ? ']' : tuple ? ')' : '}';
    return reader.status(type.ToString());
  }

  const Style style_;
  std::string* const out_;
};

}  // namespace

absl::Status AppendValue(const ColumnType& type, const Cell& cell, Style style,
                         std::string* out) {
  return Writer(style, out).Write(type, cell, false);
}

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (byte < 0x20) {
      Append(out, "\\u00", std::string_view(&kHex[byte >> 4], 1),
             std::string_view(&kHex[byte & 15], 1));
    } else {
      *out += c;
    }
  }
  *out += '"';
}

}  // namespace shell
