#include "cql/protocol/types.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cql::protocol {
namespace {

constexpr std::string_view kDurationClass =
    "org.apache.cassandra.db.marshal.DurationType";

std::string_view SimpleName(TypeId id) {
  switch (id) {
    case TypeId::kAscii:
      return "ascii";
    case TypeId::kBigint:
      return "bigint";
    case TypeId::kBlob:
      return "blob";
    case TypeId::kBoolean:
      return "boolean";
    case TypeId::kCounter:
      return "counter";
    case TypeId::kDecimal:
      return "decimal";
    case TypeId::kDouble:
      return "double";
    case TypeId::kFloat:
      return "float";
    case TypeId::kInt:
      return "int";
    case TypeId::kTimestamp:
      return "timestamp";
    case TypeId::kUuid:
      return "uuid";
    case TypeId::kText:
      return "text";
    case TypeId::kVarint:
      return "varint";
    case TypeId::kTimeuuid:
      return "timeuuid";
    case TypeId::kInet:
      return "inet";
    case TypeId::kDate:
      return "date";
    case TypeId::kTime:
      return "time";
    case TypeId::kSmallint:
      return "smallint";
    case TypeId::kTinyint:
      return "tinyint";
    case TypeId::kDuration:
      return "duration";
    default:
      return "";
  }
}

// Text had two numbers before v3; some servers still answer with the first.
constexpr uint16_t kOldText = 0x000A;

// Reads an [option]; without `out` only passes over it.
void ReadOption(Reader* reader, int depth, ColumnType* out) {
  const uint16_t number = reader->Short();
  if (!reader->ok()) return;
  if (depth > kTypeDepthMax) return reader->Fail("depth of the type");
  const TypeId id =
      number == kOldText ? TypeId::kText : static_cast<TypeId>(number);
  if (out != nullptr) out->id = id;

  size_t parameters = 0;
  switch (id) {
    case TypeId::kCustom: {
      const std::string_view name = reader->String();
      if (out == nullptr) return;
      if (name == kDurationClass) {
        out->id = TypeId::kDuration;
      } else {
        out->name = std::string(name);
      }
      return;
    }
    case TypeId::kList:
    case TypeId::kSet:
      parameters = 1;
      break;
    case TypeId::kMap:
      parameters = 2;
      break;
    case TypeId::kTuple:
      parameters = reader->Count(reader->Short(), 2, "component count");
      break;
    case TypeId::kUdt: {
      const std::string_view keyspace = reader->String();
      const std::string_view name = reader->String();
      const size_t fields = reader->Count(reader->Short(), 4, "field count");
      if (out != nullptr) {
        out->keyspace = std::string(keyspace);
        out->name = std::string(name);
      }
      for (size_t i = 0; i < fields && reader->ok(); ++i) {
        const std::string_view field = reader->String();
        ColumnType* parameter = nullptr;
        if (out != nullptr) {
          out->field_names.emplace_back(field);
          parameter = &out->parameters.emplace_back();
        }
        ReadOption(reader, depth + 1, parameter);
      }
      return;
    }
    default:
      if (SimpleName(id).empty()) reader->Fail("unknown type");
      return;
  }
  for (size_t i = 0; i < parameters && reader->ok(); ++i) {
    ColumnType* parameter = nullptr;
    if (out != nullptr) parameter = &out->parameters.emplace_back();
    ReadOption(reader, depth + 1, parameter);
  }
}

}  // namespace

std::string ColumnType::ToString() const {
  const std::string_view simple = SimpleName(id);
  if (!simple.empty()) return std::string(simple);
  std::string text;
  switch (id) {
    case TypeId::kCustom:
      return absl::StrCat("'", name, "'");
    case TypeId::kUdt:
      return absl::StrCat(keyspace, ".", name);
    case TypeId::kList:
      text = "list<";
      break;
    case TypeId::kSet:
      text = "set<";
      break;
    case TypeId::kMap:
      text = "map<";
      break;
    case TypeId::kTuple:
      text = "tuple<";
      break;
    default:
      return absl::StrCat("type ", static_cast<int>(id));
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", parameters[i].ToString());
  }
  text += '>';
  return text;
}

ColumnType ReadType(Reader* reader) {
  ColumnType type;
  ReadOption(reader, 1, &type);
  return type;
}

void SkipType(Reader* reader) { ReadOption(reader, 1, nullptr); }

void WriteType(Writer* writer, const ColumnType& type) {
  if (type.id == TypeId::kDuration) {
    writer->Short(static_cast<uint16_t>(TypeId::kCustom));
    writer->String(kDurationClass);
    return;
  }
  writer->Short(static_cast<uint16_t>(type.id));
  switch (type.id) {
    case TypeId::kCustom:
      writer->String(type.name);
      return;
    case TypeId::kTuple:
      writer->Short(static_cast<uint16_t>(type.parameters.size()));
      break;
    case TypeId::kUdt:
      writer->String(type.keyspace);
      writer->String(type.name);
      writer->Short(static_cast<uint16_t>(type.parameters.size()));
      for (size_t i = 0; i < type.parameters.size(); ++i) {
        writer->String(type.field_names[i]);
        WriteType(writer, type.parameters[i]);
      }
      return;
    default:
      break;
  }
  for (const ColumnType& parameter : type.parameters) {
    WriteType(writer, parameter);
  }
}

}  // namespace cql::protocol
