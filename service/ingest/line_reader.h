// Lines of a file, a pipe or standard input, as fast as they come.
#ifndef RINGPLANE_SERVICE_INGEST_LINE_READER_H_
#define RINGPLANE_SERVICE_INGEST_LINE_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ingest {

// Reads by read(2), which waits where the input does: for a thread of its own.
//
// A line longer than `line_bytes_max` is still one line: its start is
// returned, marked as cut, and the rest is passed over without being kept.
class LineReader {
 public:
  struct Line {
    // Without its line feed (and a carriage return before it). Valid until the
    // next call.
    std::string_view text;
    // Of the line, counted from 1 since the start of the input.
    uint64_t number = 0;
    // Where the next line starts, in bytes since the start of the input.
    uint64_t end_offset = 0;
    bool too_long = false;
  };

  // How much of the input's start fingerprint() covers at most.
  static constexpr size_t kFingerprintBytes = 4096;

  // The descriptors stay the caller's. Once `stop_fd` is readable, Next() waits
  // no more; -1: nothing stops it.
  LineReader(int fd, size_t line_bytes_max, int stop_fd = -1);

  // The next line; a last line without line feed counts. kOutOfRange at the
  // end of the input, kUnavailable with the errno's text if reading fails,
  // kCancelled when it would have waited but was stopped.
  absl::StatusOr<Line> Next();

  // Whether Next() would have to wait for input.
  bool WouldWait();

  // Passes over the first `bytes` bytes, which hold `lines` lines, if they are
  // those that the fingerprint was taken of; else leaves the input at its start
  // and returns false. REQUIRES: nothing was read yet.
  absl::StatusOr<bool> SkipTo(uint64_t bytes, uint64_t lines,
                              std::string_view fingerprint);

  // Tells inputs apart: a hash of the first bytes, as many as there are before
  // `offset`, at most kFingerprintBytes. Of what was read.
  std::string FingerprintAt(uint64_t offset) const;

  // Bytes of the whole input if it is a regular file, else 0.
  uint64_t input_bytes() const { return input_bytes_; }

 private:
  // Waits until there is input, or for `timeout_ms` (-1: for ever). kCancelled
  // if stopped; false if there is none yet.
  absl::StatusOr<bool> AwaitInput(int timeout_ms);
  // More bytes into the buffer: how many; 0 at the end.
  absl::StatusOr<size_t> Fill();
  // Reads until the buffer holds `bytes` or the input ends.
  absl::Status FillTo(size_t bytes);

  const int fd_;
  const size_t line_bytes_max_;
  const int stop_fd_;
  uint64_t input_bytes_ = 0;
  std::string buffer_;
  size_t begin_ = 0;     // of what was not returned yet
  size_t end_ = 0;       // of what was read
  size_t searched_ = 0;  // no line feed before this
  bool ended_ = false;
  uint64_t offset_ = 0;  // of begin_, in the input
  uint64_t lines_ = 0;
  std::string start_;  // the input's first bytes
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_LINE_READER_H_
