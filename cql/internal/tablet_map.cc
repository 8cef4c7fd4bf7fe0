#include "cql/internal/tablet_map.h"

#include <algorithm>
#include <limits>

namespace cql::internal {

const TabletTable* TabletMap::Find(std::string_view keyspace,
                                   std::string_view table) const {
  const auto found =
      tables_.find(Name(std::string(keyspace), std::string(table)));
  return found == tables_.end() ? nullptr : &found->second;
}

bool TabletMap::Insert(std::string_view keyspace, std::string_view table,
                       const protocol::Tablet& tablet) {
  TabletTable::Tablet kept{tablet.first, {}};
  for (const protocol::TabletReplica& replica : tablet.replicas) {
    const std::optional<uint16_t> host = TakeNumber(replica.host);
    if (!host.has_value()) return false;
    kept.replicas.push_back({*host, replica.shard});
  }
  const Name name{std::string(keyspace), std::string(table)};
  auto known = tables_.find(name);
  if (known != tables_.end()) {
    auto& tablets = known->second.tablets_;
    auto overlapped = tablets.upper_bound(tablet.first);
    while (overlapped != tablets.end() &&
           overlapped->second.first < tablet.last) {
      overlapped = tablets.erase(overlapped);
      --size_;
    }
  }
  if (size_ >= tablets_max_) return false;
  if (known == tables_.end()) {
    known = tables_.try_emplace(name).first;
    ++version_;
  }
  known->second.tablets_[tablet.last] = std::move(kept);
  ++size_;
  return true;
}

std::optional<uint16_t> TabletMap::Number(const Uuid& host) const {
  const auto known = numbers_.find(host);
  if (known == numbers_.end()) return std::nullopt;
  return known->second;
}

std::optional<uint16_t> TabletMap::TakeNumber(const Uuid& host) {
  if (const auto known = Number(host)) return known;
  if (free_numbers_.empty()) {
    if (hosts_.size() > std::numeric_limits<uint16_t>::max()) {
      return std::nullopt;
    }
    free_numbers_.push_back(static_cast<uint16_t>(hosts_.size()));
    hosts_.emplace_back();
  }
  const uint16_t number = free_numbers_.back();
  free_numbers_.pop_back();
  hosts_[number] = host;
  numbers_[host] = number;
  return number;
}

void TabletMap::DropTable(std::string_view keyspace, std::string_view table) {
  const auto found =
      tables_.find(Name(std::string(keyspace), std::string(table)));
  if (found != tables_.end()) Drop(found);
}

void TabletMap::DropKeyspace(std::string_view keyspace) {
  for (auto table = tables_.begin(); table != tables_.end();) {
    const auto next = std::next(table);
    if (table->first.first == keyspace) Drop(table);
    table = next;
  }
}

void TabletMap::Drop(std::map<Name, TabletTable>::iterator table) {
  size_ -= table->second.tablets_.size();
  tables_.erase(table);
  ++version_;
}

void TabletMap::RetainHosts(const std::function<bool(const Uuid&)>& stays) {
  std::vector<bool> gone(hosts_.size());
  for (size_t i = 0; i < hosts_.size(); ++i) {
    gone[i] = hosts_[i].has_value() && !stays(*hosts_[i]);
  }
  if (std::none_of(gone.begin(), gone.end(), [](bool g) { return g; })) return;
  for (auto& [name, table] : tables_) {
    for (auto tablet = table.tablets_.begin();
         tablet != table.tablets_.end();) {
      const auto& replicas = tablet->second.replicas;
      if (std::any_of(replicas.begin(), replicas.end(),
                      [&](TabletTable::Replica replica) {
                        return gone[replica.host];
                      })) {
        tablet = table.tablets_.erase(tablet);
        --size_;
      } else {
        ++tablet;
      }
    }
  }
  for (size_t i = 0; i < hosts_.size(); ++i) {
    if (!gone[i]) continue;
    numbers_.erase(*hosts_[i]);
    hosts_[i].reset();
    free_numbers_.push_back(static_cast<uint16_t>(i));
  }
}

}  // namespace cql::internal
