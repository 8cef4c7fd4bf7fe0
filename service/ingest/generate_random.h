// Random numbers in integers only, so that a seed means the same bytes with
// every compiler and C library.
#ifndef RINGPLANE_SERVICE_INGEST_GENERATE_RANDOM_H_
#define RINGPLANE_SERVICE_INGEST_GENERATE_RANDOM_H_

#include <algorithm>
#include <bit>
#include <cstdint>

namespace ingest {

// SplitMix64: one multiply-and-shift chain per number.
class GenerateRandom {
 public:
  explicit GenerateRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15); }

  static uint64_t Mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  // Uniform in [0, limit). REQUIRES: limit > 0.
  uint32_t Below(uint32_t limit) {
    return static_cast<uint32_t>((Next() >> 32) * limit >> 32);
  }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  bool Percent(uint32_t percent) { return Below(100) < percent; }

  // -log2 of a uniform number in (0, 1), times 65536: exponential, of mean
  // 1.5 * 65536. The logarithm's fraction is taken as a straight line.
  uint32_t Log16() {
    uint64_t u = Next() | 1;
    int zeros = std::countl_zero(u);
    uint64_t mantissa = (u << zeros) >> 47 & 0xffff;
    return (static_cast<uint32_t>(zeros) << 16) + (0x10000 - mantissa);
  }

  // In [0, limit) with a density that falls as 1 / (1 + value): Zipf's law.
  // REQUIRES: limit > 0.
  uint32_t Zipf(uint32_t limit) {
    // 2^(u * log2(limit + 1)), between 1 and limit + 1.
    uint64_t log16 = Log2Times16(static_cast<uint64_t>(limit) + 1);
    uint64_t exponent = (Next() >> 32) * log16 >> 32;
    uint64_t value =
        (uint64_t{0x10000} + (exponent & 0xffff)) << (exponent >> 16) >> 16;
    return static_cast<uint32_t>(std::min<uint64_t>(value, limit) - 1);
  }

 private:
  static uint64_t Log2Times16(uint64_t x) {
    int whole = std::bit_width(x) - 1;
    uint64_t fraction = (x << (63 - whole)) >> 47 & 0xffff;
    return (static_cast<uint64_t>(whole) << 16) + fraction;
  }

  uint64_t state_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_GENERATE_RANDOM_H_
