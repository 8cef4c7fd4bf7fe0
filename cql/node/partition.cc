#include "cql/node/partition.h"

#include <algorithm>

#include "cql/node/keys.h"

namespace cql::node {

void PartitionHeader::Clear() {
  record_.clear();
  tombstone_ = kNoTimestamp;
  ranges_.clear();
}

absl::Status PartitionHeader::Read(std::string_view partition,
                                   rocksdb::Iterator* iterator) {
  Clear();
  for (; iterator->Valid(); iterator->Next()) {
    DataKey key;
    if (!ParseDataKey(ToView(iterator->key()), &key) ||
        key.partition != partition || key.kind == RecordKind::kRow) {
      break;
    }
    RowHeader header;
    if (!RecordReader(ToView(iterator->value())).ReadHeader(&header)) {
      return absl::DataLossError("the header of a partition cannot be read");
    }
    if (key.kind == RecordKind::kHeader) {
      record_.assign(iterator->value().data(), iterator->value().size());
      tombstone_ = header.tombstone;
      continue;
    }
    std::string_view begin;
    std::string_view end;
    if (!ParseRangeBounds(key.rest, &begin, &end)) {
      return absl::DataLossError("the deletion of a range cannot be read");
    }
    ranges_.push_back({std::string(begin), std::string(end), header.tombstone});
  }
  return absl::OkStatus();
}

int64_t PartitionHeader::ShadowOf(std::string_view clustering_key) const {
  int64_t shadow = tombstone_;
  for (const Range& range : ranges_) {
    if (range.timestamp > shadow && clustering_key >= range.begin &&
        (range.end.empty() || clustering_key < range.end)) {
      shadow = range.timestamp;
    }
  }
  return shadow;
}

}  // namespace cql::node
