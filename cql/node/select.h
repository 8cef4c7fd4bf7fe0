// Runs SELECT: walks partitions and rows in order, streams them into a page and
// stops as soon as the page or the limit is full.
#ifndef RINGPLANE_CQL_NODE_SELECT_H_
#define RINGPLANE_CQL_NODE_SELECT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/engine.h"
#include "cql/node/filter.h"
#include "cql/node/key_ranges.h"
#include "cql/node/paging.h"
#include "cql/node/partition.h"
#include "cql/node/plan.h"
#include "cql/node/projection.h"
#include "cql/node/row_view.h"
#include "cql/node/storage.h"

namespace cql::node {

// Keeps its buffers from one statement to the next.
class SelectExecutor {
 public:
  // `seal` is for paging states, see paging.h. All must outlive it.
  SelectExecutor(Storage* storage, const Limits* limits, UuidSource* uuids,
                 uint64_t seal)
      : storage_(storage), limits_(limits), uuids_(uuids), seal_(seal) {}

  absl::Status Run(const SelectPlan& plan, EvalContext* context,
                   const ExecuteOptions& options, Result* result);

 private:
  // What came of looking at a row.
  enum class Step { kNext, kPartitionDone, kStop };

  absl::Status ReadLimit(const std::optional<BoundTerm>& term,
                         std::string_view name, uint64_t* limit);
  absl::Status RunVirtual();
  absl::Status RunPartitions();
  absl::Status RunTokens();
  absl::Status RunOrdered(const std::vector<PartitionKey>& partitions);
  absl::Status ReadPartition(bool positioned, Step* step);
  absl::Status ReadHeader(bool positioned, rocksdb::Iterator** iterator);
  absl::Status ReadPoint(const KeyInterval& interval, Step* step);
  absl::Status ReadForward(const KeyInterval& interval,
                           rocksdb::Iterator* iterator, bool positioned,
                           Step* step);
  absl::Status ReadBackward(const KeyInterval& interval,
                            rocksdb::Iterator* iterator, Step* step);
  absl::Status TakeRow(std::string_view clustering, std::string_view record,
                       Step* step);
  absl::Status TakeStaticRow(Step* step);
  absl::Status Give(std::string_view clustering, Step* step);
  bool EnterPartition(std::string_view prefix, std::string_view key);
  void SetRowKey(std::string_view clustering);
  void EndPage();

  Storage* const storage_;
  const Limits* const limits_;
  UuidSource* const uuids_;
  const uint64_t seal_;

  // Of the statement that runs.
  const SelectPlan* plan_ = nullptr;
  const Table* table_ = nullptr;
  EvalContext* context_ = nullptr;
  Result* result_ = nullptr;
  uint64_t statement_hash_ = 0;
  bool paged_ = false;
  uint64_t page_rows_ = 0;  // Of a page; meaningless unless paged_.
  uint64_t limit_ = 0;      // Of all pages.
  uint64_t partition_limit_ = 0;
  uint64_t scanned_ = 0;
  bool page_full_ = false;
  bool gave_row_ = false;  // Of this partition.
  PagePosition resume_;    // Where this page begins.
  PagePosition position_;  // Where it got to.

  RowView row_;
  RowFilter filter_;
  Projection projection_;
  PartitionHeader header_;
  std::vector<KeyInterval> intervals_;
  std::string partition_;  // Prefix of the keys of the partition.
  std::string partition_key_;
  std::string key_;
  std::string end_key_;
  rocksdb::PinnableSlice record_;
  // A row that waits to be sorted.
  struct Collected {
    std::string key;  // Clustering key.
    std::string cells;
    size_t number = 0;
  };
  // With ORDER BY over several partitions.
  bool collecting_ = false;
  std::vector<Collected> collected_;
  size_t collected_bytes_ = 0;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_SELECT_H_
