#include "cql/internal/router.h"

#include <algorithm>

#include "absl/random/random.h"

namespace cql::internal {

Router::Router()
    : topology_(std::make_unique<Topology>()), random_(absl::BitGen()() | 1) {}

void Router::Update(std::unique_ptr<Topology> topology,
                    std::vector<NodePool*> pools,
                    const std::string& local_rack) {
  topology_ = std::move(topology);
  ++topology_number_;
  members_.clear();
  pools_.clear();
  std::vector<NodePool*> far;
  for (size_t i = 0; i < pools.size(); ++i) {
    const bool near =
        local_rack.empty() || topology_->nodes()[i].rack == local_rack;
    members_.push_back({pools[i], near});
    if (pools[i] != nullptr) (near ? pools_ : far).push_back(pools[i]);
  }
  near_pools_ = pools_.size();
  pools_.insert(pools_.end(), far.begin(), far.end());
}

void Router::Clear() {
  pools_.clear();
  near_pools_ = 0;
  std::fill(members_.begin(), members_.end(), Member());
}

Router::Choice Router::Choose(const Query& query) {
  const Wish wish{query.has_token_ ? &query.token_ : nullptr, query.access_,
                  query.avoid_};
  const ReplicaMap* map =
      wish.token == nullptr ? nullptr : ReplicasOf(*query.statement_);
  if (map != nullptr) {
    const bool in_order = query.statement_->lightweight_transaction_;
    Targets targets;
    for (uint16_t index : map->Replicas(topology_->RangeOf(*wish.token))) {
      const Member& member = members_[index];
      if (member.pool == nullptr || member.pool == wish.avoid) continue;
      targets.Add(member.pool, member.near || in_order);
    }
    Choice choice =
        in_order ? First(targets.near(), wish) : LessBusy(targets.near(), wish);
    if (choice.connection != nullptr) return choice;
    choice = LessBusy(targets.far(), wish);
    if (choice.connection != nullptr) return choice;
  }
  return Any(wish);
}

Router::Choice Router::ChooseAny(Access access) {
  return Any({nullptr, access, nullptr});
}

Router::Choice Router::First(std::span<NodePool* const> nodes,
                             const Wish& wish) {
  for (NodePool* node : nodes) {
    if (Connection* connection = node->Choose(wish.token, wish.access)) {
      return {node, connection};
    }
  }
  return {};
}

Router::Choice Router::LessBusy(std::span<NodePool*> nodes, const Wish& wish) {
  Choice best;
  for (size_t left = nodes.size(); left > 0;) {
    const size_t drawn = left == 1 ? 0 : Draw(left);
    NodePool* const node = nodes[drawn];
    nodes[drawn] = nodes[--left];
    Connection* const connection = node->Choose(wish.token, wish.access);
    if (connection == nullptr) continue;
    if (best.connection == nullptr) {
      best = {node, connection};
      continue;
    }
    if (connection->load() < best.connection->load()) best = {node, connection};
    break;
  }
  return best;
}

Router::Choice Router::AnyOf(std::span<NodePool* const> nodes,
                             const Wish& wish) {
  const size_t start = nodes.empty() ? 0 : Draw(nodes.size());
  for (size_t seen = 0; seen < nodes.size();) {
    Targets some;
    for (size_t i = 0; i < kTargetsMax && seen < nodes.size(); ++i, ++seen) {
      NodePool* const node = nodes[(start + seen) % nodes.size()];
      if (node != wish.avoid) some.Add(node, true);
    }
    const Choice choice = LessBusy(some.near(), wish);
    if (choice.connection != nullptr) return choice;
  }
  return {};
}

Router::Choice Router::Any(const Wish& wish) {
  const std::span<NodePool* const> all(pools_);
  Choice choice = AnyOf(all.first(near_pools_), wish);
  if (choice.connection != nullptr) return choice;
  choice = AnyOf(all.subspan(near_pools_), wish);
  if (choice.connection != nullptr || wish.avoid == nullptr) return choice;
  return Any({wish.token, wish.access, nullptr});
}

// xorshift64: a draw costs less than the cache line it decides about.
size_t Router::Draw(size_t count) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return ((random_ >> 32) * count) >> 32;
}

const ReplicaMap* Router::ReplicasOf(const PreparedStatement& statement) const {
  if (statement.replicas_of_topology_ != topology_number_) {
    statement.replicas_ = topology_->Find(statement.keyspace_);
    statement.replicas_of_topology_ = topology_number_;
  }
  return statement.replicas_;
}

}  // namespace cql::internal
