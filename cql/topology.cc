#include "cql/topology.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "cql/internal/status_util.h"

namespace cql {
namespace {

constexpr uint32_t kFactorMax = 1000;

// "3", or "3/1" where one of three is transient.
bool ParseFactor(std::string_view text, uint32_t* factor) {
  text = text.substr(0, text.find('/'));
  return internal::ParseNumber(text, factor) && *factor <= kFactorMax;
}

}  // namespace

Replication Replication::Parse(
    std::span<const std::pair<std::string_view, std::string_view>> options) {
  Replication parsed;
  std::string_view strategy;
  for (const auto& [name, value] : options) {
    if (name == "class") strategy = value;
  }
  if (const size_t dot = strategy.rfind('.'); dot != strategy.npos) {
    strategy.remove_prefix(dot + 1);
  }
  if (strategy == "SimpleStrategy") {
    for (const auto& [name, value] : options) {
      if (name == "replication_factor" && ParseFactor(value, &parsed.factor)) {
        parsed.strategy = Strategy::kSimple;
      }
    }
  } else if (strategy == "NetworkTopologyStrategy") {
    for (const auto& [name, value] : options) {
      uint32_t factor = 0;
      if (name == "class" || !ParseFactor(value, &factor)) continue;
      parsed.datacenters[std::string(name)] = factor;
      parsed.strategy = Strategy::kNetworkTopology;
    }
  }
  return parsed;
}

absl::StatusOr<std::unique_ptr<Topology>> Topology::Build(
    std::vector<NodeInfo> nodes, std::string_view local_datacenter,
    const std::vector<std::pair<std::string, Replication>>& keyspaces) {
  if (nodes.size() > kNodesMax) {
    return absl::ResourceExhaustedError(
        internal::Cat("the cluster names ", nodes.size(), " nodes; at most ",
                      kNodesMax, " are taken"));
  }
  auto topology = std::make_unique<Topology>();
  topology->nodes_ = std::move(nodes);

  std::vector<RingEntry> ring;
  for (size_t i = 0; i < topology->nodes_.size(); ++i) {
    const std::vector<int64_t>& tokens = topology->nodes_[i].tokens;
    if (ring.size() + tokens.size() > kTokensMax) {
      return absl::ResourceExhaustedError(
          internal::Cat("the cluster names more than ", kTokensMax, " tokens"));
    }
    for (int64_t token : tokens) {
      ring.push_back({token, static_cast<uint16_t>(i)});
    }
  }
  // Two nodes that claim one token: the first listed has it.
  std::sort(ring.begin(), ring.end(),
            [](const RingEntry& a, const RingEntry& b) {
              return std::tie(a.token, a.node) < std::tie(b.token, b.node);
            });
  for (const RingEntry& entry : ring) {
    if (!topology->ring_tokens_.empty() &&
        topology->ring_tokens_.back() == entry.token) {
      continue;
    }
    topology->ring_tokens_.push_back(entry.token);
    topology->ring_nodes_.push_back(entry.node);
  }

  // Keyspaces are many and ways to replicate few.
  std::vector<std::pair<Replication, const ReplicaMap*>> built;
  for (const auto& [keyspace, replication] : keyspaces) {
    if (topology->ring_tokens_.empty()) break;
    if (replication.strategy == Replication::Strategy::kUnknown) continue;
    auto same = std::find_if(
        built.begin(), built.end(),
        [&](const auto& entry) { return entry.first == replication; });
    if (same == built.end()) {
      auto map = std::make_unique<ReplicaMap>();
      if (replication.strategy == Replication::Strategy::kSimple) {
        topology->BuildSimple(replication.factor, local_datacenter, map.get());
      } else {
        topology->BuildNetwork(replication.datacenters, local_datacenter,
                               map.get());
      }
      built.emplace_back(replication, map.get());
      same = built.end() - 1;
      topology->maps_.push_back(std::move(map));
    }
    topology->keyspaces_[keyspace] = same->second;
  }
  return topology;
}

const ReplicaMap* Topology::Find(std::string_view keyspace) const {
  auto found = keyspaces_.find(keyspace);
  return found == keyspaces_.end() ? nullptr : found->second;
}

size_t Topology::RangeOf(int64_t token) const {
  const auto end =
      std::lower_bound(ring_tokens_.begin(), ring_tokens_.end(), token);
  // Past the last token the ring begins again.
  return end == ring_tokens_.end()
             ? 0
             : static_cast<size_t>(end - ring_tokens_.begin());
}

void Topology::Append(std::span<const uint16_t> replicas,
                      std::string_view local_datacenter,
                      ReplicaMap* map) const {
  map->starts_.push_back(static_cast<uint32_t>(map->replicas_.size()));
  for (const bool local : {true, false}) {
    for (uint16_t node : replicas) {
      if ((nodes_[node].datacenter == local_datacenter) == local) {
        map->replicas_.push_back(node);
      }
    }
  }
}

void Topology::BuildSimple(uint32_t factor, std::string_view local_datacenter,
                           ReplicaMap* map) const {
  const size_t ranges = ring_tokens_.size();
  std::vector<uint16_t> replicas;
  for (size_t range = 0; range < ranges; ++range) {
    replicas.clear();
    for (size_t step = 0; step < ranges && replicas.size() < factor; ++step) {
      const uint16_t node = ring_nodes_[(range + step) % ranges];
      if (std::find(replicas.begin(), replicas.end(), node) == replicas.end()) {
        replicas.push_back(node);
      }
    }
    Append(replicas, local_datacenter, map);
  }
  map->starts_.push_back(static_cast<uint32_t>(map->replicas_.size()));
}

// In each datacenter the ring is walked for nodes of racks not seen yet; a
// rack serves twice only as often as the factor exceeds the racks.
void Topology::BuildNetwork(const std::map<std::string, uint32_t>& factors,
                            std::string_view local_datacenter,
                            ReplicaMap* map) const {
  struct Datacenter {
    uint32_t wanted = 0;
    int64_t repeats = 0;
    std::vector<uint16_t> racks;  // Those of the nodes chosen so far.
  };
  constexpr uint16_t kNone = std::numeric_limits<uint16_t>::max();

  // Names become small numbers once, not at every step of the walk.
  std::map<std::string, uint16_t> datacenter_numbers;
  std::map<std::pair<uint16_t, std::string>, uint16_t> rack_numbers;
  std::vector<Datacenter> fresh;
  for (const auto& [name, factor] : factors) {
    datacenter_numbers[name] = static_cast<uint16_t>(fresh.size());
    fresh.emplace_back();
  }
  std::vector<uint16_t> datacenter_of(nodes_.size(), kNone);
  std::vector<uint16_t> rack_of(nodes_.size(), kNone);
  std::vector<uint32_t> members(fresh.size()), racks(fresh.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const auto datacenter = datacenter_numbers.find(nodes_[i].datacenter);
    if (datacenter == datacenter_numbers.end() || nodes_[i].tokens.empty()) {
      continue;
    }
    datacenter_of[i] = datacenter->second;
    ++members[datacenter->second];
    const auto [rack, added] =
        rack_numbers.try_emplace({datacenter->second, nodes_[i].rack},
                                 static_cast<uint16_t>(rack_numbers.size()));
    if (added) ++racks[datacenter->second];
    rack_of[i] = rack->second;
  }
  uint32_t all_wanted = 0;
  for (const auto& [name, factor] : factors) {
    const uint16_t number = datacenter_numbers[name];
    fresh[number].wanted = std::min(factor, members[number]);
    fresh[number].repeats = static_cast<int64_t>(factor) - racks[number];
    all_wanted += fresh[number].wanted;
  }

  const size_t ranges = ring_tokens_.size();
  std::vector<uint16_t> replicas;
  std::vector<Datacenter> state;
  for (size_t range = 0; range < ranges; ++range) {
    replicas.clear();
    state = fresh;
    for (size_t step = 0; step < ranges && replicas.size() < all_wanted;
         ++step) {
      const uint16_t node = ring_nodes_[(range + step) % ranges];
      if (datacenter_of[node] == kNone) continue;
      Datacenter& datacenter = state[datacenter_of[node]];
      if (datacenter.wanted == 0) continue;
      if (std::find(replicas.begin(), replicas.end(), node) != replicas.end()) {
        continue;
      }
      const bool seen =
          std::find(datacenter.racks.begin(), datacenter.racks.end(),
                    rack_of[node]) != datacenter.racks.end();
      if (seen && datacenter.repeats <= 0) continue;
      if (seen) {
        --datacenter.repeats;
      } else {
        datacenter.racks.push_back(rack_of[node]);
      }
      --datacenter.wanted;
      replicas.push_back(node);
    }
    Append(replicas, local_datacenter, map);
  }
  map->starts_.push_back(static_cast<uint32_t>(map->replicas_.size()));
}

}  // namespace cql
