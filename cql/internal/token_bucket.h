// What may be sent twice.
#ifndef RINGPLANE_CQL_INTERNAL_TOKEN_BUCKET_H_
#define RINGPLANE_CQL_INTERNAL_TOKEN_BUCKET_H_

#include <algorithm>
#include <cstdint>

namespace cql::internal {

// Each request earns a share of a token, each extra one spends a whole one: in
// the long run extra requests are at most that share of the others, and at
// most `burst` come together.
class TokenBucket {
 public:
  // REQUIRES: 0 <= share <= 1.
  TokenBucket(double share, uint32_t burst)
      : earned_(static_cast<uint64_t>(share * kToken)),
        most_(uint64_t{burst} * kToken),
        held_(most_) {}

  void Earn() { held_ = std::min(most_, held_ + earned_); }
  // False: there is none.
  bool Spend() {
    if (held_ < kToken) return false;
    held_ -= kToken;
    return true;
  }

 private:
  static constexpr uint64_t kToken = 1 << 16;

  const uint64_t earned_;
  const uint64_t most_;
  uint64_t held_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_TOKEN_BUCKET_H_
