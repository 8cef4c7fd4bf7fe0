// Where a request goes: the node, and the connection to the shard.
#ifndef RINGPLANE_CQL_INTERNAL_ROUTER_H_
#define RINGPLANE_CQL_INTERNAL_ROUTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
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
// Replicas of the token come first: those of the local rack, if one is named,
// then the rest. Of each group two are drawn and the one whose connection has
// fewer requests in flight and in line is taken ("power of two choices").
// Light-weight transactions go to the replicas in the order of the ring
// instead, whatever their rack: those on one row contend least at one replica.
// When no replica can be reached any node will do: it passes the request on.
//
// A node that a request is to avoid is taken only when there is no other.
class Router {
 public:
  struct Choice {
    NodePool* node = nullptr;
    Connection* connection = nullptr;  // Null: no node can be reached.
  };

  Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // Takes over a reading of the topology. `pools` has one entry for each of
  // topology->nodes(), null for a node that is not to be used. `local_rack`
  // may be empty: no rack comes first.
  void Update(std::unique_ptr<Topology> topology, std::vector<NodePool*> pools,
              const std::string& local_rack);
  // Forgets every pool; no choice is made after it.
  void Clear();

  Choice Choose(const Query& query);
  // Any node.
  Choice ChooseAny(Access access);

  // Those of the local rack first.
  std::span<NodePool* const> pools() const { return pools_; }

 private:
  // More replicas of one token in one datacenter than these are not tried.
  static constexpr size_t kTargetsMax = 16;

  struct Member {
    NodePool* pool = nullptr;  // Null: not to be used.
    bool near = true;          // In the local rack, if there is one.
  };
  struct Wish {
    const int64_t* token;  // Null: any shard.
    Access access;
    const NodePool* avoid;
  };
  // Nodes to choose from: near ones from the front, others from the back.
  struct Targets {
    void Add(NodePool* node, bool near) {
      if (near_end < far_begin) nodes[near ? near_end++ : --far_begin] = node;
    }
    std::span<NodePool*> near() { return std::span(nodes).first(near_end); }
    std::span<NodePool*> far() { return std::span(nodes).subspan(far_begin); }

    std::array<NodePool*, kTargetsMax> nodes;
    size_t near_end = 0;
    size_t far_begin = kTargetsMax;
  };

  const ReplicaMap* ReplicasOf(const PreparedStatement& statement) const;
  static Choice First(std::span<NodePool* const> nodes, const Wish& wish);
  // Reorders `nodes`.
  Choice LessBusy(std::span<NodePool*> nodes, const Wish& wish);
  Choice AnyOf(std::span<NodePool* const> nodes, const Wish& wish);
  Choice Any(const Wish& wish);
  // 0 to `count` - 1.
  size_t Draw(size_t count);

  std::unique_ptr<Topology> topology_;
  uint64_t topology_number_ = 0;
  std::vector<Member> members_;  // By the index in `topology_->nodes()`.
  std::vector<NodePool*> pools_;
  size_t near_pools_ = 0;  // The first ones of `pools_`.
  uint64_t random_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_ROUTER_H_
