#include "service/ingest/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "ioloop/check.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr std::string_view kFirstLine = "ringplane cursor 1";
constexpr size_t kFileBytesMax = 4096;

absl::Status FileError(const std::string& path, std::string_view what) {
  return absl::UnavailableError(
      Cat("cursor file ", path, ": ", what, ": ", strerror(errno)));
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* number) {
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

bool SetField(std::string_view key, std::string_view value, Cursor* cursor) {
  if (key == "bytes") return ParseNumber(value, &cursor->bytes);
  if (key == "lines") return ParseNumber(value, &cursor->lines);
  if (key == "time_us") return ParseNumber(value, &cursor->time_us);
  if (key == "input") {
    cursor->fingerprint = value;
    return true;
  }
  return false;
}

absl::Status WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return absl::UnavailableError("");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<Cursor>> ReadCursor(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return std::nullopt;
    return FileError(path, "open");
  }
  std::string text(kFileBytesMax, '\0');
  ssize_t got = read(fd, text.data(), text.size());
  if (got < 0) {
    absl::Status status = FileError(path, "read");
    close(fd);
    return status;
  }
  close(fd);
  text.resize(static_cast<size_t>(got));

  Cursor cursor;
  int number = 0;
  int fields = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view()
                                         : rest.substr(end + 1);
    ++number;
    size_t equals = line.find('=');
    bool good = false;
    if (number == 1) {
      good = line == kFirstLine;
    } else if (equals != std::string_view::npos) {
      good = SetField(line.substr(0, equals), line.substr(equals + 1), &cursor);
      ++fields;
    }
    if (!good) {
      return absl::InvalidArgumentError(
          Cat("cursor file ", path, ":", number, ": not a line of a cursor"));
    }
  }
  if (fields != 4) {
    return absl::InvalidArgumentError(
        Cat("cursor file ", path, ": not complete"));
  }
  return cursor;
}

absl::Status WriteCursor(const std::string& path, const Cursor& cursor) {
  std::string text =
      Cat(kFirstLine, "\nbytes=", cursor.bytes, "\nlines=", cursor.lines,
          "\ntime_us=", cursor.time_us, "\ninput=", cursor.fingerprint, "\n");
  std::string next = Cat(path, ".next");
  int fd = open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(next, "create");
  // On the disk before it takes the old one's place: a power cut must not
  // leave an empty file.
  if (!WriteAll(fd, text).ok() || fsync(fd) != 0) {
    absl::Status status = FileError(next, "write");
    close(fd);
    unlink(next.c_str());
    return status;
  }
  close(fd);
  if (rename(next.c_str(), path.c_str()) != 0) {
    return FileError(path, "rename");
  }
  return absl::OkStatus();
}

uint64_t CursorTracker::Begin(const Cursor& end) {
  pieces_.push_back({end});
  return first_ + pieces_.size() - 1;
}

void CursorTracker::Done(uint64_t ticket) {
  RINGPLANE_CHECK(ticket >= first_ && ticket - first_ < pieces_.size());
  pieces_[ticket - first_].done = true;
  while (!pieces_.empty() && pieces_.front().done) {
    int64_t newest = std::max(cursor_.time_us, pieces_.front().end.time_us);
    cursor_ = std::move(pieces_.front().end);
    cursor_.time_us = newest;
    pieces_.pop_front();
    ++first_;
  }
}

}  // namespace ingest
