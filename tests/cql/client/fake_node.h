// A node to test the client against: speaks the protocol's server side in the
// test's own loop and does what the test says.
#ifndef RINGPLANE_TESTS_CQL_CLIENT_FAKE_NODE_H_
#define RINGPLANE_TESTS_CQL_CLIENT_FAKE_NODE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cql/protocol/error.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "cql/secure_channel.h"
#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/stop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace cql::testing {

class FakeNode;

// A statement that the node lets itself be asked.
struct FakeStatement {
  std::string text;
  protocol::ColumnSpecs binds;
  std::vector<uint16_t> partition_key;
  protocol::ColumnSpecs results;
  std::string id;
  std::string metadata_id = "metadata-1";
  // Prepared with the mark of light-weight transactions, where that is agreed.
  bool lightweight_transaction = false;
};

using Cells = std::vector<std::optional<std::string>>;

// A client's connection, as the node sees it.
struct FakeConnection {
  FakeNode* node = nullptr;
  ioloop::Stream stream;
  std::unique_ptr<SecureChannel> channel;  // Over `stream`, if there is one.
  ioloop::StopSource stop;                 // Of its Receive().
  uint32_t shard = 0;
  uint16_t source_port = 0;
  bool on_shard_port = false;
  bool metadata_id = false;
  bool transaction_mark = false;
  bool tablets = false;
  bool ready = false;  // Was told READY.
  bool registered = false;
  bool closed = false;
  std::vector<std::pair<std::string, std::string>> startup;

  void Reply(int16_t stream_id, protocol::Opcode opcode, std::string_view body,
             uint8_t flags = 0);
  // With `before` instead of what the node puts before its answers.
  void Reply(int16_t stream_id, protocol::Opcode opcode, std::string_view body,
             const protocol::ResponsePrefix& before, uint8_t flags = 0);
  void ReplyError(int16_t stream_id, ServerCode code, std::string_view message,
                  std::string_view unprepared_id = "");
  void ReplyVoid(int16_t stream_id);
  void Raw(std::string_view bytes);
  // Ends it: the client sees the end of the stream.
  void Kill();
};

// A request that a test's handler sees; views are valid during the call.
struct FakeRequest {
  std::shared_ptr<FakeConnection> connection;
  int16_t stream = 0;
  protocol::Opcode opcode = protocol::Opcode::kQuery;
  uint8_t flags = 0;                                  // Of the frame.
  const FakeStatement* statement = nullptr;           // EXECUTE
  const protocol::ExecuteRequest* execute = nullptr;  // EXECUTE
  std::string_view text;                              // QUERY, PREPARE
  const protocol::BatchRequest* batch = nullptr;      // BATCH

  int64_t key() const;  // The first bound value as bigint.
  bool skip_metadata() const;
  // Rows of the statement's results.
  void ReplyRows(const std::vector<Cells>& rows,
                 std::string_view paging_state = "") const;
  // The same, with a custom payload before it.
  void ReplyRowsAndPayload(const std::vector<Cells>& rows, std::string_view key,
                           std::string_view value) const;
};

// Body of a RESULT of rows.
std::string RowsBody(const protocol::ColumnSpecs& columns, bool skip_metadata,
                     const std::vector<Cells>& rows,
                     std::string_view paging_state = "");
std::string Bigint(int64_t value);

class FakeNode {
 public:
  struct Options {
    std::string ip = "127.0.0.1";
    uint16_t port = 0;
    uint16_t shards = 0;  // 0: plain Cassandra.
    bool shard_aware_port = true;
    // The shard-aware port chooses by another number than the client thinks.
    bool nat = false;
    bool metadata_id = false;
    bool tablets = false;  // TABLETS_ROUTING_V1 is offered.
    // Makes a channel of what was accepted; empty: connections are plain.
    std::function<ioloop::Task<absl::StatusOr<std::unique_ptr<SecureChannel>>>(
        ioloop::Stream)>
        secure;
    std::string authenticator;  // Empty: none is asked for.
    std::string username = "user";
    std::string password = "secret";
    std::vector<int64_t> tokens = {0};
    std::string datacenter = "dc1";
    std::string rack = "rack1";
    // Stands before the body of everything the node sends, as the warnings of
    // a server do.
    protocol::ResponsePrefix prefix;
  };

  FakeNode(ioloop::Loop* loop, Options options);
  ~FakeNode();

  Options& options() { return options_; }
  uint16_t port() const { return port_; }
  std::string address() const;

  // Other rows of system.peers, as (ip, host number, datacenter, rack, tokens).
  void AddPeer(FakeNode* peer) { peers_.push_back(peer); }
  void RemovePeers() { peers_.clear(); }
  std::string host_id() const;
  void AddStatement(FakeStatement statement);
  void SetKeyspace(std::string name,
                   std::map<std::string, std::string> replication);

  // Handlers return whether they dealt with the request; without one, or when
  // it says no, an EXECUTE answers its key and "v<key>".
  std::function<bool(const FakeRequest&)> on_execute;
  std::function<bool(const FakeRequest&)> on_query;
  std::function<bool(const FakeRequest&)> on_prepare;
  std::function<bool(const FakeRequest&)> on_batch;
  std::function<bool(const FakeRequest&)> on_options;

  // Forgets prepared statements, as a restart does.
  void ForgetPrepared() { prepared_.clear(); }
  void SendEvent(const protocol::Event& event);
  void KillConnections();
  // Stops listening; `Listen()` starts again on the same port.
  ioloop::Task<void> StopListening();
  void Listen();
  ioloop::Task<void> Close();

  std::vector<std::shared_ptr<FakeConnection>> Connections() const;
  int executes = 0;
  int prepares = 0;
  int accepted = 0;
  std::vector<absl::Time> accepted_at;
  // Connections that are not told READY yet; now, and the most there were.
  int in_setup = 0;
  int in_setup_max = 0;
  int peers_reads = 0;

 private:
  ioloop::Task<void> Accept(ioloop::Listener* listener, bool shard_port);
  ioloop::Task<void> Serve(std::shared_ptr<FakeConnection> connection);
  ioloop::Task<void> ServeSecure(std::shared_ptr<FakeConnection> connection,
                                 protocol::FrameReader* reader);
  // False: there is nothing more to be read.
  bool Feed(const std::shared_ptr<FakeConnection>& connection,
            protocol::FrameReader* reader, std::string_view bytes);
  void Handle(const std::shared_ptr<FakeConnection>& connection,
              const protocol::Frame& frame);
  void Options_(const std::shared_ptr<FakeConnection>& connection,
                int16_t stream);
  void Query(const std::shared_ptr<FakeConnection>& connection, int16_t stream,
             std::string_view text);
  void Prepare(const std::shared_ptr<FakeConnection>& connection,
               int16_t stream, std::string_view text);

  ioloop::Loop* const loop_;
  Options options_;
  uint16_t port_ = 0;
  uint16_t shard_port_ = 0;
  uint32_t next_shard_ = 0;
  std::optional<ioloop::Listener> listener_;
  std::optional<ioloop::Listener> shard_listener_;
  std::set<std::shared_ptr<FakeConnection>> connections_;
  std::vector<FakeNode*> peers_;
  std::map<std::string, FakeStatement> statements_;       // By text.
  std::map<std::string, const FakeStatement*> prepared_;  // By id.
  std::map<std::string, std::map<std::string, std::string>> keyspaces_;
  ioloop::TaskGroup tasks_;
};

// "SELECT key, value FROM ks.t WHERE key = ?" and "UPDATE ks.t SET value = ?
// WHERE key = ?" with bigint keys.
inline constexpr std::string_view kSelect =
    "SELECT key, value FROM ks.t WHERE key = ?";
inline constexpr std::string_view kUpdate =
    "UPDATE ks.t SET value = ? WHERE key = ?";
FakeStatement SelectStatement();
FakeStatement UpdateStatement();

}  // namespace cql::testing

#endif  // RINGPLANE_TESTS_CQL_CLIENT_FAKE_NODE_H_
