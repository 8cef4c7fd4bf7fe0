#include "ioloop/log.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ioloop {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};
std::atomic<uint64_t> g_suppressed{0};

constexpr int64_t kBucketMilli = 10000;
constexpr int64_t kLineMilli = 1000;

int64_t SteadyMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG ";
    case LogLevel::kInfo:
      return "INFO  ";
    case LogLevel::kWarning:
      return "WARN  ";
    case LogLevel::kError:
      return "ERROR ";
  }
  return "?     ";
}

void AppendTime(std::string* line) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char text[64];
  snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ ",
           utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
           utc.tm_min, utc.tm_sec, now.tv_nsec / 1000);
  line->append(text);
}

// Control characters would let a peer forge lines: they are always escaped.
void AppendEscaped(std::string_view text, bool quoted, std::string* line) {
  for (char c : text) {
    if (c == '\n') {
      line->append("\\n");
    } else if (quoted && (c == '"' || c == '\\')) {
      line->push_back('\\');
      line->push_back(c);
    } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      char hex[8];
      snprintf(hex, sizeof(hex), "\\x%02x", static_cast<unsigned char>(c));
      line->append(hex);
    } else {
      line->push_back(c);
    }
  }
}

void AppendField(std::string_view key, std::string_view value,
                 std::string* line) {
  line->push_back(' ');
  line->append(key);
  line->push_back('=');
  bool plain = !value.empty();
  for (char c : value) {
    if (c == ' ' || c == '"' || c == '=' || c == '\\' ||
        absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      plain = false;
    }
  }
  if (plain) {
    line->append(value);
    return;
  }
  line->push_back('"');
  AppendEscaped(value, /*quoted=*/true, line);
  line->push_back('"');
}

}  // namespace

void SetLogLevel(LogLevel level) {
  g_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

LogLevel GetLogLevel() {
  return static_cast<LogLevel>(g_level.load(std::memory_order_relaxed));
}

bool ParseLogLevel(std::string_view text, LogLevel* level) {
  if (text == "debug") {
    *level = LogLevel::kDebug;
  } else if (text == "info") {
    *level = LogLevel::kInfo;
  } else if (text == "warning") {
    *level = LogLevel::kWarning;
  } else if (text == "error") {
    *level = LogLevel::kError;
  } else {
    return false;
  }
  return true;
}

uint64_t LogLinesSuppressed() {
  return g_suppressed.load(std::memory_order_relaxed);
}

namespace internal {

bool LogSite::Admit(uint64_t* suppressed) {
  const int64_t now_ms = SteadyMilliseconds();
  int64_t last_ms = refilled_ms_.load(std::memory_order_relaxed);
  // One line a second is one thousandth of a line a millisecond. Whoever moves
  // the clock forward adds the tokens; who loses the race leaves it be.
  if (now_ms > last_ms && refilled_ms_.compare_exchange_strong(
                              last_ms, now_ms, std::memory_order_relaxed)) {
    const int64_t have = tokens_milli_.load(std::memory_order_relaxed);
    const int64_t room = kBucketMilli - have;
    const int64_t earned = now_ms - last_ms;
    tokens_milli_.fetch_add(earned < room ? earned : room,
                            std::memory_order_relaxed);
  }
  if (tokens_milli_.fetch_sub(kLineMilli, std::memory_order_relaxed) <
      kLineMilli) {
    tokens_milli_.fetch_add(kLineMilli, std::memory_order_relaxed);
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    g_suppressed.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  *suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
  return true;
}

void WriteLogLine(LogLevel level, std::string_view message,
                  std::initializer_list<LogField> fields, uint64_t suppressed) {
  std::string line;
  line.reserve(256);
  AppendTime(&line);
  line.append(LevelName(level));
  AppendEscaped(message, /*quoted=*/false, &line);
  for (const LogField& field : fields) {
    AppendField(field.key, field.value, &line);
  }
  if (suppressed > 0) {
    AppendField("suppressed", absl::StrCat(suppressed), &line);
  }
  line.push_back('\n');
  static_cast<void>(!write(STDERR_FILENO, line.data(), line.size()));
}

}  // namespace internal
}  // namespace ioloop
