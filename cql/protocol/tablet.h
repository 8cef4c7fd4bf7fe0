// Tablets: the ranges of tokens that ScyllaDB moves between nodes and shards
// one by one (TABLETS_ROUTING_V1, ScyllaDB's docs/dev/protocol-extensions.md).
#ifndef RINGPLANE_CQL_PROTOCOL_TABLET_H_
#define RINGPLANE_CQL_PROTOCOL_TABLET_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cql/protocol/value_types.h"
#include "cql/protocol/wire.h"

namespace cql::protocol {

// A client opts in by this key in STARTUP, with an empty value, if SUPPORTED
// has it.
inline constexpr std::string_view kTabletsRoutingV1 = "TABLETS_ROUTING_V1";
// The key in the custom payload of a RESULT. A server that negotiated it sends
// it when an EXECUTE came to a node or shard that does not hold the row.
inline constexpr std::string_view kTabletPayload = "tablets-routing-v1";

// More replicas of one tablet, and higher numbers of shards, are refused.
inline constexpr size_t kTabletReplicasMax = 1000;
inline constexpr uint32_t kTabletShardMax = 4095;

struct TabletReplica {
  Uuid host;
  uint16_t shard = 0;
  bool operator==(const TabletReplica&) const = default;
};

// Holds the tokens above `first`, up to and with `last`.
struct Tablet {
  int64_t first = 0;
  int64_t last = 0;
  std::vector<TabletReplica> replicas;
  bool operator==(const Tablet&) const = default;
};

// The payload's value: tuple<bigint, bigint, list<tuple<uuid, int>>>. A host
// that is named twice counts where it is named first. kInvalidArgument for an
// empty or inverted range, no replica, or anything past the bounds above.
absl::StatusOr<Tablet> DecodeTablet(std::string_view value);
void EncodeTablet(Writer* writer, const Tablet& tablet);

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_TABLET_H_
