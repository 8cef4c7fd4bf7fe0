#include "cql/pool.h"

#include <algorithm>
#include <utility>

#include "cql/internal/session_core.h"
#include "cql/internal/status_util.h"
#include "cql/session.h"
#include "ioloop/check.h"
#include "ioloop/log.h"
#include "ioloop/timer.h"

namespace cql::internal {
namespace {

// Connections to one node that are set up side by side.
constexpr size_t kDialsAtOnce = 8;
// Source ports tried for one connection before the plain port is.
constexpr int kSourcePortsTried = 32;
// How long a shard-aware port that chose wrongly, or refused, is left alone.
constexpr absl::Duration kAvoidShardPort = absl::Minutes(5);
constexpr absl::Duration kDrainPause = absl::Milliseconds(20);

}  // namespace

NodePool::NodePool(ConnectionContext* context, SessionCore* session,
                   ioloop::SocketAddress address, uint16_t index)
    : context_(context),
      session_(session),
      address_(address),
      name_(address.ToString()),
      index_(index),
      slots_(2),
      backoff_(context->options->reconnect_min,
               context->options->reconnect_max),
      tried_(context->loop),
      wake_(context->loop) {}

NodePool::~NodePool() {
  RINGPLANE_CHECK(tasks_.running() == 0, "a NodePool died without Close()");
}

void NodePool::Start() { tasks_.Spawn(Maintain()); }

void NodePool::Hurry() {
  backoff_.Reset();
  wake_.Set();
}

ioloop::Task<void> NodePool::Drain(absl::Time deadline) {
  draining_ = true;
  const auto busy = [](const std::unique_ptr<Connection>& connection) {
    return connection != nullptr &&
           connection->in_flight() + connection->line().size() > 0;
  };
  const auto any_busy = [&] {
    return std::any_of(
               slots_.begin(), slots_.end(),
               [&](const Slot& slot) { return busy(slot.connection); }) ||
           std::any_of(retired_.begin(), retired_.end(), busy);
  };
  while (any_busy() && !session_->closing() &&
         context_->loop->now() < deadline) {
    co_await ioloop::SleepFor(context_->loop, kDrainPause);
  }
}

ioloop::Task<void> NodePool::Close() {
  closing_ = true;
  stop_.RequestStop();
  wake_.Set();
  tried_.Set();
  for (Slot& slot : slots_) {
    if (slot.connection == nullptr) continue;
    --open_;
    tasks_.Spawn(Bury(std::move(slot.connection)));
  }
  for (auto& connection : std::exchange(retired_, {})) {
    tasks_.Spawn(Bury(std::move(connection)));
  }
  for (auto& connection : std::exchange(broken_, {})) {
    tasks_.Spawn(Bury(std::move(connection)));
  }
  co_await tasks_.Join();
}

Connection* NodePool::StandIn(uint32_t shard, Access access) {
  const uint32_t other = static_cast<uint32_t>(access) ^ 1;
  if (Connection* same = slots_[shard * 2 + other].connection.get()) {
    return same;
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[(shard * 2 + i) % slots_.size()];
    if (slot.connection != nullptr) return slot.connection.get();
  }
  return nullptr;
}

void NodePool::OnBroken(Connection* connection, const absl::Status& why) {
  if (!closing_ && !connection->retiring()) {
    ++context_->counters->connections_lost;
    RINGPLANE_LOG(kWarning, "connection to the database lost",
                  {"node", connection->name()}, {"why", why.ToString()});
  }
  for (Slot& slot : slots_) {
    if (slot.connection.get() != connection) continue;
    broken_.push_back(std::move(slot.connection));
    slot.worn_out = false;
    --open_;
  }
  for (auto retired = retired_.begin(); retired != retired_.end(); ++retired) {
    if (retired->get() != connection) continue;
    broken_.push_back(std::move(*retired));
    retired_.erase(retired);
    break;
  }
  wake_.Set();
}

void NodePool::OnWornOut(Connection* connection) {
  for (Slot& slot : slots_) {
    if (slot.connection.get() == connection) slot.worn_out = true;
  }
  wake_.Set();
}

void NodePool::OnRoom(Connection* connection, Query* query) {
  if (connection->open()) {
    session_->SendOn(query, this, connection, /*first_in_line=*/true);
  } else {
    session_->Route(query);
  }
}

void NodePool::Tick() {
  // A tick may break connections, which moves them out of the slots.
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].connection != nullptr) slots_[i].connection->Tick();
  }
  for (size_t i = retired_.size(); i-- > 0;) {
    if (i < retired_.size()) retired_[i]->Tick();
  }
}

void NodePool::AddStats(SessionStats* stats) const {
  stats->connections += open_;
  for (size_t i = 0; i < slots_.size(); ++i) {
    ShardStats shard;
    shard.node = name_;
    shard.shard = static_cast<uint32_t>(i / 2);
    shard.for_writes = i % 2 == 1;
    if (const Connection* connection = slots_[i].connection.get()) {
      shard.open = true;
      shard.responsive = connection->responsive();
      shard.in_flight = connection->in_flight();
      shard.waiting = static_cast<uint32_t>(connection->line().size());
      shard.in_flight_limit = connection->in_flight_limit();
      shard.orphans = connection->orphans();
    }
    if (i < metrics_.size()) {
      const ShardMetrics& metrics = *metrics_[i];
      shard.latency = metrics.latency;
      shard.timeouts = metrics.timeouts;
      shard.retries = metrics.retries;
      shard.limit_cuts = metrics.limit_cuts;
      shard.reconnects = metrics.connections - (metrics.connections > 0);
      stats->latency.at(i % 2).Add(metrics.latency);
    }
    stats->shards.push_back(std::move(shard));
  }
}

bool NodePool::AnyWanted() const {
  return !draining_ &&
         std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.wanted(); });
}

ioloop::Task<void> NodePool::Maintain() {
  while (!closing_) {
    for (auto& connection : std::exchange(broken_, {})) {
      tasks_.Spawn(Bury(std::move(connection)));
    }
    if (!AnyWanted()) {
      wake_.Reset();
      co_await wake_.Wait();
      continue;
    }
    last_error_ = co_await FillRound();
    if (last_error_.ok()) {
      backoff_.Reset();
      tried_.Set();
      continue;
    }
    ++context_->counters->connections_failed;
    tried_.Set();
    if (closing_) break;
    const absl::Duration delay = backoff_.Next(random_);
    RINGPLANE_LOG(kWarning, "cannot connect to the database", {"node", name_},
                  {"why", last_error_.ToString()},
                  {"again_in", absl::FormatDuration(delay)});
    wake_.Reset();
    static_cast<void>(co_await wake_.WaitUntil(context_->loop->now() + delay));
  }
}

ioloop::Task<absl::Status> NodePool::FillRound() {
  if (!sharding_known_ || open_ == 0) {
    // The node may have restarted with other shards: ask on the plain port.
    absl::StatusOr<std::unique_ptr<Connection>> first = co_await OpenPlain();
    if (!first.ok()) co_return first.status();
    std::unique_ptr<Connection> connection = *std::move(first);
    if (!Place(&connection, 0)) co_await Bury(std::move(connection));
    tried_.Set();
  }
  absl::Status result;
  ioloop::TaskGroup dials;
  for (uint32_t i = 0; i < slots_.size() && dials.running() < kDialsAtOnce;
       ++i) {
    if (!slots_[i].wanted() || closing_) continue;
    slots_[i].dialling = true;
    dials.Spawn(Dial(i, &result));
  }
  co_await dials.Join();
  for (Slot& slot : slots_) slot.dialling = false;
  co_return result;
}

ioloop::Task<void> NodePool::Dial(uint32_t slot, absl::Status* result) {
  const uint32_t shard = slot / 2;
  absl::StatusOr<std::unique_ptr<Connection>> opened =
      absl::UnknownError("unset");
  if (sharding_.shards > 1 && shard_aware_port_ != 0 &&
      context_->loop->now() >= shard_port_avoided_until_) {
    opened = co_await OpenToShard(shard);
    if (opened.ok() && (*opened)->server().shard != shard) {
      ++context_->counters->wrong_shards;
      RINGPLANE_LOG(kWarning,
                    "the shard-aware port chose another shard; does a NAT "
                    "rewrite source ports? Using the plain port for a while",
                    {"node", name_}, {"asked", shard},
                    {"got", (*opened)->server().shard});
      shard_port_avoided_until_ = context_->loop->now() + kAvoidShardPort;
    }
    if (!opened.ok() && !absl::IsUnauthenticated(opened.status())) {
      shard_port_avoided_until_ = context_->loop->now() + kAvoidShardPort;
      opened = co_await OpenPlain();
    }
  } else {
    opened = co_await OpenPlain();
  }
  if (!opened.ok()) {
    result->Update(opened.status());
    co_return;
  }
  std::unique_ptr<Connection> connection = *std::move(opened);
  if (closing_ || !Place(&connection, slot)) {
    co_await Bury(std::move(connection));
  }
}

ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> NodePool::OpenToShard(
    uint32_t shard) {
  SetupGovernor::Attempt attempt(context_->options->governor.get(),
                                 context_->loop, address_);
  const bool begun = co_await attempt.Begin(false, stop_.token());
  if (!begun) co_return absl::CancelledError("the session is closed");
  if (shard >= sharding_.shards) {
    co_return absl::FailedPreconditionError("the node has fewer shards now");
  }
  SourcePorts ports(shard, sharding_.shards, absl::Uniform<uint32_t>(random_));
  absl::Status taken =
      absl::AlreadyExistsError("no source port reaches that shard");
  for (int i = 0; i < kSourcePortsTried && !closing_; ++i) {
    const std::optional<uint16_t> port = ports.Next();
    if (!port.has_value()) break;
    absl::StatusOr<std::unique_ptr<Connection>> opened =
        co_await Connection::Open(context_, this,
                                  address_.WithPort(shard_aware_port_), *port);
    if (opened.ok() || !absl::IsAlreadyExists(opened.status())) {
      if (opened.ok()) attempt.Succeeded();
      co_return opened;
    }
    taken = opened.status();
  }
  co_return taken;
}

ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>>
NodePool::OpenPlain() {
  SetupGovernor::Attempt attempt(context_->options->governor.get(),
                                 context_->loop, address_);
  const bool urgent = open_ == 0;
  const bool begun = co_await attempt.Begin(urgent, stop_.token());
  if (!begun) co_return absl::CancelledError("the session is closed");
  absl::StatusOr<std::unique_ptr<Connection>> opened =
      co_await Connection::Open(context_, this, address_, 0);
  if (opened.ok()) attempt.Succeeded();
  co_return opened;
}

bool NodePool::Place(std::unique_ptr<Connection>* connection,
                     uint32_t wanted_slot) {
  if (closing_ || !(*connection)->open()) return false;
  ++context_->counters->connections_opened;
  const ServerInfo& server = (*connection)->server();
  if (!sharding_known_ || server.sharding != sharding_) {
    Reshard(server.sharding);
    wanted_slot = server.shard * 2;
  }
  shard_aware_port_ = server.shard_aware_port;

  const uint32_t access = wanted_slot % 2;
  for (const uint32_t slot :
       {server.shard * 2 + access, server.shard * 2 + (access ^ 1)}) {
    if (slots_[slot].connection == nullptr || slots_[slot].worn_out) {
      misplaced_ = 0;
      Install(slot, std::move(*connection));
      return true;
    }
  }
  // The node chose a shard that has its connections. After many such choices
  // one serves as a stand-in: the node itself passes requests on.
  if (++misplaced_ > 4u * sharding_.shards && wanted_slot < slots_.size() &&
      slots_[wanted_slot].connection == nullptr) {
    Install(wanted_slot, std::move(*connection));
    return true;
  }
  return false;
}

void NodePool::Install(uint32_t slot, std::unique_ptr<Connection> connection) {
  std::unique_ptr<Connection> old =
      std::exchange(slots_[slot].connection, std::move(connection));
  slots_[slot].worn_out = false;
  while (metrics_.size() <= slot) {
    metrics_.push_back(std::make_unique<ShardMetrics>());
  }
  ++metrics_[slot]->connections;
  slots_[slot].connection->set_metrics(metrics_[slot].get());
  if (old == nullptr) {
    ++open_;
  } else {
    Retire(std::move(old));
  }
}

void NodePool::Retire(std::unique_ptr<Connection> connection) {
  connection->Retire(context_->loop->now() +
                     context_->options->request_timeout);
  WaitingLine& line = connection->line();
  retired_.push_back(std::move(connection));
  while (Query* query = line.Pop()) session_->Route(query);
}

void NodePool::Reshard(const ShardingInfo& sharding) {
  if (sharding_known_) {
    RINGPLANE_LOG(kInfo, "a node has other shards than before", {"node", name_},
                  {"shards", sharding.shards}, {"before", sharding_.shards});
  }
  std::vector<Slot> old =
      std::exchange(slots_, std::vector<Slot>(sharding.shards * 2u));
  sharding_ = sharding;
  sharding_known_ = true;
  open_ = 0;
  misplaced_ = 0;
  for (Slot& slot : old) {
    if (slot.connection != nullptr) Retire(std::move(slot.connection));
  }
}

ioloop::Task<void> NodePool::Bury(std::unique_ptr<Connection> connection) {
  co_await connection->Shutdown();
}

}  // namespace cql::internal
