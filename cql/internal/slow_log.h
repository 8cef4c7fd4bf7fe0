// The last requests that took long.
#ifndef RINGPLANE_CQL_INTERNAL_SLOW_LOG_H_
#define RINGPLANE_CQL_INTERNAL_SLOW_LOG_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "cql/stats.h"

namespace cql::internal {

// Keeps the newest `most`.
class SlowLog {
 public:
  explicit SlowLog(size_t most) : most_(most) {}

  void Add(SlowQuery query) {
    if (most_ == 0) return;
    if (kept_.size() < most_) {
      kept_.push_back(std::move(query));
      return;
    }
    kept_[oldest_] = std::move(query);
    oldest_ = (oldest_ + 1) % most_;
  }

  // Oldest first.
  std::vector<SlowQuery> Get() const {
    std::vector<SlowQuery> queries;
    queries.reserve(kept_.size());
    for (size_t i = 0; i < kept_.size(); ++i) {
      queries.push_back(kept_[(oldest_ + i) % kept_.size()]);
    }
    return queries;
  }

 private:
  const size_t most_;
  std::vector<SlowQuery> kept_;
  size_t oldest_ = 0;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_SLOW_LOG_H_
