// Seeded trouble for tests: what the kernel may do any day but seldom does.
#ifndef RINGPLANE_IOLOOP_INTERNAL_FAULTS_H_
#define RINGPLANE_IOLOOP_INTERNAL_FAULTS_H_

#include <errno.h>

#include <cstdint>

#include "ioloop/internal/random.h"

namespace ioloop::internal {

// The faults of entering the kernel, which happen inside a backend; those of
// its operations are FaultyBackend's.
class EnterFaults {
 public:
  explicit EnterFaults(uint64_t seed)
      : random_(Mix(seed)), one_in_(kOneIn[random_.Below(4)]) {}

  // An errno that the kernel gives instead of being entered, or 0. Never more
  // than three in a row.
  int Next() {
    if (in_a_row_ == 3 || random_.Below(one_in_) != 0) {
      in_a_row_ = 0;
      return 0;
    }
    ++in_a_row_;
    constexpr int kErrors[] = {EINTR, EAGAIN, EBUSY};
    return kErrors[random_.Below(3)];
  }

 private:
  static constexpr uint64_t kOneIn[] = {3, 6, 30, 1000};
  Random random_;
  const uint64_t one_in_;
  int in_a_row_ = 0;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_FAULTS_H_
