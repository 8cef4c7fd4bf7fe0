#include "service/dataplane/cursor.h"

#include <charconv>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "service/dataplane/at_uri.h"

namespace dataplane {
namespace {

constexpr std::string_view kSeparator = "__";
constexpr size_t kCursorBytesMax = 2 * kKeyBytesMax;
// The range of a date in the systems that speak to us: year -271821 to 275760.
constexpr int64_t kTimeMsMax = 8'640'000'000'000'000;

absl::Status Malformed() {
  return absl::InvalidArgumentError("malformed cursor");
}

}  // namespace

bool Position::IsAfter(const Position& other) const {
  return std::tie(sort_at_ms, cid, key) <
         std::tie(other.sort_at_ms, other.cid, other.key);
}

std::string EncodeCursor(const Position& position) {
  return absl::StrCat(position.sort_at_ms, "__", position.cid, "__",
                      position.key);
}

absl::StatusOr<std::optional<Position>> ParseCursor(std::string_view cursor) {
  if (cursor.empty()) return std::optional<Position>();
  if (cursor.size() > kCursorBytesMax) return Malformed();
  const size_t time_end = cursor.find(kSeparator);
  if (time_end == std::string_view::npos) return Malformed();
  Position position;
  const auto [end, error] = std::from_chars(
      cursor.data(), cursor.data() + time_end, position.sort_at_ms);
  if (error != std::errc() || end != cursor.data() + time_end ||
      position.sort_at_ms > kTimeMsMax || position.sort_at_ms < -kTimeMsMax) {
    return Malformed();
  }
  std::string_view rest = cursor.substr(time_end + kSeparator.size());
  // CIDs hold no underscore; a record key may.
  const size_t cid_end = rest.find(kSeparator);
  position.cid = std::string(rest.substr(0, cid_end));
  if (cid_end != std::string_view::npos) {
    position.key = std::string(rest.substr(cid_end + kSeparator.size()));
    if (position.key.empty()) return Malformed();
  }
  if (position.cid.empty()) return Malformed();
  return std::optional<Position>(std::move(position));
}

std::string EncodeTimeCursor(int64_t ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(ms),
                          absl::UTCTimeZone());
}

absl::StatusOr<std::optional<int64_t>> ParseTimeCursor(
    std::string_view cursor) {
  if (cursor.empty()) return std::optional<int64_t>();
  absl::Time time;
  std::string error;
  if (cursor.size() > kCursorBytesMax ||
      !absl::ParseTime(absl::RFC3339_full,
                       absl::string_view(cursor.data(), cursor.size()), &time,
                       &error) ||
      time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
    return Malformed();
  }
  const int64_t ms = absl::ToUnixMillis(time);
  if (ms > kTimeMsMax || ms < -kTimeMsMax) return Malformed();
  return std::optional<int64_t>(ms);
}

}  // namespace dataplane
