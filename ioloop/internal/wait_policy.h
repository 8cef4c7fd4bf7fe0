// When a turn should wait for more than the first completion.
//
// Waking up for each completion costs more than handling it, so between idle
// and saturated a loop does better to sleep a little longer and find several.
// Idle, a wait would only delay the one completion that comes; saturated, there
// is always something to take, and no sleep to save.
#ifndef RINGPLANE_IOLOOP_INTERNAL_WAIT_POLICY_H_
#define RINGPLANE_IOLOOP_INTERNAL_WAIT_POLICY_H_

#include <algorithm>
#include <cstdint>

#include "ioloop/backend.h"

namespace ioloop::internal {

class WaitPolicy {
 public:
  // `budget_ns`: the longest that a completion may be kept waiting; 0: none is.
  explicit WaitPolicy(int64_t budget_ns) : budget_ns_(budget_ns) {}

  // After each turn: what it found, and how long the loop worked before it and
  // slept in it.
  void Observe(uint64_t completions, int64_t busy_ns, int64_t wait_ns) {
    if (budget_ns_ == 0) return;
    const auto elapsed = static_cast<double>(busy_ns + wait_ns);
    const double weight = 1 / (kMemoryNs + elapsed);
    per_ns_ = (per_ns_ * kMemoryNs + static_cast<double>(completions)) * weight;
    load_ = (load_ * kMemoryNs + static_cast<double>(busy_ns)) * weight;
  }

  // How a turn that may sleep `wait_ns` should.
  Wait Plan(int64_t wait_ns) const {
    Wait wait{.ns = wait_ns};
    if (budget_ns_ == 0 || wait_ns == 0 || load_ > kSaturated) return wait;
    const int64_t gather_ns = std::min(budget_ns_, wait_ns);
    const double expected = per_ns_ * static_cast<double>(gather_ns);
    if (expected < kWorthIt) return wait;
    wait.gather_ns = gather_ns;
    wait.gather = static_cast<uint32_t>(std::min(expected, kGatherMax));
    return wait;
  }

 private:
  // How long ago counts little.
  static constexpr double kMemoryNs = 2e6;
  // A wait that brings fewer would have been as good for the first.
  static constexpr double kWorthIt = 2;
  // The share of time at work above which sleeping is rare already.
  static constexpr double kSaturated = 0.9;
  static constexpr double kGatherMax = 4096;

  const int64_t budget_ns_;
  double per_ns_ = 0;  // Completions per nanosecond.
  double load_ = 0;    // Share of the time at work.
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_WAIT_POLICY_H_
