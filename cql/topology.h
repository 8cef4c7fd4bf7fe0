// Which nodes hold a token: the ring of system.local and system.peers, and the
// replication of each keyspace. Values only, no connections.
#ifndef RINGPLANE_CQL_TOPOLOGY_H_
#define RINGPLANE_CQL_TOPOLOGY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/socket_address.h"

namespace cql {

// A row of system.local or system.peers.
struct NodeInfo {
  std::string host_id;  // Sixteen bytes.
  ioloop::SocketAddress address;
  std::string datacenter;
  std::string rack;
  std::vector<int64_t> tokens;
};

// How a keyspace is replicated.
struct Replication {
  enum class Strategy { kUnknown, kSimple, kNetworkTopology };
  Strategy strategy = Strategy::kUnknown;
  uint32_t factor = 0;                          // kSimple
  std::map<std::string, uint32_t> datacenters;  // kNetworkTopology

  bool operator==(const Replication&) const = default;

  // From the `replication` map of system_schema.keyspaces. A strategy that is
  // not known, or options that make no sense, give kUnknown: such a keyspace
  // is not routed by token.
  static Replication Parse(
      std::span<const std::pair<std::string_view, std::string_view>> options);
};

// The replicas of every range of a ring under one replication.
class ReplicaMap {
 public:
  // The nodes (indexes into Topology::nodes()) that hold ring range `range`:
  // those of the local datacenter first, each group in ring order.
  std::span<const uint16_t> Replicas(size_t range) const {
    return std::span(replicas_).subspan(starts_[range],
                                        starts_[range + 1] - starts_[range]);
  }

 private:
  friend class Topology;
  std::vector<uint32_t> starts_;
  std::vector<uint16_t> replicas_;
};

// A snapshot. Immutable; a refresh makes a new one.
class Topology {
 public:
  static constexpr size_t kNodesMax = 10000;
  static constexpr size_t kTokensMax = 1 << 19;

  Topology() = default;
  // kResourceExhausted past the bounds above.
  static absl::StatusOr<std::unique_ptr<Topology>> Build(
      std::vector<NodeInfo> nodes, std::string_view local_datacenter,
      const std::vector<std::pair<std::string, Replication>>& keyspaces);

  const std::vector<NodeInfo>& nodes() const { return nodes_; }

  // Null when the keyspace is not known or not routed by token.
  const ReplicaMap* Find(std::string_view keyspace) const;

  // The ring range that `token` is in. REQUIRES: Find() gave a map.
  size_t RangeOf(int64_t token) const;

 private:
  struct RingEntry {
    int64_t token;  // The end of the range, which it belongs to.
    uint16_t node;
  };
  void BuildSimple(uint32_t factor, std::string_view local_datacenter,
                   ReplicaMap* map) const;
  void BuildNetwork(const std::map<std::string, uint32_t>& factors,
                    std::string_view local_datacenter, ReplicaMap* map) const;
  void Append(std::span<const uint16_t> replicas,
              std::string_view local_datacenter, ReplicaMap* map) const;

  std::vector<NodeInfo> nodes_;
  std::vector<int64_t> ring_tokens_;
  std::vector<uint16_t> ring_nodes_;
  std::vector<std::unique_ptr<ReplicaMap>> maps_;
  std::map<std::string, const ReplicaMap*, std::less<>> keyspaces_;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_TOPOLOGY_H_
