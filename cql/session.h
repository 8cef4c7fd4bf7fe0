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
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/protocol/error.h"  // ErrorCode(status)
#include "cql/query.h"
#include "cql/secure_channel.h"
#include "cql/setup_governor.h"
#include "cql/statement.h"
#include "cql/stats.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace cql {

struct SessionOptions {
  // "host:port" each; names are resolved. At least one must answer.
  std::vector<std::string> contact_points;
  std::string username;  // Empty: no authentication is offered.
  std::string password;
  // Encrypts connections (TlsTransport() in cql/tls.h); null: they are plain.
  std::shared_ptr<SecureTransport> tls;
  std::string keyspace;  // Empty: statements name theirs.
  // Data centre whose nodes are used; empty: that of the first contact.
  // Nodes elsewhere are not connected to: to serve from there would change
  // what LOCAL_QUORUM means.
  std::string local_datacenter;
  // Rack whose replicas are asked before those of other racks, as long as one
  // of them can be reached; empty: all racks are alike. Across racks a request
  // costs time, and money where racks are availability zones.
  std::string local_rack;
  Consistency read_consistency = Consistency::kLocalQuorum;
  Consistency write_consistency = Consistency::kLocalQuorum;
  absl::Duration connect_timeout = absl::Seconds(5);
  // Of a request that gives no deadline.
  absl::Duration request_timeout = absl::Seconds(10);
  // Most requests in flight per connection (at most 32768), and most that
  // wait for a place; past both a query ends with kResourceExhausted, unsent.
  uint32_t in_flight_max = 4096;
  uint32_t queued_max = 16384;
  // A server that says Overloaded, or that leaves a request unanswered for
  // 100 ms up to its deadline, is given fewer at once, down to this, and more
  // again while it serves what waits. in_flight_max or above: never fewer.
  uint32_t in_flight_min = 64;
  // Requests sent again, for a broken connection or a statement that the node
  // forgot, are at most this share of all, and at most `retry_burst` at once;
  // past it they end with the error.
  double retry_share = 0.2;
  uint32_t retry_burst = 16384;
  // Queries that take at least this long are kept for Session::slow_queries(),
  // the last `slow_queries_max` of them.
  absl::Duration slow_query = absl::Seconds(1);
  uint32_t slow_queries_max = 64;
  // Stream ids whose caller left, per connection, before it is replaced.
  uint32_t orphans_max = 1024;
  absl::Duration reconnect_min = absl::Milliseconds(50);
  absl::Duration reconnect_max = absl::Seconds(10);
  // How fast and how many at once connections are set up, over all sessions
  // that share it; null: SetupGovernor::Process().
  std::shared_ptr<SetupGovernor> governor;
  // One connection per shard for reads and one for writes. False: one of each
  // per node.
  bool shard_aware = true;
  // Largest request and largest answer.
  uint32_t frame_bytes_max = 64 << 20;
  // A connection that was silent this long is asked whether it lives, one with
  // requests in flight after half a second; no answer in time ends it.
  absl::Duration heartbeat_interval = absl::Seconds(30);
  absl::Duration heartbeat_timeout = absl::Seconds(2);
  // A connection that owes answers and was silent this long gets requests only
  // when no other replica can be asked, until it is heard again. In steps of
  // 100 ms.
  absl::Duration unresponsive_after = absl::Milliseconds(200);
  // Topology and schema events are gathered for this long, then read once.
  absl::Duration event_window = absl::Seconds(1);
  // Tablets (ScyllaDB) whose place is remembered, about 64 bytes each. Past it
  // no more are: their requests are passed on by the node they come to.
  size_t tablets_max = 1 << 17;
  // Session::TabletCache() of an earlier session to the same cluster; empty:
  // none. What is damaged, or of another version, is ignored with a warning.
  std::string tablet_cache;
  // Memory for requests and results that is kept for the next ones.
  size_t recycled_bytes_max = 32 << 20;
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
  // replica, or a line that outlasts the deadline, nothing was sent; or the
  // connection broke, and the message says that it may have been applied),
  // kResourceExhausted (no place in flight or in line; nothing was sent),
  // kDeadlineExceeded (it may still be applied),
  // kCancelled (the session is closed), or the server's, see ErrorCode().
  //
  // The query must not outlive this session. Destroying it unawaited drops the
  // answer, not the request. Allocates nothing in steady state.
  template <typename... Values>
  Query Execute(const PreparedStatement& statement, const Values&... values) {
    return Query(core_.get(), RequestOptions{}, statement, values...);
  }
  template <typename... Values>
  Query Execute(const RequestOptions& options,
                const PreparedStatement& statement, const Values&... values) {
    return Query(core_.get(), options, statement, values...);
  }

  // An unprepared statement without values: DDL and tools.
  Query ExecuteText(const RequestOptions& options, std::string_view text) {
    return Query(core_.get(), options, text);
  }

  // BATCH of prepared statements: see Batch in statement.h.
  Query ExecuteBatch(const RequestOptions& options, const Batch& batch) {
    return Query(core_.get(), options, batch);
  }

  // Waits until every reachable node reports one schema version.
  ioloop::Task<absl::Status> AwaitSchemaAgreement(absl::Duration timeout);

  // Ends queries in flight with kCancelled and closes every connection.
  ioloop::Task<void> Close();

  // The tablets known now, for SessionOptions::tablet_cache: with them a client
  // that starts again asks the right shards at once. With a checksum, to be
  // written to a file as they are.
  std::string TabletCache() const;

  // Connections open now; what the process prints at start.
  size_t connections() const;

  // Counters, and what each shard has in flight. Walks the connections.
  SessionStats stats() const;
  // The last queries that took long, oldest first.
  std::vector<SlowQuery> slow_queries() const;
  // At most `most` of the queries that are not done, in no order. Walks them.
  std::vector<QueryInFlight> in_flight(size_t most) const;

 private:
  friend class QuerySet;
  explicit Session(std::unique_ptr<internal::SessionCore> core);

  const std::unique_ptr<internal::SessionCore> core_;
};

// The pages of one query, each asked for when it is wanted. `start` is called
// with the options of a page and returns its query:
//
//   auto start = [&](const cql::RequestOptions& page) {
//     return session->Execute(page, *select, actor);
//   };
//   cql::Pages pages(options, start);
//   while (pages.more()) {
//     absl::StatusOr<cql::Rows> rows = co_await pages.Next();
//     if (!rows.ok()) ...
//
// A server that gives the page it was asked for for ever is stopped: the
// second time a page ends where it began is kDataLoss.
template <typename Start>
class Pages {
 public:
  Pages(RequestOptions options, Start start)
      : options_(options),
        start_(std::move(start)),
        paging_state_(options.paging_state) {}

  // There may be another page. False after an error.
  bool more() const { return more_; }

  // REQUIRES: more().
  ioloop::Task<absl::StatusOr<Rows>> Next() {
    options_.paging_state = paging_state_;
    Query query = start_(options_);
    absl::StatusOr<Rows> rows = co_await query;
    more_ = rows.ok() && rows->has_more_pages();
    if (more_ && rows->paging_state() == paging_state_) {
      more_ = false;
      co_return absl::DataLossError("the server gives the same page again");
    }
    if (more_) paging_state_.assign(rows->paging_state());
    co_return rows;
  }

 private:
  RequestOptions options_;
  Start start_;
  std::string paging_state_;
  bool more_ = true;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_SESSION_H_
