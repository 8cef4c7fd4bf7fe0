#include "cql/policy.h"

#include <algorithm>

namespace cql {

absl::Duration Backoff::Next(absl::BitGen& random) {
  // Past 2^20 times the minimum the maximum rules anyway.
  const double doubled = static_cast<double>(1 << std::min(attempts_, 20u));
  ++attempts_;
  const absl::Duration delay = std::min(min_ * doubled, max_);
  return delay * absl::Uniform(random, 0.85, 1.15);
}

}  // namespace cql
