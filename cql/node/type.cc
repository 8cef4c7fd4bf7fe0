#include "cql/node/type.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/bignum.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/ordered_key.h"

namespace cql::node {
namespace {

constexpr int kSimpleTypes = static_cast<int>(TypeId::kVarint) + 1;

constexpr std::array<std::string_view, kSimpleTypes> kNames = {
    "ascii",     "bigint",   "blob",     "boolean",  "counter",
    "date",      "decimal",  "double",   "duration", "float",
    "inet",      "int",      "smallint", "text",     "time",
    "timestamp", "timeuuid", "tinyint",  "uuid",     "varint"};

// A name as CQL text would have to write it.
std::string QuotedIfNeeded(std::string_view name) {
  const bool plain =
      !name.empty() && !absl::ascii_isdigit(name.front()) &&
      std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
      });
  if (plain) return std::string(name);
  return StrCat("\"", name, "\"");
}

std::string TupleText(const CqlType& type) {
  std::vector<std::string> parts;
  for (const TypeRef& parameter : type.parameters) {
    parts.push_back(TypeText(*parameter));
  }
  return Join(parts, ", ");
}

absl::Status WrongSize(size_t expected, TypeId id, size_t size) {
  return InvalidError(StrCat("Expected ", expected, " byte ",
                             kNames[static_cast<int>(id)], " (", size, ")"));
}

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c < 0x80) {
      ++i;
      continue;
    }
    size_t more;
    uint32_t point;
    uint32_t least;
    if ((c & 0xe0) == 0xc0) {
      more = 1, point = c & 0x1f, least = 0x80;
    } else if ((c & 0xf0) == 0xe0) {
      more = 2, point = c & 0x0f, least = 0x800;
    } else if ((c & 0xf8) == 0xf0) {
      more = 3, point = c & 0x07, least = 0x10000;
    } else {
      return false;
    }
    if (i + more >= text.size()) return false;
    for (size_t j = 1; j <= more; ++j) {
      const auto next = static_cast<uint8_t>(text[i + j]);
      if ((next & 0xc0) != 0x80) return false;
      point = (point << 6) | (next & 0x3f);
    }
    if (point < least || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

// Three variable-length integers: months, days, nanoseconds.
bool IsDuration(std::string_view bytes) {
  for (int i = 0; i < 3; ++i) {
    if (bytes.empty()) return false;
    const auto first = static_cast<uint8_t>(bytes.front());
    const auto more = static_cast<size_t>(std::countl_one(first));
    if (bytes.size() < more + 1) return false;
    bytes.remove_prefix(more + 1);
  }
  return bytes.empty();
}

absl::Status ValidateCollection(const CqlType& type, std::string_view bytes) {
  ByteReader reader(bytes);
  int32_t count;
  if (!reader.Read(&count) || count < 0) {
    return InvalidError(StrCat("Malformed ", TypeText(type)));
  }
  for (int32_t i = 0; i < count; ++i) {
    for (const TypeRef& parameter : type.parameters) {
      std::string_view part;
      bool is_null;
      if (!reader.ReadBytes(&part, &is_null)) {
        return InvalidError(StrCat("Malformed ", TypeText(type)));
      }
      if (is_null) {
        return InvalidError("null is not supported inside collections");
      }
      absl::Status status = ValidateValue(*parameter, part);
      if (!status.ok()) return status;
    }
  }
  if (!reader.empty()) {
    return InvalidError(StrCat("Unexpected bytes after ", TypeText(type)));
  }
  return absl::OkStatus();
}

absl::Status ValidateTuple(const CqlType& type, std::string_view bytes) {
  ByteReader reader(bytes);
  for (const TypeRef& parameter : type.parameters) {
    if (reader.empty()) return absl::OkStatus();
    std::string_view part;
    bool is_null;
    if (!reader.ReadBytes(&part, &is_null)) {
      return InvalidError(StrCat("Malformed ", TypeText(type)));
    }
    if (is_null) continue;
    absl::Status status = ValidateValue(*parameter, part);
    if (!status.ok()) return status;
  }
  if (!reader.empty()) {
    return InvalidError(StrCat("More components than ", TypeText(type)));
  }
  return absl::OkStatus();
}

template <typename T>
int CompareIntegers(std::string_view a, std::string_view b) {
  const T x = LoadBig<T>(a.data());
  const T y = LoadBig<T>(b.data());
  return x < y ? -1 : x > y ? 1 : 0;
}

}  // namespace

TypeRef SimpleType(TypeId id) {
  static const auto& types = *new std::array<TypeRef, kSimpleTypes>([] {
    std::array<TypeRef, kSimpleTypes> made;
    for (int i = 0; i < kSimpleTypes; ++i) {
      auto type = std::make_shared<CqlType>();
      type->id = static_cast<TypeId>(i);
      made[i] = std::move(type);
    }
    return made;
  }());
  const int index = static_cast<int>(id);
  return index < kSimpleTypes ? types[index] : nullptr;
}

TypeRef SimpleTypeNamed(std::string_view name) {
  if (name == "varchar") name = "text";
  for (int i = 0; i < kSimpleTypes; ++i) {
    if (kNames[i] == name) return SimpleType(static_cast<TypeId>(i));
  }
  return nullptr;
}

std::string TypeText(const CqlType& type) {
  std::string text;
  switch (type.id) {
    case TypeId::kList:
      text = StrCat("list<", TypeText(*type.parameters[0]), ">");
      break;
    case TypeId::kSet:
      text = StrCat("set<", TypeText(*type.parameters[0]), ">");
      break;
    case TypeId::kMap:
      text = StrCat("map<", TypeText(*type.parameters[0]), ", ",
                    TypeText(*type.parameters[1]), ">");
      break;
    case TypeId::kTuple:
      // A tuple is always frozen, and shown so.
      text = StrCat("tuple<", TupleText(type), ">");
      break;
    case TypeId::kUser:
      text = QuotedIfNeeded(type.name);
      break;
    default:
      return std::string(kNames[static_cast<int>(type.id)]);
  }
  if (type.frozen) return StrCat("frozen<", text, ">");
  return text;
}

bool SameType(const CqlType& a, const CqlType& b) {
  if (a.id != b.id || a.frozen != b.frozen ||
      a.parameters.size() != b.parameters.size() || a.keyspace != b.keyspace ||
      a.name != b.name) {
    return false;
  }
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    if (!SameType(*a.parameters[i], *b.parameters[i])) return false;
  }
  return true;
}

TypeRef Frozen(const TypeRef& type) {
  if (type->parameters.empty() && type->id != TypeId::kUser) return type;
  auto frozen = std::make_shared<CqlType>(*type);
  frozen->frozen = true;
  for (TypeRef& parameter : frozen->parameters) parameter = Frozen(parameter);
  return frozen;
}

size_t FixedSize(TypeId id) {
  switch (id) {
    case TypeId::kBoolean:
    case TypeId::kTinyint:
      return 1;
    case TypeId::kSmallint:
      return 2;
    case TypeId::kDate:
    case TypeId::kFloat:
    case TypeId::kInt:
      return 4;
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kDouble:
    case TypeId::kTime:
    case TypeId::kTimestamp:
      return 8;
    case TypeId::kTimeuuid:
    case TypeId::kUuid:
      return 16;
    default:
      return 0;
  }
}

absl::Status ValidateValue(const CqlType& type, std::string_view bytes) {
  const size_t fixed = FixedSize(type.id);
  if (fixed > 0 && bytes.size() != fixed) {
    return WrongSize(fixed, type.id, bytes.size());
  }
  switch (type.id) {
    case TypeId::kAscii:
      for (char c : bytes) {
        if ((c & 0x80) != 0) return InvalidError("Invalid byte for ascii");
      }
      return absl::OkStatus();
    case TypeId::kText:
      if (!IsUtf8(bytes)) return InvalidError("String didn't validate.");
      return absl::OkStatus();
    case TypeId::kInet:
      if (bytes.size() != 4 && bytes.size() != 16) {
        return WrongSize(4, type.id, bytes.size());
      }
      return absl::OkStatus();
    case TypeId::kTime: {
      constexpr int64_t kNanosOfDay = int64_t{86400} * 1000000000;
      const auto nanos = LoadBig<int64_t>(bytes.data());
      if (nanos < 0 || nanos >= kNanosOfDay) {
        return InvalidError("Input long out of bounds for a time of day");
      }
      return absl::OkStatus();
    }
    case TypeId::kTimeuuid:
      if ((bytes[6] & 0xf0) != 0x10) {
        return InvalidError("Invalid version for TimeUUID type.");
      }
      return absl::OkStatus();
    case TypeId::kVarint:
      if (bytes.empty()) return WrongSize(1, type.id, 0);
      return absl::OkStatus();
    case TypeId::kDecimal: {
      constexpr int32_t kScaleMax = 1000000;
      if (bytes.size() < 5 || bytes.size() > 4 + kBigBytesMax) {
        return InvalidError(StrCat("Decimal of ", bytes.size(), " bytes"));
      }
      const auto scale = LoadBig<int32_t>(bytes.data());
      if (scale > kScaleMax || scale < -kScaleMax) {
        return InvalidError(StrCat("Decimal of scale ", scale));
      }
      return absl::OkStatus();
    }
    case TypeId::kDuration:
      if (!IsDuration(bytes)) return InvalidError("Malformed duration");
      return absl::OkStatus();
    case TypeId::kList:
    case TypeId::kSet:
    case TypeId::kMap:
      return ValidateCollection(type, bytes);
    case TypeId::kTuple:
    case TypeId::kUser:
      return ValidateTuple(type, bytes);
    default:
      return absl::OkStatus();
  }
}

int CompareValues(const CqlType& type, std::string_view a, std::string_view b) {
  switch (type.id) {
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kTime:
    case TypeId::kTimestamp:
      return CompareIntegers<int64_t>(a, b);
    case TypeId::kInt:
      return CompareIntegers<int32_t>(a, b);
    case TypeId::kSmallint:
      return CompareIntegers<int16_t>(a, b);
    case TypeId::kTinyint:
      return CompareIntegers<int8_t>(a, b);
    case TypeId::kAscii:
    case TypeId::kBlob:
    case TypeId::kBoolean:
    case TypeId::kDate:
    case TypeId::kDuration:
    case TypeId::kInet:
    case TypeId::kText:
      return a.compare(b);
    default: {
      std::string x;
      std::string y;
      AppendOrdered(type, a, false, &x);
      AppendOrdered(type, b, false, &y);
      return x.compare(y);
    }
  }
}

}  // namespace cql::node
