// C++ types for CQL values that the language has none for.
//
//   CQL                      C++, bound and read
//   boolean                  bool
//   tinyint ... bigint       any integer type; a value that does not fit is an
//   counter, varint          error, not cut off
//   float, double            float, double (a float column takes no double)
//   text, ascii, blob        std::string_view, std::string
//   timestamp                absl::Time
//   uuid, timeuuid           Uuid
//   inet, date, time         Inet, Date, Time
//   decimal, varint          Decimal, Varint
//   duration                 Duration
//   list, set                std::vector, std::span (bound), other sequences
//   map                      std::map and other maps
//   tuple, user type         std::tuple, in the order of the fields
//   any                      std::optional of the above, Null, Unset (bound)
#ifndef RINGPLANE_CQL_PROTOCOL_VALUE_TYPES_H_
#define RINGPLANE_CQL_PROTOCOL_VALUE_TYPES_H_

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/civil_time.h"

namespace cql {

struct Null {};
// Leaves the column as it is, where a null would delete it.
struct Unset {};

struct Uuid {
  std::array<uint8_t, 16> bytes = {};

  // "123e4567-e89b-12d3-a456-426614174000", in any case.
  static std::optional<Uuid> Parse(std::string_view text);
  // Nothing unless there are 16.
  static std::optional<Uuid> FromBytes(std::string_view bytes);
  std::string ToString() const;
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  auto operator<=>(const Uuid&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Uuid& uuid) {
    return H::combine(std::move(h), uuid.bytes);
  }
};

// An IP address: 4 or 16 bytes.
struct Inet {
  std::array<uint8_t, 16> bytes = {};
  uint8_t size = 4;

  static std::optional<Inet> Parse(std::string_view text);
  // Nothing unless there are 4 or 16.
  static std::optional<Inet> FromBytes(std::string_view bytes);
  std::string ToString() const;
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), size};
  }
  auto operator<=>(const Inet&) const = default;
};

// Days since 1970-01-01, negative before.
struct Date {
  int32_t days = 0;

  // Years -5877641 to 5881580 are what the type holds.
  static Date FromCivil(absl::CivilDay day);
  absl::CivilDay ToCivil() const;
  auto operator<=>(const Date&) const = default;
};

// Nanoseconds since midnight.
struct Time {
  int64_t nanoseconds = 0;
  auto operator<=>(const Time&) const = default;
};

struct Duration {
  int32_t months = 0;
  int32_t days = 0;
  int64_t nanoseconds = 0;
  bool operator==(const Duration&) const = default;
};

// A whole number of any size: two's complement, big-endian, at least one byte.
struct Varint {
  std::string bytes = std::string(1, '\0');

  static Varint FromInt64(int64_t value);
  // Nothing when it is larger than that.
  std::optional<int64_t> ToInt64() const;
  bool operator==(const Varint&) const = default;
};

// unscaled * 10^-scale.
struct Decimal {
  int32_t scale = 0;
  Varint unscaled;
  bool operator==(const Decimal&) const = default;
};

// A value in the protocol's encoding, bound and read without looking at it.
struct RawValue {
  std::string_view bytes;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_PROTOCOL_VALUE_TYPES_H_
