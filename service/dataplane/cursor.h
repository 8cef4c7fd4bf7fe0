// Where a page ended. Cursors are opaque to callers; ours name the last row
// that was given, so a page never repeats or skips a row when others come and
// go.
#ifndef RINGPLANE_SERVICE_DATAPLANE_CURSOR_H_
#define RINGPLANE_SERVICE_DATAPLANE_CURSOR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dataplane {

// The place of a row in a list that runs newest first: by time, then by CID,
// then by a key that no other row of the list has.
struct Position {
  int64_t sort_at_ms = 0;
  std::string cid;
  std::string key;

  // Whether a row at this place comes after one at `other`: it is older.
  bool IsAfter(const Position& other) const;
};

// "<sort_at in ms>__<cid>__<key>".
std::string EncodeCursor(const Position& position);

// The position of a cursor, or nothing for an empty one (the first page). A
// cursor without a key stands for the end of all rows with its time and CID.
// kInvalidArgument for anything that EncodeCursor cannot have made.
absl::StatusOr<std::optional<Position>> ParseCursor(std::string_view cursor);

// "2025-03-01T08:10:17.423Z": how the cursor of notifications is written.
std::string EncodeTimeCursor(int64_t ms);

// ISO 8601 with date and time, fraction and offset optional; whole
// milliseconds, rounded down. Nothing for an empty cursor, kInvalidArgument
// for what is no time.
absl::StatusOr<std::optional<int64_t>> ParseTimeCursor(std::string_view cursor);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_CURSOR_H_
