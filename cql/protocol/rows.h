// Rows of a RESULT, read where they lie in the frame.
#ifndef RINGPLANE_CQL_PROTOCOL_ROWS_H_
#define RINGPLANE_CQL_PROTOCOL_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/protocol/codec.h"
#include "cql/protocol/types.h"
#include "cql/protocol/wire.h"
#include "ioloop/check.h"

namespace cql::protocol {

using ColumnSpecs = std::vector<ColumnSpec>;

namespace internal {

// Errors that name a column.
absl::Status NoColumn(size_t column, size_t columns);
absl::Status InColumn(const absl::Status& status, const ColumnSpec& column);

// Decodes; on failure false, and `*status` names the column. A status for each
// value would cost as much as the value.
template <typename T>
[[gnu::always_inline]] inline bool ReadColumn(const ColumnSpec& column,
                                              Cell cell, T* out,
                                              absl::Status* status) {
  absl::Status decoded = DecodeValue(column.type, cell, out);
  if (__builtin_expect(decoded.ok(), 1)) return true;
  *status = InColumn(decoded, column);
  return false;
}

inline Cell TakeCell(const char** cursor) {
  Cell cell;
  cell.size = static_cast<int32_t>(LoadBig32(*cursor));
  cell.data = *cursor + 4;
  *cursor = cell.data + (cell.size > 0 ? cell.size : 0);
  return cell;
}

}  // namespace internal

// A row that RowsView gives while iterating: valid until the iterator moves or
// goes.
class RowView {
 public:
  RowView(const ColumnSpec* columns, const Cell* cells, size_t size)
      : columns_(columns), cells_(cells), size_(size) {}

  size_t size() const { return size_; }
  // REQUIRES: column < size().
  const Cell& cell(size_t column) const {
    RINGPLANE_CHECK(column < size_, "no such column");
    return cells_[column];
  }
  bool is_null(size_t column) const { return cell(column).null(); }
  const ColumnSpec& spec(size_t column) const {
    RINGPLANE_CHECK(column < size_, "no such column");
    return columns_[column];
  }

  // The value of a column; the index past the end, a C++ type that does not
  // fit, and a null for a T that is no std::optional are kInvalidArgument and
  // name the column. Strings are views of the frame.
  template <typename T>
  absl::StatusOr<T> Get(size_t column) const {
    absl::StatusOr<T> value{T{}};
    absl::Status status = Get(column, &*value);
    if (__builtin_expect(!status.ok(), 0)) value = std::move(status);
    return value;
  }
  template <typename T>
  absl::Status Get(size_t column, T* out) const {
    if (__builtin_expect(column >= size_, 0)) {
      return internal::NoColumn(column, size_);
    }
    absl::Status status;
    internal::ReadColumn(columns_[column], cells_[column], out, &status);
    return status;
  }

  // The first columns, in order: row.Read(&id, &name, &age).
  template <typename... T>
  absl::Status Read(T*... out) const {
    size_t column = 0;
    absl::Status status;
    static_cast<void>(((status = Get(column++, out), status.ok()) && ...));
    return status;
  }

 private:
  const ColumnSpec* columns_;
  const Cell* cells_;
  size_t size_;
};

// All rows of one RESULT frame. A view: the frame's bytes and the column specs
// must outlive it. Every length was checked when it was made, so iterating
// cannot fail.
//
//   for (const RowView& row : rows) { ... }
class RowsView {
 public:
  RowsView() = default;

  // `content` is what follows the number of rows. kInvalidArgument unless it
  // holds exactly `row_count` rows of `columns.size()` cells.
  static absl::StatusOr<RowsView> Create(std::span<const ColumnSpec> columns,
                                         uint32_t row_count,
                                         std::string_view content);

  // Rows.
  size_t size() const { return row_count_; }
  bool empty() const { return row_count_ == 0; }
  std::span<const ColumnSpec> columns() const { return columns_; }
  // The index of a column, or nothing. Compares names: do it once per result.
  std::optional<size_t> Find(std::string_view name) const;
  // The encoded rows.
  std::string_view content() const { return content_; }

  // The first columns of the first row, like RowView::Read(), for a result
  // whose other rows do not matter. REQUIRES: !empty().
  template <typename... T>
  absl::Status ReadFirst(T*... out) const {
    RINGPLANE_CHECK(row_count_ != 0, "no row");
    const char* cursor = content_.data();
    size_t column = 0;
    absl::Status status;
    static_cast<void>((ReadNext(&cursor, column++, out, &status) && ...));
    return status;
  }

  class Iterator {
   public:
    using value_type = RowView;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    Iterator(std::span<const ColumnSpec> columns, uint32_t rows_left,
             const char* cursor)
        : columns_(columns), rows_left_(rows_left), cursor_(cursor) {
      if (rows_left_ != 0) {
        cells_.resize(columns_.size());
        Load();
      }
    }
    RowView operator*() const {
      return RowView(columns_.data(), cells_.data(), cells_.size());
    }
    Iterator& operator++() {
      if (--rows_left_ != 0) Load();
      return *this;
    }
    bool operator==(const Iterator& other) const {
      return rows_left_ == other.rows_left_;
    }

   private:
    void Load() {
      const char* cursor = cursor_;
      for (Cell& cell : cells_) cell = internal::TakeCell(&cursor);
      cursor_ = cursor;
    }

    std::span<const ColumnSpec> columns_;
    uint32_t rows_left_ = 0;
    const char* cursor_ = nullptr;
    // On the stack for as many columns as almost every query reads.
    absl::InlinedVector<Cell, 16> cells_;
  };

  Iterator begin() const {
    return Iterator(columns_, row_count_, content_.data());
  }
  Iterator end() const { return Iterator(); }

 private:
  template <typename T>
  [[gnu::always_inline]] bool ReadNext(const char** cursor, size_t column,
                                       T* out, absl::Status* status) const {
    if (__builtin_expect(column < columns_.size(), 1)) {
      return internal::ReadColumn(columns_[column], internal::TakeCell(cursor),
                                  out, status);
    }
    *status = internal::NoColumn(column, columns_.size());
    return false;
  }

  std::span<const ColumnSpec> columns_;
  uint32_t row_count_ = 0;
  std::string_view content_;
};

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_ROWS_H_
