// The connections to one node: for each shard one for reads, one for writes.
#ifndef RINGPLANE_CQL_POOL_H_
#define RINGPLANE_CQL_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/connection.h"
#include "cql/internal/shard_metrics.h"
#include "cql/policy.h"
#include "cql/sharding.h"
#include "cql/statement.h"
#include "cql/stats.h"
#include "ioloop/event.h"
#include "ioloop/socket_address.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace cql::internal {

class SessionCore;

// Opens what is missing and opens again what is lost, in the background: the
// first connection on the plain port, where SUPPORTED tells the shards, the
// others on the shard-aware port with a source port that chooses the shard.
// Where that port refuses or chooses another shard (a NAT rewrote the source
// port) the plain one is used for some minutes, on which the node chooses.
//
// A node whose number of shards has changed gets new connections; the old ones
// finish what they have in flight.
class NodePool final : private ConnectionObserver {
 public:
  // `index` is the node's number in its session.
  NodePool(ConnectionContext* context, SessionCore* session,
           ioloop::SocketAddress address, uint16_t index);
  NodePool(const NodePool&) = delete;
  NodePool& operator=(const NodePool&) = delete;
  ~NodePool();  // REQUIRES: Close() was awaited.

  void Start();
  // Tries again at once what waits for its back-off: the node is said to be up.
  void Hurry();
  // Opens nothing more; done when nothing is in flight, or at `deadline`, or
  // when the session closes.
  ioloop::Task<void> Drain(absl::Time deadline);
  // Ends every connection. Requests in flight are told that the session or the
  // node is gone.
  ioloop::Task<void> Close();

  // The connection for the shard of `token` (null: any shard), or a stand-in
  // at this node; null if there is none.
  Connection* Choose(const int64_t* token, Access access) {
    return ChooseShard(token != nullptr ? sharding_.Owner(*token)
                                        : next_shard_++ % sharding_.shards,
                       access);
  }
  // The same for a shard by its number.
  Connection* ChooseShard(uint32_t shard, Access access) {
    if (open_ == 0) return nullptr;
    // The node may have fewer than whoever named the shard knew.
    if (shard >= sharding_.shards) shard %= sharding_.shards;
    Connection* connection =
        slots_[shard * 2 + static_cast<uint32_t>(access)].connection.get();
    return connection != nullptr ? connection : StandIn(shard, access);
  }

  uint16_t index() const { return index_; }
  const ioloop::SocketAddress& address() const { return address_; }
  const std::string& name() const { return name_; }
  // Open ones, but those that are being replaced.
  size_t open_connections() const { return open_; }

  // Set once the first attempt to connect has ended, well or not.
  ioloop::Event& tried() { return tried_; }
  // Why the last attempt failed; OK after one that did not.
  const absl::Status& last_error() const { return last_error_; }

  void Tick();
  void AddStats(SessionStats* stats) const;

 private:
  struct Slot {
    std::unique_ptr<Connection> connection;
    bool dialling = false;
    bool worn_out = false;  // Replace it when another one is there.
    bool wanted() const {
      return !dialling && (connection == nullptr || worn_out);
    }
  };

  void OnBroken(Connection* connection, const absl::Status& why) override;
  void OnWornOut(Connection* connection) override;
  void OnEvent(Connection*, const Answer&) override {}
  void OnRoom(Connection* connection, Query* query) override;

  Connection* StandIn(uint32_t shard, Access access);
  bool AnyWanted() const;

  ioloop::Task<void> Maintain();
  ioloop::Task<absl::Status> FillRound();
  ioloop::Task<void> Dial(uint32_t slot, absl::Status* result);
  ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> OpenToShard(
      uint32_t shard);
  ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> OpenPlain();
  // Puts a new connection where it belongs. False: there is no use for it.
  bool Place(std::unique_ptr<Connection>* connection, uint32_t wanted_slot);
  void Install(uint32_t slot, std::unique_ptr<Connection> connection);
  void Retire(std::unique_ptr<Connection> connection);
  void Reshard(const ShardingInfo& sharding);
  ioloop::Task<void> Bury(std::unique_ptr<Connection> connection);

  ConnectionContext* const context_;
  SessionCore* const session_;
  const ioloop::SocketAddress address_;
  const std::string name_;
  const uint16_t index_;

  ShardingInfo sharding_;
  bool sharding_known_ = false;
  uint16_t shard_aware_port_ = 0;
  absl::Time shard_port_avoided_until_ = absl::InfinitePast();
  std::vector<Slot> slots_;  // shard * 2 + access
  // As slots_; those of shards that are no more stay.
  std::vector<std::unique_ptr<ShardMetrics>> metrics_;
  size_t open_ = 0;
  uint32_t next_shard_ = 0;
  uint32_t misplaced_ = 0;  // Plain connections that fitted no slot, in a row.

  std::vector<std::unique_ptr<Connection>> retired_;
  std::vector<std::unique_ptr<Connection>> broken_;

  Backoff backoff_;
  absl::BitGen random_;
  bool draining_ = false;
  bool closing_ = false;
  ioloop::StopSource stop_;  // Asked when closing.
  absl::Status last_error_;
  ioloop::Event tried_;
  ioloop::Event wake_;
  ioloop::TaskGroup tasks_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_POOL_H_
