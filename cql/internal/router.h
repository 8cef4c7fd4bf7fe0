// Where a request goes: the node, and the connection to the shard.
#ifndef RINGPLANE_CQL_INTERNAL_ROUTER_H_
#define RINGPLANE_CQL_INTERNAL_ROUTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cql/internal/tablet_map.h"
#include "cql/pool.h"
#include "cql/protocol/tablet.h"
#include "cql/query.h"
#include "cql/statement.h"
#include "cql/topology.h"

namespace cql::internal {

// Knows the topology as it was last read and the pools of the nodes that may
// be used, those of the local datacenter. Owns no pool.
//
// Replicas of the token come first, those of its tablet where one is known,
// else those of the ring. Of them those of the local rack, if one is named,
// then the rest. Of each group two are drawn and the one whose connection has
// fewer requests in flight and in line is taken ("power of two choices").
// Light-weight transactions go to the replicas in the order of the ring
// instead, whatever their rack: those on one row contend least at one replica.
// A connection that does not respond comes after all that do. When no replica
// can be reached any node will do: it passes the request on.
//
// A node that a request is to avoid is taken only when there is no other.
class Router {
 public:
  struct Choice {
    NodePool* node = nullptr;
    Connection* connection = nullptr;  // Null: no node can be reached.
  };

  explicit Router(size_t tablets_max);
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
  // The connection to take at `node`; null: it cannot be reached.
  Connection* ChooseAt(NodePool* node, const Query& query) const;
  // Any node.
  Choice ChooseAny(Access access);

  // Takes in the tablet that an answer to `statement` told. False when there is
  // no room for it.
  bool Learn(const PreparedStatement& statement,
             const protocol::Tablet& tablet);
  // Whether a node of that id is in the topology.
  bool Knows(const Uuid& host) const { return indexes_.contains(host); }
  const TabletMap& tablets() const { return tablets_; }
  TabletMap* mutable_tablets() { return &tablets_; }

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
  struct Target {
    static constexpr uint32_t kShardOfToken = UINT32_MAX;
    NodePool* node;
    uint32_t shard;
  };
  // What to choose from: near ones from the front, others from the back.
  struct Targets {
    void Add(bool near, NodePool* node,
             uint32_t shard = Target::kShardOfToken) {
      if (near_end == far_begin) return;
      all[near ? near_end++ : --far_begin] = {node, shard};
    }
    std::span<Target> near() { return std::span(all).first(near_end); }
    std::span<Target> far() { return std::span(all).subspan(far_begin); }

    std::array<Target, kTargetsMax> all;
    size_t near_end = 0;
    size_t far_begin = kTargetsMax;
  };

  const ReplicaMap* ReplicasOf(const PreparedStatement& statement) const;
  const TabletTable* TabletsOf(const PreparedStatement& statement) const;
  static Choice At(NodePool* node, const Wish& wish) {
    return {node, node->Choose(wish.token, wish.access)};
  }
  // The less busy of two replicas of the ring, for a table without tablets, if
  // both can be reached. REQUIRES: there is no far node, none to be avoided.
  Choice TwoOfRing(const PreparedStatement& statement, const Wish& wish);
  // The replicas of the wish's token, in the server's order if `in_order`.
  void FindReplicas(const PreparedStatement& statement, const Wish& wish,
                    bool in_order, Targets* targets) const;
  Member MemberOf(const std::optional<Uuid>& host) const;

  static Connection* ConnectionTo(const Target& target, const Wish& wish);
  static Choice First(std::span<const Target> targets, const Wish& wish);
  // Reorders `targets`.
  Choice LessBusy(std::span<Target> targets, const Wish& wish);
  Choice AnyOf(std::span<NodePool* const> nodes, const Wish& wish);
  Choice Any(const Wish& wish);
  // 0 to `count` - 1.
  size_t Draw(size_t count);

  std::unique_ptr<Topology> topology_;
  uint64_t topology_number_ = 0;
  std::vector<Member> members_;     // By the index in `topology_->nodes()`.
  std::map<Uuid, size_t> indexes_;  // Of nodes whose host id is known.
  TabletMap tablets_;
  std::vector<Member> tablet_hosts_;  // By the number in `tablets_`.
  std::vector<NodePool*> pools_;
  size_t near_pools_ = 0;  // The first ones of `pools_`.
  uint64_t random_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_ROUTER_H_
