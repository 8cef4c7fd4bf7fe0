#include "cql/internal/router.h"

#include <algorithm>

#include "absl/random/random.h"

namespace cql::internal {
namespace {

bool IsResponsive(const Router::Choice& choice) {
  return choice.connection != nullptr && choice.connection->responsive();
}

}  // namespace

Router::Router(size_t tablets_max)
    : topology_(std::make_unique<Topology>()),
      tablets_(tablets_max),
      random_(absl::BitGen()() | 1) {}

void Router::Update(std::unique_ptr<Topology> topology,
                    std::vector<NodePool*> pools,
                    const std::string& local_rack) {
  topology_ = std::move(topology);
  ++topology_number_;
  members_.clear();
  indexes_.clear();
  pools_.clear();
  std::vector<NodePool*> far;
  for (size_t i = 0; i < pools.size(); ++i) {
    const NodeInfo& info = topology_->nodes()[i];
    const bool near = local_rack.empty() || info.rack == local_rack;
    members_.push_back({pools[i], near});
    if (const auto host = Uuid::FromBytes(info.host_id)) indexes_[*host] = i;
    if (pools[i] != nullptr) (near ? pools_ : far).push_back(pools[i]);
  }
  near_pools_ = pools_.size();
  pools_.insert(pools_.end(), far.begin(), far.end());

  tablets_.RetainHosts([this](const Uuid& host) { return Knows(host); });
  tablet_hosts_.clear();
  for (const auto& host : tablets_.hosts()) {
    tablet_hosts_.push_back(MemberOf(host));
  }
}

void Router::Clear() {
  pools_.clear();
  near_pools_ = 0;
  std::fill(members_.begin(), members_.end(), Member());
  std::fill(tablet_hosts_.begin(), tablet_hosts_.end(), Member());
}

bool Router::Learn(const PreparedStatement& statement,
                   const protocol::Tablet& tablet) {
  const bool kept =
      tablets_.Insert(statement.keyspace_, statement.table_, tablet);
  // Numbers may be new, but none changes its host but in Update().
  tablet_hosts_.resize(tablets_.hosts().size());
  for (const protocol::TabletReplica& replica : tablet.replicas) {
    if (const auto number = tablets_.Number(replica.host)) {
      tablet_hosts_[*number] = MemberOf(replica.host);
    }
  }
  return kept;
}

Router::Member Router::MemberOf(const std::optional<Uuid>& host) const {
  if (!host.has_value()) return {};
  const auto index = indexes_.find(*host);
  return index == indexes_.end() ? Member() : members_[index->second];
}

// xorshift64: a draw costs less than the cache line it decides about.
inline size_t Router::Draw(size_t count) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return ((random_ >> 32) * count) >> 32;
}

inline const ReplicaMap* Router::ReplicasOf(
    const PreparedStatement& statement) const {
  if (statement.replicas_of_topology_ != topology_number_) {
    statement.replicas_ = topology_->Find(statement.keyspace_);
    statement.replicas_of_topology_ = topology_number_;
  }
  return statement.replicas_;
}

inline const TabletTable* Router::TabletsOf(
    const PreparedStatement& statement) const {
  if (statement.tablets_of_version_ != tablets_.version()) {
    statement.tablets_ = tablets_.Find(statement.keyspace_, statement.table_);
    statement.tablets_of_version_ = tablets_.version();
  }
  return statement.tablets_;
}

// What almost every query takes: all replicas are alike, and can be reached.
inline Router::Choice Router::TwoOfRing(const PreparedStatement& statement,
                                        const Wish& wish) {
  const ReplicaMap* map = ReplicasOf(statement);
  if (map == nullptr || TabletsOf(statement) != nullptr) return {};
  const std::span<const uint16_t> replicas =
      map->Replicas(topology_->RangeOf(*wish.token));
  size_t local = 0;
  while (local < replicas.size() && members_[replicas[local]].pool != nullptr) {
    ++local;
  }
  if (local == 0) return {};
  if (local == 1) return At(members_[replicas[0]].pool, wish);
  const size_t first = Draw(local);
  // The other half of what was drawn.
  size_t second = ((random_ & UINT32_MAX) * (local - 1)) >> 32;
  if (second >= first) ++second;
  const Choice a = At(members_[replicas[first]].pool, wish);
  const Choice b = At(members_[replicas[second]].pool, wish);
  if (a.connection == nullptr || b.connection == nullptr) return {};
  return b.connection->load() < a.connection->load() ? b : a;
}

Router::Choice Router::Choose(const Query& query) {
  const Wish wish{query.has_token_ ? &query.token_ : nullptr, query.access_,
                  query.avoid_};
  if (wish.token != nullptr) {
    const bool in_order = query.statement_->lightweight_transaction_;
    if (near_pools_ == pools_.size() && wish.avoid == nullptr && !in_order) {
      const Choice choice = TwoOfRing(*query.statement_, wish);
      if (__builtin_expect(IsResponsive(choice), 1)) return choice;
    }
    Targets targets;
    FindReplicas(*query.statement_, wish, in_order, &targets);
    Choice choice =
        in_order ? First(targets.near(), wish) : LessBusy(targets.near(), wish);
    if (IsResponsive(choice)) return choice;
    const Choice far = LessBusy(targets.far(), wish);
    if (IsResponsive(far) || choice.connection == nullptr) choice = far;
    if (choice.connection != nullptr) return choice;
  }
  return Any(wish);
}

void Router::FindReplicas(const PreparedStatement& statement, const Wish& wish,
                          bool in_order, Targets* targets) const {
  const auto add = [&](const Member& member, uint32_t shard) {
    if (member.pool == nullptr || member.pool == wish.avoid) return;
    targets->Add(member.near || in_order, member.pool, shard);
  };
  if (const TabletTable* tablets = TabletsOf(statement)) {
    const auto replicas = tablets->Find(*wish.token);
    for (const TabletTable::Replica& replica : replicas) {
      add(tablet_hosts_[replica.host], replica.shard);
    }
    if (!replicas.empty()) return;
  }
  const ReplicaMap* map = ReplicasOf(statement);
  if (map == nullptr) return;
  for (uint16_t index : map->Replicas(topology_->RangeOf(*wish.token))) {
    add(members_[index], Target::kShardOfToken);
  }
}

Connection* Router::ChooseAt(NodePool* node, const Query& query) const {
  if (!query.has_token_) return node->Choose(nullptr, query.access_);
  if (const TabletTable* tablets = TabletsOf(*query.statement_)) {
    for (const TabletTable::Replica& replica : tablets->Find(query.token_)) {
      if (tablet_hosts_[replica.host].pool == node) {
        return node->ChooseShard(replica.shard, query.access_);
      }
    }
  }
  return node->Choose(&query.token_, query.access_);
}

Router::Choice Router::ChooseAny(Access access) {
  return Any({nullptr, access, nullptr});
}

Connection* Router::ConnectionTo(const Target& target, const Wish& wish) {
  return target.shard == Target::kShardOfToken
             ? target.node->Choose(wish.token, wish.access)
             : target.node->ChooseShard(target.shard, wish.access);
}

Router::Choice Router::First(std::span<const Target> targets,
                             const Wish& wish) {
  Choice first;
  for (const Target& target : targets) {
    Connection* const connection = ConnectionTo(target, wish);
    if (connection == nullptr) continue;
    if (connection->responsive()) return {target.node, connection};
    if (first.connection == nullptr) first = {target.node, connection};
  }
  return first;
}

Router::Choice Router::LessBusy(std::span<Target> targets, const Wish& wish) {
  Choice best;
  for (size_t left = targets.size(); left > 0;) {
    const size_t drawn = left == 1 ? 0 : Draw(left);
    const Target target = targets[drawn];
    targets[drawn] = targets[--left];
    Connection* const connection = ConnectionTo(target, wish);
    if (connection == nullptr) continue;
    if (best.connection == nullptr) {
      best = {target.node, connection};
      continue;
    }
    if (connection->load() < best.connection->load()) {
      best = {target.node, connection};
    }
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
      if (node != wish.avoid) some.Add(true, node);
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

}  // namespace cql::internal
