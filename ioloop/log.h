// Structured log lines: one line per event on standard error,
//   2026-11-23T20:15:02.123456Z INFO  loop started backend=uring cpu=3
// Values with spaces or quotes are quoted. A line is one write(2).
//
// Thread-safety: all of this may be used from any thread.
#ifndef RINGPLANE_IOLOOP_LOG_H_
#define RINGPLANE_IOLOOP_LOG_H_

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"

namespace ioloop {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// One `key=value` of a line: text, a number, whatever absl::StrCat takes. The
// value becomes text at once: a field is only made for a line that is written.
struct LogField {
  template <typename T>
  LogField(std::string_view field_key, const T& field_value) : key(field_key) {
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      value = std::string(std::string_view(field_value));
    } else {
      value = absl::StrCat(field_value);
    }
  }
  std::string_view key;
  std::string value;
};

// Lines below this level are not written. Default: kInfo.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();

// "debug", "info", "warning" or "error"; false for anything else.
bool ParseLogLevel(std::string_view text, LogLevel* level);

// Lines that were not written because of their site's rate limit.
uint64_t LogLinesSuppressed();

namespace internal {

// The rate limit of one call site: a token bucket of 10 lines, one more each
// second. The first line after a pause says how many were suppressed.
class LogSite {
 public:
  // Whether a line may be written now; `suppressed` gets how many could not
  // since the last.
  bool Admit(uint64_t* suppressed);

 private:
  std::atomic<int64_t> tokens_milli_{10000};
  std::atomic<int64_t> refilled_ms_{0};
  std::atomic<uint64_t> suppressed_{0};
};

void WriteLogLine(LogLevel level, std::string_view message,
                  std::initializer_list<LogField> fields, uint64_t suppressed);

}  // namespace internal
}  // namespace ioloop

// RINGPLANE_LOG(kWarning, "connection lost", {"node", address}, {"errno", e});
#define RINGPLANE_LOG(level, message, ...)                                   \
  do {                                                                       \
    if (::ioloop::LogLevel::level >= ::ioloop::GetLogLevel()) {              \
      static ::ioloop::internal::LogSite ringplane_log_site;                 \
      uint64_t ringplane_log_suppressed = 0;                                 \
      if (ringplane_log_site.Admit(&ringplane_log_suppressed)) {             \
        ::ioloop::internal::WriteLogLine(::ioloop::LogLevel::level, message, \
                                         {__VA_ARGS__},                      \
                                         ringplane_log_suppressed);          \
      }                                                                      \
    }                                                                        \
  } while (false)

#endif  // RINGPLANE_IOLOOP_LOG_H_
