#include "cql/protocol/rows.h"

#include "absl/strings/str_cat.h"

namespace cql::protocol {

namespace {

// Whether `content` is `cells` cells and nothing else: 0; -1 if it is less, 1
// if it is more.
int CompareToCells(std::string_view content, uint64_t cells) {
  const char* cursor = content.data();
  size_t left = content.size();
  for (; cells != 0; --cells) {
    if (left < 4) return -1;
    const uint32_t size = LoadBig32(cursor);
    cursor += 4;
    left -= 4;
    if (static_cast<int32_t>(size) <= 0) continue;
    if (left < size) return -1;
    cursor += size;
    left -= size;
  }
  return left == 0 ? 0 : 1;
}

}  // namespace

namespace internal {

absl::Status NoColumn(size_t column, size_t columns) {
  return absl::InvalidArgumentError(absl::StrCat(
      "column ", column, " of a row that has ", columns, " columns"));
}

absl::Status InColumn(const absl::Status& status, const ColumnSpec& column) {
  return absl::Status(status.code(), absl::StrCat("column '", column.name,
                                                  "': ", status.message()));
}

}  // namespace internal

absl::StatusOr<RowsView> RowsView::Create(std::span<const ColumnSpec> columns,
                                          uint32_t row_count,
                                          std::string_view content) {
  const uint64_t cells = uint64_t{row_count} * columns.size();
  if (columns.empty() ? row_count != 0 : cells > content.size() / 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows: ", content.size(), " bytes cannot hold ", row_count,
                     " rows of ", columns.size(), " columns"));
  }
  const int compared = CompareToCells(content, cells);
  if (compared != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows: ", row_count, " rows of ", columns.size(),
                     " columns ", compared < 0 ? "need more" : "leave some",
                     " of the ", content.size(), " bytes"));
  }
  absl::StatusOr<RowsView> view{RowsView()};
  view->columns_ = columns;
  view->row_count_ = row_count;
  view->content_ = content;
  return view;
}

std::optional<size_t> RowsView::Find(std::string_view name) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return i;
  }
  return std::nullopt;
}

}  // namespace cql::protocol
