#include "cql/node/literal.h"

#include <arpa/inet.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "cql/node/error.h"
#include "cql/node/internal/bignum.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"

namespace cql::node {
namespace {

using Kind = ast::Term::Kind;

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "NULL";
    case Kind::kString:
      return "STRING";
    case Kind::kInteger:
      return "INTEGER";
    case Kind::kFloat:
      return "FLOAT";
    case Kind::kBoolean:
      return "BOOLEAN";
    case Kind::kUuid:
      return "UUID";
    case Kind::kHex:
      return "HEX";
    case Kind::kDuration:
      return "DURATION";
    default:
      return "composite";
  }
}

template <typename T>
bool AppendInteger(std::string_view text, std::string* out) {
  int64_t value;
  if (!ParseNumber(text, &value) || value < std::numeric_limits<T>::min() ||
      value > std::numeric_limits<T>::max()) {
    return false;
  }
  AppendBig(static_cast<T>(value), out);
  return true;
}

bool AppendFloating(std::string_view text, bool is_double, std::string* out) {
  const std::string lower = ToLower(text);
  double value;
  if (lower == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (lower == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lower == "-infinity") {
    value = -std::numeric_limits<double>::infinity();
  } else if (!ParseNumber(text, &value)) {
    return false;
  }
  if (is_double) {
    AppendBig(std::bit_cast<uint64_t>(value), out);
  } else {
    AppendBig(std::bit_cast<uint32_t>(static_cast<float>(value)), out);
  }
  return true;
}

// -12.5e3: unscaled -125, scale 1 - 3.
bool AppendDecimal(std::string_view text, std::string* out) {
  int64_t exponent = 0;
  const size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    if (!digits.empty() && digits.front() == '+') digits.remove_prefix(1);
    if (!ParseNumber(digits, &exponent)) return false;
    text = text.substr(0, e);
  }
  std::string unscaled(text);
  const size_t dot = unscaled.find('.');
  int64_t scale = 0;
  if (dot != std::string::npos) {
    scale = static_cast<int64_t>(unscaled.size() - dot - 1);
    unscaled.erase(dot, 1);
  }
  if (unscaled.size() > kBigDigitsMax) return false;
  for (char c : unscaled) {
    if (!absl::ascii_isdigit(c) && c != '-') return false;
  }
  constexpr int64_t kExponentMax = 1000000000;
  if (exponent > kExponentMax || exponent < -kExponentMax) return false;
  AppendBig(static_cast<int32_t>(scale - exponent), out);
  out->append(TwosComplementFromDecimal(unscaled));
  return true;
}

bool AppendTimestamp(std::string_view text, std::string* out) {
  static constexpr const char* kFormats[] = {"%Y-%m-%d%ET%H:%M:%E*S%Ez",
                                             "%Y-%m-%d %H:%M:%E*S%Ez",
                                             "%Y-%m-%d %H:%M:%E*S %Ez",
                                             "%Y-%m-%d%ET%H:%M:%E*S",
                                             "%Y-%m-%d %H:%M:%E*S",
                                             "%Y-%m-%d%ET%H:%M%Ez",
                                             "%Y-%m-%d %H:%M%Ez",
                                             "%Y-%m-%d%ET%H:%M",
                                             "%Y-%m-%d %H:%M",
                                             "%Y-%m-%d%Ez",
                                             "%Y-%m-%d"};
  for (const char* format : kFormats) {
    absl::Time time;
    if (!absl::ParseTime(format, ToAbsl(text), &time, nullptr)) continue;
    if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
      return false;
    }
    AppendBig(absl::ToUnixMillis(time), out);
    return true;
  }
  return false;
}

bool AppendDate(std::string_view text, std::string* out) {
  absl::CivilDay day;
  if (!absl::ParseCivilTime(ToAbsl(text), &day)) return false;
  const int64_t days = day - absl::CivilDay(1970, 1, 1);
  const int64_t biased = days + (int64_t{1} << 31);
  if (biased < 0 || biased > std::numeric_limits<uint32_t>::max()) return false;
  AppendBig(static_cast<uint32_t>(biased), out);
  return true;
}

// hh:mm[:ss[.fffffffff]]
bool AppendTime(std::string_view text, std::string* out) {
  int64_t parts[3] = {0, 0, 0};
  int64_t nanos = 0;
  int part = 0;
  size_t i = 0;
  for (;; ++part) {
    if (part == 3) return false;
    const size_t begin = i;
    while (i < text.size() && absl::ascii_isdigit(text[i]) && i - begin < 2) {
      parts[part] = parts[part] * 10 + (text[i++] - '0');
    }
    if (i == begin) return false;
    if (i == text.size() || text[i] != ':') break;
    ++i;
  }
  if (part == 0) return false;
  if (i < text.size() && text[i] == '.') {
    int64_t unit = 100000000;
    for (++i; i < text.size() && absl::ascii_isdigit(text[i]) && unit > 0;
         ++i, unit /= 10) {
      nanos += (text[i] - '0') * unit;
    }
  }
  if (i != text.size() || parts[0] > 23 || parts[1] > 59 || parts[2] > 59) {
    return false;
  }
  AppendBig(((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000000000 + nanos,
            out);
  return true;
}

bool AppendInet(std::string_view text, std::string* out) {
  const std::string address(text);
  char bytes[16];
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1) {
    out->append(bytes, 4);
    return true;
  }
  if (inet_pton(AF_INET6, address.c_str(), bytes) == 1) {
    out->append(bytes, 16);
    return true;
  }
  return false;
}

// Pairs of hexadecimal digits, dashes left out.
void AppendHex(std::string_view text, std::string* out) {
  int high = -1;
  for (char c : text) {
    if (c == '-') continue;
    const int digit =
        absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      out->push_back(static_cast<char>(high * 16 + digit));
      high = -1;
    }
  }
}

// A signed integer of the durations' encoding: zigzag, then big-endian with as
// many leading ones as bytes follow.
void AppendDurationPart(int64_t value, std::string* out) {
  const uint64_t zigzag =
      (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  int more = 0;
  while (more < 8 && (zigzag >> (7 * (more + 1))) != 0) ++more;
  if (more == 8) {
    out->push_back('\xff');
    AppendBig(zigzag, out);
    return;
  }
  const auto ones = static_cast<uint8_t>(0xff00 >> more);
  out->push_back(static_cast<char>(ones | (zigzag >> (8 * more))));
  for (int i = more; i-- > 0;) {
    out->push_back(static_cast<char>(zigzag >> (8 * i)));
  }
}

// 1y2mo3w4d5h6m7s8ms9us10ns
bool AppendDuration(std::string_view text, std::string* out) {
  constexpr int64_t kSecond = 1000000000;
  struct Unit {
    std::string_view name;
    int part;  // Months, days, nanoseconds.
    int64_t factor;
  };
  static constexpr Unit kUnits[] = {{"y", 0, 12},
                                    {"mo", 0, 1},
                                    {"w", 1, 7},
                                    {"d", 1, 1},
                                    {"h", 2, 3600 * kSecond},
                                    {"m", 2, 60 * kSecond},
                                    {"s", 2, kSecond},
                                    {"ms", 2, 1000000},
                                    {"us", 2, 1000},
                                    {"ns", 2, 1}};
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  int64_t parts[3] = {0, 0, 0};
  while (!text.empty()) {
    size_t digits = 0;
    while (digits < text.size() && absl::ascii_isdigit(text[digits])) ++digits;
    size_t end = digits;
    while (end < text.size() && absl::ascii_isalpha(text[end])) ++end;
    int64_t count;
    if (!ParseNumber(text.substr(0, digits), &count)) return false;
    const std::string unit = ToLower(text.substr(digits, end - digits));
    const Unit* found = nullptr;
    for (const Unit& candidate : kUnits) {
      if (candidate.name == unit) found = &candidate;
    }
    int64_t amount;
    if (found == nullptr ||
        __builtin_mul_overflow(count, found->factor, &amount) ||
        __builtin_add_overflow(parts[found->part], amount,
                               &parts[found->part])) {
      return false;
    }
    text.remove_prefix(end);
  }
  constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();
  if (parts[0] > kIntMax || parts[1] > kIntMax) return false;
  for (int64_t part : parts) AppendDurationPart(negative ? -part : part, out);
  return true;
}

bool EncodeInteger(std::string_view text, TypeId id, std::string* out) {
  switch (id) {
    case TypeId::kTinyint:
      return AppendInteger<int8_t>(text, out);
    case TypeId::kSmallint:
      return AppendInteger<int16_t>(text, out);
    case TypeId::kInt:
      return AppendInteger<int32_t>(text, out);
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kTimestamp:
    case TypeId::kTime:
      return AppendInteger<int64_t>(text, out);
    case TypeId::kDate: {
      uint32_t days;
      if (!ParseNumber(text, &days)) return false;
      AppendBig(days, out);
      return true;
    }
    case TypeId::kFloat:
    case TypeId::kDouble:
      return AppendFloating(text, id == TypeId::kDouble, out);
    case TypeId::kDecimal:
      return AppendDecimal(text, out);
    case TypeId::kVarint:
      if (text.size() > kBigDigitsMax) return false;
      out->append(TwosComplementFromDecimal(text));
      return true;
    default:
      return false;
  }
}

bool EncodeString(std::string_view text, TypeId id, std::string* out) {
  switch (id) {
    case TypeId::kText:
    case TypeId::kAscii:
      out->append(text);
      return true;
    case TypeId::kInet:
      return AppendInet(text, out);
    case TypeId::kTimestamp:
      return AppendTimestamp(text, out);
    case TypeId::kDate:
      return AppendDate(text, out);
    case TypeId::kTime:
      return AppendTime(text, out);
    default:
      return false;
  }
}

bool Encode(const ast::Term& term, TypeId id, std::string* out) {
  switch (term.kind) {
    case Kind::kString:
      return EncodeString(term.text, id, out);
    case Kind::kInteger:
      return EncodeInteger(term.text, id, out);
    case Kind::kFloat:
      if (id == TypeId::kDecimal) return AppendDecimal(term.text, out);
      if (id != TypeId::kFloat && id != TypeId::kDouble) return false;
      return AppendFloating(term.text, id == TypeId::kDouble, out);
    case Kind::kBoolean:
      if (id != TypeId::kBoolean) return false;
      out->push_back(term.text == "true" ? 1 : 0);
      return true;
    case Kind::kUuid:
      if (id != TypeId::kUuid && id != TypeId::kTimeuuid) return false;
      AppendHex(term.text, out);
      return true;
    case Kind::kHex:
      if (id != TypeId::kBlob || term.text.size() % 2 != 0) return false;
      AppendHex(std::string_view(term.text).substr(2), out);
      return true;
    case Kind::kDuration:
      return id == TypeId::kDuration && AppendDuration(term.text, out);
    default:
      return false;
  }
}

}  // namespace

absl::Status EncodeLiteral(const ast::Term& term, const CqlType& type,
                           std::string_view column, std::string* out) {
  const size_t begin = out->size();
  if (!Encode(term, type.id, out)) {
    constexpr size_t kShown = 128;
    return InvalidError(StrCat("Invalid ", KindName(term.kind), " constant (",
                               TermText(term).substr(0, kShown), ") for \"",
                               column, "\" of type ", TypeText(type)));
  }
  return ValidateValue(type, std::string_view(*out).substr(begin));
}

std::string TermText(const ast::Term& term) {
  switch (term.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kMarker:
      return "?";
    case Kind::kString: {
      std::string quoted = "'";
      for (char c : term.text) quoted.append(c == '\'' ? 2 : 1, c);
      return quoted + "'";
    }
    case Kind::kList:
    case Kind::kSet:
    case Kind::kMap:
    case Kind::kUser:
    case Kind::kTuple:
    case Kind::kCall:
      break;
    default:
      return term.text;
  }
  const bool list = term.kind == Kind::kList;
  const bool braces = term.kind == Kind::kSet || term.kind == Kind::kMap ||
                      term.kind == Kind::kUser;
  std::string text = term.kind == Kind::kCall ? term.text : "";
  text += list ? "[" : braces ? "{" : "(";
  for (size_t i = 0; i < term.items.size(); ++i) {
    const bool value = term.kind == Kind::kMap && i % 2 == 1;
    if (i > 0) text += value ? ": " : ", ";
    if (term.kind == Kind::kUser) StrAppend(&text, term.names[i], ": ");
    text += TermText(term.items[i]);
  }
  text += list ? "]" : braces ? "}" : ")";
  return text;
}

}  // namespace cql::node
