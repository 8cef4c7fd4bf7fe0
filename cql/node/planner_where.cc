// Restrictions: which of them find partitions and rows, which filter.

#include <algorithm>
#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/text.h"
#include "cql/node/planner.h"

namespace cql::node {
namespace {

constexpr std::string_view kFiltering =
    "Cannot execute this query as it might involve data filtering and thus may "
    "have unpredictable performance. If you want to execute this query despite "
    "the performance unpredictability, use ALLOW FILTERING";

bool IsRange(ast::Operator op) {
  return op == ast::Operator::kLess || op == ast::Operator::kLessEqual ||
         op == ast::Operator::kGreater || op == ast::Operator::kGreaterEqual;
}

}  // namespace

// Relations after their names were looked up, by what they restrict.
struct Planner::WhereParts {
  std::vector<std::optional<Filter>> partition;  // = and IN
  std::vector<Filter> partition_others;
  std::vector<Filter> equalities;  // Clustering columns.
  std::vector<Filter> ranges;
  std::vector<Filter> others;  // Neither.
  std::vector<TokenBound> token;
};

absl::Status Planner::PlanWhere(const Table& table,
                                const std::vector<ast::Relation>& relations,
                                Use use, bool allow_filtering,
                                Restrictions* where) {
  WhereParts parts;
  parts.partition.resize(table.partition_columns);
  for (const ast::Relation& relation : relations) {
    absl::Status status = relation.subject == ast::Relation::Subject::kToken
                              ? AddTokenRelation(table, relation, &parts)
                              : AddRelation(table, relation, &parts);
    if (!status.ok()) return status;
  }
  absl::Status status =
      PlacePartition(table, use, allow_filtering, &parts, where);
  if (!status.ok()) return status;
  status = PlaceClustering(table, use, allow_filtering, &parts, where);
  if (!status.ok()) return status;
  if (!parts.others.empty()) {
    if (use != Use::kSelect) {
      return InvalidError(
          StrCat("Non PRIMARY KEY columns found in where clause: ",
                 table.columns[parts.others[0].columns[0]].name));
    }
    if (!allow_filtering) return InvalidError(kFiltering);
    for (Filter& filter : parts.others) {
      where->filters.push_back(std::move(filter));
    }
  }
  return absl::OkStatus();
}

absl::Status Planner::AddTokenRelation(const Table& table,
                                       const ast::Relation& relation,
                                       WhereParts* parts) {
  bool in_order = relation.columns.size() == table.partition_columns;
  for (size_t i = 0; in_order && i < relation.columns.size(); ++i) {
    in_order = relation.columns[i] == table.columns[i].name;
  }
  if (!in_order) {
    std::vector<std::string> names;
    for (size_t i = 0; i < table.partition_columns; ++i) {
      names.push_back(table.columns[i].name);
    }
    return InvalidError(StrCat(
        "The token function arguments must be in the partition key order: ",
        Join(names, ", ")));
  }
  if (!IsRange(relation.op) && relation.op != ast::Operator::kEqual) {
    return InvalidError("IN and != are not supported with the token function");
  }
  TokenBound bound;
  bound.op = relation.op;
  const ast::Term& term = relation.values[0];
  absl::Status status =
      term.kind == ast::Term::Kind::kCall && term.text == "token"
          ? BindTokenCall(table, term, &bound.token)
          : Bind(term, SimpleType(TypeId::kBigint), "partition key token",
                 &bound.token);
  if (!status.ok()) return status;
  parts->token.push_back(std::move(bound));
  return absl::OkStatus();
}

absl::Status Planner::BindTuple(const Table& table, const ast::Term& term,
                                const std::vector<uint16_t>& columns,
                                bool as_tuple, TupleTerm* tuple) {
  if (!as_tuple) {
    const Column& column = table.columns[columns[0]];
    return Bind(term, column.type, column.name, &tuple->items.emplace_back());
  }
  auto type = std::make_shared<CqlType>();
  type->id = TypeId::kTuple;
  type->frozen = true;
  std::vector<std::string> names;
  for (uint16_t column : columns) {
    type->parameters.push_back(table.columns[column].type);
    names.push_back(table.columns[column].name);
  }
  if (term.kind == ast::Term::Kind::kMarker) {
    tuple->is_whole = true;
    return Bind(term, type, StrCat("(", Join(names, ","), ")"),
                &tuple->items.emplace_back());
  }
  if (term.kind != ast::Term::Kind::kTuple ||
      term.items.size() != columns.size()) {
    return InvalidError(
        StrCat("Expected ", columns.size(), " elements in value for tuple (",
               Join(names, ", "), "), but got ", term.items.size()));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    absl::Status status = Bind(term.items[i], type->parameters[i], names[i],
                               &tuple->items.emplace_back());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Planner::BindChoices(const Table& table,
                                  const ast::Relation& relation,
                                  const std::vector<uint16_t>& columns,
                                  Filter* filter) {
  const bool as_tuple = relation.subject == ast::Relation::Subject::kTuple;
  filter->columns = columns;
  filter->op = relation.op;
  filter->in_marker = relation.in_marker;
  const Column& first = table.columns[columns[0]];
  if (relation.in_marker) {
    auto list = std::make_shared<CqlType>();
    list->id = TypeId::kList;
    list->frozen = true;
    TypeRef element = first.type;
    std::vector<std::string> names = {first.name};
    if (as_tuple) {
      auto tuple = std::make_shared<CqlType>();
      tuple->id = TypeId::kTuple;
      tuple->frozen = true;
      names.clear();
      for (uint16_t column : columns) {
        tuple->parameters.push_back(table.columns[column].type);
        names.push_back(table.columns[column].name);
      }
      element = std::move(tuple);
    }
    list->parameters.push_back(std::move(element));
    BoundTerm& marker = filter->choices.emplace_back().items.emplace_back();
    return Bind(relation.values[0], list, StrCat("in(", Join(names, ","), ")"),
                &marker);
  }
  if (relation.op == ast::Operator::kContains ||
      relation.op == ast::Operator::kContainsKey) {
    const CqlType& type = *first.type;
    const bool key = relation.op == ast::Operator::kContainsKey;
    if (!type.IsCollection() || (key && type.id != TypeId::kMap)) {
      return InvalidError(StrCat("Cannot use ",
                                 key ? "CONTAINS KEY" : "CONTAINS",
                                 " on column ", first.name));
    }
    const bool value = type.id == TypeId::kMap && !key;
    BoundTerm& term = filter->choices.emplace_back().items.emplace_back();
    return Bind(relation.values[0], type.parameters[value ? 1 : 0],
                StrCat(key ? "key(" : "value(", first.name, ")"), &term);
  }
  for (const ast::Term& term : relation.values) {
    absl::Status status = BindTuple(table, term, columns, as_tuple,
                                    &filter->choices.emplace_back());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Planner::AddRelation(const Table& table,
                                  const ast::Relation& relation,
                                  WhereParts* parts) {
  if (relation.op == ast::Operator::kNotEqual) {
    return InvalidError(
        StrCat("Unsupported \"!=\" relation on ", relation.columns[0]));
  }
  std::vector<uint16_t> columns;
  for (const std::string& name : relation.columns) {
    absl::StatusOr<int> column = FindColumn(table, name);
    if (!column.ok()) return column.status();
    columns.push_back(static_cast<uint16_t>(*column));
    if (table.columns[*column].type->id == TypeId::kDuration &&
        IsRange(relation.op)) {
      return InvalidError(
          "Slice restrictions are not supported on duration columns");
    }
  }
  Filter filter;
  absl::Status status = BindChoices(table, relation, columns, &filter);
  if (!status.ok()) return status;
  const bool equality =
      relation.op == ast::Operator::kEqual || relation.op == ast::Operator::kIn;
  const bool tuple = relation.subject == ast::Relation::Subject::kTuple;
  const ColumnKind kind = table.columns[columns[0]].kind;
  if (tuple) {
    for (size_t i = 0; i < columns.size(); ++i) {
      const Column& column = table.columns[columns[i]];
      if (column.kind != ColumnKind::kClustering) {
        return InvalidError(StrCat(
            "Multi-column relations can only be applied to clustering columns "
            "but was applied to: ",
            column.name));
      }
      if (i > 0 && columns[i] != columns[i - 1] + 1) {
        return InvalidError(
            "Clustering columns must appear in the PRIMARY KEY order in "
            "multi-column relations");
      }
    }
  }
  if (kind == ColumnKind::kPartitionKey) {
    std::optional<Filter>& place = parts->partition[columns[0]];
    if (!equality) {
      parts->partition_others.push_back(std::move(filter));
    } else if (place.has_value()) {
      return InvalidError(
          StrCat(table.columns[columns[0]].name,
                 " cannot be restricted by more than one relation if it "
                 "includes an Equal"));
    } else {
      place = std::move(filter);
    }
  } else if (kind == ColumnKind::kClustering && equality) {
    parts->equalities.push_back(std::move(filter));
  } else if (kind == ColumnKind::kClustering && IsRange(relation.op)) {
    parts->ranges.push_back(std::move(filter));
  } else {
    parts->others.push_back(std::move(filter));
  }
  return absl::OkStatus();
}

absl::Status Planner::PlacePartition(const Table& table, Use use,
                                     bool allow_filtering, WhereParts* parts,
                                     Restrictions* where) {
  std::vector<std::string> missing;
  for (size_t i = 0; i < parts->partition.size(); ++i) {
    if (!parts->partition[i].has_value()) {
      missing.push_back(table.columns[i].name);
    }
  }
  if (use != Use::kSelect) {
    if (!parts->token.empty()) {
      return InvalidError(
          "The token function cannot be used in WHERE clauses for UPDATE and "
          "DELETE statements");
    }
    if (!parts->partition_others.empty()) {
      return InvalidError(
          "Only EQ and IN relation are supported on the partition key");
    }
    if (!missing.empty()) {
      return InvalidError(StrCat("Some partition key parts are missing: ",
                                 Join(missing, ", ")));
    }
  }
  if (!parts->partition_others.empty() && !allow_filtering) {
    return InvalidError(
        "Only EQ and IN relation are supported on the partition key (unless "
        "you use the token() function or allow filtering)");
  }
  const bool some = missing.size() < parts->partition.size();
  if (!parts->token.empty() && some) {
    return InvalidError(
        StrCat("Columns \"", table.columns[0].name,
               "\" cannot be restricted by both a normal relation and a token "
               "relation"));
  }
  for (Filter& filter : parts->partition_others) {
    where->filters.push_back(std::move(filter));
  }
  where->token = std::move(parts->token);
  if (some && !missing.empty() && !allow_filtering) {
    return InvalidError(kFiltering);
  }
  for (size_t i = 0; some && i < parts->partition.size(); ++i) {
    if (!parts->partition[i].has_value()) continue;
    if (!missing.empty()) {
      where->filters.push_back(*std::move(parts->partition[i]));
      continue;
    }
    KeyEquality& equality = where->partition.emplace_back();
    equality.first = static_cast<uint16_t>(i);
    equality.choices = std::move(parts->partition[i]->choices);
    equality.in_marker = parts->partition[i]->in_marker;
  }
  return absl::OkStatus();
}

absl::Status Planner::PlaceClustering(const Table& table, Use use,
                                      bool allow_filtering, WhereParts* parts,
                                      Restrictions* where) {
  std::sort(parts->equalities.begin(), parts->equalities.end(),
            [](const Filter& a, const Filter& b) {
              return a.columns[0] < b.columns[0];
            });
  for (size_t i = 1; i < parts->equalities.size(); ++i) {
    const Filter& before = parts->equalities[i - 1];
    if (parts->equalities[i].columns[0] <= before.columns.back()) {
      return InvalidError(StrCat(
          table.columns[parts->equalities[i].columns[0]].name,
          " cannot be restricted by more than one relation if it includes an "
          "Equal"));
    }
  }
  const bool in_partition = !where->partition.empty();
  size_t next = table.partition_columns;
  std::vector<Filter> left;
  for (Filter& filter : parts->equalities) {
    if (!in_partition || filter.columns[0] != next) {
      left.push_back(std::move(filter));
      continue;
    }
    next += filter.columns.size();
    KeyEquality& equality = where->equalities.emplace_back();
    equality.first =
        static_cast<uint16_t>(filter.columns[0] - table.partition_columns);
    equality.count = static_cast<uint16_t>(filter.columns.size());
    equality.choices = std::move(filter.choices);
    equality.in_marker = filter.in_marker;
  }
  for (Filter& filter : parts->ranges) {
    if (!in_partition || filter.columns[0] != next) {
      left.push_back(std::move(filter));
      continue;
    }
    KeyRange& range = where->ranges.emplace_back();
    range.first =
        static_cast<uint16_t>(filter.columns[0] - table.partition_columns);
    range.count = static_cast<uint16_t>(filter.columns.size());
    range.op = filter.op;
    range.bound = std::move(filter.choices[0]);
  }
  for (Filter& filter : left) {
    if (use == Use::kSelect && allow_filtering) {
      where->filters.push_back(std::move(filter));
      continue;
    }
    if (!in_partition) return InvalidError(kFiltering);
    const size_t column = filter.columns[0];
    const bool after_range = !where->ranges.empty() && column > next;
    if (column < next) {
      return InvalidError(StrCat(
          table.columns[column].name,
          " cannot be restricted by more than one relation if it includes an "
          "Equal"));
    }
    return InvalidError(StrCat(
        after_range ? "Clustering column \"" : "PRIMARY KEY column \"",
        table.columns[column].name, "\" cannot be restricted",
        after_range ? " (preceding column \"" : " as preceding column \"",
        table.columns[after_range ? next : column - 1].name,
        after_range ? "\" is restricted by a non-EQ relation)"
                    : "\" is not restricted"));
  }
  return absl::OkStatus();
}

}  // namespace cql::node
