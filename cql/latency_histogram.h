// How long requests took.
#ifndef RINGPLANE_CQL_LATENCY_HISTOGRAM_H_
#define RINGPLANE_CQL_LATENCY_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cql {

// Two buckets for each doubling, from a microsecond to about a minute: a value
// is known within 50 %. Recording costs a few instructions. Copyable.
class LatencyHistogram {
 public:
  static constexpr size_t kBuckets = 54;

  void Record(int64_t ns) {
    ++buckets_[BucketOf(ns)];
    sum_ns_ += ns;
  }

  uint64_t count() const {
    uint64_t count = 0;
    for (uint64_t bucket : buckets_) count += bucket;
    return count;
  }
  int64_t sum_ns() const { return sum_ns_; }
  const std::array<uint64_t, kBuckets>& buckets() const { return buckets_; }

  // Values of a bucket are below this; the last one holds all that is longer,
  // too. Steps of 1.024 µs.
  static int64_t EndNs(size_t bucket) {
    if (bucket < 2) return kUnitNs << bucket;
    const int64_t half = int64_t{kUnitNs} << (bucket / 2) >> 1;
    return half * (bucket % 2 == 0 ? 3 : 4);
  }

  // The end of the bucket that `share` (0 to 1) of the values do not exceed; 0
  // when there are none.
  int64_t PercentileNs(double share) const {
    const double wanted = share * static_cast<double>(count());
    double seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += static_cast<double>(buckets_[i]);
      if (seen > 0 && seen >= wanted) return EndNs(i);
    }
    return 0;
  }

  void Add(const LatencyHistogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    sum_ns_ += other.sum_ns_;
  }
  // Half of every bucket: what was is worth less than what comes.
  void Halve() {
    for (uint64_t& bucket : buckets_) bucket /= 2;
    sum_ns_ /= 2;
  }

  static size_t BucketOf(int64_t ns) {
    const uint64_t units =
        static_cast<uint64_t>(std::max<int64_t>(ns, 0)) >> 10;
    if (units < 2) return units;
    const size_t octave = static_cast<size_t>(std::bit_width(units)) - 1;
    const size_t upper = (units >> (octave - 1)) & 1;
    return std::min(kBuckets - 1, 2 * octave + upper);
  }

 private:
  static constexpr int kUnitNs = 1024;

  std::array<uint64_t, kBuckets> buckets_ = {};
  int64_t sum_ns_ = 0;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_LATENCY_HISTOGRAM_H_
