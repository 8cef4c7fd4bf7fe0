// Seeded randomness for tests: the same seed gives the same numbers on every
// machine.
#ifndef RINGPLANE_IOLOOP_INTERNAL_RANDOM_H_
#define RINGPLANE_IOLOOP_INTERNAL_RANDOM_H_

#include <cstdint>

namespace ioloop::internal {

// One step of splitmix64: scatters the bits of `word`.
inline uint64_t Mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
  return word ^ (word >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15u); }
  // 0 to `count` - 1. REQUIRES: count > 0.
  uint64_t Below(uint64_t count) { return Next() % count; }
  // Both ends included. REQUIRES: low <= high.
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(
                     Below(static_cast<uint64_t>(high - low) + uint64_t{1}));
  }
  // True with this probability; asks for no number when it is 0.
  bool Chance(double probability) {
    return probability > 0 &&
           static_cast<double>(Next() >> 11) < probability * 0x1p53;
  }

 private:
  uint64_t state_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_RANDOM_H_
