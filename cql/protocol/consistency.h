// How many replicas have to answer.
#ifndef RINGPLANE_CQL_PROTOCOL_CONSISTENCY_H_
#define RINGPLANE_CQL_PROTOCOL_CONSISTENCY_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace cql {

enum class Consistency : uint16_t {
  kAny = 0x0000,
  kOne = 0x0001,
  kTwo = 0x0002,
  kThree = 0x0003,
  kQuorum = 0x0004,
  kAll = 0x0005,
  kLocalQuorum = 0x0006,
  kEachQuorum = 0x0007,
  kSerial = 0x0008,
  kLocalSerial = 0x0009,
  kLocalOne = 0x000A,
};

// "LOCAL_QUORUM"; "UNKNOWN" for a number that is none of the above.
std::string_view ConsistencyName(Consistency consistency);

// Reads what ConsistencyName() writes, in any case; nothing for other text.
std::optional<Consistency> ParseConsistency(std::string_view name);

}  // namespace cql

#endif  // RINGPLANE_CQL_PROTOCOL_CONSISTENCY_H_
