// One connection to a node: joins the protocol to a stream.
#ifndef RINGPLANE_CQL_CONNECTION_H_
#define RINGPLANE_CQL_CONNECTION_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/internal/adaptive_limit.h"
#include "cql/internal/chunk_pool.h"
#include "cql/internal/deadline_wheel.h"
#include "cql/internal/pending_request.h"
#include "cql/internal/service_rate.h"
#include "cql/internal/shard_metrics.h"
#include "cql/internal/stream_table.h"
#include "cql/internal/transport.h"
#include "cql/internal/waiting_line.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "cql/sharding.h"
#include "cql/stats.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace cql {
struct SessionOptions;
}

namespace cql::internal {

// What all connections of a session share. Outlives them.
struct ConnectionContext {
  ioloop::Loop* loop;
  const SessionOptions* options;
  ChunkPool* chunks;
  DeadlineWheel* deadlines;
  SessionCounters* counters;
};

// What a node said of itself and of this connection in SUPPORTED.
struct ServerInfo {
  bool scylla = false;  // Told its shards: USING TIMEOUT is understood.
  ShardingInfo sharding;
  uint32_t shard = 0;  // Of this connection.
  uint16_t shard_aware_port = 0;
  bool metadata_id = false;       // SCYLLA_USE_METADATA_ID is in force.
  uint32_t transaction_mark = 0;  // In the flags of PREPARED; 0: none.
};

// Whom a connection tells. Calls come from the loop, inside the connection's
// receive or send; the observer may not destroy the connection in them.
class ConnectionObserver {
 public:
  // Once, when the connection ends otherwise than by Shutdown(), and before
  // its requests are told: do not choose it again.
  virtual void OnBroken(Connection* connection, const absl::Status& why) = 0;
  // Too many orphans: open another one, then Retire() this.
  virtual void OnWornOut(Connection* connection) = 0;
  // An EVENT frame.
  virtual void OnEvent(Connection* connection, const Answer& event) = 0;
  // `query`, out of the line, can be sent here, or, when the connection is
  // broken, elsewhere. The observer sends it: it may have to be prepared first.
  virtual void OnRoom(Connection* connection, Query* query) = 0;

 protected:
  ~ConnectionObserver() = default;
};

// A request of the client's own, in the frame of the coroutine that awaits it:
//
//   Call call(connection, protocol::Opcode::kQuery, body, deadline);
//   absl::StatusOr<OwnedAnswer> answer = co_await call;
//
// An ERROR frame comes back as its status.
struct OwnedAnswer {
  protocol::FrameHeader header;
  Chunk chunk;
  // What follows the prefix (warnings and the like) that `header.flags` tells
  // of.
  std::string_view body;
};

class Call final : private PendingRequest {
 public:
  Call(Connection* connection, protocol::Opcode opcode, std::string_view body,
       absl::Time deadline);
  ~Call();

  bool await_ready() const noexcept { return done_; }
  void await_suspend(std::coroutine_handle<> waiter) noexcept {
    waiter_ = waiter;
  }
  absl::StatusOr<OwnedAnswer> await_resume();

 private:
  void OnAnswer(const Answer& answer) override;
  void OnConnectionLost(const absl::Status& why) override;
  void OnDeadline() override;
  void Finish(absl::Status status);

  ConnectionContext* const context_;
  bool done_ = false;
  absl::Status status_;
  OwnedAnswer answer_;
  std::coroutine_handle<> waiter_;
};

// Thread-safety: none. Created by Open(), ended by Shutdown() before it is
// destroyed.
class Connection {
 public:
  // Connects, from `source_port` if not zero, and speaks OPTIONS, STARTUP,
  // authentication and USE. `observer` outlives the connection.
  //
  // Errors: kAlreadyExists when the source port is taken, kUnauthenticated for
  // bad credentials or a server that would take them wrongly,
  // kDeadlineExceeded, kUnavailable, or the server's.
  static ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> Open(
      ConnectionContext* context, ConnectionObserver* observer,
      ioloop::SocketAddress address, uint16_t source_port);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  const ServerInfo& server() const { return server_; }
  const ioloop::SocketAddress& address() const { return address_; }
  // "10.0.0.3:9042 shard 4", or without a shard.
  const std::string& name() const { return name_; }

  bool open() const { return state_ == State::kOpen; }
  const absl::Status& status() const { return status_; }

  // A request can be sent now.
  bool HasRoom() const {
    return !streams_.full() && transport_.queued_bytes() < kQueuedBytesMax;
  }

  // Takes a stream id for `request` and queues its frame, which leaves at the
  // end of the turn. fill(char*) writes exactly `body_bytes`.
  //
  // REQUIRES: open(), `request` waits for nothing.
  template <typename Fill>
  void Send(PendingRequest* request, protocol::Opcode opcode, size_t body_bytes,
            Fill&& fill, uint8_t flags = 0) {
    const int16_t stream = streams_.Take(request);
    request->connection_ = this;
    request->stream_ = stream;
    const size_t bytes = protocol::kHeaderBytes + body_bytes;
    char* out = transport_.Reserve(bytes);
    protocol::FrameHeader header;
    header.flags = flags;
    header.stream = stream;
    header.opcode = opcode;
    header.length = static_cast<uint32_t>(body_bytes);
    protocol::EncodeHeader(header, out);
    fill(out + protocol::kHeaderBytes);
    transport_.Commit(bytes);
  }

  // `request` leaves before its answer came: its id becomes an orphan.
  void Forget(PendingRequest* request);
  // `to` waits for the answer of `from` in its place.
  void PassOn(PendingRequest* from, PendingRequest* to);

  // Queries that wait for room here.
  WaitingLine& line() { return line_; }
  const WaitingLine& line() const { return line_; }
  // `query` waits for room.
  void StandInLine(Query* query);
  // How long a query with this deadline would stand in line, as far as known.
  absl::Duration ExpectedWait(int64_t deadline_ms) const;

  // A request that was sent at `sent_ns` was more than the server could do.
  void OnOverloaded(int64_t sent_ns);
  // Requests that may be in flight: in_flight_max or, after an overload, less.
  uint32_t in_flight_limit() const { return limit_.limit(); }

  // Where it is counted what happens here; outlives the connection.
  ShardMetrics* metrics() const { return metrics_; }
  void set_metrics(ShardMetrics* metrics) { metrics_ = metrics; }

  uint32_t in_flight() const { return streams_.taken(); }
  // What is in flight and in line; far more while it is unresponsive.
  size_t load() const {
    return streams_.taken() + line_.size() +
           (responsive_ ? 0 : kUnresponsiveLoad);
  }
  // False while answers are owed and nothing has come for `unresponsive_after`.
  bool responsive() const { return responsive_; }
  uint32_t orphans() const { return streams_.orphans(); }

  // Sends nothing new; breaks with `why` once nothing is in flight, or at
  // `deadline`.
  void Retire(absl::Time deadline);
  bool retiring() const { return retiring_; }

  // Every kTick: looks whether the server responds, asks a silent one whether
  // it lives, and breaks the connection if it does not say so in time.
  static constexpr absl::Duration kTick = absl::Milliseconds(100);
  void Tick();

  // Breaks the connection: its requests end with `why`.
  void Break(absl::Status why);

  // Ends it, telling whoever still waits, and awaits the kernel.
  ioloop::Task<void> Shutdown();

 private:
  friend class Call;
  enum class State { kSettingUp, kOpen, kBroken };
  // The answer to a heartbeat.
  struct Probe final : PendingRequest {
    explicit Probe(Connection* owner) : connection_(owner) {}
    void OnAnswer(const Answer&) override;
    void OnConnectionLost(const absl::Status&) override;
    void OnDeadline() override;
    Connection* const connection_;
    bool pending = false;
  };

  // Frames that come in pieces are put together in chunks, which the request
  // they answer may keep.
  struct ChunkMemory final : protocol::FrameMemory {
    explicit ChunkMemory(ChunkPool* chunk_pool) : pool(chunk_pool) {}
    char* Resize(size_t used, size_t bytes) override;
    ChunkPool* const pool;
    Chunk chunk;
  };

  // More than can be in flight and in line.
  static constexpr size_t kUnresponsiveLoad = size_t{1} << 40;
  // Unsent bytes above which requests wait in line.
  static constexpr size_t kQueuedBytesMax = 4 << 20;

  // Received at once from a secure channel: what a TLS record carries.
  static constexpr size_t kChannelBytes = 16 << 10;

  // `channel` null: over `stream`.
  Connection(ConnectionContext* context, ConnectionObserver* observer,
             ioloop::SocketAddress address, ioloop::Stream stream,
             std::unique_ptr<SecureChannel> channel);
  ioloop::Task<absl::Status> SetUp();
  absl::Status ReadSupported(const OwnedAnswer& answer);
  absl::Status ReadSharding(const protocol::Supported& supported);
  ioloop::Task<absl::Status> Authenticate(const OwnedAnswer& challenge,
                                          absl::Time deadline);
  ioloop::Task<void> ReceiveLoop();
  ioloop::Task<void> ReceiveFromChannel();
  void OnBytes(const absl::Status& received, std::string_view bytes);
  void OnFrame(const Answer& answer);
  void ServeLine();
  void FailAll();

  ConnectionContext* const context_;
  ConnectionObserver* const observer_;
  const ioloop::SocketAddress address_;
  std::string name_;
  Transport transport_;
  ChunkMemory memory_;
  protocol::FrameReader reader_;
  StreamTable streams_;
  AdaptiveLimit limit_;
  WaitingLine line_;
  ServiceRate rate_;
  ShardMetrics unplaced_;  // Until it has a place in a pool.
  ShardMetrics* metrics_ = &unplaced_;
  ServerInfo server_;
  protocol::StringMap startup_;  // The options of STARTUP.
  State state_ = State::kSettingUp;
  bool retiring_ = false;
  bool worn_out_ = false;
  bool heard_ = true;  // Bytes came since the last tick.
  bool responsive_ = true;
  uint32_t silent_ticks_ = 0;
  uint32_t owed_ticks_ = 0;  // Of those, how long answers have been owed.
  absl::Time retire_at_ = absl::InfiniteFuture();
  Probe probe_{this};
  absl::Status status_;
  ioloop::TaskGroup tasks_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_CONNECTION_H_
