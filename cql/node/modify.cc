#include "cql/node/modify.h"

#include <algorithm>
#include <limits>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/keys.h"
#include "cql/node/ordered_key.h"

namespace cql::node {
namespace {

constexpr int32_t kTtlMax = 20 * 365 * 24 * 60 * 60;

// Rows that a deletion of a range removes at once; others stay hidden by it.
constexpr int kPurgedRowsMax = 10000;

}  // namespace

std::string HeadersRecordName(uint32_t storage_id) {
  std::string name = "headers";
  AppendBig(storage_id, &name);
  return name;
}

absl::Status ModifyExecutor::Run(
    absl::Span<const BoundModification> modifications,
    std::optional<int64_t> timestamp, const ExecuteOptions& options,
    int64_t now_us, Result* result) {
  result->kind = Result::Kind::kVoid;
  batch_.Clear();
  new_headers_.clear();
  now_us_ = now_us;
  list_sequence_ = timestamps_->Next(now_us);
  bool conditional = false;
  for (const BoundModification& modification : modifications) {
    conditional = conditional || modification.plan->is_conditional();
  }
  // Conditions are decided in the order of the engine's own clock.
  if (timestamp.has_value()) {
    default_timestamp_ = *timestamp;
  } else if (options.default_timestamp_us.has_value() && !conditional) {
    default_timestamp_ = *options.default_timestamp_us;
  } else {
    default_timestamp_ = list_sequence_;
  }
  if (conditional) {
    bool applied;
    absl::Status status = CheckConditions(modifications, &applied, result);
    if (!status.ok() || !applied) return status;
  }
  const bool alone = modifications.size() == 1;
  for (const BoundModification& modification : modifications) {
    context_.Reset(modification.values, now_us, uuids_, limits_);
    absl::Status status = Apply(*modification.plan, alone);
    if (!status.ok()) return status;
  }
  if (batch_.Count() == 0) return absl::OkStatus();
  absl::Status status = storage_->Write(&batch_);
  if (!status.ok()) return status;
  for (const std::shared_ptr<TableState>& state : new_headers_) {
    state->has_headers = true;
  }
  return absl::OkStatus();
}

absl::Status ModifyExecutor::Apply(const ModifyPlan& plan, bool alone) {
  const Table& table = *plan.table_ref;
  absl::Status status = ReadTimes(plan);
  if (!status.ok()) return status;
  status =
      EvaluatePartitions(table, plan.where, *limits_, &context_, &partitions_);
  if (!status.ok()) return status;
  const bool rows = plan.writes_row || !plan.where.equalities.empty();
  intervals_.clear();
  if (rows) {
    status =
        EvaluateIntervals(table, plan.where, *limits_, &context_, &intervals_);
    if (!status.ok()) return status;
    if (intervals_.size() * partitions_.size() > limits_->in_keys_max) {
      return InvalidError(StrCat("IN asks for more keys than the limit of ",
                                 limits_->in_keys_max));
    }
  }
  for (const PartitionKey& partition : partitions_) {
    partition_key_ = partition.key;
    partition_.clear();
    AppendPartitionPrefix(table.storage_id, partition.token, partition.key,
                          &partition_);
    status = ApplyToPartition(plan, alone);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ModifyExecutor::ReadTimes(const ModifyPlan& plan) {
  times_.timestamp = default_timestamp_;
  if (plan.timestamp.has_value()) {
    Value value;
    absl::Status status = context_.Evaluate(*plan.timestamp, &value);
    if (!status.ok()) return status;
    if (value.kind == Value::Kind::kNull) {
      return InvalidError("Invalid null value of timestamp");
    }
    if (value.kind == Value::Kind::kBytes) {
      times_.timestamp = LoadBig<int64_t>(value.bytes.data());
    }
  }
  if (times_.timestamp == kNoTimestamp) {
    return InvalidError(
        StrCat(times_.timestamp, " is not a timestamp that a write can have"));
  }
  int32_t ttl = plan.table_ref->default_ttl;
  if (plan.ttl.has_value()) {
    Value value;
    absl::Status status = context_.Evaluate(*plan.ttl, &value);
    if (!status.ok()) return status;
    if (value.kind == Value::Kind::kNull) ttl = 0;
    if (value.kind == Value::Kind::kBytes) {
      ttl = LoadBig<int32_t>(value.bytes.data());
    }
  }
  if (ttl < 0) {
    return InvalidError(
        StrCat("A TTL must be greater or equal to 0, but was ", ttl));
  }
  if (ttl > kTtlMax) {
    return InvalidError(StrCat("ttl is too large. requested (", ttl,
                               ") maximum (", kTtlMax, ")"));
  }
  times_.ttl = static_cast<uint32_t>(ttl);
  times_.expires_at =
      ttl == 0 ? 0 : static_cast<uint32_t>(now_us_ / 1000000) + times_.ttl;
  return absl::OkStatus();
}

absl::Status ModifyExecutor::ApplyToPartition(const ModifyPlan& plan,
                                              bool alone) {
  if (plan.what == ModifyPlan::What::kDelete && plan.writes.empty()) {
    return DeleteRows(plan, alone);
  }
  if (plan.writes_static) {
    absl::Status status = WriteStatic(plan);
    if (!status.ok()) return status;
  }
  if (!plan.writes_row) return absl::OkStatus();
  for (const KeyInterval& interval : intervals_) {
    absl::Status status = WriteRow(plan, interval.begin);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void ModifyExecutor::SetRowKey(RecordKind kind, std::string_view clustering) {
  key_.assign(partition_);
  key_.push_back(static_cast<char>(kind));
  key_.append(clustering);
}

absl::Status ModifyExecutor::WriteRow(const ModifyPlan& plan,
                                      std::string_view clustering) {
  SetRowKey(RecordKind::kRow, clustering);
  builder_.Clear();
  if (plan.what == ModifyPlan::What::kInsert) {
    builder_.header.liveness = times_.timestamp;
    builder_.header.ttl = times_.ttl;
    builder_.header.expires_at = times_.expires_at;
  }
  if (plan.reads_first) {
    const Table& table = *plan.table_ref;
    all_needed_.assign(table.columns.size(), true);
    row_.Start(&table, &all_needed_, static_cast<uint32_t>(now_us_ / 1000000));
    absl::Status status = row_.SetPartition(partition_key_);
    if (!status.ok()) return status;
    row_.SetNoRow();
    bool found;
    status = storage_->Get(key_, &stored_, &found);
    if (!status.ok()) return status;
    if (found) {
      bool alive;
      int64_t shadow = kNoTimestamp;
      if (table.state->has_headers) {
        absl::StatusOr<rocksdb::Iterator*> iterator = storage_->Iterate();
        if (!iterator.ok()) return iterator.status();
        (*iterator)->Seek(partition_);
        status = header_.Read(partition_, *iterator);
        if (!status.ok()) return status;
        shadow = header_.ShadowOf(clustering);
      }
      status = row_.SetRow(clustering, ToView(stored_), shadow, &alive);
      if (!status.ok()) return status;
    }
  }
  absl::Status status = AddWrites(plan, false);
  if (!status.ok() || builder_.empty()) return status;
  builder_.Finish(&record_);
  batch_.Merge(ToSlice(key_), ToSlice(record_));
  return absl::OkStatus();
}

absl::Status ModifyExecutor::WriteStatic(const ModifyPlan& plan) {
  const Table& table = *plan.table_ref;
  SetRowKey(RecordKind::kHeader, {});
  builder_.Clear();
  if (plan.reads_first) {
    all_needed_.assign(table.columns.size(), true);
    row_.Start(&table, &all_needed_, static_cast<uint32_t>(now_us_ / 1000000));
    absl::Status status = row_.SetPartition(partition_key_);
    if (!status.ok()) return status;
    row_.SetNoRow();
    bool found;
    status = storage_->Get(key_, &stored_, &found);
    if (status.ok() && found) {
      status = row_.SetStatic(ToView(stored_), kNoTimestamp);
    }
    if (!status.ok()) return status;
  }
  absl::Status status = AddWrites(plan, true);
  if (!status.ok() || builder_.empty()) return status;
  builder_.Finish(&record_);
  MergeHeader(table, record_);
  return absl::OkStatus();
}

// Writes below the partition's header; `key_` names it.
void ModifyExecutor::MergeHeader(const Table& table,
                                 const std::string& record) {
  batch_.Merge(ToSlice(key_), ToSlice(record));
  if (table.state->has_headers) return;
  batch_.Put(MetaKey(HeadersRecordName(table.storage_id)), "");
  new_headers_.push_back(table.state);
}

absl::Status ModifyExecutor::DeleteRows(const ModifyPlan& plan, bool alone) {
  const Table& table = *plan.table_ref;
  builder_.Clear();
  builder_.header.tombstone = times_.timestamp;
  builder_.header.deleted_at = static_cast<uint32_t>(now_us_ / 1000000);
  builder_.Finish(&record_);
  const bool whole_partition = plan.where.equalities.empty() &&
                               plan.where.ranges.empty() &&
                               table.clustering_columns > 0;
  if (whole_partition) {
    SetRowKey(RecordKind::kHeader, {});
    MergeHeader(table, record_);
    if (!alone) return absl::OkStatus();
    std::string begin = partition_;
    begin.push_back(static_cast<char>(RecordKind::kRange));
    std::string end = partition_;
    end.push_back(static_cast<char>(RecordKind::kRow));
    MakeSuccessor(&end);
    return PurgeRange(begin, end);
  }
  for (const KeyInterval& interval : intervals_) {
    if (interval.is_point) {
      SetRowKey(RecordKind::kRow, interval.begin);
      batch_.Merge(ToSlice(key_), ToSlice(record_));
      continue;
    }
    absl::Status status = DeleteRange(table, interval, alone);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ModifyExecutor::DeleteRange(const Table& table,
                                         const KeyInterval& interval,
                                         bool alone) {
  key_.clear();
  AppendRangeKey(partition_, interval.begin, interval.end, &key_);
  if (alone) {
    // What it hides goes now, if it is not too much: rows, and deletions of
    // ranges inside. Only a statement alone may: others of its batch may write
    // newer cells into the same rows.
    std::string begin = partition_;
    begin.push_back(static_cast<char>(RecordKind::kRow));
    std::string end = begin;
    begin.append(interval.begin);
    end.append(interval.end);
    if (interval.end.empty()) MakeSuccessor(&end);
    absl::Status status = PurgeRange(begin, end);
    if (!status.ok()) return status;
    if (table.state->has_headers) {
      absl::StatusOr<rocksdb::Iterator*> iterator = storage_->Iterate();
      if (!iterator.ok()) return iterator.status();
      (*iterator)->Seek(partition_);
      status = header_.Read(partition_, *iterator);
      if (!status.ok()) return status;
      for (const PartitionHeader::Range& range : header_.ranges()) {
        const bool inside = range.begin >= interval.begin &&
                            (interval.end.empty() ||
                             (!range.end.empty() && range.end <= interval.end));
        if (!inside || range.timestamp > times_.timestamp) continue;
        std::string covered;
        AppendRangeKey(partition_, range.begin, range.end, &covered);
        if (covered != key_) batch_.Delete(covered);
      }
    }
  }
  MergeHeader(table, record_);
  return absl::OkStatus();
}

// Removes records from `begin` on and before `end` that hold nothing newer than
// the deletion.
absl::Status ModifyExecutor::PurgeRange(std::string_view begin,
                                        std::string_view end) {
  absl::StatusOr<rocksdb::Iterator*> iterator = storage_->Iterate();
  if (!iterator.ok()) return iterator.status();
  (*iterator)->Seek(ToSlice(begin));
  for (int i = 0; i < kPurgedRowsMax && (*iterator)->Valid(); ++i) {
    if (ToView((*iterator)->key()) >= end) break;
    if (NewestTimestamp(ToView((*iterator)->value())) <= times_.timestamp) {
      batch_.Delete((*iterator)->key());
    }
    (*iterator)->Next();
  }
  if (!(*iterator)->status().ok()) {
    return absl::UnavailableError(
        StrCat("cannot read: ", (*iterator)->status().ToString()));
  }
  return absl::OkStatus();
}

}  // namespace cql::node
