// What a SELECT returns of rows: a row for each, or one of aggregates.
#ifndef RINGPLANE_CQL_NODE_PROJECTION_H_
#define RINGPLANE_CQL_NODE_PROJECTION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/plan.h"
#include "cql/node/row_view.h"
#include "cql/node/term.h"

namespace cql::node {

class Projection {
 public:
  void Start(const SelectPlan* plan, EvalContext* context, UuidSource* uuids);

  // Appends the cells of a row; with aggregates, only takes it into account.
  absl::Status Add(RowView* row, std::string* cells);

  // Appends the row of aggregates.
  void Finish(std::string* cells) const;

 private:
  struct Total {
    int64_t count = 0;
    bool has_value = false;
    std::string value;  // Of min, max, and of a first row.
    uint64_t integer_sum = 0;
    double sum = 0;
  };
  absl::Status Evaluate(const Selection& selection, RowView* row,
                        std::string* scratch, std::string_view* value,
                        bool* has_value);
  void Accumulate(const Selection& selection, std::string_view value,
                  Total* total);
  absl::Status AddToTotals(RowView* row);

  const SelectPlan* plan_ = nullptr;
  EvalContext* context_ = nullptr;
  UuidSource* uuids_ = nullptr;
  std::vector<Total> totals_;
  std::string scratch_;
  bool any_ = false;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PROJECTION_H_
