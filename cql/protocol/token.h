// The token of a partition key, and the shard that owns it.
#ifndef RINGPLANE_CQL_PROTOCOL_TOKEN_H_
#define RINGPLANE_CQL_PROTOCOL_TOKEN_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cql {

// Murmur3Partitioner's token of a serialized partition key: Cassandra's
// variant of MurmurHash3, which takes the last bytes as signed.
int64_t Murmur3Token(std::string_view partition_key);

// Appends the serialized key to `*out`: the value itself for one component,
// (length, value, 0) for each of several. False when a component of several is
// longer than 65535 bytes, which no server stores.
bool AppendPartitionKey(std::span<const std::string_view> components,
                        std::string* out);

// The token of a key given by its components. Allocates only when a composite
// key is longer than 512 bytes. Nothing when the key cannot exist.
std::optional<int64_t> TokenOfKey(std::span<const std::string_view> components);

// The token of a bound statement: `values` is [value] after [value] as it
// stands in a request, `key_indexes` says which of them are the components, in
// their order. Nothing when one of them is missing, null or not set.
std::optional<int64_t> TokenOfValues(std::string_view values,
                                     std::span<const uint16_t> key_indexes);

// ScyllaDB's biased-token-round-robin. REQUIRES: shards > 0, ignore_msb < 64.
inline uint32_t ShardOf(int64_t token, uint32_t shards, uint32_t ignore_msb) {
  uint64_t biased = static_cast<uint64_t>(token) + (uint64_t{1} << 63);
  biased <<= ignore_msb;
  return static_cast<uint32_t>(
      (static_cast<unsigned __int128>(biased) * shards) >> 64);
}

}  // namespace cql

#endif  // RINGPLANE_CQL_PROTOCOL_TOKEN_H_
