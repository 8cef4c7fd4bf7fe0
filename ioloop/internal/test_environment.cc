#include "ioloop/internal/test_environment.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"

namespace ioloop::internal {
namespace {

constexpr char kFaultSeed[] = "RINGPLANE_FAULT_SEED";
constexpr char kTinyRing[] = "RINGPLANE_TINY_RING";

// Empty if it is not set.
const char* Value(const char* variable) {
  const char* value = getenv(variable);
  return value == nullptr ? "" : value;
}

absl::Status Nonsense(const char* variable, const char* wanted) {
  return absl::InvalidArgumentError(absl::StrCat("environment variable ",
                                                 variable, "=", Value(variable),
                                                 ": not ", wanted));
}

}  // namespace

absl::StatusOr<Loop::Options> WithTestEnvironment(Loop::Options options) {
  if (const char* seed = Value(kFaultSeed); *seed != '\0') {
    const char* end = seed + strlen(seed);
    const auto parsed = std::from_chars(seed, end, options.fault_seed);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return Nonsense(kFaultSeed, "a number");
    }
  }
  if (const char* tiny = Value(kTinyRing); *tiny != '\0') {
    if (strcmp(tiny, "1") != 0) return Nonsense(kTinyRing, "1");
    for (uint32_t* size : {&options.sq_entries, &options.cq_entries,
                           &options.buffer_count, &options.epoll_batch}) {
      *size = std::min(*size, 4u);
    }
  }
  return options;
}

}  // namespace ioloop::internal
