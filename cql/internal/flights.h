// Identical reads that share one request.
#ifndef RINGPLANE_CQL_INTERNAL_FLIGHTS_H_
#define RINGPLANE_CQL_INTERNAL_FLIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cql/query.h"

namespace cql::internal {

// The first of several equal queries, the leader, sends the request; the others
// follow it and get its rows, which lie in shared memory, or its error. A
// leader that leaves, or whose deadline comes first, hands the request to a
// follower: nobody's leaving ends the wait of another.
//
// Links lie in the queries; the table of leaders is made when it is first
// used. Thread-safety: none.
class Flights {
 public:
  explicit Flights(size_t followers_max) : followers_max_(followers_max) {}

  // Whether `query` now follows another one. If not, it has to be sent and
  // others may follow it.
  bool Join(Query* query);
  // `follower` stops following.
  void Leave(Query* follower);
  // The leader leaves: one of its followers waits for the answer in its place.
  // False: nobody follows, and the request is nobody's.
  bool PassOn(Query* leader);
  // The leader has its rows or an error, which its followers get too.
  void End(Query* leader, uint64_t SessionCounters::* outcome,
           const absl::Status& status);

 private:
  static constexpr size_t kBuckets = 1024;

  static bool Equal(const Query& a, const Query& b);
  Query** FindLink(Query* leader);
  static void Follow(Query* leader, Query* follower);

  const size_t followers_max_;
  std::vector<Query*> leaders_;  // By hash; chained.
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_FLIGHTS_H_
