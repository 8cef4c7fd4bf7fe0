#include "cql/sharding.h"

#include "ioloop/check.h"

namespace cql {

SourcePorts::SourcePorts(uint32_t shard, uint32_t shards, uint32_t random)
    : step_(shards) {
  RINGPLANE_CHECK(shard < shards, "no such shard");
  lowest_ = kFirst + (shard + shards - kFirst % shards) % shards;
  count_ = lowest_ > kLast ? 0 : (kLast - lowest_) / step_ + 1;
  position_ = count_ == 0 ? 0 : random % count_;
}

std::optional<uint16_t> SourcePorts::Next() {
  if (offered_ == count_) return std::nullopt;
  ++offered_;
  const uint32_t port = lowest_ + position_ * step_;
  if (++position_ == count_) position_ = 0;
  return static_cast<uint16_t>(port);
}

}  // namespace cql
