#include "cql/node/token.h"

#include <bit>
#include <cstring>
#include <limits>

namespace cql::node {
namespace {

constexpr uint64_t kC1 = 0x87c37b91114253d5;
constexpr uint64_t kC2 = 0x4cf5ad432745937f;

uint64_t Mix(uint64_t k) {
  k ^= k >> 33;
  k *= 0xff51afd7ed558ccd;
  k ^= k >> 33;
  k *= 0xc4ceb9fe1a85ec53;
  return k ^ (k >> 33);
}

}  // namespace

// MurmurHash3 x64 128, of which the first half; bytes of the last, partial
// block count as signed, as Cassandra has it.
int64_t TokenOfKey(std::string_view key) {
  uint64_t h1 = 0;
  uint64_t h2 = 0;
  const size_t blocks = key.size() / 16;
  for (size_t i = 0; i < blocks; ++i) {
    uint64_t k1;
    uint64_t k2;
    std::memcpy(&k1, key.data() + i * 16, 8);
    std::memcpy(&k2, key.data() + i * 16 + 8, 8);
    h1 ^= std::rotl(k1 * kC1, 31) * kC2;
    h1 = (std::rotl(h1, 27) + h2) * 5 + 0x52dce729;
    h2 ^= std::rotl(k2 * kC2, 33) * kC1;
    h2 = (std::rotl(h2, 31) + h1) * 5 + 0x38495ab5;
  }
  const std::string_view tail = key.substr(blocks * 16);
  uint64_t k1 = 0;
  uint64_t k2 = 0;
  for (size_t i = 0; i < tail.size(); ++i) {
    const auto byte =
        static_cast<uint64_t>(int64_t{static_cast<signed char>(tail[i])});
    if (i < 8) {
      k1 ^= byte << (8 * i);
    } else {
      k2 ^= byte << (8 * (i - 8));
    }
  }
  h2 ^= std::rotl(k2 * kC2, 33) * kC1;
  h1 ^= std::rotl(k1 * kC1, 31) * kC2;
  h1 ^= key.size();
  h2 ^= key.size();
  h1 += h2;
  h2 += h1;
  h1 = Mix(h1);
  h2 = Mix(h2);
  h1 += h2;
  const auto token = static_cast<int64_t>(h1);
  return token == std::numeric_limits<int64_t>::min()
             ? std::numeric_limits<int64_t>::max()
             : token;
}

}  // namespace cql::node
