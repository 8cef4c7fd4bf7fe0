// ScyllaDB's shards: which one owns a token, and which source ports reach it.
#ifndef RINGPLANE_CQL_SHARDING_H_
#define RINGPLANE_CQL_SHARDING_H_

#include <cstdint>
#include <optional>

#include "cql/protocol/token.h"

namespace cql {

// How a node spreads tokens over its shards, as SUPPORTED told. Plain
// Cassandra is one shard.
struct ShardingInfo {
  uint16_t shards = 1;
  uint8_t ignore_msb = 0;

  bool operator==(const ShardingInfo&) const = default;

  // The shard that owns `token`.
  uint32_t Owner(int64_t token) const {
    return shards == 1 ? 0 : ShardOf(token, shards, ignore_msb);
  }
};

// The source ports that make a node's shard-aware port choose a shard: those
// whose remainder by the number of shards is the shard's number. Every port of
// 49152..65535 with that remainder is offered once, from a random one on.
class SourcePorts {
 public:
  static constexpr uint32_t kFirst = 49152;
  static constexpr uint32_t kLast = 65535;

  // REQUIRES: shard < shards.
  SourcePorts(uint32_t shard, uint32_t shards, uint32_t random);

  // The next port to try, or nothing when all were offered.
  std::optional<uint16_t> Next();

 private:
  uint32_t lowest_;
  uint32_t step_;
  uint32_t count_;
  uint32_t position_;
  uint32_t offered_ = 0;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_SHARDING_H_
