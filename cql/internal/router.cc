#include "cql/internal/router.h"

namespace cql::internal {

void Router::Update(std::unique_ptr<Topology> topology,
                    std::vector<NodePool*> pools) {
  topology_ = std::move(topology);
  ++topology_number_;
  replica_pools_ = std::move(pools);
  pools_.clear();
  for (NodePool* pool : replica_pools_) {
    if (pool != nullptr) pools_.push_back(pool);
  }
}

void Router::Clear() {
  pools_.clear();
  replica_pools_.clear();
}

Router::Choice Router::Choose(const Query& query) {
  const int64_t* token = query.has_token_ ? &query.token_ : nullptr;
  const ReplicaMap* map =
      token == nullptr ? nullptr : ReplicasOf(*query.statement_);
  if (map != nullptr) {
    const std::span<const uint16_t> replicas =
        map->Replicas(topology_->RangeOf(*token));
    size_t local = 0;
    while (local < replicas.size() &&
           replica_pools_[replicas[local]] != nullptr) {
      ++local;
    }
    const bool in_order = query.statement_->lightweight_transaction_;
    const size_t first = in_order || local < 2 ? 0 : turn_++ % local;
    Choice best;
    for (size_t i = 0; i < local; ++i) {
      const size_t at = first + i < local ? first + i : first + i - local;
      NodePool* node = replica_pools_[replicas[at]];
      if (node == query.avoid_) continue;
      Connection* connection = node->Choose(token, query.access_);
      if (connection == nullptr) continue;
      if (best.connection == nullptr) {
        best = {node, connection};
        if (in_order) break;
        continue;
      }
      // The less busy one of two.
      if (connection->load() < best.connection->load()) {
        best = {node, connection};
      }
      break;
    }
    if (best.connection != nullptr) return best;
  }
  return AnyBut(query.avoid_, token, query.access_);
}

Router::Choice Router::ChooseAny(Access access) {
  return AnyBut(nullptr, nullptr, access);
}

Router::Choice Router::AnyBut(const NodePool* avoided, const int64_t* token,
                              Access access) {
  for (size_t i = 0; i < pools_.size(); ++i) {
    NodePool* node = pools_[turn_++ % pools_.size()];
    if (node == avoided && pools_.size() > 1) continue;
    Connection* connection = node->Choose(token, access);
    if (connection != nullptr) return {node, connection};
  }
  return {};
}

const ReplicaMap* Router::ReplicasOf(const PreparedStatement& statement) const {
  if (statement.replicas_of_topology_ != topology_number_) {
    statement.replicas_ = topology_->Find(statement.keyspace_);
    statement.replicas_of_topology_ = topology_number_;
  }
  return statement.replicas_;
}

}  // namespace cql::internal
