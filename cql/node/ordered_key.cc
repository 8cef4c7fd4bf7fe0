#include "cql/node/ordered_key.h"

#include <cstdint>

#include "cql/node/internal/bignum.h"
#include "cql/node/internal/bytes.h"

namespace cql::node {
namespace {

constexpr uint64_t kSign64 = uint64_t{1} << 63;

// Bytes of any length: 00 becomes 00 ff, and 00 00 ends them.
void AppendEscaped(std::string_view value, std::string* key) {
  for (;;) {
    const size_t zero = value.find('\0');
    if (zero == std::string_view::npos) break;
    key->append(value.substr(0, zero + 1));
    key->push_back('\xff');
    value.remove_prefix(zero + 1);
  }
  key->append(value);
  key->append(2, '\0');
}

bool ReadEscaped(std::string_view* key, std::string* value) {
  for (;;) {
    const size_t zero = key->find('\0');
    if (zero == std::string_view::npos || zero + 1 >= key->size()) return false;
    const char next = (*key)[zero + 1];
    value->append(key->substr(0, zero));
    key->remove_prefix(zero + 2);
    if (next == '\0') return true;
    if (next != '\xff') return false;
    value->push_back('\0');
  }
}

// Integers, with the sign turned round.
void AppendSigned(std::string_view value, std::string* key) {
  key->push_back(static_cast<char>(value[0] ^ 0x80));
  key->append(value.substr(1));
}

template <typename T>
void AppendFloating(std::string_view value, std::string* key) {
  constexpr int kBits = sizeof(T) * 8;
  constexpr T kSign = T{1} << (kBits - 1);
  constexpr T kInfinity = kBits == 64 ? static_cast<T>(0x7ff0000000000000)
                                      : static_cast<T>(0x7f800000);
  T bits = LoadBig<T>(value.data());
  if ((bits & ~kSign) > kInfinity) {  // NaN: one, the greatest.
    bits = kInfinity | (kInfinity >> 1);
  }
  AppendBig<T>((bits & kSign) ? ~bits : bits | kSign, key);
}

template <typename T>
bool ReadFloating(std::string_view* key, std::string* value) {
  constexpr T kSign = T{1} << (sizeof(T) * 8 - 1);
  if (key->size() < sizeof(T)) return false;
  const T bits = LoadBig<T>(key->data());
  key->remove_prefix(sizeof(T));
  AppendBig<T>((bits & kSign) ? bits & ~kSign : ~bits, value);
  return true;
}

// The time of a version 1 UUID, its most significant part first.
uint64_t ReorderTime(uint64_t high) {
  return (high << 48) | ((high << 16) & 0xffff00000000) | (high >> 32);
}
uint64_t RestoreTime(uint64_t time) {
  return (time << 32) | ((time >> 16) & 0xffff0000) | (time >> 48);
}

// By time, then by the rest as signed bytes.
constexpr uint64_t kSignOfEachByte = 0x8080808080808080;

void AppendTimeuuid(std::string_view value, std::string* key) {
  AppendBig(ReorderTime(LoadBig<uint64_t>(value.data())), key);
  AppendBig(LoadBig<uint64_t>(value.data() + 8) ^ kSignOfEachByte, key);
}

// By version; those of version 1 by time; then by bytes.
void AppendUuid(std::string_view value, std::string* key) {
  const auto high = LoadBig<uint64_t>(value.data());
  const auto version = static_cast<char>((high >> 12) & 0xf);
  key->push_back(version);
  AppendBig(version == 1 ? ReorderTime(high) : high, key);
  key->append(value.substr(8));
}

// Sign, length, bytes: for negative numbers a greater length is less.
void AppendVarint(std::string_view value, std::string* key) {
  value = MinimalTwosComplement(value);
  const bool negative = (value[0] & 0x80) != 0;
  const auto size = static_cast<uint32_t>(value.size());
  key->push_back(negative ? 0 : 1);
  AppendBig(negative ? ~size : size, key);
  key->append(value);
}

bool ReadVarint(std::string_view* key, std::string* value) {
  if (key->size() < 5) return false;
  const bool negative = (*key)[0] == 0;
  auto size = LoadBig<uint32_t>(key->data() + 1);
  if (negative) size = ~size;
  key->remove_prefix(5);
  if (size == 0 || key->size() < size) return false;
  value->append(key->substr(0, size));
  key->remove_prefix(size);
  return true;
}

// Sign, decimal exponent, significant digits without trailing zeros; all of it
// turned round for negative numbers.
void AppendDecimal(std::string_view value, std::string* key) {
  const auto scale = LoadBig<int32_t>(value.data());
  std::string digits = DecimalFromTwosComplement(value.substr(4));
  const bool negative = digits.front() == '-';
  if (negative) digits.erase(0, 1);
  if (digits == "0") {
    key->push_back(1);
    return;
  }
  key->push_back(negative ? 0 : 2);
  const size_t begin = key->size();
  const int64_t exponent = static_cast<int64_t>(digits.size()) - scale;
  AppendBig(static_cast<uint64_t>(exponent) ^ kSign64, key);
  while (digits.back() == '0') digits.pop_back();
  key->append(digits);
  key->push_back('\0');
  if (negative) {
    for (size_t i = begin; i < key->size(); ++i) (*key)[i] = ~(*key)[i];
  }
}

bool ReadDecimal(std::string_view* key, std::string* value) {
  if (key->empty()) return false;
  const char sign = key->front();
  key->remove_prefix(1);
  if (sign == 1) {
    AppendBig(int32_t{0}, value);
    value->push_back(0);
    return true;
  }
  const char flip = sign == 0 ? '\xff' : '\0';
  const size_t end = key->find(flip, 8);
  if (end == std::string_view::npos) return false;
  auto biased = LoadBig<uint64_t>(key->data());
  if (sign == 0) biased = ~biased;
  std::string digits(sign == 0 ? "-" : "");
  for (char c : key->substr(8, end - 8)) {
    digits.push_back(static_cast<char>(c ^ flip));
  }
  const auto exponent = static_cast<int64_t>(biased ^ kSign64);
  AppendBig(static_cast<int32_t>(static_cast<int64_t>(end - 8) - exponent),
            value);
  value->append(TwosComplementFromDecimal(digits));
  key->remove_prefix(end + 1);
  return true;
}

void AppendAscending(const CqlType& type, std::string_view value,
                     std::string* key);

void AppendPart(const CqlType& type, std::string_view part, bool is_null,
                std::string* key) {
  key->push_back(is_null ? 1 : 2);
  if (!is_null) AppendAscending(type, part, key);
}

void AppendComposite(const CqlType& type, std::string_view value,
                     std::string* key) {
  ByteReader reader(value);
  std::string_view part;
  bool is_null;
  if (type.IsCollection()) {
    int32_t count = 0;
    reader.Read(&count);
    for (int32_t i = 0; i < count; ++i) {
      for (const TypeRef& parameter : type.parameters) {
        if (!reader.ReadBytes(&part, &is_null)) return;
        AppendPart(*parameter, part, is_null, key);
      }
    }
    key->push_back(0);
    return;
  }
  for (const TypeRef& parameter : type.parameters) {
    if (!reader.ReadBytes(&part, &is_null)) is_null = true;
    AppendPart(*parameter, part, is_null, key);
  }
}

void AppendAscending(const CqlType& type, std::string_view value,
                     std::string* key) {
  switch (type.id) {
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kInt:
    case TypeId::kSmallint:
    case TypeId::kTime:
    case TypeId::kTimestamp:
    case TypeId::kTinyint:
      AppendSigned(value, key);
      return;
    case TypeId::kBoolean:
    case TypeId::kDate:
      key->append(value);
      return;
    case TypeId::kDouble:
      AppendFloating<uint64_t>(value, key);
      return;
    case TypeId::kFloat:
      AppendFloating<uint32_t>(value, key);
      return;
    case TypeId::kUuid:
      AppendUuid(value, key);
      return;
    case TypeId::kTimeuuid:
      AppendTimeuuid(value, key);
      return;
    case TypeId::kVarint:
      AppendVarint(value, key);
      return;
    case TypeId::kDecimal:
      AppendDecimal(value, key);
      return;
    case TypeId::kAscii:
    case TypeId::kBlob:
    case TypeId::kDuration:
    case TypeId::kInet:
    case TypeId::kText:
      AppendEscaped(value, key);
      return;
    case TypeId::kList:
    case TypeId::kSet:
    case TypeId::kMap:
    case TypeId::kTuple:
    case TypeId::kUser:
      AppendComposite(type, value, key);
      return;
  }
}

bool ReadAscending(const CqlType& type, std::string_view* key,
                   std::string* value);

// A part of a composite, as [bytes].
bool ReadPart(const CqlType& type, std::string_view* key, std::string* value) {
  if (key->empty()) return false;
  const char kind = key->front();
  key->remove_prefix(1);
  if (kind == 1) {
    AppendNullBytes(value);
    return true;
  }
  if (kind != 2) return false;
  const size_t at = value->size();
  value->append(4, '\0');
  if (!ReadAscending(type, key, value)) return false;
  StoreBig(static_cast<int32_t>(value->size() - at - 4), value->data() + at);
  return true;
}

bool ReadComposite(const CqlType& type, std::string_view* key,
                   std::string* value) {
  if (!type.IsCollection()) {
    for (const TypeRef& parameter : type.parameters) {
      if (!ReadPart(*parameter, key, value)) return false;
    }
    return true;
  }
  const size_t at = value->size();
  value->append(4, '\0');
  int32_t count = 0;
  for (;; ++count) {
    if (key->empty()) return false;
    if (key->front() == 0) break;
    for (const TypeRef& parameter : type.parameters) {
      if (!ReadPart(*parameter, key, value)) return false;
    }
  }
  key->remove_prefix(1);
  StoreBig(count, value->data() + at);
  return true;
}

bool ReadAscending(const CqlType& type, std::string_view* key,
                   std::string* value) {
  switch (type.id) {
    case TypeId::kBoolean:
    case TypeId::kDate:
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kInt:
    case TypeId::kSmallint:
    case TypeId::kTime:
    case TypeId::kTimestamp:
    case TypeId::kTinyint: {
      const size_t size = FixedSize(type.id);
      if (key->size() < size) return false;
      const size_t at = value->size();
      value->append(key->substr(0, size));
      if (type.id != TypeId::kBoolean && type.id != TypeId::kDate) {
        (*value)[at] = static_cast<char>((*value)[at] ^ 0x80);
      }
      key->remove_prefix(size);
      return true;
    }
    case TypeId::kDouble:
      return ReadFloating<uint64_t>(key, value);
    case TypeId::kFloat:
      return ReadFloating<uint32_t>(key, value);
    case TypeId::kUuid: {
      if (key->size() < 17) return false;
      const auto high = LoadBig<uint64_t>(key->data() + 1);
      AppendBig(key->front() == 1 ? RestoreTime(high) : high, value);
      value->append(key->substr(9, 8));
      key->remove_prefix(17);
      return true;
    }
    case TypeId::kTimeuuid:
      if (key->size() < 16) return false;
      AppendBig(RestoreTime(LoadBig<uint64_t>(key->data())), value);
      AppendBig(LoadBig<uint64_t>(key->data() + 8) ^ kSignOfEachByte, value);
      key->remove_prefix(16);
      return true;
    case TypeId::kVarint:
      return ReadVarint(key, value);
    case TypeId::kDecimal:
      return ReadDecimal(key, value);
    case TypeId::kAscii:
    case TypeId::kBlob:
    case TypeId::kDuration:
    case TypeId::kInet:
    case TypeId::kText:
      return ReadEscaped(key, value);
    case TypeId::kList:
    case TypeId::kSet:
    case TypeId::kMap:
    case TypeId::kTuple:
    case TypeId::kUser:
      return ReadComposite(type, key, value);
  }
  return false;
}

void Invert(std::string* bytes, size_t from) {
  for (size_t i = from; i < bytes->size(); ++i) (*bytes)[i] = ~(*bytes)[i];
}

}  // namespace

void AppendOrdered(const CqlType& type, std::string_view value, bool descending,
                   std::string* key) {
  const size_t begin = key->size();
  AppendAscending(type, value, key);
  if (descending) Invert(key, begin);
}

bool ReadOrdered(const CqlType& type, bool descending, std::string_view* key,
                 std::string* value) {
  if (!descending) return ReadAscending(type, key, value);
  const size_t fixed = FixedSize(type.id);
  const size_t encoded = type.id == TypeId::kUuid ? 17 : fixed;
  if (encoded > 0 && key->size() < encoded) return false;
  // Only what a fixed size takes is turned back; otherwise all that is left,
  // which may be several columns: descending text is worth the copy.
  std::string plain(encoded > 0 ? key->substr(0, encoded) : *key);
  Invert(&plain, 0);
  std::string_view rest = plain;
  if (!ReadAscending(type, &rest, value)) return false;
  key->remove_prefix(plain.size() - rest.size());
  return true;
}

void MakeSuccessor(std::string* key) {
  while (!key->empty() && key->back() == '\xff') key->pop_back();
  if (!key->empty()) {
    key->back() = static_cast<char>(static_cast<uint8_t>(key->back()) + 1);
  }
}

}  // namespace cql::node
