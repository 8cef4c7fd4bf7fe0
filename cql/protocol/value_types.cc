#include "cql/protocol/value_types.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>

namespace cql {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool DashBefore(size_t byte) {
  return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

}  // namespace

std::optional<Uuid> Uuid::Parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid uuid;
  size_t at = 0;
  for (size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (DashBefore(i) && text[at++] != '-') return std::nullopt;
    const int high = HexDigit(text[at++]);
    const int low = HexDigit(text[at++]);
    if (high < 0 || low < 0) return std::nullopt;
    uuid.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return uuid;
}

std::optional<Uuid> Uuid::FromBytes(std::string_view bytes) {
  Uuid uuid;
  if (bytes.size() != uuid.bytes.size()) return std::nullopt;
  std::memcpy(uuid.bytes.data(), bytes.data(), bytes.size());
  return uuid;
}

std::string Uuid::ToString() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (DashBefore(i)) text += '-';
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::optional<Inet> Inet::Parse(std::string_view text) {
  if (text.find('\0') != text.npos) return std::nullopt;
  const std::string terminated(text);
  Inet inet;
  if (inet_pton(AF_INET, terminated.c_str(), inet.bytes.data()) == 1) {
    inet.size = 4;
    return inet;
  }
  if (inet_pton(AF_INET6, terminated.c_str(), inet.bytes.data()) == 1) {
    inet.size = 16;
    return inet;
  }
  return std::nullopt;
}

std::optional<Inet> Inet::FromBytes(std::string_view from) {
  if (from.size() != 4 && from.size() != 16) return std::nullopt;
  Inet inet;
  inet.size = static_cast<uint8_t>(from.size());
  std::copy(from.begin(), from.end(), inet.bytes.begin());
  return inet;
}

std::string Inet::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof(text));
  return text;
}

Date Date::FromCivil(absl::CivilDay day) {
  const int64_t days = day - absl::CivilDay(1970, 1, 1);
  return {static_cast<int32_t>(
      std::clamp<int64_t>(days, std::numeric_limits<int32_t>::min(),
                          std::numeric_limits<int32_t>::max()))};
}

absl::CivilDay Date::ToCivil() const {
  return absl::CivilDay(1970, 1, 1) + days;
}

Varint Varint::FromInt64(int64_t value) {
  Varint varint;
  varint.bytes.assign(8, '\0');
  for (int i = 7; i >= 0; --i, value >>= 8) {
    varint.bytes[static_cast<size_t>(i)] = static_cast<char>(value & 0xff);
  }
  // Leading bytes that only repeat the sign go.
  size_t extra = 0;
  const auto byte = [&](size_t i) {
    return static_cast<uint8_t>(varint.bytes[i]);
  };
  while (extra < 7 && ((byte(extra) == 0 && byte(extra + 1) < 0x80) ||
                       (byte(extra) == 0xff && byte(extra + 1) >= 0x80))) {
    ++extra;
  }
  varint.bytes.erase(0, extra);
  return varint;
}

std::optional<int64_t> Varint::ToInt64() const {
  if (bytes.empty()) return std::nullopt;
  const bool negative = static_cast<uint8_t>(bytes[0]) >= 0x80;
  const char sign = negative ? '\xff' : '\0';
  std::string_view rest = bytes;
  while (rest.size() > 8 && rest[0] == sign) rest.remove_prefix(1);
  if (rest.size() > 8) return std::nullopt;
  if (rest.size() == 8 && (static_cast<uint8_t>(rest[0]) >= 0x80) != negative) {
    return std::nullopt;
  }
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (const char c : rest) value = value << 8 | static_cast<uint8_t>(c);
  return static_cast<int64_t>(value);
}

}  // namespace cql
