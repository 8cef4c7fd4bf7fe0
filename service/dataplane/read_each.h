// One query per key, side by side, without a coroutine per key.
#ifndef RINGPLANE_SERVICE_DATAPLANE_READ_EACH_H_
#define RINGPLANE_SERVICE_DATAPLANE_READ_EACH_H_

#include <algorithm>
#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/query.h"
#include "cql/session.h"
#include "ioloop/task.h"
#include "service/rpc/service.h"

namespace dataplane {

// Runs the queries start(0) .. start(count - 1), at most `in_flight_max` at a
// time, and gives the rows of each to use(index, rows). The first error ends
// it. Both functions stay alive in the caller.
//
//   auto start = [&](size_t i) {
//     return session->Execute(options, *statement, keys[i]);
//   };
//   auto use = [&](size_t i, cql::Rows& rows) { ... };
//   absl::Status status = co_await ReadEach(&call, session, 256, keys.size(),
//                                           &start, &use);
template <typename Start, typename Use>
ioloop::Task<absl::Status> ReadEach(rpc::CallContext* call,
                                    cql::Session* session, size_t in_flight_max,
                                    size_t count, Start* start, Use* use) {
  // Queries stay where they are until their set dies: sets are small, so that
  // a request for very many keys does not hold all their answers.
  const size_t per_set = 4 * std::max<size_t>(in_flight_max, 1);
  for (size_t begin = 0; begin < count; begin += per_set) {
    const size_t end = std::min(begin + per_set, count);
    cql::QuerySet queries(session, in_flight_max);
    for (size_t i = begin; i < end; ++i) {
      co_await queries.Room();
      if (call->cancelled) {
        co_return absl::CancelledError("the caller went away");
      }
      queries.Add([start, i] { return (*start)(i); });
    }
    for (;;) {
      const std::optional<size_t> done = co_await queries.Next();
      if (!done.has_value()) break;
      cql::Query& query = queries[*done];
      absl::StatusOr<cql::Rows> rows = co_await query;
      if (!rows.ok()) co_return rows.status();
      (*use)(begin + *done, *rows);
    }
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_READ_EACH_H_
