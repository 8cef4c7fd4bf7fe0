#include "cql/rows.h"

#include "cql/internal/status_util.h"
#include "cql/protocol/codec.h"
#include "cql/row_as.h"

namespace cql {

absl::Status internal::WrongFieldCount(size_t fields, size_t columns) {
  return absl::InvalidArgumentError(Cat(
      "a struct of ", fields, " fields does not take ", columns, " columns"));
}

Rows Rows::Share() const {
  Rows rows;
  rows.chunk_ = chunk_.Share();
  rows.metadata_ = metadata_;
  rows.view_ = view_;
  rows.paging_state_ = paging_state_;
  rows.extras_ = extras_;
  return rows;
}

absl::StatusOr<bool> Rows::Applied() const {
  const std::optional<size_t> column = Find("[applied]");
  if (empty() || !column.has_value()) {
    return absl::InvalidArgumentError(
        "the statement is not conditional: its result has no [applied]");
  }
  const Iterator first = begin();
  return (*first).Get<bool>(*column);
}

}  // namespace cql
