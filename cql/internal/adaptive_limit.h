// How many requests a server is given at once.
#ifndef RINGPLANE_CQL_INTERNAL_ADAPTIVE_LIMIT_H_
#define RINGPLANE_CQL_INTERNAL_ADAPTIVE_LIMIT_H_

#include <algorithm>
#include <cstdint>

namespace cql::internal {

// Additive increase, multiplicative decrease, as TCP's congestion window
// (RFC 5681): a request that the server could not do in time, or refused as
// too much, cuts the limit to a share of what was in flight; each limit's
// worth of requests served while others wait lets it grow by a sixteenth.
//
// Requests that were sent before a cut do not cut again: they tell of the
// limit before it.
class AdaptiveLimit {
 public:
  // REQUIRES: 0 < min <= max. Equal: the limit is fixed.
  AdaptiveLimit(uint32_t min, uint32_t max)
      : min_(min), max_(max), limit_(max) {}

  uint32_t limit() const { return limit_; }

  // A request was served while others waited for room.
  void Served() {
    if (limit_ == max_ || ++served_ < limit_) return;
    served_ = 0;
    limit_ = std::min(max_, limit_ + 1 + limit_ / 16);
  }

  // A request that was sent at `sent_ns` was too much, with `in_flight` others.
  // Returns whether that lowers the limit.
  bool Overloaded(uint32_t in_flight, int64_t sent_ns, int64_t now_ns) {
    if (sent_ns < cut_ns_ || limit_ == min_) return false;
    const uint32_t used = std::min(limit_, in_flight);
    limit_ = std::max(min_, used - used / 4);
    cut_ns_ = now_ns;
    served_ = 0;
    return true;
  }

 private:
  const uint32_t min_;
  const uint32_t max_;
  uint32_t limit_;
  uint32_t served_ = 0;  // Since the limit last changed.
  int64_t cut_ns_ = INT64_MIN;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_ADAPTIVE_LIMIT_H_
