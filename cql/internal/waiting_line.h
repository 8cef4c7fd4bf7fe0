// Queries that cannot be sent yet, first come first served.
#ifndef RINGPLANE_CQL_INTERNAL_WAITING_LINE_H_
#define RINGPLANE_CQL_INTERNAL_WAITING_LINE_H_

#include <cstddef>

#include "cql/query.h"
#include "ioloop/check.h"

namespace cql::internal {

// Intrusive: standing in line allocates nothing, and whoever leaves early
// costs a few instructions.
class WaitingLine {
 public:
  WaitingLine() = default;
  WaitingLine(const WaitingLine&) = delete;
  WaitingLine& operator=(const WaitingLine&) = delete;
  ~WaitingLine() { RINGPLANE_CHECK(head_ == nullptr, "queries still wait"); }

  bool empty() const { return head_ == nullptr; }
  size_t size() const { return size_; }

  void Push(Query* query) {
    query->line_ = this;
    query->line_next_ = nullptr;
    query->line_previous_ = tail_;
    (tail_ == nullptr ? head_ : tail_->line_next_) = query;
    tail_ = query;
    ++size_;
  }

  // The first, taken out; null when nobody waits.
  Query* Pop() {
    Query* query = head_;
    if (query != nullptr) Remove(query);
    return query;
  }

  // REQUIRES: `query` stands in this line.
  void Remove(Query* query) {
    (query->line_previous_ == nullptr ? head_
                                      : query->line_previous_->line_next_) =
        query->line_next_;
    (query->line_next_ == nullptr ? tail_ : query->line_next_->line_previous_) =
        query->line_previous_;
    query->line_ = nullptr;
    --size_;
  }

 private:
  Query* head_ = nullptr;
  Query* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_WAITING_LINE_H_
