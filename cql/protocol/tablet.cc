#include "cql/protocol/tablet.h"

#include <algorithm>
#include <optional>

namespace cql::protocol {
namespace {

// [bytes] of (uuid, int), with the lengths.
constexpr size_t kReplicaBytes = 4 + 4 + 16 + 4 + 4;

// A reader of the next element, which has to have `size` bytes.
Reader Element(Reader* reader, size_t size, const char* what) {
  const Cell cell = reader->Bytes();
  if (cell.bytes().size() != size) reader->Fail(what);
  return Reader(cell.bytes());
}

}  // namespace

absl::StatusOr<Tablet> DecodeTablet(std::string_view value) {
  Reader reader(value);
  Tablet tablet;
  tablet.first = Element(&reader, 8, "the first token").Long();
  tablet.last = Element(&reader, 8, "the last token").Long();
  if (tablet.last <= tablet.first) reader.Fail("a range that is not empty");

  Reader list(reader.Bytes().bytes());
  const size_t count = list.Count(list.Int(), kReplicaBytes, "the replicas");
  if (count == 0 || count > kTabletReplicasMax) list.Fail("a count in bounds");
  for (size_t i = 0; i < count && list.ok(); ++i) {
    Reader pair = Element(&list, kReplicaBytes - 4, "a replica");
    const std::optional<Uuid> host = Uuid::FromBytes(pair.Bytes().bytes());
    const int32_t shard = Element(&pair, 4, "a shard").Int();
    if (!pair.ok() || !host.has_value() || shard < 0 ||
        static_cast<uint32_t>(shard) > kTabletShardMax) {
      list.Fail("a replica");
      break;
    }
    const TabletReplica replica{*host, static_cast<uint16_t>(shard)};
    const auto same_host = [&](const TabletReplica& other) {
      return other.host == replica.host;
    };
    if (std::none_of(tablet.replicas.begin(), tablet.replicas.end(),
                     same_host)) {
      tablet.replicas.push_back(replica);
    }
  }
  if (!reader.ok()) return reader.status("tablet");
  if (!list.ok()) return list.status("replicas of a tablet");
  return tablet;
}

void EncodeTablet(Writer* writer, const Tablet& tablet) {
  writer->Int(8);
  writer->Long(tablet.first);
  writer->Int(8);
  writer->Long(tablet.last);
  const size_t list = writer->BeginInt();
  writer->Int(static_cast<int32_t>(tablet.replicas.size()));
  for (const TabletReplica& replica : tablet.replicas) {
    writer->Int(kReplicaBytes - 4);
    writer->Bytes(replica.host.view());
    writer->Int(4);
    writer->Int(replica.shard);
  }
  writer->FillLength(list);
}

}  // namespace cql::protocol
