// How far an ingest has come: kept in a file, so that the next run goes on.
#ifndef RINGPLANE_SERVICE_INGEST_CURSOR_H_
#define RINGPLANE_SERVICE_INGEST_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ingest {

// A place in the input before which everything was applied, or was reported as
// something that never can be.
struct Cursor {
  uint64_t bytes = 0;
  uint64_t lines = 0;
  // The newest event's time before it: what a Jetstream server takes as
  // `cursor`. 0: no event yet.
  int64_t time_us = 0;
  // Of the input's start; see LineReader::FingerprintAt.
  std::string fingerprint;
};

// What is in the file; nullopt if there is none. kInvalidArgument names the
// file and line of what is not a cursor's.
absl::StatusOr<std::optional<Cursor>> ReadCursor(const std::string& path);

// Replaces the file in one step: after a crash it holds this cursor or the one
// before, whole. The status names the file.
absl::Status WriteCursor(const std::string& path, const Cursor& cursor);

// Pieces of the input are applied side by side and end in any order; the
// cursor is where the first that has not ended begins.
class CursorTracker {
 public:
  explicit CursorTracker(Cursor start) : cursor_(std::move(start)) {}

  // A piece of the input that ends at `end`, after every piece before. Returns
  // its ticket.
  uint64_t Begin(const Cursor& end);
  // The piece was applied.
  void Done(uint64_t ticket);

  const Cursor& cursor() const { return cursor_; }
  size_t pending() const { return pieces_.size(); }

 private:
  struct Piece {
    Cursor end;
    bool done = false;
  };
  Cursor cursor_;
  uint64_t first_ = 0;  // the ticket of pieces_.front()
  std::deque<Piece> pieces_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_CURSOR_H_
