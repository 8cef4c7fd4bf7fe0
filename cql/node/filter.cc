#include "cql/node/filter.h"

#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"

namespace cql::node {
namespace {

// Whether a collection has `wanted` among its elements, keys or values.
bool Contains(const CqlType& type, std::string_view collection,
              std::string_view wanted, bool keys) {
  const bool map = type.id == TypeId::kMap;
  const CqlType& element_type = *type.parameters[map && !keys ? 1 : 0];
  ByteReader reader(collection);
  int32_t count = 0;
  reader.Read(&count);
  for (int32_t i = 0; i < count; ++i) {
    std::string_view element;
    std::string_view value;
    bool is_null;
    if (!reader.ReadBytes(&element, &is_null)) return false;
    if (map && !reader.ReadBytes(&value, &is_null)) return false;
    if (CompareValues(element_type, map && !keys ? value : element, wanted) ==
        0) {
      return true;
    }
  }
  return false;
}

std::vector<uint16_t> Columns(size_t first, size_t count) {
  std::vector<uint16_t> columns;
  for (size_t i = 0; i < count; ++i) {
    columns.push_back(static_cast<uint16_t>(first + i));
  }
  return columns;
}

}  // namespace

bool OrderSatisfies(int order, ast::Operator op) {
  switch (op) {
    case ast::Operator::kLess:
      return order < 0;
    case ast::Operator::kLessEqual:
      return order <= 0;
    case ast::Operator::kGreater:
      return order > 0;
    case ast::Operator::kGreaterEqual:
      return order >= 0;
    case ast::Operator::kNotEqual:
      return order != 0;
    default:
      return order == 0;
  }
}

absl::Status RowFilter::Add(std::vector<uint16_t> columns, ast::Operator op,
                            absl::Span<const TupleTerm> choices, bool in_marker,
                            EvalContext* context) {
  Test& test = tests_.emplace_back();
  test.op = op;
  absl::Status status = EvaluateChoices(choices, in_marker, columns.size(),
                                        context, &test.choices);
  if (!status.ok()) return status;
  for (const ValueRow& choice : test.choices) {
    for (const Value& value : choice) {
      if (value.kind == Value::Kind::kBytes) continue;
      return InvalidError(StrCat(
          "Invalid ", value.kind == Value::Kind::kNull ? "null" : "unset",
          " value in condition for column ", table_->columns[columns[0]].name));
    }
  }
  test.columns = std::move(columns);
  return absl::OkStatus();
}

absl::Status RowFilter::Start(const Table* table, const Restrictions& where,
                              bool keys_too, EvalContext* context) {
  table_ = table;
  tests_.clear();
  for (const Filter& filter : where.filters) {
    absl::Status status = Add(filter.columns, filter.op, filter.choices,
                              filter.in_marker, context);
    if (!status.ok()) return status;
  }
  if (!keys_too) return absl::OkStatus();
  for (const KeyEquality& equality : where.partition) {
    absl::Status status = Add(Columns(equality.first, 1), ast::Operator::kIn,
                              equality.choices, equality.in_marker, context);
    if (!status.ok()) return status;
  }
  const size_t clustering = table->partition_columns;
  for (const KeyEquality& equality : where.equalities) {
    absl::Status status =
        Add(Columns(clustering + equality.first, equality.count),
            ast::Operator::kIn, equality.choices, equality.in_marker, context);
    if (!status.ok()) return status;
  }
  for (const KeyRange& range : where.ranges) {
    absl::Status status = Add(Columns(clustering + range.first, range.count),
                              range.op, {&range.bound, 1}, false, context);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

bool RowFilter::Matches(RowView* row) const {
  for (const Test& test : tests_) {
    if (!Passes(test, row)) return false;
  }
  return true;
}

bool RowFilter::Passes(const Test& test, RowView* row) const {
  const bool contains = test.op == ast::Operator::kContains ||
                        test.op == ast::Operator::kContainsKey;
  if (contains) {
    std::string_view collection;
    return row->Get(test.columns[0], &collection) &&
           Contains(*table_->columns[test.columns[0]].type, collection,
                    test.choices[0][0].bytes,
                    test.op == ast::Operator::kContainsKey);
  }
  for (const ValueRow& choice : test.choices) {
    int order = 0;
    for (size_t i = 0; i < test.columns.size() && order == 0; ++i) {
      std::string_view value;
      if (!row->Get(test.columns[i], &value)) return false;
      order = CompareValues(*table_->columns[test.columns[i]].type, value,
                            choice[i].bytes);
    }
    if (OrderSatisfies(order, test.op)) return true;
  }
  return false;
}

}  // namespace cql::node
