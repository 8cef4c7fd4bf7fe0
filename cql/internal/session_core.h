// The working parts of a session: its nodes, where a query goes, what becomes
// of it.
#ifndef RINGPLANE_CQL_INTERNAL_SESSION_CORE_H_
#define RINGPLANE_CQL_INTERNAL_SESSION_CORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/connection.h"
#include "cql/control.h"
#include "cql/internal/chunk_pool.h"
#include "cql/internal/deadline_wheel.h"
#include "cql/internal/flights.h"
#include "cql/internal/node_statement.h"
#include "cql/internal/router.h"
#include "cql/internal/slow_log.h"
#include "cql/internal/speculation.h"
#include "cql/internal/token_bucket.h"
#include "cql/pool.h"
#include "cql/protocol/response.h"
#include "cql/protocol/value_types.h"
#include "cql/session.h"
#include "cql/topology.h"
#include "ioloop/task.h"
#include "ioloop/timer.h"

namespace cql::internal {

// Immovable. Order of a query's life: Route() chooses a connection; SendOn()
// puts it on the wire, or in the line of the connection or of the PREPARE it
// needs; its answer or failure comes to the Query, which asks for Route() again
// or Reprepare(), or is done.
class SessionCore {
 public:
  SessionCore(ioloop::Loop* loop, SessionOptions options);
  SessionCore(const SessionCore&) = delete;
  SessionCore& operator=(const SessionCore&) = delete;
  ~SessionCore();

  ioloop::Task<absl::Status> Connect();
  ioloop::Task<void> Close();
  bool closing() const { return closing_; }

  // See Session.
  ioloop::Task<absl::StatusOr<const PreparedStatement*>> Prepare(
      std::string text, StatementOptions options);

  // --- The path of a query -------------------------------------------------

  // Chooses a connection and sends `query`, or ends it.
  void Route(Query* query);
  // Sends `query` on a connection of `node`, or puts it in line, unless it is
  // `first_in_line` already.
  void SendOn(Query* query, NodePool* node, Connection* connection,
              bool first_in_line = false);
  // `node` does not know the statement `unknown_id` that `query` was sent with.
  void Reprepare(Query* query, NodePool* node, std::string_view unknown_id);

  // The columns of an answer that tells them: those known already if they are
  // the same, else new ones, which the statement keeps. `statement` may be
  // null.
  absl::StatusOr<MetadataRef> ReadMetadata(
      const PreparedStatement* statement, NodePool* node,
      const protocol::RowsMetadataView& metadata);

  // --- What only some queries need (session_special.cc) ----------------------

  // Starts a query whose statement speculates or coalesces.
  void StartSpecial(Query* query);
  // Sends an extra request of `query` to another node, or lets it be.
  void SendExtra(Query* query, ExtraRequest* extra);
  void AddExtra(Query* query, ExtraRequest* extra, int64_t delay_ns);
  void NoteExtraWon(const Query& query);
  // `query` is about to end at its deadline, unanswered. If it had at least
  // `overload_ns`, its connection has too much to do.
  void NoteTimeout(const Query& query, int64_t overload_ns);
  void NoteSlow(const Query& query, absl::StatusCode outcome);
  // See Session.
  std::vector<QueryInFlight> InFlight(size_t most) const;

  // `query` is answered by a RESULT.
  void NoteAnswer(const Query& query, Connection* connection) {
    const int64_t now_ns = loop_->now_ns();
    connection->metrics()->latency.Record(now_ns - query.sent_ns_);
    if (query.statement_ != nullptr &&
        query.statement_->speculation_ != nullptr) {
      query.statement_->speculation_->OnAnswered(now_ns - query.started_ns_);
    }
  }
  // Takes its part of the retry budget; counts if there is none.
  bool MayRetry() {
    if (retry_budget_.Spend()) return true;
    ++counters_.retries_denied;
    return false;
  }

  // --- What the nodes tell ---------------------------------------------------

  // The payload beside an answer to `statement`: where its row is.
  void OnTablet(const PreparedStatement& statement, std::string_view payload);
  void OnSchemaChange(const protocol::SchemaChange& change);

  // Takes over a reading of the topology: opens pools of new nodes of the
  // local datacenter, closes those of nodes that left.
  absl::Status ApplyTopology(
      std::vector<NodeInfo> nodes,
      const std::vector<std::pair<std::string, Replication>>& keyspaces);
  void OnNodeUp(const Inet& address);
  // Of nodes with an open connection, or of those without.
  std::vector<ioloop::SocketAddress> NodeAddresses(bool connected) const;
  // Not one of ours, or with an open connection.
  bool IsReachable(std::string_view host_id) const;

  // --- Parts -----------------------------------------------------------------

  const SessionOptions& options() const { return options_; }
  ConnectionContext* context() { return &context_; }
  SessionCounters* counters() { return &counters_; }
  const TabletMap& tablets() const { return router_.tablets(); }
  ChunkPool* chunks() { return chunks_; }
  DeadlineWheel* deadlines() { return &deadlines_; }
  ioloop::Loop* loop() const { return loop_; }
  Control* control() { return &control_; }
  // Of a request without a deadline that starts now.
  int64_t DefaultDeadlineMs(int64_t now_ns) const {
    return now_ns / 1000000 + request_timeout_ms_;
  }
  TokenBucket* retry_budget() { return &retry_budget_; }
  Flights* flights() { return &flights_; }
  DeadlineWheel* extra_delays() { return &extra_delays_; }
  const SlowLog& slow_log() const { return slow_log_; }
  int64_t slow_ns() const { return slow_ns_; }
  size_t connections() const;
  SessionStats stats() const;

 private:
  // A node of the cluster, by its number in this session. Numbers are reused.
  struct Node {
    std::string host_id;
    std::unique_ptr<NodePool> pool;
  };

  // The node's knowledge of the first statement of `query` that is not
  // prepared there; null if all are.
  NodeStatement* Unprepared(Query* query, NodePool* node,
                            const PreparedStatement** statement);
  NodeStatement* StateOn(const PreparedStatement& statement, NodePool* node) {
    const size_t index = node->index();
    if (__builtin_expect(index < statement.nodes_.size() &&
                             statement.nodes_[index] != nullptr,
                         1)) {
      return statement.nodes_[index].get();
    }
    return NewStateOn(statement, node);
  }
  NodeStatement* NewStateOn(const PreparedStatement& statement, NodePool* node);
  void TransmitExecute(Query* query, const NodeStatement& state, NodePool* node,
                       Connection* connection);
  // Sends the EXECUTE of `query`, whose answer `request` waits for and is read
  // with `*metadata` if it has none.
  void SendExecute(PendingRequest* request, const Query& query,
                   const NodeStatement& state, Connection* connection,
                   MetadataRef* metadata);
  // What is kept of `query` each time it is sent.
  void NoteSent(Query* query, NodePool* node, Connection* connection);
  std::string NodeName(uint16_t number) const;
  void Transmit(Query* query, NodePool* node, Connection* connection);
  void StartPrepare(const PreparedStatement* statement, NodePool* node,
                    Connection* connection);
  ioloop::Task<void> PrepareOn(const PreparedStatement* statement,
                               NodePool* node, Connection* connection);
  // PREPAREs `statement` and reads the answer into it and `*state`. `*settled`:
  // an error that came is the server's last word.
  ioloop::Task<absl::Status> AskPrepare(PreparedStatement* statement,
                                        Connection* connection,
                                        NodeStatement* state, bool* settled);
  static absl::Status ReadPrepared(const OwnedAnswer& answer,
                                   const ServerInfo& server, bool with_timeout,
                                   PreparedStatement* statement,
                                   NodeStatement* state);
  void Refuse(Query* query, uint64_t SessionCounters::* outcome,
              absl::Status status);

  uint16_t AddNode(const NodeInfo& info);
  ioloop::Task<void> CloseNode(std::unique_ptr<NodePool> pool);
  static void OnTick(ioloop::Timer* timer);

  struct TickTimer : ioloop::Timer {
    TickTimer(ioloop::Loop* loop, SessionCore* owner)
        : Timer(loop, &SessionCore::OnTick), core(owner) {}
    SessionCore* core;
  };

  ioloop::Loop* const loop_;
  SessionOptions options_;
  const int64_t request_timeout_ms_;
  const int64_t slow_ns_;
  SessionCounters counters_;
  TokenBucket retry_budget_;
  Flights flights_;
  SlowLog slow_log_;
  ChunkPool* const chunks_;
  DeadlineWheel deadlines_;
  DeadlineWheel extra_delays_;
  ConnectionContext context_;
  std::vector<Node> nodes_;
  Router router_;
  std::vector<std::unique_ptr<PreparedStatement>> statements_;
  Control control_;
  TickTimer tick_;
  bool closing_ = false;
  ioloop::TaskGroup tasks_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_SESSION_CORE_H_
