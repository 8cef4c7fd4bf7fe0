#include "cql/internal/tablet_cache.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "cql/internal/status_util.h"
#include "cql/protocol/token.h"
#include "cql/protocol/wire.h"

namespace cql::internal {
namespace {

constexpr std::string_view kMagic = "RPTABLET";
constexpr int32_t kVersion = 1;
constexpr size_t kHostBytes = 16;
// The least that a table, a tablet and a replica take.
constexpr size_t kTableBytes = 2 + 2 + 4;
constexpr size_t kTabletBytes = 8 + 8 + 2;
constexpr size_t kReplicaBytes = 2 + 2;

void WriteTable(const TabletMap::Name& name, const TabletTable& table,
                protocol::Writer* writer) {
  writer->String(name.first);
  writer->String(name.second);
  writer->Int(static_cast<int32_t>(table.tablets().size()));
  for (const auto& [last, tablet] : table.tablets()) {
    writer->Long(tablet.first);
    writer->Long(last);
    writer->Short(static_cast<uint16_t>(tablet.replicas.size()));
    for (const TabletTable::Replica& replica : tablet.replicas) {
      writer->Short(replica.host);
      writer->Short(replica.shard);
    }
  }
}

protocol::Tablet ReadTablet(const std::vector<Uuid>& hosts,
                            protocol::Reader* reader) {
  protocol::Tablet tablet;
  tablet.first = reader->Long();
  tablet.last = reader->Long();
  const size_t replicas =
      reader->Count(reader->Short(), kReplicaBytes, "the replicas");
  if (tablet.last <= tablet.first || replicas == 0 ||
      replicas > protocol::kTabletReplicasMax) {
    reader->Fail("a tablet");
  }
  for (size_t i = 0; i < replicas && reader->ok(); ++i) {
    const uint16_t host = reader->Short();
    const uint16_t shard = reader->Short();
    if (host >= hosts.size() || shard > protocol::kTabletShardMax) {
      reader->Fail("a replica");
      break;
    }
    tablet.replicas.push_back({hosts[host], shard});
  }
  return tablet;
}

}  // namespace

std::string EncodeTabletCache(const TabletMap& map) {
  std::string bytes;
  protocol::Writer writer(&bytes);
  writer.Raw(kMagic);
  writer.Int(kVersion);
  const size_t head = writer.size();
  writer.Long(0);
  writer.Int(static_cast<int32_t>(map.hosts().size()));
  for (const std::optional<Uuid>& host : map.hosts()) {
    writer.Raw(host.value_or(Uuid()).view());
  }
  writer.Int(static_cast<int32_t>(map.tables().size()));
  for (const auto& [name, table] : map.tables()) {
    WriteTable(name, table, &writer);
  }
  writer.Finish();
  const std::string_view rest = std::string_view(bytes).substr(head + 8);
  protocol::StoreBig64(&bytes[head], static_cast<uint64_t>(Murmur3Token(rest)));
  return bytes;
}

absl::Status DecodeTabletCache(std::string_view bytes, TabletMap* map) {
  protocol::Reader reader(bytes);
  const std::string_view magic = reader.Raw(kMagic.size());
  const int32_t version = reader.Int();
  if (magic != kMagic || version != kVersion) {
    return absl::InvalidArgumentError(
        Cat("not a tablet cache of version ", kVersion));
  }
  const int64_t checksum = reader.Long();
  if (!reader.ok() || checksum != Murmur3Token(reader.rest())) {
    return absl::DataLossError("the tablet cache is damaged");
  }

  const size_t host_count = reader.Count(reader.Int(), kHostBytes, "the hosts");
  std::vector<Uuid> hosts(host_count);
  for (Uuid& host : hosts) {
    host = Uuid::FromBytes(reader.Raw(kHostBytes)).value_or(Uuid());
  }
  std::vector<TabletMap::Name> names;
  std::vector<std::pair<size_t, protocol::Tablet>> read;  // Of which name.
  const size_t tables = reader.Count(reader.Int(), kTableBytes, "the tables");
  for (size_t i = 0; i < tables && reader.ok(); ++i) {
    TabletMap::Name& name = names.emplace_back();
    name.first = reader.String();
    name.second = reader.String();
    const size_t tablets =
        reader.Count(reader.Int(), kTabletBytes, "the tablets");
    for (size_t j = 0; j < tablets && reader.ok(); ++j) {
      read.emplace_back(i, ReadTablet(hosts, &reader));
    }
  }
  if (!reader.ok() || reader.remaining() != 0) {
    reader.Fail("the end");
    return absl::DataLossError(reader.status("tablet cache").message());
  }
  for (const auto& [table, tablet] : read) {
    const TabletMap::Name& name = names[table];
    if (!map->Insert(name.first, name.second, tablet)) break;
  }
  return absl::OkStatus();
}

}  // namespace cql::internal
