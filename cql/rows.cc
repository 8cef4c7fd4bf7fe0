#include "cql/rows.h"

#include "cql/protocol/codec.h"

namespace cql {

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
