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
#include "cql/internal/node_statement.h"
#include "cql/internal/router.h"
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
  // Of a request without a deadline.
  int64_t DefaultDeadlineMs() const {
    return loop_->now_ns() / 1000000 + request_timeout_ms_;
  }
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
  void Transmit(Query* query, NodePool* node, Connection* connection);
  void StartPrepare(const PreparedStatement* statement, NodePool* node,
                    Connection* connection);
  ioloop::Task<void> PrepareOn(const PreparedStatement* statement,
                               NodePool* node, Connection* connection);
  static absl::Status ReadPrepared(const OwnedAnswer& answer,
                                   const ServerInfo& server,
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
  SessionCounters counters_;
  ChunkPool* const chunks_;
  DeadlineWheel deadlines_;
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
