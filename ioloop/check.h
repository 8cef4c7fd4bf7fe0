// RINGPLANE_CHECK: a broken promise of our own code ends the process with the
// condition, the place and a message. Never use it for what a peer sent, a
// file held or a user typed: those are absl::Status.
#ifndef RINGPLANE_IOLOOP_CHECK_H_
#define RINGPLANE_IOLOOP_CHECK_H_

#include <string_view>

namespace ioloop::internal {

// Writes "CHECK failed: <condition> (<file>:<line>) <message>" to standard
// error and aborts.
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line,
                              std::string_view message);

}  // namespace ioloop::internal

// Evaluates `condition` in every build.
#define RINGPLANE_CHECK(condition, ...)                                  \
  (__builtin_expect(!!(condition), 1)                                    \
       ? static_cast<void>(0)                                            \
       : ::ioloop::internal::CheckFailed(#condition, __FILE__, __LINE__, \
                                         std::string_view(__VA_ARGS__)))

// Evaluates `condition` only where NDEBUG is not defined.
#ifdef NDEBUG
#define RINGPLANE_DCHECK(condition, ...) static_cast<void>(0)
#else
#define RINGPLANE_DCHECK(condition, ...) \
  RINGPLANE_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#endif

#endif  // RINGPLANE_IOLOOP_CHECK_H_
