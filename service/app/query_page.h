// /queries on the admin listener: what the process asks of the store, and what
// took long.
#ifndef RINGPLANE_SERVICE_APP_QUERY_PAGE_H_
#define RINGPLANE_SERVICE_APP_QUERY_PAGE_H_

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cql/stats.h"

namespace app {

// Loops put down now and then what they have; a request shows what is there.
// Statements never come with their values.
//
// Thread-safety: all of it.
class QueryPage {
 public:
  // Most queries in flight that one loop tells.
  static constexpr size_t kInFlightMax = 100;

  // Replaces what loop `loop` has told. `now`: on its clock.
  void Set(size_t loop, absl::Time now,
           std::vector<cql::QueryInFlight> in_flight,
           std::vector<cql::SlowQuery> slow);

  // Two tables as text, the oldest queries in flight and the latest slow ones
  // first.
  std::string Text() const;

 private:
  struct Told {
    absl::Time now;
    std::vector<cql::QueryInFlight> in_flight;
    std::vector<cql::SlowQuery> slow;
  };
  mutable std::mutex mutex_;
  std::map<size_t, Told> loops_;
};

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_QUERY_PAGE_H_
