#include "cql/node/select.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/keys.h"
#include "cql/node/ordered_key.h"

namespace cql::node {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

absl::Status ReadError(const rocksdb::Iterator& iterator) {
  if (iterator.status().ok()) return absl::OkStatus();
  return absl::UnavailableError(
      StrCat("cannot read: ", iterator.status().ToString()));
}

}  // namespace

absl::Status SelectExecutor::Run(const SelectPlan& plan, EvalContext* context,
                                 const ExecuteOptions& options,
                                 Result* result) {
  plan_ = &plan;
  table_ = plan.table_ref.get();
  context_ = context;
  result_ = result;
  result->kind = Result::Kind::kRows;
  result->columns = plan.result_columns();
  absl::Status status = ReadLimit(plan.limit, "LIMIT", &limit_);
  if (!status.ok()) return status;
  status = ReadLimit(plan.per_partition_limit, "PER PARTITION LIMIT",
                     &partition_limit_);
  if (!status.ok()) return status;
  if (plan.distinct) partition_limit_ = 1;
  const bool is_virtual = table_->virtual_table != nullptr;
  paged_ = options.page_size > 0 && !plan.aggregates && !is_virtual;
  page_rows_ = paged_ ? static_cast<uint64_t>(options.page_size) : kNoLimit;
  scanned_ = 0;
  page_full_ = false;
  collecting_ = false;
  position_ = PagePosition();
  resume_ = PagePosition();
  if (paged_) {
    statement_hash_ = HashBytes(plan.text(), 0);
    for (const Value& value : context->values()) {
      // The values that stay the same from page to page but LIMIT: all of
      // them may be sent again, so a state is bound to what it came from.
      statement_hash_ = HashBytes(value.bytes, statement_hash_);
    }
    if (!options.paging_state.empty()) {
      status = DecodePosition(options.paging_state, statement_hash_, seal_,
                              &resume_);
      if (!status.ok()) return status;
      position_ = resume_;
    }
  }
  row_.Start(table_, &plan.needed,
             static_cast<uint32_t>(context->now_us() / 1000000));
  status = filter_.Start(table_, plan.where, is_virtual, context);
  if (!status.ok()) return status;
  projection_.Start(&plan, context, uuids_);
  if (limit_ > position_.rows) {
    status = is_virtual                     ? RunVirtual()
             : plan.where.partition.empty() ? RunTokens()
                                            : RunPartitions();
    if (!status.ok()) return status;
  }
  if (plan.aggregates) {
    projection_.Finish(&result->rows);
    result->row_count = 1;
  }
  if (page_full_) {
    EncodePosition(position_, statement_hash_, seal_, &result->paging_state);
  }
  return absl::OkStatus();
}

absl::Status SelectExecutor::ReadLimit(const std::optional<BoundTerm>& term,
                                       std::string_view name, uint64_t* limit) {
  *limit = kNoLimit;
  if (!term.has_value()) return absl::OkStatus();
  Value value;
  absl::Status status = context_->Evaluate(*term, &value);
  if (!status.ok()) return status;
  if (value.kind == Value::Kind::kUnset) return absl::OkStatus();
  if (value.kind == Value::Kind::kNull) {
    return InvalidError(StrCat("Invalid null value of ", name));
  }
  const auto rows = LoadBig<int32_t>(value.bytes.data());
  if (rows <= 0) {
    return InvalidError(StrCat(name, " must be strictly positive"));
  }
  *limit = static_cast<uint64_t>(rows);
  return absl::OkStatus();
}

absl::Status SelectExecutor::RunVirtual() {
  std::vector<Value> values;
  table_->virtual_table->fill(&values);
  const size_t columns = table_->columns.size();
  TokenRange tokens;
  absl::Status status = EvaluateTokens(plan_->where, context_, &tokens);
  if (!status.ok()) return status;
  // The order of its statement is not that of the table.
  const std::vector<uint16_t>& order = table_->virtual_order;
  std::vector<Value> ordered(columns);
  for (size_t at = 0; at + columns <= values.size(); at += columns) {
    for (size_t i = 0; i < columns; ++i) ordered[i] = values[at + order[i]];
    row_.SetValues(ordered.data());
    if (!filter_.Matches(&row_)) continue;
    gave_row_ = false;
    position_.rows_of_partition = 0;
    Step step;
    status = Give({}, &step);
    if (!status.ok() || step == Step::kStop) return status;
  }
  return absl::OkStatus();
}

bool SelectExecutor::EnterPartition(std::string_view prefix,
                                    std::string_view key) {
  partition_.assign(prefix);
  partition_key_.assign(key);
  gave_row_ = false;
  header_.Clear();
  if (resume_.partition == partition_) {
    gave_row_ = resume_.rows_of_partition > 0 || !resume_.clustering.empty();
    return !resume_.whole_partition &&
           resume_.rows_of_partition < partition_limit_;
  }
  position_.rows_of_partition = 0;
  return true;
}

absl::Status SelectExecutor::RunPartitions() {
  std::vector<PartitionKey> partitions;
  absl::Status status = EvaluatePartitions(*table_, plan_->where, *limits_,
                                           context_, &partitions);
  if (!status.ok()) return status;
  status =
      EvaluateIntervals(*table_, plan_->where, *limits_, context_, &intervals_);
  if (!status.ok()) return status;
  if (partitions.size() > 1 && !plan_->order_by.empty()) {
    return RunOrdered(partitions);
  }
  bool skipping = !resume_.partition.empty();
  for (const PartitionKey& partition : partitions) {
    key_.clear();
    AppendPartitionPrefix(table_->storage_id, partition.token, partition.key,
                          &key_);
    if (skipping && key_ != resume_.partition) continue;
    skipping = false;
    if (!EnterPartition(key_, partition.key)) continue;
    Step step;
    status = ReadPartition(false, &step);
    if (!status.ok() || step == Step::kStop) return status;
  }
  if (skipping) {
    return MakeError(ServerCode::kProtocolError,
                     "Invalid value for the paging state");
  }
  return absl::OkStatus();
}

// Rows of several partitions in one order: all of them are read, then sorted.
absl::Status SelectExecutor::RunOrdered(
    const std::vector<PartitionKey>& partitions) {
  if (paged_) {
    return InvalidError(
        "Cannot page queries with both ORDER BY and a IN restriction on the "
        "partition key; you must either remove the ORDER BY or the IN and "
        "sort client side, or disable paging for this query");
  }
  const uint64_t limit = limit_;
  limit_ = kNoLimit;
  collecting_ = true;
  collected_.clear();
  collected_bytes_ = 0;
  for (const PartitionKey& partition : partitions) {
    key_.clear();
    AppendPartitionPrefix(table_->storage_id, partition.token, partition.key,
                          &key_);
    if (!EnterPartition(key_, partition.key)) continue;
    Step step;
    absl::Status status = ReadPartition(false, &step);
    if (!status.ok()) return status;
  }
  std::sort(collected_.begin(), collected_.end(),
            [this](const Collected& a, const Collected& b) {
              const int order = a.key.compare(b.key);
              if (order == 0) return a.number < b.number;
              return plan_->reversed ? order > 0 : order < 0;
            });
  if (collected_.size() > limit) collected_.resize(limit);
  for (const Collected& row : collected_) result_->rows.append(row.cells);
  result_->row_count = static_cast<uint32_t>(collected_.size());
  collected_.clear();
  return absl::OkStatus();
}

// Every partition between two tokens, in the order of the ring.
absl::Status SelectExecutor::RunTokens() {
  TokenRange tokens;
  absl::Status status = EvaluateTokens(plan_->where, context_, &tokens);
  if (!status.ok()) return status;
  if (tokens.first > tokens.last) return absl::OkStatus();
  intervals_.assign(1, KeyInterval());
  std::string begin;
  AppendTokenPrefix(table_->storage_id, tokens.first, &begin);
  std::string table_prefix;
  AppendTablePrefix(table_->storage_id, &table_prefix);
  if (!resume_.partition.empty()) {
    if (resume_.partition < begin ||
        !resume_.partition.starts_with(table_prefix)) {
      return MakeError(ServerCode::kProtocolError,
                       "Invalid value for the paging state");
    }
    begin = resume_.partition;
  }
  absl::StatusOr<rocksdb::Iterator*> found = storage_->Iterate();
  if (!found.ok()) return found.status();
  rocksdb::Iterator* iterator = *found;
  iterator->Seek(begin);
  while (iterator->Valid()) {
    DataKey key;
    if (!iterator->key().starts_with(table_prefix) ||
        !ParseDataKey(ToView(iterator->key()), &key) ||
        key.token > tokens.last) {
      break;
    }
    Step step = Step::kPartitionDone;
    if (EnterPartition(key.partition, key.partition_key)) {
      status = ReadPartition(true, &step);
      if (!status.ok() || step == Step::kStop) return status;
    }
    // Without a reason to leave early, the iterator stands beyond it.
    if (step == Step::kNext) continue;
    MakeSuccessor(&partition_);
    iterator->Seek(partition_);
  }
  return ReadError(*iterator);
}

absl::Status SelectExecutor::ReadHeader(bool positioned,
                                        rocksdb::Iterator** iterator) {
  if (!positioned) {
    absl::StatusOr<rocksdb::Iterator*> found = storage_->Iterate();
    if (!found.ok()) return found.status();
    *iterator = *found;
    if (!table_->state->has_headers) return absl::OkStatus();
    (*iterator)->Seek(partition_);
  }
  absl::Status status = header_.Read(partition_, *iterator);
  if (!status.ok() || header_.record().empty()) return status;
  return row_.SetStatic(header_.record(), kNoTimestamp);
}

// Reads what the intervals allow of the partition that was entered. kNext when
// it was read to its end and the iterator, if it was `positioned` at the first
// key, now stands beyond the last.
absl::Status SelectExecutor::ReadPartition(bool positioned, Step* step) {
  *step = Step::kNext;
  absl::Status status = row_.SetPartition(partition_key_);
  if (!status.ok()) return status;
  // A row by its whole key, and nothing else: one lookup.
  const bool header_wanted = positioned || table_->state->has_headers;
  const bool all_points =
      std::all_of(intervals_.begin(), intervals_.end(),
                  [](const KeyInterval& i) { return i.is_point; });
  rocksdb::Iterator* iterator = nullptr;
  if (positioned) {
    absl::StatusOr<rocksdb::Iterator*> found = storage_->Iterate();
    if (!found.ok()) return found.status();
    iterator = *found;
  }
  if (header_wanted || !all_points) {
    status = ReadHeader(positioned, &iterator);
    if (!status.ok()) return status;
  }
  const size_t count = intervals_.size();
  for (size_t i = 0; i < count && *step == Step::kNext; ++i) {
    const KeyInterval& interval =
        intervals_[plan_->reversed ? count - 1 - i : i];
    if (interval.is_point) {
      status = ReadPoint(interval, step);
    } else if (plan_->reversed) {
      status = ReadBackward(interval, iterator, step);
    } else {
      status = ReadForward(interval, iterator, positioned, step);
    }
    if (!status.ok()) return status;
  }
  if (*step == Step::kNext && !gave_row_ && row_.has_static()) {
    status = TakeStaticRow(step);
  }
  return status;
}

void SelectExecutor::SetRowKey(std::string_view clustering) {
  key_.assign(partition_);
  key_.push_back(static_cast<char>(RecordKind::kRow));
  key_.append(clustering);
}

absl::Status SelectExecutor::ReadPoint(const KeyInterval& interval,
                                       Step* step) {
  if (resume_.partition == partition_ && !resume_.clustering.empty() &&
      (plan_->reversed ? interval.begin >= resume_.clustering
                       : interval.begin <= resume_.clustering)) {
    return absl::OkStatus();
  }
  SetRowKey(interval.begin);
  bool found;
  absl::Status status = storage_->Get(key_, &record_, &found);
  if (!status.ok() || !found) return status;
  return TakeRow(interval.begin, ToView(record_), step);
}

absl::Status SelectExecutor::ReadForward(const KeyInterval& interval,
                                         rocksdb::Iterator* iterator,
                                         bool positioned, Step* step) {
  SetRowKey(interval.begin);
  const bool resumed =
      resume_.partition == partition_ && !resume_.clustering.empty();
  if (resumed && resume_.clustering >= interval.begin) {
    SetRowKey(resume_.clustering);
    key_.push_back('\0');  // The first key after it.
  }
  end_key_.assign(partition_);
  end_key_.push_back(static_cast<char>(RecordKind::kRow));
  end_key_.append(interval.end);
  if (interval.end.empty()) MakeSuccessor(&end_key_);
  if (!positioned || resumed) iterator->Seek(key_);
  const size_t prefix = partition_.size() + 1;
  for (; iterator->Valid(); iterator->Next()) {
    const std::string_view key = ToView(iterator->key());
    if (key >= end_key_) break;
    absl::Status status =
        TakeRow(key.substr(prefix), ToView(iterator->value()), step);
    if (!status.ok() || *step != Step::kNext) return status;
  }
  return ReadError(*iterator);
}

absl::Status SelectExecutor::ReadBackward(const KeyInterval& interval,
                                          rocksdb::Iterator* iterator,
                                          Step* step) {
  SetRowKey(interval.end);
  if (interval.end.empty()) MakeSuccessor(&key_);
  if (resume_.partition == partition_ && !resume_.clustering.empty() &&
      (interval.end.empty() || resume_.clustering < interval.end)) {
    SetRowKey(resume_.clustering);
  }
  end_key_.assign(partition_);
  end_key_.push_back(static_cast<char>(RecordKind::kRow));
  end_key_.append(interval.begin);
  iterator->SeekForPrev(key_);
  if (iterator->Valid() && ToView(iterator->key()) == key_) iterator->Prev();
  const size_t prefix = partition_.size() + 1;
  for (; iterator->Valid(); iterator->Prev()) {
    const std::string_view key = ToView(iterator->key());
    if (key < end_key_) break;
    absl::Status status =
        TakeRow(key.substr(prefix), ToView(iterator->value()), step);
    if (!status.ok() || *step != Step::kNext) return status;
  }
  return ReadError(*iterator);
}

absl::Status SelectExecutor::TakeRow(std::string_view clustering,
                                     std::string_view record, Step* step) {
  bool alive;
  absl::Status status =
      row_.SetRow(clustering, record, header_.ShadowOf(clustering), &alive);
  if (!status.ok()) return status;
  if (paged_ && ++scanned_ > limits_->page_rows_scanned_max) {
    EndPage();
    *step = Step::kStop;
    return absl::OkStatus();
  }
  if (!alive || !filter_.Matches(&row_)) {
    if (paged_) {
      position_.partition = partition_;
      position_.clustering.assign(clustering);
      position_.whole_partition = false;
    }
    return absl::OkStatus();
  }
  return Give(clustering, step);
}

// A partition with static cells and no row is one row.
absl::Status SelectExecutor::TakeStaticRow(Step* step) {
  const Restrictions& where = plan_->where;
  if (!where.equalities.empty() || !where.ranges.empty()) {
    return absl::OkStatus();
  }
  row_.SetNoRow();
  if (!filter_.Matches(&row_)) return absl::OkStatus();
  absl::Status status = Give({}, step);
  if (*step != Step::kStop) position_.whole_partition = true;
  return status;
}

// Adds the row to the page, unless the page is full: then it ends before it.
absl::Status SelectExecutor::Give(std::string_view clustering, Step* step) {
  *step = Step::kNext;
  if (paged_ && result_->row_count >= page_rows_) {
    EndPage();
    *step = Step::kStop;
    return absl::OkStatus();
  }
  if (collecting_) {
    Collected& row = collected_.emplace_back();
    row.number = collected_.size();
    row.key.assign(clustering);
    absl::Status status = projection_.Add(&row_, &row.cells);
    if (!status.ok()) return status;
    collected_bytes_ += row.key.size() + row.cells.size();
  } else {
    absl::Status status = projection_.Add(&row_, &result_->rows);
    if (!status.ok()) return status;
    if (!plan_->aggregates) ++result_->row_count;
  }
  gave_row_ = true;
  if (!plan_->aggregates) ++position_.rows;
  ++position_.rows_of_partition;
  position_.whole_partition = position_.rows_of_partition >= partition_limit_;
  if (paged_) {
    position_.partition = partition_;
    position_.clustering.assign(clustering);
  }
  if (position_.rows >= limit_ && !plan_->aggregates) {
    *step = Step::kStop;
    return absl::OkStatus();
  }
  if (std::max(result_->rows.size(), collected_bytes_) >
      limits_->result_bytes_max) {
    if (!paged_ || collecting_) {
      return InvalidError(StrCat("The result is larger than the limit of ",
                                 limits_->result_bytes_max,
                                 " bytes: ask for it in pages"));
    }
    EndPage();
    *step = Step::kStop;
    return absl::OkStatus();
  }
  if (position_.whole_partition) *step = Step::kPartitionDone;
  return absl::OkStatus();
}

void SelectExecutor::EndPage() { page_full_ = !position_.partition.empty(); }

}  // namespace cql::node
