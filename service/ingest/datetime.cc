#include "service/ingest/datetime.h"

#include <cstddef>

namespace ingest {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return at_ == text_.size(); }
  bool Take(char c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool NextIsDigit() const {
    return !done() && text_[at_] >= '0' && text_[at_] <= '9';
  }
  // Exactly `count` digits.
  bool Number(int count, int* value) {
    *value = 0;
    for (int i = 0; i < count; ++i) {
      if (!NextIsDigit()) return false;
      *value = *value * 10 + (text_[at_++] - '0');
    }
    return true;
  }
  // One digit or more; the first three count.
  bool Fraction(int* milliseconds) {
    if (!NextIsDigit()) return false;
    *milliseconds = 0;
    for (int scale = 100; NextIsDigit(); scale /= 10) {
      *milliseconds += scale * (text_[at_++] - '0');
    }
    return true;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

constexpr bool IsLeap(int year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

constexpr int DaysInMonth(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

// Days since 1970-01-01 in the proleptic Gregorian calendar.
constexpr int64_t DaysSinceEpoch(int year, int month, int day) {
  // Years that begin in March, so that a leap day is a year's last.
  const int y = month <= 2 ? year - 1 : year;
  const int era = (y >= 0 ? y : y - 399) / 400;
  const int year_of_era = y - era * 400;
  const int day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  const int day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return int64_t{era} * 146097 + day_of_era - 719468;
}
static_assert(DaysSinceEpoch(1970, 1, 1) == 0);
static_assert(DaysSinceEpoch(2000, 2, 29) == 11016);

}  // namespace

std::optional<int64_t> ParseDatetimeMs(std::string_view text) {
  Scanner in(text);
  int year, month, day;
  if (!in.Number(4, &year) || !in.Take('-') || !in.Number(2, &month) ||
      !in.Take('-') || !in.Number(2, &day)) {
    return std::nullopt;
  }
  if (month < 1 || month > 12 || day < 1 || day > DaysInMonth(year, month)) {
    return std::nullopt;
  }
  int64_t milliseconds = DaysSinceEpoch(year, month, day) * 86'400'000;
  if (in.done()) return milliseconds;

  if (!in.Take('T') && !in.Take('t') && !in.Take(' ')) return std::nullopt;
  int hour, minute, second = 0, fraction = 0;
  if (!in.Number(2, &hour) || !in.Take(':') || !in.Number(2, &minute)) {
    return std::nullopt;
  }
  if (in.Take(':')) {
    if (!in.Number(2, &second)) return std::nullopt;
    if ((in.Take('.') || in.Take(',')) && !in.Fraction(&fraction)) {
      return std::nullopt;
    }
  }
  // A leap second counts as the one before it.
  if (second == 60) second = 59;
  if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
  milliseconds += ((hour * 60 + minute) * 60 + second) * 1000LL + fraction;
  if (in.done() || in.Take('Z') || in.Take('z')) {
    if (!in.done()) return std::nullopt;
    return milliseconds;
  }

  int sign;
  if (in.Take('+')) {
    sign = 1;
  } else if (in.Take('-')) {
    sign = -1;
  } else {
    return std::nullopt;
  }
  int offset_hours, offset_minutes = 0;
  if (!in.Number(2, &offset_hours)) return std::nullopt;
  if (!in.done()) {
    in.Take(':');
    if (!in.Number(2, &offset_minutes)) return std::nullopt;
  }
  if (!in.done() || offset_hours > 23 || offset_minutes > 59) {
    return std::nullopt;
  }
  return milliseconds - sign * (offset_hours * 60 + offset_minutes) * 60'000LL;
}

}  // namespace ingest
