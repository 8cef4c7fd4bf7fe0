// Statements after names and types were looked up: what the executor runs.
#ifndef RINGPLANE_CQL_NODE_PLAN_H_
#define RINGPLANE_CQL_NODE_PLAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cql/node/ast.h"
#include "cql/node/catalog.h"
#include "cql/node/engine.h"
#include "cql/node/function.h"
#include "cql/node/term.h"

namespace cql::node {

// The values one or several columns are compared with: a term per column, or
// one marker of a tuple.
struct TupleTerm {
  std::vector<BoundTerm> items;
  bool is_whole = false;  // items[0] is the tuple.
};

// = or IN on consecutive key columns.
struct KeyEquality {
  uint16_t first = 0;  // Among the columns of the key.
  uint16_t count = 1;
  // Any of these; with `in_marker`, items[0] of the only one is a list.
  std::vector<TupleTerm> choices;
  bool in_marker = false;
};

// <, <=, > or >= on consecutive clustering columns.
struct KeyRange {
  uint16_t first = 0;
  uint16_t count = 1;
  ast::Operator op = ast::Operator::kGreater;
  TupleTerm bound;
};

struct TokenBound {
  ast::Operator op = ast::Operator::kGreater;
  BoundTerm token;
};

// What a row is looked at for, after it was read.
struct Filter {
  std::vector<uint16_t> columns;  // In Table::columns.
  ast::Operator op = ast::Operator::kEqual;
  std::vector<TupleTerm> choices;
  bool in_marker = false;
  bool is_token = false;  // Of the partition key.
};

struct Restrictions {
  // One per partition column, or none (token bounds or everything).
  std::vector<KeyEquality> partition;
  std::vector<TokenBound> token;
  // In order of the clustering columns, without a gap.
  std::vector<KeyEquality> equalities;
  // On the columns right after those.
  std::vector<KeyRange> ranges;
  std::vector<Filter> filters;

  // Clustering columns that `equalities` cover.
  size_t equal_columns() const {
    return equalities.empty()
               ? 0
               : equalities.back().first + equalities.back().count;
  }
};

struct Selection {
  enum class Kind : uint8_t {
    kColumn,
    kWritetime,
    kTtl,
    kCall,
    kLiteral,
    kField,
    kCountRows,
    kCount,
    kMin,
    kMax,
    kSum,
    kAverage,
  };
  Kind kind = Kind::kColumn;
  TypeRef type;         // Of the result.
  uint16_t column = 0;  // kColumn, kWritetime, kTtl
  uint16_t field = 0;   // kField
  Function function;    // kCall
  BoundTerm literal;    // kLiteral
  std::vector<Selection> arguments;

  bool IsAggregate() const { return kind >= Kind::kCountRows; }
};

class SelectPlan : public Statement {
 public:
  SelectPlan() : Statement(Kind::kSelect) {}
  std::optional<int64_t> Token(absl::Span<const Value> values) const override;
  bool IsStale() const override { return table_ref->superseded; }

  TableRef table_ref;
  Restrictions where;
  std::vector<Selection> selections;
  bool distinct = false;
  bool aggregates = false;
  bool reversed = false;
  // ORDER BY columns, for results that come from several partitions.
  std::vector<std::pair<uint16_t, bool>> order_by;
  std::optional<BoundTerm> limit;
  std::optional<BoundTerm> per_partition_limit;
  // Which columns have to be read, by place in the table.
  std::vector<bool> needed;
  bool needs_static = false;   // A static column is needed.
  bool needs_regular = false;  // One that is no key column and not static is.
};

struct ColumnWrite {
  enum class Kind : uint8_t {
    kSet,        // column = value
    kSetKey,     // column[key] = value; null deletes
    kSetField,   // column.field = value
    kAppend,     // column = column + value
    kPrepend,    // column = value + column
    kSubtract,   // column = column - value
    kDelete,     // DELETE column
    kDeleteKey,  // DELETE column[key]
    kDeleteField,
  };
  Kind kind = Kind::kSet;
  uint16_t column = 0;  // In Table::columns.
  uint16_t field = 0;
  std::optional<BoundTerm> key;
  std::optional<BoundTerm> value;
};

struct RowCondition {
  uint16_t column = 0;
  std::optional<BoundTerm> key;
  std::optional<uint16_t> field;
  TypeRef type;  // Of what is compared.
  ast::Operator op = ast::Operator::kEqual;
  std::vector<BoundTerm> values;
  bool in_marker = false;
};

class ModifyPlan : public Statement {
 public:
  enum class What : uint8_t { kInsert, kUpdate, kDelete };
  ModifyPlan() : Statement(Kind::kModify) {}
  std::optional<int64_t> Token(absl::Span<const Value> values) const override;
  bool IsStale() const override { return table_ref->superseded; }

  TableRef table_ref;
  What what = What::kInsert;
  Restrictions where;
  std::vector<ColumnWrite> writes;
  std::optional<BoundTerm> timestamp;
  std::optional<BoundTerm> ttl;
  bool if_not_exists = false;
  bool if_exists = false;
  std::vector<RowCondition> conditions;
  // Writes that concern the partition, and the row.
  bool writes_static = false;
  bool writes_row = false;
  // Some write has to see the row first: an element of a list by index, or
  // the removal of elements by value.
  bool reads_first = false;
};

class BatchPlan : public Statement {
 public:
  BatchPlan() : Statement(Kind::kBatch) {}
  bool IsStale() const override;

  BatchType type = BatchType::kLogged;
  std::optional<BoundTerm> timestamp;
  std::vector<std::shared_ptr<const ModifyPlan>> statements;
};

// CREATE, ALTER and DROP are looked up when they run.
class SchemaPlan : public Statement {
 public:
  explicit SchemaPlan(ast::AnyStatement ddl)
      : Statement(Kind::kSchema), statement(std::move(ddl)) {}

  ast::AnyStatement statement;
  std::string default_keyspace;
};

class TruncatePlan : public Statement {
 public:
  TruncatePlan() : Statement(Kind::kTruncate) {}
  bool IsStale() const override { return table_ref->superseded; }

  TableRef table_ref;
};

class UsePlan : public Statement {
 public:
  UsePlan() : Statement(Kind::kUse) {}
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PLAN_H_
