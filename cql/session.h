// A client session to a ScyllaDB or Cassandra cluster that runs in the
// caller's loop: no threads, no timers of its own outside the loop.
//
//   auto session = co_await cql::Session::Connect(loop, options);
//   auto select = co_await (*session)->Prepare(
//       "SELECT name FROM users WHERE id = ?", {.idempotent = true});
//   cql::Query a = (*session)->Execute(*select, int64_t{1});
//   cql::Query b = (*session)->Execute(*select, int64_t{2});
//   absl::StatusOr<cql::Rows> rows = co_await a;   // both are on their way
//
// Thread-safety: none; a session belongs to its loop.
#ifndef RINGPLANE_CQL_SESSION_H_
#define RINGPLANE_CQL_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/query.h"
#include "cql/statement.h"
#include "ioloop/loop.h"

namespace cql {

struct SessionOptions {
  // "host:port" each; names are resolved. At least one must answer.
  std::vector<std::string> contact_points;
  std::string username;  // Empty: no authentication is offered.
  std::string password;
  std::string keyspace;  // Empty: statements name theirs.
  // Data centre whose nodes are preferred; empty: that of the first contact.
  std::string local_datacenter;
  Consistency read_consistency = Consistency::kLocalQuorum;
  Consistency write_consistency = Consistency::kLocalQuorum;
  absl::Duration connect_timeout = absl::Seconds(5);
  // Of a request that gives no deadline.
  absl::Duration request_timeout = absl::Seconds(10);
  // Most requests in flight per connection (at most 32768), and most that
  // wait for a place; past both a query ends with kResourceExhausted, unsent.
  uint32_t in_flight_max = 4096;
  uint32_t queued_max = 16384;
  // Stream ids whose caller left, per connection, before it is replaced.
  uint32_t orphans_max = 1024;
  absl::Duration reconnect_min = absl::Milliseconds(50);
  absl::Duration reconnect_max = absl::Seconds(10);
  // One connection per shard for reads and one for writes.
  bool shard_aware = true;
  uint32_t frame_bytes_max = 64 << 20;
};

class Session {
 public:
  // Connects to a contact point, reads the topology, opens the pools; done
  // when every reachable node has one connection. kUnavailable names each
  // contact point with why it failed; kUnauthenticated for bad credentials.
  static ioloop::Task<absl::StatusOr<std::unique_ptr<Session>>> Connect(
      ioloop::Loop* loop, SessionOptions options);
  ~Session();  // REQUIRES: Close() was awaited.

  // Prepares on one node now and on others when they first need it. The
  // statement is valid as long as the session.
  ioloop::Task<absl::StatusOr<const PreparedStatement*>> Prepare(
      std::string text, StatementOptions options);

  // Starts `statement` with `values` bound in order. The request is encoded
  // before this returns, so `values` may go; it leaves at the end of this turn.
  //
  // Await the query once for its rows. Errors: kInvalidArgument (values do not
  // fit the statement; nothing was sent), kUnavailable (no connection to a
  // replica; nothing was sent), kDeadlineExceeded (it may still be applied), or
  // the server's, see ErrorCode().
  //
  // The query must not outlive this session. Destroying it unawaited drops the
  // answer, not the request. Allocates nothing in steady state.
  template <typename... Values>
  Query Execute(const PreparedStatement& statement, const Values&... values) {
    return Execute(RequestOptions{}, statement, values...);
  }
  template <typename... Values>
  Query Execute(const RequestOptions& options,
                const PreparedStatement& statement, const Values&... values);

  // An unprepared statement without values: DDL and tools.
  Query ExecuteText(const RequestOptions& options, std::string_view text);

  // BATCH of prepared statements: see Batch in statement.h.
  Query ExecuteBatch(const RequestOptions& options, const Batch& batch);

  // Waits until every reachable node reports one schema version.
  ioloop::Task<absl::Status> AwaitSchemaAgreement(absl::Duration timeout);

  // Ends queries in flight with kCancelled and closes every connection.
  ioloop::Task<void> Close();

  // Connections open now; what the process prints at start.
  size_t connections() const;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_SESSION_H_
