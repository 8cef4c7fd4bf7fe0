// SELECT: what is returned of each row, and in which order.

#include <algorithm>
#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/text.h"
#include "cql/node/planner.h"
#include "cql/node/protocol_type.h"

namespace cql::node {
namespace {

Selection ColumnSelection(const Table& table, size_t column) {
  Selection selection;
  selection.column = static_cast<uint16_t>(column);
  selection.type = table.columns[column].type;
  return selection;
}

bool IsNumber(TypeId id) {
  switch (id) {
    case TypeId::kTinyint:
    case TypeId::kSmallint:
    case TypeId::kInt:
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kFloat:
    case TypeId::kDouble:
      return true;
    default:
      return false;
  }
}

// The name of a result's column, as Cassandra gives it.
std::string ResultName(const ast::Selector& selector) {
  using Kind = ast::Selector::Kind;
  std::string name;
  switch (selector.kind) {
    case Kind::kColumn:
      return selector.name;
    case Kind::kField:
      return StrCat(ResultName(selector.arguments[0]), ".", selector.name);
    case Kind::kLiteral:
    case Kind::kElement:
      return selector.text;
    case Kind::kCall:
      break;
  }
  if (selector.name == "count" && selector.arguments.empty()) return "count";
  if (selector.name != "writetime" && selector.name != "ttl") name = "system.";
  StrAppend(&name, selector.name, "(");
  for (size_t i = 0; i < selector.arguments.size(); ++i) {
    StrAppend(&name, i > 0 ? ", " : "", ResultName(selector.arguments[i]));
  }
  return name + ")";
}

}  // namespace

absl::StatusOr<std::shared_ptr<Statement>> Planner::PlanSelect(
    const ast::Select& select) {
  absl::StatusOr<TableRef> found = FindTable(select.table, "");
  if (!found.ok()) return found.status();
  auto plan = std::make_shared<SelectPlan>();
  plan->table_ref = *std::move(found);
  const Table& table = *plan->table_ref;
  SetTable(table, plan.get());
  absl::Status status = PlanWhere(table, select.where, Use::kSelect,
                                  select.allow_filtering, &plan->where);
  if (!status.ok()) return status;
  plan->distinct = select.distinct;
  plan->needed.assign(table.columns.size(), false);
  status = PlanSelectors(select, plan.get());
  if (!status.ok()) return status;
  for (const Filter& filter : plan->where.filters) {
    for (uint16_t column : filter.columns) plan->needed[column] = true;
  }
  status = PlanOrder(select, plan.get());
  if (!status.ok()) return status;
  status = BindOptional(select.per_partition_limit, TypeId::kInt,
                        "[per_partition_limit]", &plan->per_partition_limit);
  if (!status.ok()) return status;
  status = BindOptional(select.limit, TypeId::kInt, "[limit]", &plan->limit);
  if (!status.ok()) return status;
  status = BindTimeout(select.options);
  if (!status.ok()) return status;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (!plan->needed[i]) continue;
    if (table.columns[i].kind == ColumnKind::kStatic) plan->needs_static = true;
    if (table.columns[i].kind == ColumnKind::kRegular) {
      plan->needs_regular = true;
    }
  }
  if (plan->distinct) {
    for (size_t i = table.partition_columns; i < table.columns.size(); ++i) {
      if (plan->needed[i] && table.columns[i].kind != ColumnKind::kStatic) {
        return InvalidError(StrCat(
            "SELECT DISTINCT queries must only request partition key columns "
            "and/or static columns (not ",
            table.columns[i].name, ")"));
      }
    }
    if (!plan->where.equalities.empty() || !plan->where.ranges.empty()) {
      return InvalidError(
          "SELECT DISTINCT with WHERE clause only supports restriction by "
          "partition key and/or static columns.");
    }
  }
  SetPartitionKeyMarkers(plan->where.partition, plan.get());
  return std::shared_ptr<Statement>(std::move(plan));
}

absl::Status Planner::PlanSelectors(const ast::Select& select,
                                    SelectPlan* plan) {
  const Table& table = *plan->table_ref;
  auto specs = std::make_shared<ColumnSpecs>();
  if (select.all) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
      plan->selections.push_back(ColumnSelection(table, i));
      specs->push_back({table.keyspace, table.name, table.columns[i].name,
                        ToProtocolType(*table.columns[i].type)});
    }
  }
  for (const ast::Selector& selector : select.selectors) {
    Selection& selection = plan->selections.emplace_back();
    absl::Status status = PlanSelector(table, selector, &selection);
    if (!status.ok()) return status;
    if (selection.IsAggregate()) plan->aggregates = true;
    specs->push_back(
        {table.keyspace, table.name,
         selector.alias.empty() ? ResultName(selector) : selector.alias,
         ToProtocolType(*selection.type)});
  }
  for (const Selection& selection : plan->selections) {
    MarkNeeded(selection, plan);
  }
  plan->result_columns_ = std::move(specs);
  return absl::OkStatus();
}

void Planner::MarkNeeded(const Selection& selection, SelectPlan* plan) {
  switch (selection.kind) {
    case Selection::Kind::kColumn:
    case Selection::Kind::kWritetime:
    case Selection::Kind::kTtl:
      plan->needed[selection.column] = true;
      break;
    default:
      for (const Selection& argument : selection.arguments) {
        MarkNeeded(argument, plan);
      }
  }
}

absl::Status Planner::PlanSelector(const Table& table,
                                   const ast::Selector& selector,
                                   Selection* selection) {
  switch (selector.kind) {
    case ast::Selector::Kind::kColumn: {
      absl::StatusOr<int> column = FindColumn(table, selector.name);
      if (!column.ok()) return column.status();
      *selection = ColumnSelection(table, static_cast<size_t>(*column));
      return absl::OkStatus();
    }
    case ast::Selector::Kind::kCall:
      return PlanCallSelector(table, selector, selection);
    case ast::Selector::Kind::kField: {
      selection->kind = Selection::Kind::kField;
      absl::Status status = PlanSelector(table, selector.arguments[0],
                                         &selection->arguments.emplace_back());
      if (!status.ok()) return status;
      const CqlType& type = *selection->arguments[0].type;
      const auto field = std::find(type.field_names.begin(),
                                   type.field_names.end(), selector.name);
      if (field == type.field_names.end()) {
        return InvalidError(StrCat(selector.arguments[0].name, " has no field ",
                                   selector.name));
      }
      selection->field =
          static_cast<uint16_t>(field - type.field_names.begin());
      selection->type = type.parameters[selection->field];
      return absl::OkStatus();
    }
    case ast::Selector::Kind::kElement:
      return InvalidError(
          "Selecting an element of a collection is not supported by the "
          "embedded development node");
    case ast::Selector::Kind::kLiteral:
      return InvalidError(
          "Selecting a literal is not supported by the embedded development "
          "node");
  }
  return absl::OkStatus();
}

absl::Status Planner::PlanCallSelector(const Table& table,
                                       const ast::Selector& selector,
                                       Selection* selection) {
  using Kind = Selection::Kind;
  const std::string& name = selector.name;
  const size_t count = selector.arguments.size();
  if (name == "count" && count == 0) {
    selection->kind = Kind::kCountRows;
    selection->type = SimpleType(TypeId::kBigint);
    return absl::OkStatus();
  }
  if (name == "count" &&
      selector.arguments[0].kind == ast::Selector::Kind::kLiteral) {
    selection->kind = Kind::kCountRows;  // COUNT(1)
    selection->type = SimpleType(TypeId::kBigint);
    return absl::OkStatus();
  }
  if (name == "token") {
    selection->kind = Kind::kCall;
    selection->function.id = FunctionId::kToken;
    selection->function.result = SimpleType(TypeId::kBigint);
    selection->type = selection->function.result;
    bool in_order = count == table.partition_columns;
    for (size_t i = 0; in_order && i < count; ++i) {
      in_order = selector.arguments[i].kind == ast::Selector::Kind::kColumn &&
                 selector.arguments[i].name == table.columns[i].name;
    }
    if (!in_order) {
      return InvalidError(
          "The arguments of token() must be the partition key, in its order");
    }
    for (size_t i = 0; i < count; ++i) {
      selection->arguments.push_back(ColumnSelection(table, i));
    }
    return absl::OkStatus();
  }
  for (const ast::Selector& argument : selector.arguments) {
    if (argument.kind == ast::Selector::Kind::kLiteral) {
      Selection& literal = selection->arguments.emplace_back();
      literal.kind = Kind::kLiteral;
      continue;
    }
    absl::Status status =
        PlanSelector(table, argument, &selection->arguments.emplace_back());
    if (!status.ok()) return status;
    if (selection->arguments.back().IsAggregate()) {
      return InvalidError(
          "aggregate functions cannot be used as arguments of functions");
    }
  }
  if (name == "writetime" || name == "ttl") {
    if (count != 1 || selection->arguments[0].kind != Kind::kColumn) {
      return InvalidError(StrCat(name, "() takes one column"));
    }
    const Column& column = table.columns[selection->arguments[0].column];
    if (column.kind == ColumnKind::kPartitionKey ||
        column.kind == ColumnKind::kClustering) {
      return InvalidError(StrCat("Cannot use selection function ", name,
                                 " on PRIMARY KEY part ", column.name));
    }
    if (column.type->IsMultiCell()) {
      return InvalidError(
          StrCat("Cannot use selection function ", name, " on non-frozen ",
                 column.type->id == TypeId::kUser ? "UDT " : "collection ",
                 column.name));
    }
    selection->kind = name == "ttl" ? Kind::kTtl : Kind::kWritetime;
    selection->column = selection->arguments[0].column;
    selection->arguments.clear();
    selection->type =
        SimpleType(name == "ttl" ? TypeId::kInt : TypeId::kBigint);
    return absl::OkStatus();
  }
  static constexpr std::pair<std::string_view, Kind> kAggregates[] = {
      {"count", Kind::kCount},
      {"min", Kind::kMin},
      {"max", Kind::kMax},
      {"sum", Kind::kSum},
      {"avg", Kind::kAverage}};
  for (const auto& [aggregate, kind] : kAggregates) {
    if (name != aggregate) continue;
    if (count != 1 || selection->arguments[0].kind == Kind::kLiteral) {
      return InvalidError(StrCat(name, "() takes one column"));
    }
    selection->kind = kind;
    const TypeRef& type = selection->arguments[0].type;
    selection->type = type;
    if (kind == Kind::kCount) selection->type = SimpleType(TypeId::kBigint);
    if ((kind == Kind::kSum || kind == Kind::kAverage) && !IsNumber(type->id)) {
      return InvalidError(StrCat(name, "() of type ", TypeText(*type),
                                 " is not supported by the embedded "
                                 "development node"));
    }
    return absl::OkStatus();
  }
  std::vector<TypeRef> types;
  for (const Selection& argument : selection->arguments) {
    types.push_back(argument.type);
  }
  absl::StatusOr<Function> function = FindFunction(name, types);
  if (!function.ok()) return function.status();
  selection->kind = Kind::kCall;
  selection->type = function->result;
  selection->function = *std::move(function);
  for (size_t i = 0; i < count; ++i) {
    if (selection->arguments[i].kind != Kind::kLiteral) continue;
    selection->arguments[i].type = selection->function.parameters[i];
    absl::Status status =
        Bind(selector.arguments[i].literal, selection->function.parameters[i],
             name, &selection->arguments[i].literal);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Planner::PlanOrder(const ast::Select& select, SelectPlan* plan) {
  if (select.order_by.empty()) return absl::OkStatus();
  const Table& table = *plan->table_ref;
  if (plan->where.partition.empty()) {
    return InvalidError(
        "ORDER BY is only supported when the partition key is restricted by "
        "an EQ or an IN.");
  }
  // Columns restricted by = may be left out.
  const auto single = [&](size_t clustering) {
    for (const KeyEquality& equality : plan->where.equalities) {
      if (clustering >= equality.first &&
          clustering < size_t{equality.first} + equality.count) {
        return !equality.in_marker && equality.choices.size() == 1;
      }
    }
    return false;
  };
  size_t next = 0;
  bool decided = false;
  for (const auto& [name, descending] : select.order_by) {
    absl::StatusOr<int> found = FindColumn(table, name);
    if (!found.ok()) return found.status();
    const Column& column = table.columns[*found];
    if (column.kind != ColumnKind::kClustering) {
      return InvalidError(StrCat(
          "Order by is currently only supported on the clustered columns of "
          "the PRIMARY KEY, got ",
          name));
    }
    while (next < column.position && single(next)) ++next;
    if (column.position != next) {
      return InvalidError(
          "Order by currently only supports the ordering of columns following "
          "their declared order in the PRIMARY KEY");
    }
    ++next;
    const bool reversed = descending != column.descending;
    if (decided && reversed != plan->reversed) {
      return InvalidError("Unsupported order by relation");
    }
    decided = true;
    plan->reversed = reversed;
    plan->order_by.emplace_back(static_cast<uint16_t>(*found), descending);
  }
  return absl::OkStatus();
}

}  // namespace cql::node
