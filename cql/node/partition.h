// What holds for a whole partition: its static cells and its deletions.
#ifndef RINGPLANE_CQL_NODE_PARTITION_H_
#define RINGPLANE_CQL_NODE_PARTITION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/row.h"
#include "cql/node/storage.h"

namespace cql::node {

class PartitionHeader {
 public:
  struct Range {
    std::string begin;
    std::string end;  // Empty: that of the partition.
    int64_t timestamp = kNoTimestamp;
  };

  void Clear();

  // Takes header and range records off an iterator that stands at the first
  // key of the partition, and leaves it at the first row or beyond.
  absl::Status Read(std::string_view partition, rocksdb::Iterator* iterator);

  // The timestamp up to which a row is hidden.
  int64_t ShadowOf(std::string_view clustering_key) const;

  int64_t tombstone() const { return tombstone_; }
  // The record with the static cells; empty if there is none.
  const std::string& record() const { return record_; }
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  std::string record_;
  int64_t tombstone_ = kNoTimestamp;
  std::vector<Range> ranges_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PARTITION_H_
