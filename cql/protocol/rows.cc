#include "cql/protocol/rows.h"

#include "absl/strings/str_cat.h"

namespace cql::protocol {

namespace {

// Whether `content` is `cells` cells and nothing else: 0; -1 if it is less, 1
// if it is more.
int CompareToCells(std::string_view content, uint64_t cells) {
  // Where the next cell begins: past the end if the last one is cut off.
  uint64_t at = 0;
  const char* const data = content.data();
  const uint64_t bytes = content.size();
  for (; cells != 0; --cells) {
    if (at + 4 > bytes) return -1;
    const auto size = static_cast<int32_t>(LoadBig32(data + at));
    at += 4 + static_cast<uint64_t>(size > 0 ? size : 0);
  }
  return at == bytes ? 0 : at > bytes ? -1 : 1;
}

// Out of the path of results that are whole.
[[gnu::noinline, gnu::cold]] absl::Status CannotHold(size_t bytes,
                                                     uint32_t rows,
                                                     size_t columns) {
  return absl::InvalidArgumentError(
      absl::StrCat("rows: ", bytes, " bytes cannot hold ", rows, " rows of ",
                   columns, " columns"));
}
[[gnu::noinline, gnu::cold]] absl::Status WrongSize(int compared, size_t bytes,
                                                    uint32_t rows,
                                                    size_t columns) {
  return absl::InvalidArgumentError(absl::StrCat(
      "rows: ", rows, " rows of ", columns, " columns ",
      compared < 0 ? "need more" : "leave some", " of the ", bytes, " bytes"));
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
    return CannotHold(content.size(), row_count, columns.size());
  }
  const int compared = CompareToCells(content, cells);
  if (compared != 0) {
    return WrongSize(compared, content.size(), row_count, columns.size());
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
