// Restrictions that rows are checked against after they were read.
#ifndef RINGPLANE_CQL_NODE_FILTER_H_
#define RINGPLANE_CQL_NODE_FILTER_H_

#include <vector>

#include "absl/status/status.h"
#include "cql/node/catalog.h"
#include "cql/node/key_ranges.h"
#include "cql/node/plan.h"
#include "cql/node/row_view.h"
#include "cql/node/term.h"

namespace cql::node {

class RowFilter {
 public:
  // The filters of `where`; all of its restrictions with `keys_too`.
  absl::Status Start(const Table* table, const Restrictions& where,
                     bool keys_too, EvalContext* context);
  bool empty() const { return tests_.empty(); }
  bool Matches(RowView* row) const;

 private:
  struct Test {
    std::vector<uint16_t> columns;
    ast::Operator op = ast::Operator::kEqual;
    std::vector<ValueRow> choices;
  };
  absl::Status Add(std::vector<uint16_t> columns, ast::Operator op,
                   absl::Span<const TupleTerm> choices, bool in_marker,
                   EvalContext* context);
  bool Passes(const Test& test, RowView* row) const;

  const Table* table_ = nullptr;
  std::vector<Test> tests_;
};

// Whether `order`, of a value and a bound, satisfies <, <=, >, >=, = or !=.
bool OrderSatisfies(int order, ast::Operator op);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_FILTER_H_
