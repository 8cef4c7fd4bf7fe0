#include "cql/protocol/token.h"

#include <cstring>
#include <limits>

#include "absl/container/inlined_vector.h"
#include "cql/protocol/wire.h"

namespace cql {
namespace {

uint64_t LoadLittle64(const char* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// Up to eight bytes as Cassandra takes the last ones: little-endian, but each
// sign-extended, and so inverting all above it if it is negative.
uint64_t LoadSigned(const char* p, size_t size) {
  uint64_t value = 0;
  if (size == 8) {
    value = LoadLittle64(p);
  } else {
    for (size_t i = size; i > 0; --i) {
      value = value << 8 | static_cast<uint8_t>(p[i - 1]);
    }
  }
  constexpr uint64_t kOnes = 0x0101010101010101ULL;
  // In each byte, how many of those below it are negative.
  const uint64_t negative_below = ((value >> 7) & kOnes) * (kOnes << 8);
  return value ^ ((negative_below & kOnes) * 0xff);
}

uint64_t RotateLeft(uint64_t value, int bits) {
  return (value << bits) | (value >> (64 - bits));
}

uint64_t FinalMix(uint64_t k) {
  k ^= k >> 33;
  k *= 0xff51afd7ed558ccdULL;
  k ^= k >> 33;
  k *= 0xc4ceb9fe1a85ec53ULL;
  k ^= k >> 33;
  return k;
}

constexpr uint64_t kC1 = 0x87c37b91114253d5ULL;
constexpr uint64_t kC2 = 0x4cf5ad432745937fULL;

uint64_t MixFirst(uint64_t k) { return RotateLeft(k * kC1, 31) * kC2; }
uint64_t MixSecond(uint64_t k) { return RotateLeft(k * kC2, 33) * kC1; }

template <typename String>
bool AppendKey(std::span<const std::string_view> components, String* out) {
  if (components.size() == 1) {
    out->insert(out->end(), components[0].begin(), components[0].end());
    return true;
  }
  for (const std::string_view component : components) {
    if (component.size() > std::numeric_limits<uint16_t>::max()) return false;
    char size[2];
    protocol::StoreBig16(size, static_cast<uint16_t>(component.size()));
    out->insert(out->end(), size, size + 2);
    out->insert(out->end(), component.begin(), component.end());
    out->push_back('\0');
  }
  return true;
}

}  // namespace

int64_t Murmur3Token(std::string_view key) {
  const char* data = key.data();
  const size_t blocks = key.size() / 16;
  uint64_t h1 = 0;
  uint64_t h2 = 0;
  for (size_t i = 0; i < blocks; ++i, data += 16) {
    h1 ^= MixFirst(LoadLittle64(data));
    h1 = (RotateLeft(h1, 27) + h2) * 5 + 0x52dce729;
    h2 ^= MixSecond(LoadLittle64(data + 8));
    h2 = (RotateLeft(h2, 31) + h1) * 5 + 0x38495ab5;
  }

  const size_t tail = key.size() % 16;
  if (tail > 8) h2 ^= MixSecond(LoadSigned(data + 8, tail - 8));
  if (tail > 0) h1 ^= MixFirst(LoadSigned(data, tail < 8 ? tail : 8));

  h1 ^= key.size();
  h2 ^= key.size();
  h1 += h2;
  h2 += h1;
  h1 = FinalMix(h1);
  h2 = FinalMix(h2);
  h1 += h2;
  // The smallest number is no token: it marks the start of the ring.
  const auto token = static_cast<int64_t>(h1);
  return token == std::numeric_limits<int64_t>::min()
             ? std::numeric_limits<int64_t>::max()
             : token;
}

bool AppendPartitionKey(std::span<const std::string_view> components,
                        std::string* out) {
  return AppendKey(components, out);
}

std::optional<int64_t> TokenOfKey(
    std::span<const std::string_view> components) {
  if (components.empty()) return std::nullopt;
  if (components.size() == 1) return Murmur3Token(components[0]);
  absl::InlinedVector<char, 512> key;
  if (!AppendKey(components, &key)) return std::nullopt;
  return Murmur3Token(std::string_view(key.data(), key.size()));
}

std::optional<int64_t> TokenOfValues(std::string_view values,
                                     std::span<const uint16_t> key_indexes) {
  protocol::Reader reader(values);
  if (key_indexes.size() == 1) {
    protocol::Cell cell;
    for (size_t i = 0; i <= key_indexes[0]; ++i) cell = reader.Bytes();
    if (!reader.ok() || cell.null()) return std::nullopt;
    return Murmur3Token(cell.bytes());
  }
  absl::InlinedVector<std::string_view, 8> components;
  size_t next = 0;  // The value at which the reader stands.
  for (const uint16_t index : key_indexes) {
    if (index < next) {
      reader = protocol::Reader(values);
      next = 0;
    }
    protocol::Cell cell;
    for (; next <= index && reader.ok(); ++next) cell = reader.Bytes();
    if (!reader.ok() || cell.null()) return std::nullopt;
    components.push_back(cell.bytes());
  }
  return TokenOfKey({components.data(), components.size()});
}

}  // namespace cql
