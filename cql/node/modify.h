// Runs INSERT, UPDATE, DELETE and batches of them.
#ifndef RINGPLANE_CQL_NODE_MODIFY_H_
#define RINGPLANE_CQL_NODE_MODIFY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cql/node/engine.h"
#include "cql/node/key_ranges.h"
#include "cql/node/keys.h"
#include "cql/node/partition.h"
#include "cql/node/plan.h"
#include "cql/node/row.h"
#include "cql/node/row_view.h"
#include "cql/node/storage.h"

namespace cql::node {

// Gives timestamps, each once, that do not fall behind the clock.
class TimestampSource {
 public:
  int64_t Next(int64_t now_us) {
    last_ = now_us > last_ ? now_us : last_ + 1;
    return last_;
  }

 private:
  int64_t last_ = 0;
};

// A statement of a batch with its values bound.
struct BoundModification {
  const ModifyPlan* plan = nullptr;
  absl::Span<const Value> values;
};

// Keeps its buffers from one statement to the next.
class ModifyExecutor {
 public:
  // All must outlive it.
  ModifyExecutor(Storage* storage, const Limits* limits, UuidSource* uuids,
                 TimestampSource* timestamps)
      : storage_(storage),
        limits_(limits),
        uuids_(uuids),
        timestamps_(timestamps) {}

  // All of them or none. `timestamp`: that of the batch, if it has one.
  absl::Status Run(absl::Span<const BoundModification> modifications,
                   std::optional<int64_t> timestamp,
                   const ExecuteOptions& options, int64_t now_us,
                   Result* result);

 private:
  // Terms of one statement, evaluated.
  struct Times {
    int64_t timestamp = 0;
    uint32_t ttl = 0;
    uint32_t expires_at = 0;
  };

  // modify.cc
  absl::Status Apply(const ModifyPlan& plan, bool alone);
  absl::Status ReadTimes(const ModifyPlan& plan);
  absl::Status ApplyToPartition(const ModifyPlan& plan, bool alone);
  absl::Status DeleteRows(const ModifyPlan& plan, bool alone);
  absl::Status DeleteRange(const Table& table, const KeyInterval& interval,
                           bool alone);
  absl::Status PurgeRange(std::string_view begin, std::string_view end);
  absl::Status WriteRow(const ModifyPlan& plan, std::string_view clustering);
  absl::Status WriteStatic(const ModifyPlan& plan);
  void MergeHeader(const Table& table, const std::string& record);
  void SetRowKey(RecordKind kind, std::string_view clustering);

  // modify_cells.cc
  absl::Status AddWrites(const ModifyPlan& plan, bool is_static);
  absl::Status AddWrite(const Table& table, const ColumnWrite& write);
  absl::Status AddCounter(const Column& column, const ColumnWrite& write,
                          const Value& value);
  absl::Status AddElements(const Column& column, const ColumnWrite& write,
                           std::string_view value);
  absl::Status AddElement(const Column& column, const ColumnWrite& write,
                          const Value& value);
  absl::Status AddListElement(const Column& column, const ColumnWrite& write,
                              std::string_view index, const Value& value);
  absl::Status RemoveElements(const Column& column, const ColumnWrite& write,
                              std::string_view value);
  StoredCell MakeCell(uint16_t column, const Value& value) const;
  absl::Status CheckSize(const Column& column, size_t size) const;

  // modify_conditions.cc
  absl::Status CheckConditions(
      absl::Span<const BoundModification> modifications, bool* applied,
      Result* result);
  absl::Status ReadRow(const ModifyPlan& plan, bool* row_exists,
                       bool* static_exists);
  absl::Status Satisfies(const ModifyPlan& plan, bool row_exists,
                         bool static_exists, bool* satisfied);
  absl::Status SatisfiesOne(const Table& table, const RowCondition& condition,
                            bool* satisfied);
  bool FindPart(const Table& table, const RowCondition& condition,
                std::string_view key, std::string_view* part);

  Storage* const storage_;
  const Limits* const limits_;
  UuidSource* const uuids_;
  TimestampSource* const timestamps_;

  EvalContext context_;
  int64_t now_us_ = 0;
  int64_t default_timestamp_ = 0;
  Times times_;
  rocksdb::WriteBatch batch_;
  // States of tables that get their first header by this batch.
  std::vector<std::shared_ptr<TableState>> new_headers_;
  RecordBuilder builder_;
  std::string record_;
  std::string partition_;  // Prefix of the keys of the partition.
  std::string partition_key_;
  std::string key_;
  std::string path_;
  int64_t list_sequence_ = 0;
  std::vector<PartitionKey> partitions_;
  std::vector<KeyInterval> intervals_;
  PartitionHeader header_;
  RowView row_;
  std::vector<bool> all_needed_;
  rocksdb::PinnableSlice stored_;
};

// The meta record that says that a table has headers.
std::string HeadersRecordName(uint32_t storage_id);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_MODIFY_H_
