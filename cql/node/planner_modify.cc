// INSERT, UPDATE, DELETE and BATCH.

#include <algorithm>
#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/text.h"
#include "cql/node/planner.h"

namespace cql::node {
namespace {

bool IsKey(const Column& column) {
  return column.kind == ColumnKind::kPartitionKey ||
         column.kind == ColumnKind::kClustering;
}

TypeRef FrozenOf(TypeId id, const TypeRef& element) {
  auto type = std::make_shared<CqlType>();
  type->id = id;
  type->frozen = true;
  type->parameters = {element};
  return type;
}

void NoteColumn(const Column& column, ModifyPlan* plan) {
  if (column.kind == ColumnKind::kStatic) {
    plan->writes_static = true;
  } else {
    plan->writes_row = true;
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<ModifyPlan>> Planner::PlanInsert(
    const ast::Insert& insert) {
  absl::StatusOr<TableRef> found = FindTable(insert.table, "INSERT");
  if (!found.ok()) return found.status();
  auto plan = std::make_shared<ModifyPlan>();
  plan->table_ref = *std::move(found);
  const Table& table = *plan->table_ref;
  SetTable(table, plan.get());
  if (table.is_counter) {
    return InvalidError(
        "INSERT statements are not allowed on counter tables, use UPDATE "
        "instead");
  }
  plan->what = ModifyPlan::What::kInsert;
  std::vector<std::optional<BoundTerm>> keys(table.key_columns());
  for (size_t i = 0; i < insert.columns.size(); ++i) {
    absl::StatusOr<int> at = FindColumn(table, insert.columns[i]);
    if (!at.ok()) return at.status();
    for (size_t j = 0; j < i; ++j) {
      if (insert.columns[j] == insert.columns[i]) {
        return InvalidError(StrCat("Multiple definitions found for ", "column ",
                                   insert.columns[i]));
      }
    }
    const Column& column = table.columns[*at];
    BoundTerm term;
    absl::Status status =
        Bind(insert.values[i], column.type, column.name, &term);
    if (!status.ok()) return status;
    if (IsKey(column)) {
      keys[*at] = std::move(term);
      continue;
    }
    NoteColumn(column, plan.get());
    ColumnWrite& write = plan->writes.emplace_back();
    write.column = static_cast<uint16_t>(*at);
    write.value = std::move(term);
  }
  std::vector<std::string> missing;
  size_t clustering = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const Column& column = table.columns[i];
    if (!keys[i].has_value()) {
      if (column.kind == ColumnKind::kPartitionKey) {
        return InvalidError(
            StrCat("Some partition key parts are missing: ", column.name));
      }
      missing.push_back(column.name);
      continue;
    }
    KeyEquality equality;
    equality.first = column.position;
    equality.choices.emplace_back().items.push_back(*std::move(keys[i]));
    if (column.kind == ColumnKind::kPartitionKey) {
      plan->where.partition.push_back(std::move(equality));
    } else {
      ++clustering;
      plan->where.equalities.push_back(std::move(equality));
    }
  }
  // Without any of the clustering key, only static columns are inserted.
  const bool only_static = clustering == 0 && table.clustering_columns > 0 &&
                           plan->writes_static && !plan->writes_row;
  if (!missing.empty() && !only_static) {
    return InvalidError(
        StrCat("Some clustering keys are missing: ", Join(missing, ", ")));
  }
  plan->writes_row = !only_static;
  plan->if_not_exists = insert.if_not_exists;
  plan->is_conditional_ = insert.if_not_exists;
  absl::Status status = PlanOptions(insert.options, plan.get());
  if (!status.ok()) return status;
  SetPartitionKeyMarkers(plan->where.partition, plan.get());
  return plan;
}

absl::Status Planner::PlanOptions(const ast::Using& options, ModifyPlan* plan) {
  if (plan->is_conditional_ && options.timestamp.has_value()) {
    return InvalidError(
        "Cannot provide custom timestamp for conditional updates");
  }
  if (plan->table_ref->is_counter && plan->what != ModifyPlan::What::kDelete) {
    if (options.timestamp.has_value()) {
      return InvalidError(
          "Cannot provide custom timestamp for counter updates");
    }
    if (options.ttl.has_value()) {
      return InvalidError("Cannot provide custom TTL for counter updates");
    }
  }
  absl::Status status = BindOptional(options.timestamp, TypeId::kBigint,
                                     "[timestamp]", &plan->timestamp);
  if (!status.ok()) return status;
  status = BindOptional(options.ttl, TypeId::kInt, "[ttl]", &plan->ttl);
  if (!status.ok()) return status;
  return BindTimeout(options);
}

// Which rows an UPDATE or DELETE names.
absl::Status Planner::CheckRows(ModifyPlan* plan) {
  const Table& table = *plan->table_ref;
  const Restrictions& where = plan->where;
  const size_t equal = where.equal_columns();
  const bool whole_row =
      equal == table.clustering_columns && where.ranges.empty();
  if (plan->is_conditional_ && where.partition.size() > 0) {
    for (const KeyEquality& equality : where.partition) {
      if (equality.in_marker || equality.choices.size() > 1) {
        return InvalidError(
            "IN on the partition key is not supported with conditional "
            "updates");
      }
    }
    for (const KeyEquality& equality : where.equalities) {
      if (equality.in_marker || equality.choices.size() > 1) {
        return InvalidError(
            "IN on the clustering key columns is not supported with "
            "conditional updates");
      }
    }
  }
  const bool only_static = plan->writes_static && !plan->writes_row;
  if (only_static && !plan->is_conditional_) {
    if (equal > 0 || !where.ranges.empty()) {
      return InvalidError(
          StrCat("Invalid restrictions on clustering columns since the ",
                 plan->what == ModifyPlan::What::kUpdate ? "UPDATE" : "DELETE",
                 " statement modifies only static columns"));
    }
    return absl::OkStatus();
  }
  if (whole_row) return absl::OkStatus();
  if (only_static && equal == 0 && where.ranges.empty()) {
    return absl::OkStatus();
  }
  std::vector<std::string> missing;
  for (size_t i = equal; i < table.clustering_columns; ++i) {
    missing.push_back(table.clustering(i).name);
  }
  if (plan->what == ModifyPlan::What::kUpdate) {
    if (!where.ranges.empty()) {
      return InvalidError(StrCat(
          "Invalid operator in where clause of UPDATE for ", missing.front()));
    }
    return InvalidError(
        StrCat("Some clustering keys are missing: ", Join(missing, ", ")));
  }
  if (!plan->writes.empty()) {
    return InvalidError(
        StrCat("Range deletions are not supported for specific columns; some "
               "clustering keys are missing: ",
               Join(missing, ", ")));
  }
  if (plan->is_conditional_) {
    return InvalidError(
        "DELETE statements must restrict all PRIMARY KEY columns with equality "
        "relations in order to use IF conditions");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ModifyPlan>> Planner::PlanUpdate(
    const ast::Update& update) {
  absl::StatusOr<TableRef> found = FindTable(update.table, "UPDATE");
  if (!found.ok()) return found.status();
  auto plan = std::make_shared<ModifyPlan>();
  plan->table_ref = *std::move(found);
  const Table& table = *plan->table_ref;
  SetTable(table, plan.get());
  plan->what = ModifyPlan::What::kUpdate;
  plan->is_conditional_ = update.if_exists || !update.conditions.empty();
  plan->if_exists = update.if_exists;
  // Markers are named as they appear: options first.
  absl::Status status = PlanOptions(update.options, plan.get());
  if (!status.ok()) return status;
  for (const ast::Assignment& assignment : update.assignments) {
    status = PlanAssignment(table, assignment, plan.get());
    if (!status.ok()) return status;
  }
  status = PlanWhere(table, update.where, Use::kUpdate, false, &plan->where);
  if (!status.ok()) return status;
  status = PlanConditions(table, update.conditions, plan.get());
  if (!status.ok()) return status;
  status = CheckRows(plan.get());
  if (!status.ok()) return status;
  SetPartitionKeyMarkers(plan->where.partition, plan.get());
  return plan;
}

// column[key] and column.field.
absl::Status Planner::PlanSetPart(const Table& table, int column,
                                  const ast::Target& target,
                                  ColumnWrite* write) {
  const Column& found = table.columns[column];
  const TypeRef& type = found.type;
  if (!type->IsMultiCell()) {
    return InvalidError(StrCat(
        "Invalid operation on a part of ", found.name, " of type ",
        TypeText(*type), ": it is not a non-frozen collection or user type"));
  }
  if (target.key.has_value()) {
    if (type->id == TypeId::kUser) {
      return InvalidError(StrCat("Invalid operation: user type column ",
                                 found.name, " has fields, not elements"));
    }
    const TypeRef key_type = type->id == TypeId::kList
                                 ? SimpleType(TypeId::kInt)
                                 : type->parameters[0];
    return Bind(
        *target.key, key_type,
        StrCat(type->id == TypeId::kList ? "idx(" : "key(", found.name, ")"),
        &write->key.emplace());
  }
  const auto field = std::find(type->field_names.begin(),
                               type->field_names.end(), target.field);
  if (type->id != TypeId::kUser || field == type->field_names.end()) {
    return InvalidError(StrCat("UDT column ", found.name,
                               " does not have a field named ", target.field));
  }
  write->field = static_cast<uint16_t>(field - type->field_names.begin());
  return absl::OkStatus();
}

absl::Status Planner::PlanAssignment(const Table& table,
                                     const ast::Assignment& assignment,
                                     ModifyPlan* plan) {
  using Kind = ast::Assignment::Kind;
  absl::StatusOr<int> found = FindColumn(table, assignment.target.column);
  if (!found.ok()) return found.status();
  const Column& column = table.columns[*found];
  const CqlType& type = *column.type;
  if (IsKey(column)) {
    return InvalidError(
        StrCat("PRIMARY KEY part ", column.name, " found in SET part"));
  }
  NoteColumn(column, plan);
  ColumnWrite write;
  write.column = static_cast<uint16_t>(*found);
  TypeRef value_type = column.type;
  std::string name = column.name;
  const bool part =
      assignment.target.key.has_value() || !assignment.target.field.empty();
  if (part) {
    absl::Status status = PlanSetPart(table, *found, assignment.target, &write);
    if (!status.ok()) return status;
    if (type.id == TypeId::kSet) {
      return InvalidError(StrCat("Invalid operation (", column.name,
                                 "[..] = ..) for set column ", column.name));
    }
    write.kind = assignment.target.key.has_value()
                     ? ColumnWrite::Kind::kSetKey
                     : ColumnWrite::Kind::kSetField;
    value_type = type.id == TypeId::kMap    ? type.parameters[1]
                 : type.id == TypeId::kList ? type.parameters[0]
                                            : type.parameters[write.field];
    name = StrCat("value(", column.name, ")");
    if (type.id == TypeId::kList) plan->reads_first = true;
  } else if (type.id == TypeId::kCounter) {
    if (assignment.kind == Kind::kSet || assignment.kind == Kind::kPrepend) {
      return InvalidError(
          StrCat("Cannot set the value of counter column ", column.name,
                 " (counters can only be incremented/decremented, not set)"));
    }
    value_type = SimpleType(TypeId::kBigint);
    write.kind = assignment.kind == Kind::kAppend
                     ? ColumnWrite::Kind::kAppend
                     : ColumnWrite::Kind::kSubtract;
  } else if (assignment.kind != Kind::kSet) {
    if (!type.IsMultiCell() || type.id == TypeId::kUser) {
      return InvalidError(
          StrCat("Invalid operation (", column.name, " = ", column.name,
                 assignment.kind == Kind::kSubtract ? " - " : " + ", "..) for ",
                 type.IsCollection() ? "frozen collection" : "non counter",
                 " column ", column.name));
    }
    write.kind = assignment.kind == Kind::kAppend ? ColumnWrite::Kind::kAppend
                 : assignment.kind == Kind::kPrepend
                     ? ColumnWrite::Kind::kPrepend
                     : ColumnWrite::Kind::kSubtract;
    if (assignment.kind == Kind::kPrepend && type.id != TypeId::kList) {
      write.kind = ColumnWrite::Kind::kAppend;
    }
    if (write.kind == ColumnWrite::Kind::kSubtract) {
      if (type.id == TypeId::kMap) {
        value_type = FrozenOf(TypeId::kSet, type.parameters[0]);
      }
      if (type.id == TypeId::kList) plan->reads_first = true;
    }
  }
  absl::Status status =
      Bind(assignment.value, value_type, name, &write.value.emplace());
  if (!status.ok()) return status;
  plan->writes.push_back(std::move(write));
  return absl::OkStatus();
}

absl::Status Planner::PlanConditions(
    const Table& table, const std::vector<ast::Condition>& conditions,
    ModifyPlan* plan) {
  for (const ast::Condition& condition : conditions) {
    absl::StatusOr<int> found = FindColumn(table, condition.target.column);
    if (!found.ok()) return found.status();
    const Column& column = table.columns[*found];
    if (IsKey(column)) {
      return InvalidError(StrCat("PRIMARY KEY column '", column.name,
                                 "' cannot have IF conditions"));
    }
    RowCondition& planned = plan->conditions.emplace_back();
    planned.column = static_cast<uint16_t>(*found);
    planned.op = condition.op;
    planned.in_marker = condition.in_marker;
    planned.type = column.type;
    if (condition.target.key.has_value() || !condition.target.field.empty()) {
      // Read from the whole value: frozen ones have parts as well.
      const CqlType& type = *column.type;
      if (condition.target.key.has_value()) {
        if (type.id != TypeId::kMap && type.id != TypeId::kList) {
          return InvalidError(StrCat(column.name, " has no elements"));
        }
        const bool list = type.id == TypeId::kList;
        absl::Status status =
            Bind(*condition.target.key,
                 list ? SimpleType(TypeId::kInt) : type.parameters[0],
                 StrCat(list ? "idx(" : "key(", column.name, ")"),
                 &planned.key.emplace());
        if (!status.ok()) return status;
        planned.type = type.parameters[list ? 0 : 1];
      } else {
        const auto field =
            std::find(type.field_names.begin(), type.field_names.end(),
                      condition.target.field);
        if (field == type.field_names.end()) {
          return InvalidError(
              StrCat(column.name, " has no field ", condition.target.field));
        }
        planned.field = static_cast<uint16_t>(field - type.field_names.begin());
        planned.type = type.parameters[*planned.field];
      }
    }
    if (condition.in_marker) {
      absl::Status status =
          Bind(condition.values[0], FrozenOf(TypeId::kList, planned.type),
               StrCat("in(", column.name, ")"), &planned.values.emplace_back());
      if (!status.ok()) return status;
      continue;
    }
    for (const ast::Term& term : condition.values) {
      absl::Status status =
          Bind(term, planned.type, column.name, &planned.values.emplace_back());
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ModifyPlan>> Planner::PlanDelete(
    const ast::Delete& del) {
  absl::StatusOr<TableRef> found = FindTable(del.table, "DELETE");
  if (!found.ok()) return found.status();
  auto plan = std::make_shared<ModifyPlan>();
  plan->table_ref = *std::move(found);
  const Table& table = *plan->table_ref;
  SetTable(table, plan.get());
  plan->what = ModifyPlan::What::kDelete;
  plan->is_conditional_ = del.if_exists || !del.conditions.empty();
  plan->if_exists = del.if_exists;
  for (const ast::Target& target : del.targets) {
    absl::StatusOr<int> column = FindColumn(table, target.column);
    if (!column.ok()) return column.status();
    if (IsKey(table.columns[*column])) {
      return InvalidError(
          StrCat("Invalid identifier ", target.column,
                 " for deletion (should not be a PRIMARY KEY part)"));
    }
    NoteColumn(table.columns[*column], plan.get());
    ColumnWrite& write = plan->writes.emplace_back();
    write.kind = ColumnWrite::Kind::kDelete;
    write.column = static_cast<uint16_t>(*column);
    if (!target.key.has_value() && target.field.empty()) continue;
    absl::Status status = PlanSetPart(table, *column, target, &write);
    if (!status.ok()) return status;
    write.kind = target.key.has_value() ? ColumnWrite::Kind::kDeleteKey
                                        : ColumnWrite::Kind::kDeleteField;
    if (table.columns[*column].type->id == TypeId::kList) {
      plan->reads_first = true;
    }
  }
  if (plan->writes.empty()) plan->writes_row = true;
  absl::Status status = PlanOptions(del.options, plan.get());
  if (!status.ok()) return status;
  status = PlanWhere(table, del.where, Use::kDelete, false, &plan->where);
  if (!status.ok()) return status;
  status = PlanConditions(table, del.conditions, plan.get());
  if (!status.ok()) return status;
  status = CheckRows(plan.get());
  if (!status.ok()) return status;
  SetPartitionKeyMarkers(plan->where.partition, plan.get());
  return plan;
}

absl::StatusOr<std::shared_ptr<Statement>> Planner::PlanBatch(
    const ast::Batch& batch) {
  auto plan = std::make_shared<BatchPlan>();
  switch (batch.kind) {
    case ast::Batch::Kind::kLogged:
      plan->type = BatchType::kLogged;
      break;
    case ast::Batch::Kind::kUnlogged:
      plan->type = BatchType::kUnlogged;
      break;
    case ast::Batch::Kind::kCounter:
      plan->type = BatchType::kCounter;
      break;
  }
  absl::Status status = BindOptional(batch.options.timestamp, TypeId::kBigint,
                                     "[timestamp]", &plan->timestamp);
  if (!status.ok()) return status;
  status = BindTimeout(batch.options);
  if (!status.ok()) return status;
  for (const ast::Modification& modification : batch.statements) {
    absl::StatusOr<std::shared_ptr<ModifyPlan>> planned =
        std::shared_ptr<ModifyPlan>();
    if (auto* insert = std::get_if<ast::Insert>(&modification)) {
      planned = PlanInsert(*insert);
    } else if (auto* update = std::get_if<ast::Update>(&modification)) {
      planned = PlanUpdate(*update);
    } else {
      planned = PlanDelete(std::get<ast::Delete>(modification));
    }
    if (!planned.ok()) return planned.status();
    if ((*planned)->timestamp.has_value() && plan->timestamp.has_value()) {
      return InvalidError(
          "Timestamp must be set either on BATCH or individual statements");
    }
    if ((*planned)->is_conditional()) plan->is_conditional_ = true;
    plan->statements.push_back(*std::move(planned));
  }
  if (plan->is_conditional_ && plan->timestamp.has_value()) {
    return InvalidError(
        "Cannot provide custom timestamp for conditional BATCH");
  }
  if (!plan->statements.empty()) {
    const ModifyPlan& first = *plan->statements.front();
    SetTable(*first.table_ref, plan.get());
    SetPartitionKeyMarkers(first.where.partition, plan.get());
  }
  return std::shared_ptr<Statement>(std::move(plan));
}

}  // namespace cql::node
