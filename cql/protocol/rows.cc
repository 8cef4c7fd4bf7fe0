#include "cql/protocol/rows.h"

#include "absl/strings/str_cat.h"

namespace cql::protocol {

absl::Status RowView::NoColumn(size_t column) const {
  return absl::InvalidArgumentError(absl::StrCat(
      "column ", column, " of a row that has ", size_, " columns"));
}

absl::Status RowView::InColumn(const absl::Status& status,
                               size_t column) const {
  return absl::Status(
      status.code(),
      absl::StrCat("column '", columns_[column].name, "': ", status.message()));
}

absl::StatusOr<RowsView> RowsView::Create(std::span<const ColumnSpec> columns,
                                          uint32_t row_count,
                                          std::string_view content) {
  const uint64_t cells = uint64_t{row_count} * columns.size();
  if (columns.empty() ? row_count != 0 : cells > content.size() / 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows: ", content.size(), " bytes cannot hold ", row_count,
                     " rows of ", columns.size(), " columns"));
  }
  const char* cursor = content.data();
  const char* const end = cursor + content.size();
  for (uint64_t i = 0; i < cells; ++i) {
    if (end - cursor < 4) {
      cursor = nullptr;
      break;
    }
    const auto size = static_cast<int32_t>(LoadBig32(cursor));
    cursor += 4;
    if (size <= 0) continue;
    if (end - cursor < size) {
      cursor = nullptr;
      break;
    }
    cursor += size;
  }
  if (cursor != end) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rows: ", row_count, " rows of ", columns.size(), " columns ",
        cursor == nullptr ? "need more" : "leave some", " of the ",
        content.size(), " bytes"));
  }
  RowsView view;
  view.columns_ = columns;
  view.row_count_ = row_count;
  view.content_ = content;
  return view;
}

std::optional<size_t> RowsView::Find(std::string_view name) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return i;
  }
  return std::nullopt;
}

}  // namespace cql::protocol
