#include "service/ingest/line_reader.h"

#include <errno.h>
#include <openssl/sha.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "ioloop/check.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr size_t kReadBytes = 256 << 10;

}  // namespace

LineReader::LineReader(int fd, size_t line_bytes_max, int stop_fd)
    : fd_(fd), line_bytes_max_(line_bytes_max), stop_fd_(stop_fd) {
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    input_bytes_ = static_cast<uint64_t>(info.st_size);
  }
}

absl::StatusOr<LineReader::Line> LineReader::Next() {
  Line line;
  uint64_t dropped = 0;
  for (;;) {
    const char* found = static_cast<const char*>(
        memchr(buffer_.data() + searched_, '\n', end_ - searched_));
    size_t end = found != nullptr ? found - buffer_.data() : end_;
    bool terminated = found != nullptr;
    if (!terminated && !ended_) {
      searched_ = end_;
      if (end_ - begin_ > line_bytes_max_ + 1) {
        // Keep the start, to show; let the rest go as it comes.
        dropped += end_ - begin_ - line_bytes_max_;
        end_ = searched_ = begin_ + line_bytes_max_;
        line.too_long = true;
      }
      absl::StatusOr<size_t> more = Fill();
      if (!more.ok()) {
        // The line stays unread, but for what was let go.
        return more.status();
      }
      continue;
    }
    if (!terminated && begin_ == end_ && dropped == 0) {
      return absl::OutOfRangeError("end of input");
    }
    size_t length = end - begin_;
    line.too_long = line.too_long || length > line_bytes_max_ + 1;
    line.text = std::string_view(buffer_).substr(begin_, length);
    if (line.text.ends_with('\r')) line.text.remove_suffix(1);
    if (line.text.size() > line_bytes_max_) {
      line.too_long = true;
      line.text = line.text.substr(0, line_bytes_max_);
    }
    offset_ += length + dropped + (terminated ? 1 : 0);
    begin_ = searched_ = end + (terminated ? 1 : 0);
    line.number = ++lines_;
    line.end_offset = offset_;
    return line;
  }
}

bool LineReader::WouldWait() {
  if (ended_ || memchr(buffer_.data() + searched_, '\n', end_ - searched_)) {
    return false;
  }
  absl::StatusOr<bool> input = AwaitInput(0);
  return input.ok() && !*input;
}

absl::StatusOr<bool> LineReader::AwaitInput(int timeout_ms) {
  pollfd polled[2] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  // poll(2) passes over a descriptor of -1.
  while (poll(polled, 2, timeout_ms) < 0) {
    if (errno != EINTR) {
      return absl::UnavailableError(Cat("poll: ", strerror(errno)));
    }
  }
  if (polled[1].revents != 0) return absl::CancelledError("stopped");
  return polled[0].revents != 0;
}

absl::StatusOr<size_t> LineReader::Fill() {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    end_ -= begin_;
    searched_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kReadBytes) buffer_.resize(end_ + kReadBytes);
  for (;;) {
    if (absl::StatusOr<bool> input = AwaitInput(-1); !input.ok()) {
      return input.status();
    }
    ssize_t got = read(fd_, buffer_.data() + end_, kReadBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return absl::UnavailableError(Cat("read: ", strerror(errno)));
    }
    if (got == 0) ended_ = true;
    if (start_.size() < kFingerprintBytes) {
      start_.append(buffer_, end_,
                    std::min<size_t>(got, kFingerprintBytes - start_.size()));
    }
    end_ += got;
    return static_cast<size_t>(got);
  }
}

absl::Status LineReader::FillTo(size_t bytes) {
  while (end_ - begin_ < bytes && !ended_) {
    absl::StatusOr<size_t> more = Fill();
    if (!more.ok()) return more.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LineReader::SkipTo(uint64_t bytes, uint64_t lines,
                                        std::string_view fingerprint) {
  RINGPLANE_CHECK(lines_ == 0 && offset_ == 0);
  if (bytes == 0) return true;
  absl::Status status = FillTo(std::min<uint64_t>(bytes, kFingerprintBytes));
  if (!status.ok()) return status;
  if (start_.size() < std::min<uint64_t>(bytes, kFingerprintBytes) ||
      FingerprintAt(bytes) != fingerprint) {
    return false;
  }
  if (input_bytes_ > 0) {
    if (bytes > input_bytes_) return false;
    // The byte before must end a line, or this is not where one ended.
    char last = 0;
    if (pread(fd_, &last, 1, static_cast<off_t>(bytes - 1)) != 1) {
      return absl::UnavailableError(Cat("read: ", strerror(errno)));
    }
    if (last != '\n' && bytes != input_bytes_) return false;
    if (lseek(fd_, static_cast<off_t>(bytes), SEEK_SET) < 0) {
      return absl::UnavailableError(Cat("seek: ", strerror(errno)));
    }
    begin_ = end_ = searched_ = 0;
    ended_ = false;
  } else {
    for (uint64_t left = bytes; left > 0;) {
      if (begin_ == end_) {
        absl::StatusOr<size_t> more = Fill();
        if (!more.ok()) return more.status();
        if (*more == 0) {
          return absl::OutOfRangeError(
              Cat("the input ends before the cursor's position, byte ", bytes));
        }
      }
      size_t step = std::min<uint64_t>(left, end_ - begin_);
      begin_ += step;
      left -= step;
    }
    searched_ = begin_;
  }
  offset_ = bytes;
  lines_ = lines;
  return true;
}

std::string LineReader::FingerprintAt(uint64_t offset) const {
  static constexpr std::string_view kHex = "0123456789abcdef";
  uint8_t hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(start_.data()),
         std::min<uint64_t>(offset, start_.size()), hash);
  std::string text;
  for (int i = 0; i < 16; ++i) {
    text.push_back(kHex[hash[i] >> 4]);
    text.push_back(kHex[hash[i] & 15]);
  }
  return text;
}

}  // namespace ingest
