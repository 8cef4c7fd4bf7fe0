// Which node and shard holds a row, for tables whose tablets ScyllaDB moves
// about: what the nodes told, nothing else. Values only, no connections.
#ifndef RINGPLANE_CQL_INTERNAL_TABLET_MAP_H_
#define RINGPLANE_CQL_INTERNAL_TABLET_MAP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/inlined_vector.h"
#include "cql/protocol/tablet.h"
#include "cql/protocol/value_types.h"

namespace cql::internal {

// The tablets of one table.
class TabletTable {
 public:
  struct Replica {
    uint16_t host;  // An index into TabletMap::hosts().
    uint16_t shard;
  };
  struct Tablet {
    int64_t first;  // Not in it.
    absl::InlinedVector<Replica, 3> replicas;
  };

  // The replicas of the tablet of `token`, in the server's order; none when it
  // is not known.
  std::span<const Replica> Find(int64_t token) const {
    const auto found = tablets_.lower_bound(token);
    if (found == tablets_.end() || found->second.first >= token) return {};
    return found->second.replicas;
  }
  // By the last token, which is in it.
  const absl::btree_map<int64_t, Tablet>& tablets() const { return tablets_; }

 private:
  friend class TabletMap;
  absl::btree_map<int64_t, Tablet> tablets_;
};

class TabletMap {
 public:
  using Name = std::pair<std::string, std::string>;  // Keyspace, table.

  // Keeps at most `tablets_max` tablets.
  explicit TabletMap(size_t tablets_max) : tablets_max_(tablets_max) {}

  // Null when no tablet of it was ever told. Valid until version() changes.
  const TabletTable* Find(std::string_view keyspace,
                          std::string_view table) const;
  uint64_t version() const { return version_; }

  // Takes `tablet` in, in the place of those that it overlaps. False when there
  // is no room, or its hosts are too many to number.
  bool Insert(std::string_view keyspace, std::string_view table,
              const protocol::Tablet& tablet);
  void DropTable(std::string_view keyspace, std::string_view table);
  void DropKeyspace(std::string_view keyspace);
  // Drops every tablet with a replica on a host that `stays` denies.
  void RetainHosts(const std::function<bool(const Uuid&)>& stays);

  size_t size() const { return size_; }
  // By number. Nothing for a number that is free.
  const std::vector<std::optional<Uuid>>& hosts() const { return hosts_; }
  std::optional<uint16_t> Number(const Uuid& host) const;
  const std::map<Name, TabletTable>& tables() const { return tables_; }

 private:
  // The same, a new one if need be; nothing when all are taken.
  std::optional<uint16_t> TakeNumber(const Uuid& host);
  void Drop(std::map<Name, TabletTable>::iterator table);

  size_t tablets_max_;
  size_t size_ = 0;
  uint64_t version_ = 0;
  std::map<Name, TabletTable> tables_;
  std::vector<std::optional<Uuid>> hosts_;
  std::map<Uuid, uint16_t> numbers_;
  std::vector<uint16_t> free_numbers_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_TABLET_MAP_H_
