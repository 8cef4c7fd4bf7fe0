// A token bucket on a clock that is passed in.
#ifndef RINGPLANE_SERVICE_HTTP_RATE_BUDGET_H_
#define RINGPLANE_SERVICE_HTTP_RATE_BUDGET_H_

#include <algorithm>

#include "absl/time/time.h"

namespace http {

class RateBudget {
 public:
  RateBudget(double burst, double per_second, absl::Time now)
      : burst_(burst), per_second_(per_second), left_(burst), refilled_(now) {}

  // False once more was spent than there was. Refills only when it runs out:
  // nearly every call is a subtraction.
  bool Spend(double cost, absl::Time now) {
    left_ -= cost;
    if (left_ >= 0) return true;
    left_ = std::min(
        burst_, left_ + per_second_ * absl::ToDoubleSeconds(now - refilled_));
    refilled_ = now;
    return left_ >= 0;
  }

  void Earn(double credit) { left_ = std::min(burst_, left_ + credit); }

 private:
  double burst_;
  double per_second_;
  double left_;
  absl::Time refilled_;
};

}  // namespace http

#endif  // RINGPLANE_SERVICE_HTTP_RATE_BUDGET_H_
