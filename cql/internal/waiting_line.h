// Queries that cannot be sent yet, the earliest deadline first.
#ifndef RINGPLANE_CQL_INTERNAL_WAITING_LINE_H_
#define RINGPLANE_CQL_INTERNAL_WAITING_LINE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "cql/query.h"
#include "ioloop/check.h"

namespace cql::internal {

// A pairing heap whose links lie in the queries: standing in line allocates
// nothing, stepping in is constant, and leaving from anywhere costs the
// logarithm of the length. Equal deadlines are first come, first served.
class WaitingLine {
 public:
  WaitingLine() = default;
  WaitingLine(const WaitingLine&) = delete;
  WaitingLine& operator=(const WaitingLine&) = delete;
  ~WaitingLine() { RINGPLANE_CHECK(first_ == nullptr, "queries still wait"); }

  bool empty() const { return first_ == nullptr; }
  size_t size() const { return size_; }

  void Push(Query* query) {
    query->line_ = this;
    query->line_order_ = ++pushed_;
    query->line_child_ = nullptr;
    query->line_next_ = nullptr;
    query->line_previous_ = nullptr;
    last_ms_ = empty() ? query->deadline_ms()
                       : std::max(last_ms_, query->deadline_ms());
    first_ = Meld(first_, query);
    ++size_;
  }

  // The first, taken out; null when nobody waits.
  Query* Pop() {
    Query* query = first_;
    if (query != nullptr) Remove(query);
    return query;
  }

  // REQUIRES: `query` stands in this line.
  void Remove(Query* query) {
    if (query == first_) {
      first_ = MeldSiblings(query->line_child_);
    } else {
      Cut(query);
      first_ = Meld(first_, MeldSiblings(query->line_child_));
    }
    query->line_ = nullptr;
    --size_;
  }

  // About how many would be served before one with this deadline: as if those
  // who wait were spread evenly from the earliest deadline to the latest.
  size_t Ahead(int64_t deadline_ms) const {
    if (empty() || deadline_ms < first_->deadline_ms()) return 0;
    if (deadline_ms >= last_ms_) return size_;
    const double part =
        static_cast<double>(deadline_ms - first_->deadline_ms()) /
        static_cast<double>(last_ms_ - first_->deadline_ms());
    return static_cast<size_t>(part * static_cast<double>(size_));
  }

 private:
  static bool Before(const Query* a, const Query* b) {
    return a->deadline_ms() != b->deadline_ms()
               ? a->deadline_ms() < b->deadline_ms()
               : a->line_order_ < b->line_order_;
  }

  // Two heaps become one. Either may be null; neither has siblings.
  static Query* Meld(Query* a, Query* b) {
    if (a == nullptr) return b;
    if (b == nullptr) return a;
    if (Before(b, a)) std::swap(a, b);
    b->line_previous_ = a;
    b->line_next_ = a->line_child_;
    if (b->line_next_ != nullptr) b->line_next_->line_previous_ = b;
    a->line_child_ = b;
    return a;
  }

  // All heaps of a list of siblings become one: in pairs from left to right,
  // then from right to left.
  static Query* MeldSiblings(Query* sibling) {
    Query* pairs = nullptr;  // Linked by line_next_, the last pair first.
    while (sibling != nullptr) {
      Query* const a = sibling;
      Query* const b = a->line_next_;
      sibling = b == nullptr ? nullptr : b->line_next_;
      Detach(a);
      if (b != nullptr) Detach(b);
      Query* const pair = Meld(a, b);
      pair->line_next_ = pairs;
      pairs = pair;
    }
    Query* all = nullptr;
    while (pairs != nullptr) {
      Query* const pair = pairs;
      pairs = pair->line_next_;
      Detach(pair);
      all = Meld(all, pair);
    }
    return all;
  }
  static void Detach(Query* query) {
    query->line_next_ = nullptr;
    query->line_previous_ = nullptr;
  }

  // Takes `query`, which is not the first, from its parent and its siblings.
  static void Cut(Query* query) {
    Query* const previous = query->line_previous_;
    (previous->line_child_ == query ? previous->line_child_
                                    : previous->line_next_) = query->line_next_;
    if (query->line_next_ != nullptr) {
      query->line_next_->line_previous_ = previous;
    }
  }

  Query* first_ = nullptr;
  size_t size_ = 0;
  uint64_t pushed_ = 0;
  int64_t last_ms_ = 0;  // The latest deadline since the line was empty.
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_WAITING_LINE_H_
