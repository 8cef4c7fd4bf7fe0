#include "service/shell/scalar_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

#include "service/ingest/text.h"

namespace shell {
namespace {

using ingest::Append;

std::string_view NameOfInfinite(double value) {
  return std::isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
}

std::string Short(double value, int digits) {
  if (!std::isfinite(value)) return std::string(NameOfInfinite(value));
  if (std::fabs(value) > std::numeric_limits<double>::epsilon()) {
    const int exponent = static_cast<int>(std::log10(std::fabs(value)));
    if (-4 <= exponent && exponent < digits) digits += exponent + 1;
  }
  char text[64];
  std::snprintf(text, sizeof(text), "%.*g", digits, value);
  return text;
}

template <typename T>
std::string Full(T value) {
  if (!std::isfinite(value)) return std::string(NameOfInfinite(value));
  char text[64];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

}  // namespace

std::string VarintText(std::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes[0] & 0x80) != 0;
  std::vector<uint8_t> magnitude(bytes.begin(), bytes.end());
  if (negative) {
    for (uint8_t& byte : magnitude) byte = static_cast<uint8_t>(~byte);
    for (size_t i = magnitude.size(); i-- > 0 && ++magnitude[i] == 0;) {
    }
  }
  // Nine digits at a time, the last first.
  std::string digits;
  for (size_t begin = 0;;) {
    while (begin < magnitude.size() && magnitude[begin] == 0) ++begin;
    if (begin == magnitude.size()) break;
    uint64_t remainder = 0;
    for (size_t i = begin; i < magnitude.size(); ++i) {
      remainder = remainder << 8 | magnitude[i];
      magnitude[i] = static_cast<uint8_t>(remainder / 1'000'000'000);
      remainder %= 1'000'000'000;
    }
    for (int i = 0; i < 9; ++i, remainder /= 10) {
      digits += static_cast<char>('0' + remainder % 10);
    }
  }
  while (!digits.empty() && digits.back() == '0') digits.pop_back();
  if (digits.empty()) digits = "0";
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string DecimalText(const cql::Decimal& decimal) {
  std::string digits = VarintText(decimal.unscaled.bytes);
  std::string text;
  if (digits[0] == '-') {
    text = "-";
    digits.erase(0, 1);
  }
  const int64_t exponent = -int64_t{decimal.scale};
  const int64_t adjusted = exponent + static_cast<int64_t>(digits.size()) - 1;
  if (exponent <= 0 && adjusted >= -6) {
    if (exponent < 0) {
      const auto fraction = static_cast<size_t>(-exponent);
      if (digits.size() <= fraction) {
        digits.insert(0, fraction + 1 - digits.size(), '0');
      }
      digits.insert(digits.size() - fraction, 1, '.');
    }
    return text + digits;
  }
  if (digits.size() > 1) digits.insert(1, 1, '.');
  Append(&text, digits, adjusted < 0 ? "E" : "E+", adjusted);
  return text;
}

std::string ShortText(float value) { return Short(value, 5); }
std::string ShortText(double value) { return Short(value, 12); }
std::string FullText(float value) { return Full(value); }
std::string FullText(double value) { return Full(value); }

std::string TimestampText(absl::Time time) {
  return absl::FormatTime("%E4Y-%m-%d %H:%M:%E6S+0000", time,
                          absl::UTCTimeZone());
}

std::string JsonTimestampText(absl::Time time) {
  return absl::FormatTime("%E4Y-%m-%d %H:%M:%E3SZ", time, absl::UTCTimeZone());
}

std::string TimeText(cql::Time time) {
  const int64_t seconds = time.nanoseconds / 1'000'000'000;
  char text[64];
  std::snprintf(text, sizeof(text), "%02d:%02d:%02d.%09d",
                static_cast<int>(seconds / 3600),
                static_cast<int>(seconds / 60 % 60),
                static_cast<int>(seconds % 60),
                static_cast<int>(time.nanoseconds % 1'000'000'000));
  return text;
}

std::string DurationText(const cql::Duration& duration) {
  std::string text;
  const auto add = [&text](uint64_t* value, uint64_t unit,
                           std::string_view name) {
    if (*value / unit != 0) Append(&text, *value / unit, name);
    *value %= unit;
  };
  const auto magnitude = [](int64_t value) {
    return value < 0 ? 0 - static_cast<uint64_t>(value)
                     : static_cast<uint64_t>(value);
  };
  uint64_t months = magnitude(duration.months);
  uint64_t days = magnitude(duration.days);
  uint64_t nanoseconds = magnitude(duration.nanoseconds);
  add(&months, 12, "y");
  add(&months, 1, "mo");
  add(&days, 1, "d");
  constexpr std::pair<uint64_t, std::string_view> kUnits[] = {
      {3'600'000'000'000, "h"}, {60'000'000'000, "m"}, {1'000'000'000, "s"},
      {1'000'000, "ms"},        {1'000, "us"},         {1, "ns"}};
  for (const auto& [unit, name] : kUnits) add(&nanoseconds, unit, name);
  if (text.empty()) return "0s";
  const bool negative =
      duration.months < 0 || duration.days < 0 || duration.nanoseconds < 0;
  return negative ? "-" + text : text;
}

}  // namespace shell
