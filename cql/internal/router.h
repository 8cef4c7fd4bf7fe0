// Where a request goes: the node, and the connection to the shard.
#ifndef RINGPLANE_CQL_INTERNAL_ROUTER_H_
#define RINGPLANE_CQL_INTERNAL_ROUTER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cql/pool.h"
#include "cql/query.h"
#include "cql/statement.h"
#include "cql/topology.h"

namespace cql::internal {

// Knows the topology as it was last read and the pools of the nodes that may
// be used, those of the local datacenter. Owns no pool.
//
// Replicas of the token come first. Of these two are drawn and the less busy
// one is taken; light-weight transactions go to them in the order of the ring
// instead, since those on one row contend least at one replica. When no replica
// can be reached any node will do: it passes the request on.
class Router {
 public:
  struct Choice {
    NodePool* node = nullptr;
    Connection* connection = nullptr;  // Null: no node can be reached.
  };

  Router() : topology_(std::make_unique<Topology>()) {}
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // Takes over a reading of the topology. `pools` has one entry for each of
  // topology->nodes(), null for a node that is not to be used.
  void Update(std::unique_ptr<Topology> topology, std::vector<NodePool*> pools);
  // Forgets every pool; no choice is made after it.
  void Clear();

  Choice Choose(const Query& query);
  // Any node.
  Choice ChooseAny(Access access);

  std::span<NodePool* const> pools() const { return pools_; }

 private:
  const ReplicaMap* ReplicasOf(const PreparedStatement& statement) const;
  Choice AnyBut(const NodePool* avoided, const int64_t* token, Access access);

  std::unique_ptr<Topology> topology_;
  uint64_t topology_number_ = 0;
  // By the index in `topology_->nodes()`; null for nodes elsewhere.
  std::vector<NodePool*> replica_pools_;
  std::vector<NodePool*> pools_;  // The same without nulls.
  uint32_t turn_ = 0;             // Round robin among equals.
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_ROUTER_H_
