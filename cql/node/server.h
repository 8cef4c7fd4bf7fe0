// The embedded development node: a CQL v4 server for one machine, on a loop,
// over the engine. It speaks ScyllaDB's shard extension with as many shards as
// it is told, so that clients can be developed and tested without a ScyllaDB.
//
//   auto node = cql::node::Node::Start(loop, {.data_dir = dir, .port = 0});
//   ... (*node)->address(), (*node)->shard_aware_address() ...
//   co_await (*node)->Stop();
//
// It is for development: one node, no replication.
#ifndef RINGPLANE_CQL_NODE_SERVER_H_
#define RINGPLANE_CQL_NODE_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cql/node/engine.h"
#include "cql/node/rules.h"
#include "cql/protocol/response.h"
#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/task.h"

namespace cql::node {

class Connection;
class GroupCommit;
struct RequestScratch;

struct NodeOptions {
  // See EngineOptions.
  std::string data_dir;
  SyncMode sync = SyncMode::kDisk;
  Limits limits;

  std::string listen_host = "127.0.0.1";  // An IP address.
  uint16_t port = 9042;                   // 0 picks a free one.
  // A connection to this port gets the shard that its source port says. 0
  // picks a free one; nothing: there is no such port.
  std::optional<uint16_t> shard_aware_port = 19042;

  // Shards that clients see; they share one loop and one engine. At most
  // 65535.
  uint32_t shards = 1;
  uint8_t sharding_ignore_msb = 12;
  // Without it the node looks like a ScyllaDB that tells no sharding.
  bool announce_sharding = true;
  // The other extensions: LWT mark, rate limit error, metadata ids.
  bool announce_extensions = true;

  std::string cluster_name = "ringplane";
  std::string data_center = "datacenter1";
  std::string rack = "rack1";

  // PasswordAuthenticator with this one account; empty: everybody is let in.
  std::string username;
  std::string password;

  // For STARTUP and authentication; then the connection is reset.
  absl::Duration startup_timeout = absl::Seconds(10);
  // More are closed as they come.
  uint32_t connections_max = 1024;
  // Of a request; before a connection is let in it is 100,000.
  uint32_t frame_bytes_max = 32 << 20;
  // Of a request's body once decompressed.
  uint32_t decompressed_bytes_max = 32 << 20;
  // Answers waiting for a client that does not read, per connection. Past it
  // the node reads no more requests of that client; one answer may exceed it.
  size_t output_bytes_max = 4 << 20;
  // EXECUTEs that executes() remembers, the latest; 0: none.
  uint32_t execute_log_max = 0;
};

// One EXECUTE, as tests look at routing.
struct ExecuteLogEntry {
  uint64_t connection = 0;
  bool shard_aware_port = false;
  uint16_t source_port = 0;
  uint32_t shard = 0;  // Of the connection.
  // Of the partition, if the statement names exactly one.
  std::optional<int64_t> token;
  std::optional<uint32_t> token_shard;
  std::string statement;
};

struct ConnectionInfo {
  uint64_t id = 0;
  bool shard_aware_port = false;
  uint16_t source_port = 0;
  uint32_t shard = 0;
  bool ready = false;  // Past STARTUP and authentication.
};

struct NodeStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // Above connections_max.
  uint64_t requests = 0;
  uint64_t errors = 0;  // ERROR frames sent.
  uint64_t syncs = 0;   // Groups of writes made durable.
  // Times that a connection was not read because its client read nothing.
  uint64_t output_stalls = 0;
};

class Node {
 public:
  // Opens the data folder and listens. Errors: those of Engine::Open and of
  // Listener::Bind, and kInvalidArgument for options that make no sense.
  static absl::StatusOr<std::unique_ptr<Node>> Start(ioloop::Loop* loop,
                                                     NodeOptions options);
  ~Node();  // REQUIRES: Stop() was awaited.
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Stops accepting, closes every connection, makes what was executed durable.
  ioloop::Task<void> Stop();

  // With the ports that were picked.
  const ioloop::SocketAddress& address() const { return address_; }
  // Unset (AF_UNSPEC) when there is none.
  const ioloop::SocketAddress& shard_aware_address() const {
    return shard_aware_address_;
  }

  const NodeOptions& options() const { return options_; }
  NodeStats stats() const;
  Engine* engine() { return engine_.get(); }

  // --- For tests ---

  Rules& rules() { return rules_; }
  std::vector<ConnectionInfo> connections() const;
  const std::deque<ExecuteLogEntry>& executes() const { return executes_; }
  void ClearExecutes() { executes_.clear(); }
  // Closes a connection with a reset; nothing if there is none of that id.
  void ResetConnection(uint64_t id);
  // Sends an event to the connections that registered for it.
  void SendEvent(const protocol::Event& event);
  // Forgets every prepared statement, as a restarted server has.
  void ForgetPrepared();

 private:
  friend class Connection;

  struct Port {
    explicit Port(ioloop::Listener bound, bool aware)
        : listener(std::move(bound)), shard_aware(aware) {}
    ioloop::Listener listener;
    bool shard_aware;
  };

  // The id of a statement's result metadata, while the columns are the same.
  struct MetadataId {
    std::shared_ptr<const ColumnSpecs> columns;
    std::string id;
  };

  Node(ioloop::Loop* loop, NodeOptions options);
  absl::Status Listen(uint16_t port, bool shard_aware,
                      ioloop::SocketAddress* bound);
  ioloop::Task<void> Accept(Port* port);
  ioloop::Task<void> Serve(ioloop::Stream stream, bool shard_aware);
  uint32_t ShardFor(bool shard_aware, uint16_t source_port);
  std::string_view MetadataIdOf(const Statement& statement);
  void LogExecute(const Connection& connection, const Statement& statement,
                  absl::Span<const Value> values);

  ioloop::Loop* const loop_;
  const NodeOptions options_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<GroupCommit> commit_;
  ioloop::SocketAddress address_;
  ioloop::SocketAddress shard_aware_address_;
  std::vector<std::unique_ptr<Port>> ports_;
  ioloop::TaskGroup tasks_;
  std::vector<Connection*> connections_;
  uint64_t next_connection_id_ = 1;
  uint32_t next_shard_ = 0;
  bool stopping_ = false;
  // After ForgetPrepared(): what was prepared since.
  std::optional<absl::flat_hash_set<StatementId>> prepared_since_;

  NodeStats stats_;
  Rules rules_;
  std::deque<ExecuteLogEntry> executes_;
  absl::flat_hash_map<std::string, MetadataId> metadata_ids_;

  std::unique_ptr<RequestScratch> scratch_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_SERVER_H_
