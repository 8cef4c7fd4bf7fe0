// All rows of a query, page by page, as if they were one list.
#ifndef RINGPLANE_CQL_PAGED_ROWS_H_
#define RINGPLANE_CQL_PAGED_ROWS_H_

#include <coroutine>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/rows.h"
#include "cql/session.h"
#include "ioloop/task.h"

namespace cql {

// Suspends only where a page ends: a row that is here costs no coroutine and
// no allocation. `start` and `options` are as for Pages; each page has the
// deadline of the options.
//
//   auto start = [&](const cql::RequestOptions& page) {
//     return session->Execute(page, *select, actor);
//   };
//   cql::PagedRows rows(options, start);
//   while (std::optional<cql::Row> row = co_await rows.Next()) {
//     ...
//   }
//   if (!rows.status().ok()) ...
template <typename Start>
class PagedRows {
 public:
  PagedRows(RequestOptions options, Start start)
      : pages_(std::move(options), std::move(start)) {}
  PagedRows(const PagedRows&) = delete;
  PagedRows& operator=(const PagedRows&) = delete;

  class NextAwaiter {
   public:
    explicit NextAwaiter(PagedRows* rows) : rows_(rows) {}
    bool await_ready() { return rows_->Advance() || !rows_->pages_.more(); }
    bool await_suspend(std::coroutine_handle<> waiter) {
      load_ = rows_->Load();
      return load_.operator co_await().await_suspend(waiter);
    }
    std::optional<Row> await_resume() { return rows_->Take(); }

   private:
    PagedRows* rows_;
    ioloop::Task<void> load_;
  };

  // The next row, valid until the next call; nothing at the end or after an
  // error.
  NextAwaiter Next() { return NextAwaiter(this); }

  // Why there are no more rows; OK if those were all.
  const absl::Status& status() const { return status_; }
  // The page of the last row: its columns, warnings and trace.
  const Rows& page() const { return page_; }

 private:
  // Steps to the next row of this page; false at its end.
  bool Advance() {
    if (at_ == page_.end()) return false;
    if (taken_) ++at_;
    taken_ = false;
    return !(at_ == page_.end());
  }
  std::optional<Row> Take() {
    if (at_ == page_.end()) return std::nullopt;
    taken_ = true;
    return *at_;
  }
  // Asks for pages until one has a row.
  ioloop::Task<void> Load() {
    while (pages_.more()) {
      absl::StatusOr<Rows> page = co_await pages_.Next();
      if (!page.ok()) {
        status_ = page.status();
        co_return;
      }
      page_ = *std::move(page);
      at_ = page_.begin();
      taken_ = false;
      if (!page_.empty()) co_return;
    }
  }

  Pages<Start> pages_;
  Rows page_;
  Rows::Iterator at_;
  bool taken_ = false;  // The row at `at_` was given.
  absl::Status status_;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_PAGED_ROWS_H_
