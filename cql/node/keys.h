// Keys of the store.
//
//   meta      := 0 name
//   partition := 1 table u32, token u64, size u16, partition key (big-endian,
//                the token's sign turned round): partitions lie in token order
//   header    := partition 0          static cells, deletion of the partition
//   range     := partition 1 size u32, begin, end      deletion of rows
//   row       := partition 2 clustering key
#ifndef RINGPLANE_CQL_NODE_KEYS_H_
#define RINGPLANE_CQL_NODE_KEYS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "cql/node/internal/bytes.h"

namespace cql::node {

inline constexpr char kMetaSpace = 0;
inline constexpr char kDataSpace = 1;

enum class RecordKind : char { kHeader = 0, kRange = 1, kRow = 2 };

inline constexpr uint64_t kTokenSign = uint64_t{1} << 63;
inline constexpr size_t kTablePrefixSize = 5;
inline constexpr size_t kTokenPrefixSize = 13;
inline constexpr size_t kPartitionKeyMax = 65535;

inline std::string MetaKey(std::string_view name) {
  std::string key(1, kMetaSpace);
  key.append(name);
  return key;
}

inline void AppendTablePrefix(uint32_t table, std::string* key) {
  key->push_back(kDataSpace);
  AppendBig(table, key);
}

inline void AppendTokenPrefix(uint32_t table, int64_t token, std::string* key) {
  AppendTablePrefix(table, key);
  AppendBig(static_cast<uint64_t>(token) ^ kTokenSign, key);
}

// REQUIRES: partition_key.size() <= kPartitionKeyMax.
inline void AppendPartitionPrefix(uint32_t table, int64_t token,
                                  std::string_view partition_key,
                                  std::string* key) {
  AppendTokenPrefix(table, token, key);
  AppendBig(static_cast<uint16_t>(partition_key.size()), key);
  key->append(partition_key);
}

// The parts of a key of the data space.
struct DataKey {
  std::string_view partition;  // With table and token: the prefix of the rest.
  int64_t token = 0;
  std::string_view partition_key;
  RecordKind kind = RecordKind::kRow;
  std::string_view rest;  // Clustering key, or bounds.
};

inline bool ParseDataKey(std::string_view key, DataKey* parsed) {
  if (key.size() < kTokenPrefixSize + 3 || key[0] != kDataSpace) return false;
  const size_t size = LoadBig<uint16_t>(key.data() + kTokenPrefixSize);
  const size_t end = kTokenPrefixSize + 2 + size;
  if (key.size() < end + 1 ||
      static_cast<uint8_t>(key[end]) > static_cast<char>(RecordKind::kRow)) {
    return false;
  }
  parsed->partition = key.substr(0, end);
  parsed->token = static_cast<int64_t>(
      LoadBig<uint64_t>(key.data() + kTablePrefixSize) ^ kTokenSign);
  parsed->partition_key = key.substr(kTokenPrefixSize + 2, size);
  parsed->kind = static_cast<RecordKind>(key[end]);
  parsed->rest = key.substr(end + 1);
  return true;
}

inline void AppendRangeKey(std::string_view partition, std::string_view begin,
                           std::string_view end, std::string* key) {
  key->append(partition);
  key->push_back(static_cast<char>(RecordKind::kRange));
  AppendBig(static_cast<uint32_t>(begin.size()), key);
  key->append(begin);
  key->append(end);
}

// Rows from `begin` on and before `end`; an empty end is the partition's.
inline bool ParseRangeBounds(std::string_view rest, std::string_view* begin,
                             std::string_view* end) {
  ByteReader reader(rest);
  uint32_t size;
  if (!reader.Read(&size) || !reader.ReadSpan(size, begin)) return false;
  *end = reader.rest();
  return true;
}

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_KEYS_H_
