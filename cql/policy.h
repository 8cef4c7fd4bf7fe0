// When to try again to connect.
#ifndef RINGPLANE_CQL_POLICY_H_
#define RINGPLANE_CQL_POLICY_H_

#include <cstdint>

#include "absl/random/random.h"
#include "absl/time/time.h"

namespace cql {

// Exponential back-off from `min` to `max`, each delay times a random factor
// of 0.85 to 1.15, so that clients which lost one node together do not come
// back together.
class Backoff {
 public:
  Backoff(absl::Duration min, absl::Duration max) : min_(min), max_(max) {}

  // The delay before the next attempt; twice as long each time.
  absl::Duration Next(absl::BitGen& random);
  // An attempt succeeded: begin at `min` again.
  void Reset() { attempts_ = 0; }

 private:
  absl::Duration min_;
  absl::Duration max_;
  uint32_t attempts_ = 0;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_POLICY_H_
