// IF NOT EXISTS, IF EXISTS and IF conditions: read, decide, answer.

#include <algorithm>

#include "cql/node/error.h"
#include "cql/node/filter.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/modify.h"
#include "cql/node/protocol_type.h"

namespace cql::node {
namespace {

ColumnSpec AppliedColumn(const Table& table) {
  ColumnSpec spec;
  spec.keyspace = table.keyspace;
  spec.table = table.name;
  spec.name = "[applied]";
  spec.type = protocol::TypeId::kBoolean;
  return spec;
}

void AppendApplied(bool applied, std::string* cells) {
  AppendBig(int32_t{1}, cells);
  cells->push_back(applied ? 1 : 0);
}

// Which columns a refused statement shows, by place in the table.
std::vector<uint16_t> ShownColumns(const ModifyPlan& plan, bool batch) {
  std::vector<uint16_t> columns;
  const Table& table = *plan.table_ref;
  if (plan.if_not_exists || batch) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
      columns.push_back(static_cast<uint16_t>(i));
    }
    return columns;
  }
  for (const RowCondition& condition : plan.conditions) {
    if (std::find(columns.begin(), columns.end(), condition.column) ==
        columns.end()) {
      columns.push_back(condition.column);
    }
  }
  return columns;
}

// The element of a list at `index`, or what `key` maps to.
bool FindInCollection(const CqlType& type, std::string_view collection,
                      std::string_view key, std::string_view* found) {
  const bool map = type.id == TypeId::kMap;
  ByteReader reader(collection);
  int32_t count = 0;
  reader.Read(&count);
  for (int32_t i = 0; i < count; ++i) {
    std::string_view element;
    bool is_null;
    if (!reader.ReadBytes(&element, &is_null)) return false;
    if (!map) {
      if (i != LoadBig<int32_t>(key.data())) continue;
      *found = element;
      return true;
    }
    if (!reader.ReadBytes(found, &is_null)) return false;
    if (CompareValues(*type.parameters[0], element, key) == 0) return true;
  }
  return false;
}

}  // namespace

absl::Status ModifyExecutor::CheckConditions(
    absl::Span<const BoundModification> modifications, bool* applied,
    Result* result) {
  const bool batch = modifications.size() > 1;
  const ModifyPlan* first = nullptr;
  std::string partition;
  *applied = true;
  std::string refused;
  uint32_t refused_rows = 0;
  for (const BoundModification& modification : modifications) {
    const ModifyPlan& plan = *modification.plan;
    const Table& table = *plan.table_ref;
    context_.Reset(modification.values, now_us_, uuids_, limits_);
    absl::Status status = EvaluatePartitions(table, plan.where, *limits_,
                                             &context_, &partitions_);
    if (!status.ok()) return status;
    if (plan.timestamp.has_value()) {
      return InvalidError(
          "Cannot provide custom timestamp for conditional BATCH");
    }
    if (first == nullptr) {
      first = &plan;
      partition = partitions_[0].key;
    }
    if (partitions_.size() != 1 || partitions_[0].key != partition ||
        first->table_ref.get() != &table) {
      return InvalidError(
          "Batch with conditions cannot span multiple tables or partitions");
    }
    if (!plan.is_conditional()) continue;
    bool row_exists;
    bool static_exists;
    status = ReadRow(plan, &row_exists, &static_exists);
    if (!status.ok()) return status;
    bool satisfied;
    status = Satisfies(plan, row_exists, static_exists, &satisfied);
    if (!status.ok()) return status;
    if (satisfied) continue;
    *applied = false;
    const bool shows = row_exists || (static_exists && !plan.writes_row);
    if (!shows) continue;
    ++refused_rows;
    AppendApplied(false, &refused);
    for (uint16_t column : ShownColumns(plan, batch)) {
      std::string_view value;
      if (row_.Get(column, &value)) {
        AppendBytes(value, &refused);
      } else {
        AppendNullBytes(&refused);
      }
    }
  }
  result->kind = Result::Kind::kRows;
  const Table& table = *first->table_ref;
  auto specs = std::make_shared<ColumnSpecs>();
  specs->push_back(AppliedColumn(table));
  if (refused_rows == 0) {
    AppendApplied(*applied, &result->rows);
    result->row_count = 1;
  } else {
    for (uint16_t column : ShownColumns(*first, batch)) {
      specs->push_back({table.keyspace, table.name, table.columns[column].name,
                        ToProtocolType(*table.columns[column].type)});
    }
    result->rows = std::move(refused);
    result->row_count = refused_rows;
  }
  result->columns = std::move(specs);
  return absl::OkStatus();
}

// Reads what a conditional statement is about into row_.
absl::Status ModifyExecutor::ReadRow(const ModifyPlan& plan, bool* row_exists,
                                     bool* static_exists) {
  const Table& table = *plan.table_ref;
  *row_exists = false;
  *static_exists = false;
  all_needed_.assign(table.columns.size(), true);
  row_.Start(&table, &all_needed_, static_cast<uint32_t>(now_us_ / 1000000));
  partition_key_ = partitions_[0].key;
  partition_.clear();
  AppendPartitionPrefix(table.storage_id, partitions_[0].token, partition_key_,
                        &partition_);
  absl::Status status = row_.SetPartition(partition_key_);
  if (!status.ok()) return status;
  header_.Clear();
  if (table.state->has_headers) {
    absl::StatusOr<rocksdb::Iterator*> iterator = storage_->Iterate();
    if (!iterator.ok()) return iterator.status();
    (*iterator)->Seek(partition_);
    status = header_.Read(partition_, *iterator);
    if (status.ok() && !header_.record().empty()) {
      status = row_.SetStatic(header_.record(), kNoTimestamp);
    }
    if (!status.ok()) return status;
  }
  *static_exists = row_.has_static();
  row_.SetNoRow();
  if (plan.where.equal_columns() != table.clustering_columns) {
    return absl::OkStatus();
  }
  status =
      EvaluateIntervals(table, plan.where, *limits_, &context_, &intervals_);
  if (!status.ok()) return status;
  const std::string& clustering = intervals_[0].begin;
  SetRowKey(RecordKind::kRow, clustering);
  bool found;
  status = storage_->Get(key_, &stored_, &found);
  if (!status.ok() || !found) return status;
  status = row_.SetRow(clustering, ToView(stored_),
                       header_.ShadowOf(clustering), row_exists);
  if (status.ok() && !*row_exists) row_.SetNoRow();
  return status;
}

absl::Status ModifyExecutor::Satisfies(const ModifyPlan& plan, bool row_exists,
                                       bool static_exists, bool* satisfied) {
  const Table& table = *plan.table_ref;
  const bool exists = plan.writes_row ? row_exists : static_exists;
  if (plan.if_not_exists) {
    *satisfied = !exists;
    return absl::OkStatus();
  }
  if (plan.if_exists) {
    *satisfied = exists || (!plan.writes_row && row_exists);
    return absl::OkStatus();
  }
  *satisfied = true;
  for (const RowCondition& condition : plan.conditions) {
    absl::Status status = SatisfiesOne(table, condition, satisfied);
    if (!status.ok() || !*satisfied) return status;
  }
  return absl::OkStatus();
}

bool ModifyExecutor::FindPart(const Table& table, const RowCondition& condition,
                              std::string_view key, std::string_view* part) {
  std::string_view whole;
  if (!row_.Get(condition.column, &whole)) return false;
  if (condition.field.has_value()) {
    ByteReader reader(whole);
    bool is_null = true;
    for (uint16_t i = 0; i <= *condition.field; ++i) {
      if (!reader.ReadBytes(part, &is_null)) return false;
    }
    return !is_null;
  }
  if (!condition.key.has_value()) {
    *part = whole;
    return true;
  }
  return FindInCollection(*table.columns[condition.column].type, whole, key,
                          part);
}

absl::Status ModifyExecutor::SatisfiesOne(const Table& table,
                                          const RowCondition& condition,
                                          bool* satisfied) {
  Value key;
  if (condition.key.has_value()) {
    absl::Status status = context_.Evaluate(*condition.key, &key);
    if (!status.ok()) return status;
    if (key.kind != Value::Kind::kBytes) {
      return InvalidError(StrCat("Invalid null key in a condition on ",
                                 table.columns[condition.column].name));
    }
  }
  std::string_view found;
  const bool has_value = FindPart(table, condition, key.bytes, &found);
  std::vector<Value> wanted;
  for (const BoundTerm& term : condition.values) {
    Value value;
    absl::Status status = context_.Evaluate(term, &value);
    if (!status.ok()) return status;
    if (value.kind == Value::Kind::kUnset) {
      return InvalidError(StrCat("Invalid unset value in a condition on ",
                                 table.columns[condition.column].name));
    }
    if (!condition.in_marker) {
      wanted.push_back(value);
      continue;
    }
    ByteReader reader(value.bytes);
    int32_t count = 0;
    reader.Read(&count);
    for (int32_t i = 0; i < count; ++i) {
      std::string_view element;
      bool is_null;
      if (!reader.ReadBytes(&element, &is_null)) break;
      wanted.push_back(Value::Bytes(element));
    }
  }
  *satisfied = false;
  for (const Value& value : wanted) {
    const bool is_null = value.kind == Value::Kind::kNull;
    if (is_null || !has_value) {
      // null is equal to null, and orders with nothing.
      const bool equal = is_null && !has_value;
      if (condition.op == ast::Operator::kNotEqual) {
        *satisfied = !equal;
      } else if (condition.op == ast::Operator::kEqual ||
                 condition.op == ast::Operator::kIn) {
        *satisfied = *satisfied || equal;
      } else if (is_null) {
        return InvalidError(
            "Invalid comparison with null for operator other than = and !=");
      }
      continue;
    }
    const int order = CompareValues(*condition.type, found, value.bytes);
    if (OrderSatisfies(order, condition.op)) *satisfied = true;
  }
  return absl::OkStatus();
}

}  // namespace cql::node
