// The rows that a query gave.
#ifndef RINGPLANE_CQL_ROWS_H_
#define RINGPLANE_CQL_ROWS_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/internal/chunk_pool.h"
#include "cql/internal/result_metadata.h"
#include "cql/protocol/rows.h"
#include "cql/protocol/types.h"
#include "cql/protocol/value_types.h"

namespace cql {

namespace internal {
class Flights;
}

// A row while iterating: valid until the iterator moves. Strings got from it
// are views that live as long as its Rows.
//
//   absl::StatusOr<int64_t> id = row.Get<int64_t>(0);
//   absl::Status status = row.Read(&id, &name, &age);   // the first columns
//   std::optional<std::string_view> for what may be null.
//
// See cql/protocol/value_types.h for the C++ type of each CQL type.
using Row = protocol::RowView;

// One page of rows, in memory of its own that is recycled when this dies. It
// may outlive its query and its session, but stays on their thread. Empty for
// statements that give no rows. Move-only.
//
//   for (const cql::Row& row : *rows) ...
class Rows {
 public:
  Rows() = default;
  Rows(Rows&&) noexcept = default;
  Rows& operator=(Rows&&) noexcept = default;

  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }

  using Iterator = protocol::RowsView::Iterator;
  Iterator begin() const { return view_.begin(); }
  Iterator end() const { return view_.end(); }

  std::span<const protocol::ColumnSpec> columns() const {
    return view_.columns();
  }
  // The index of a column, or nothing. Compares names.
  std::optional<size_t> Find(std::string_view column) const {
    return view_.Find(column);
  }

  // The first columns of the first row: rows->ReadFirst(&name, &age). False
  // when there is no row.
  template <typename... T>
  absl::StatusOr<bool> ReadFirst(T*... out) const {
    if (empty()) return false;
    absl::Status status = view_.ReadFirst(out...);
    if (!status.ok()) return status;
    return true;
  }

  // Whether a conditional statement (IF ...) took effect. kInvalidArgument for
  // a result that does not say.
  absl::StatusOr<bool> Applied() const;

  // What the server warns of: large partitions, tombstones, large batches.
  std::span<const std::string> warnings() const {
    if (extras_ == nullptr) return {};
    return extras_->warnings;
  }
  // Of RequestOptions::tracing: where system_traces.sessions and .events tell
  // what the request did.
  std::optional<Uuid> tracing_id() const {
    if (extras_ == nullptr) return std::nullopt;
    return extras_->tracing_id;
  }

  // There is more; ask again with RequestOptions::paging_state.
  bool has_more_pages() const { return !paging_state_.empty(); }
  // A view that lives as long as this.
  std::string_view paging_state() const { return paging_state_; }

 private:
  friend class Query;
  friend class internal::Flights;

  struct Extras {
    std::vector<std::string> warnings;
    std::optional<Uuid> tracing_id;
  };

  // The same rows in the same memory.
  Rows Share() const;

  internal::Chunk chunk_;  // Holds what the views below point at.
  internal::MetadataRef metadata_;
  protocol::RowsView view_;
  std::string_view paging_state_;
  std::shared_ptr<const Extras> extras_;  // Almost always null.
};

}  // namespace cql

#endif  // RINGPLANE_CQL_ROWS_H_
