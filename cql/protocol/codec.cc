#include "cql/protocol/codec.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "cql/protocol/absl_text.h"

namespace cql {
namespace protocol {
namespace internal {

absl::Status Mismatch(std::string_view cpp_type, const ColumnType& type) {
  return absl::InvalidArgumentError(absl::StrCat("a C++ ", AbslText(cpp_type),
                                                 " does not fit CQL type ",
                                                 type.ToString()));
}

absl::Status WrongSize(size_t bytes, const ColumnType& type) {
  return absl::InvalidArgumentError(
      absl::StrCat(bytes, " bytes are no value of CQL type ", type.ToString()));
}

absl::Status OutOfRange(std::string_view what, const ColumnType& type) {
  return absl::InvalidArgumentError(
      absl::StrCat("a value of CQL type ", type.ToString(),
                   " is out of range: ", AbslText(what)));
}

absl::Status UnexpectedNull() {
  return absl::InvalidArgumentError(
      "null where a value is asked for (std::optional takes nulls)");
}

absl::Status EncodeInteger(Writer* writer, const ColumnType& type,
                           int64_t value, bool is_signed) {
  const bool huge = !is_signed && value < 0;  // Above the largest int64_t.
  const auto check = [&]<typename T>(T) {
    return !huge && std::in_range<T>(value);
  };
  switch (type.id) {
    case TypeId::kBigint:
    case TypeId::kCounter:
      if (huge) break;
      writer->Long(value);
      return absl::OkStatus();
    case TypeId::kInt:
      if (!check(int32_t{})) break;
      writer->Int(static_cast<int32_t>(value));
      return absl::OkStatus();
    case TypeId::kSmallint:
      if (!check(int16_t{})) break;
      writer->Short(static_cast<uint16_t>(value));
      return absl::OkStatus();
    case TypeId::kTinyint:
      if (!check(int8_t{})) break;
      writer->Byte(static_cast<uint8_t>(value));
      return absl::OkStatus();
    case TypeId::kVarint: {
      if (huge) writer->Byte(0);
      char bytes[8];
      StoreBig64(bytes, static_cast<uint64_t>(value));
      size_t first = 0;
      while (!huge && first < 7 &&
             ((bytes[first] == 0 && bytes[first + 1] >= 0) ||
              (bytes[first] == -1 && bytes[first + 1] < 0))) {
        ++first;
      }
      writer->Raw({bytes + first, 8 - first});
      return absl::OkStatus();
    }
    default:
      return Mismatch("integer", type);
  }
  return OutOfRange(
      huge ? absl::StrCat(static_cast<uint64_t>(value)) : absl::StrCat(value),
      type);
}

absl::Status DecodeInteger(const ColumnType& type, std::string_view bytes,
                           int64_t* value) {
  size_t size = 0;
  switch (type.id) {
    case TypeId::kBigint:
    case TypeId::kCounter:
      size = 8;
      break;
    case TypeId::kInt:
      size = 4;
      break;
    case TypeId::kSmallint:
      size = 2;
      break;
    case TypeId::kTinyint:
      size = 1;
      break;
    case TypeId::kVarint: {
      if (bytes.empty()) return WrongSize(0, type);
      const std::optional<int64_t> number =
          Varint{std::string(bytes)}.ToInt64();
      if (!number.has_value()) {
        return OutOfRange("more than 64 bits", type);
      }
      *value = *number;
      return absl::OkStatus();
    }
    default:
      return Mismatch("integer", type);
  }
  if (bytes.size() != size) return WrongSize(bytes.size(), type);
  uint64_t number = static_cast<int8_t>(bytes[0]) < 0 ? ~uint64_t{0} : 0;
  for (const char c : bytes) number = number << 8 | static_cast<uint8_t>(c);
  *value = static_cast<int64_t>(number);
  return absl::OkStatus();
}

namespace {

// Unsigned variable-length integers, as Cassandra writes them: the leading ones
// of the first byte say how many bytes follow. Signed ones are zigzagged.
void WriteVint(Writer* writer, int64_t value) {
  const uint64_t zigzag =
      (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  const int bits = 64 - std::countl_zero(zigzag | 1);
  // Each further byte costs one bit of the first, so that n bytes hold 7n;
  // nine hold everything.
  const int extra = bits > 56 ? 8 : (bits - 1) / 7;
  char bytes[9];
  uint64_t rest = zigzag;
  for (int i = extra; i >= 0; --i, rest >>= 8) {
    bytes[i] = static_cast<char>(rest & 0xff);
    if (i == 0) {
      const auto ones = static_cast<uint8_t>(~(0xff >> extra));
      bytes[0] = static_cast<char>(static_cast<uint8_t>(bytes[0]) | ones);
    }
  }
  writer->Raw({bytes, static_cast<size_t>(extra) + 1});
}

int64_t ReadVint(Reader* reader) {
  const uint8_t first = reader->Byte();
  const int extra = std::countl_one(first);
  uint64_t zigzag = extra >= 8 ? 0 : first & (0xff >> extra);
  for (int i = 0; i < extra; ++i) zigzag = zigzag << 8 | reader->Byte();
  return static_cast<int64_t>((zigzag >> 1) ^ (~(zigzag & 1) + 1));
}

}  // namespace
}  // namespace internal
}  // namespace protocol

using protocol::ColumnType;
using protocol::Reader;
using protocol::TypeId;
using protocol::Writer;
using protocol::internal::Mismatch;
using protocol::internal::OutOfRange;
using protocol::internal::WrongSize;

absl::Status Codec<absl::Time>::Encode(Writer* writer, const ColumnType& type,
                                       const absl::Time& value) {
  if (type.id != TypeId::kTimestamp) return Mismatch("absl::Time", type);
  writer->Long(absl::ToUnixMillis(value));
  return absl::OkStatus();
}

absl::Status Codec<absl::Time>::Decode(const ColumnType& type,
                                       std::string_view bytes,
                                       absl::Time* out) {
  if (type.id != TypeId::kTimestamp) return Mismatch("absl::Time", type);
  if (bytes.size() != 8) return WrongSize(bytes.size(), type);
  *out = absl::FromUnixMillis(
      static_cast<int64_t>(protocol::LoadBig64(bytes.data())));
  return absl::OkStatus();
}

absl::Status Codec<Uuid>::Encode(Writer* writer, const ColumnType& type,
                                 const Uuid& value) {
  if (type.id != TypeId::kUuid && type.id != TypeId::kTimeuuid) {
    return Mismatch("Uuid", type);
  }
  writer->Raw(value.view());
  return absl::OkStatus();
}

absl::Status Codec<Uuid>::Decode(const ColumnType& type, std::string_view bytes,
                                 Uuid* out) {
  if (type.id != TypeId::kUuid && type.id != TypeId::kTimeuuid) {
    return Mismatch("Uuid", type);
  }
  if (bytes.size() != out->bytes.size()) return WrongSize(bytes.size(), type);
  std::memcpy(out->bytes.data(), bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status Codec<Inet>::Encode(Writer* writer, const ColumnType& type,
                                 const Inet& value) {
  if (type.id != TypeId::kInet) return Mismatch("Inet", type);
  writer->Raw(value.view());
  return absl::OkStatus();
}

absl::Status Codec<Inet>::Decode(const ColumnType& type, std::string_view bytes,
                                 Inet* out) {
  if (type.id != TypeId::kInet) return Mismatch("Inet", type);
  const std::optional<Inet> inet = Inet::FromBytes(bytes);
  if (!inet.has_value()) return WrongSize(bytes.size(), type);
  *out = *inet;
  return absl::OkStatus();
}

absl::Status Codec<Date>::Encode(Writer* writer, const ColumnType& type,
                                 const Date& value) {
  if (type.id != TypeId::kDate) return Mismatch("Date", type);
  // On the wire 1970-01-01 is 2^31.
  writer->Int(
      static_cast<int32_t>(static_cast<uint32_t>(value.days) ^ 0x80000000u));
  return absl::OkStatus();
}

absl::Status Codec<Date>::Decode(const ColumnType& type, std::string_view bytes,
                                 Date* out) {
  if (type.id != TypeId::kDate) return Mismatch("Date", type);
  if (bytes.size() != 4) return WrongSize(bytes.size(), type);
  out->days =
      static_cast<int32_t>(protocol::LoadBig32(bytes.data()) ^ 0x80000000u);
  return absl::OkStatus();
}

absl::Status Codec<Time>::Encode(Writer* writer, const ColumnType& type,
                                 const Time& value) {
  if (type.id != TypeId::kTime) return Mismatch("Time", type);
  if (value.nanoseconds < 0 || value.nanoseconds >= 86'400'000'000'000) {
    return OutOfRange(absl::StrCat(value.nanoseconds, " ns"), type);
  }
  writer->Long(value.nanoseconds);
  return absl::OkStatus();
}

absl::Status Codec<Time>::Decode(const ColumnType& type, std::string_view bytes,
                                 Time* out) {
  if (type.id != TypeId::kTime) return Mismatch("Time", type);
  if (bytes.size() != 8) return WrongSize(bytes.size(), type);
  out->nanoseconds = static_cast<int64_t>(protocol::LoadBig64(bytes.data()));
  return absl::OkStatus();
}

absl::Status Codec<Duration>::Encode(Writer* writer, const ColumnType& type,
                                     const Duration& value) {
  if (type.id != TypeId::kDuration) return Mismatch("Duration", type);
  const bool some_negative =
      value.months < 0 || value.days < 0 || value.nanoseconds < 0;
  const bool some_positive =
      value.months > 0 || value.days > 0 || value.nanoseconds > 0;
  if (some_negative && some_positive) {
    return OutOfRange("months, days and nanoseconds differ in sign", type);
  }
  protocol::internal::WriteVint(writer, value.months);
  protocol::internal::WriteVint(writer, value.days);
  protocol::internal::WriteVint(writer, value.nanoseconds);
  return absl::OkStatus();
}

absl::Status Codec<Duration>::Decode(const ColumnType& type,
                                     std::string_view bytes, Duration* out) {
  if (type.id != TypeId::kDuration) return Mismatch("Duration", type);
  Reader reader(bytes);
  const int64_t months = protocol::internal::ReadVint(&reader);
  const int64_t days = protocol::internal::ReadVint(&reader);
  out->nanoseconds = protocol::internal::ReadVint(&reader);
  if (!reader.ok() || reader.remaining() != 0) {
    return WrongSize(bytes.size(), type);
  }
  if (!std::in_range<int32_t>(months) || !std::in_range<int32_t>(days)) {
    return OutOfRange("months or days above 32 bits", type);
  }
  out->months = static_cast<int32_t>(months);
  out->days = static_cast<int32_t>(days);
  return absl::OkStatus();
}

absl::Status Codec<Varint>::Encode(Writer* writer, const ColumnType& type,
                                   const Varint& value) {
  if (type.id != TypeId::kVarint) return Mismatch("Varint", type);
  if (value.bytes.empty()) return WrongSize(0, type);
  writer->Raw(value.bytes);
  return absl::OkStatus();
}

absl::Status Codec<Varint>::Decode(const ColumnType& type,
                                   std::string_view bytes, Varint* out) {
  if (type.id != TypeId::kVarint) return Mismatch("Varint", type);
  if (bytes.empty()) return WrongSize(0, type);
  out->bytes.assign(bytes);
  return absl::OkStatus();
}

absl::Status Codec<Decimal>::Encode(Writer* writer, const ColumnType& type,
                                    const Decimal& value) {
  if (type.id != TypeId::kDecimal) return Mismatch("Decimal", type);
  if (value.unscaled.bytes.empty()) return WrongSize(4, type);
  writer->Int(value.scale);
  writer->Raw(value.unscaled.bytes);
  return absl::OkStatus();
}

absl::Status Codec<Decimal>::Decode(const ColumnType& type,
                                    std::string_view bytes, Decimal* out) {
  if (type.id != TypeId::kDecimal) return Mismatch("Decimal", type);
  if (bytes.size() < 5) return WrongSize(bytes.size(), type);
  out->scale = static_cast<int32_t>(protocol::LoadBig32(bytes.data()));
  out->unscaled.bytes.assign(bytes.substr(4));
  return absl::OkStatus();
}

absl::Status Codec<RawValue>::Encode(Writer* writer, const ColumnType&,
                                     const RawValue& value) {
  writer->Raw(value.bytes);
  return absl::OkStatus();
}

absl::Status Codec<RawValue>::Decode(const ColumnType&, std::string_view bytes,
                                     RawValue* out) {
  out->bytes = bytes;
  return absl::OkStatus();
}

}  // namespace cql
