#include "service/app/store.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "cql/node/server.h"
#include "ioloop/check.h"
#include "ioloop/event.h"
#include "ioloop/log.h"
#include "ioloop/loop_group.h"
#include "ioloop/signals.h"
#include "ioloop/timer.h"
#include "service/app/command_line.h"
#include "service/app/schema.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Cat;

constexpr absl::Duration kRetryMin = absl::Milliseconds(250);
constexpr absl::Duration kRetryMax = absl::Seconds(5);
// Creating a table takes a cluster seconds.
constexpr absl::Duration kSchemaTimeout = absl::Minutes(1);

ioloop::Task<absl::Status> CreateSchemaOn(ioloop::Loop* loop,
                                          cql::SessionOptions session_options,
                                          std::string replication,
                                          absl::Duration timeout) {
  std::string keyspace = std::exchange(session_options.keyspace, "");
  session_options.request_timeout =
      std::max(session_options.request_timeout, kSchemaTimeout);
  absl::StatusOr<std::unique_ptr<cql::Session>> session =
      co_await ConnectSession(loop, std::move(session_options), timeout,
                              nullptr);
  if (!session.ok()) co_return session.status();
  absl::Status status = co_await ApplySchema(session->get(), keyspace,
                                             replication, kSchemaTimeout);
  co_await (*session)->Close();
  co_return status;
}

// While nothing is served, a signal ends the process where it stands: what the
// store has acknowledged is safe, and there is nobody to take leave of.
ioloop::Task<void> EndOnSignal(ioloop::SignalSet* signals, int exit_status) {
  absl::StatusOr<int> signal = co_await signals->Next();
  if (!signal.ok()) co_return;
  RINGPLANE_LOG(kInfo, "ended by a signal before the tables were there");
  _exit(exit_status);
}

ioloop::Task<absl::Status> WithSignals(ioloop::Loop* loop, int exit_on_signal,
                                       ioloop::Task<absl::Status> work) {
  absl::StatusOr<std::unique_ptr<ioloop::SignalSet>> signals =
      ioloop::SignalSet::Create(loop, {SIGINT, SIGTERM});
  if (!signals.ok()) co_return signals.status();
  ioloop::TaskGroup watch;
  watch.Spawn(EndOnSignal(signals->get(), exit_on_signal));
  absl::Status status = co_await work;
  (*signals)->Cancel();
  co_await watch.Join();
  co_return status;
}

}  // namespace

// The embedded node on a thread of its own: its disk makes nobody wait.
class Store::Node {
 public:
  static absl::StatusOr<std::unique_ptr<Node>> Start(
      const NodeOptions& options, const ioloop::Loop::Options& loop_options) {
    auto node = std::unique_ptr<Node>(new Node(options));
    ioloop::LoopGroup::Options group;
    group.loop = loop_options;
    group.loops = 1;
    group.pin = false;
    group.name = "node";
    absl::StatusOr<std::unique_ptr<ioloop::LoopGroup>> started =
        ioloop::LoopGroup::Start(group,
                                 [n = node.get()](ioloop::Loop* loop, size_t) {
                                   return n->Run(loop);
                                 });
    if (!started.ok()) return started.status();
    node->group_ = *std::move(started);
    // The main ran up to its first wait, and said how the start went.
    std::unique_lock<std::mutex> lock(node->mutex_);
    if (node->status_.ok()) return node;
    absl::Status status = node->status_;
    lock.unlock();
    static_cast<void>(node->Stop());
    return status;
  }

  ~Node() { RINGPLANE_CHECK(group_ == nullptr, "not stopped"); }

  const std::string& address() const { return address_; }

  absl::Status Stop() {
    if (group_ == nullptr) return absl::OkStatus();
    std::shared_ptr<ioloop::Event> stop;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop = stop_;
    }
    if (stop != nullptr) group_->loop(0)->Post([stop] { stop->Set(); });
    absl::Status status = group_->Join();
    group_ = nullptr;
    return status;
  }

 private:
  explicit Node(const NodeOptions& options) : options_(options) {}

  ioloop::Task<void> Run(ioloop::Loop* loop) {
    cql::node::NodeOptions options;
    options.data_dir = options_.data_dir;
    options.sync = options_.sync ? cql::node::SyncMode::kDisk
                                 : cql::node::SyncMode::kProcess;
    options.listen_host = options_.listen.HostString();
    options.port = options_.listen.port();
    options.shard_aware_port = 0;
    options.shards = options_.shards;
    absl::StatusOr<std::unique_ptr<cql::node::Node>> node =
        cql::node::Node::Start(loop, options);
    auto stop = std::make_shared<ioloop::Event>(loop);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      status_ = node.status();
      if (node.ok()) {
        address_ = (*node)->address().ToString();
        stop_ = stop;
      }
    }
    if (!node.ok()) co_return;
    co_await stop->Wait();
    co_await (*node)->Stop();
  }

  const NodeOptions options_;
  std::unique_ptr<ioloop::LoopGroup> group_;
  std::mutex mutex_;
  absl::Status status_;
  std::string address_;
  std::shared_ptr<ioloop::Event> stop_;
};

Store::Store(const StoreOptions& options)
    : options_(options), session_(options.session) {}

Store::~Store() {
  if (node_ != nullptr) static_cast<void>(node_->Stop());
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(
    const StoreOptions& options) {
  auto store = std::unique_ptr<Store>(new Store(options));
  if (options.embedded()) {
    absl::StatusOr<std::unique_ptr<Node>> node =
        Node::Start(options.node, options.loop);
    if (!node.ok()) return node.status();
    store->node_ = *std::move(node);
    store->node_address_ = store->node_->address();
    store->session_.contact_points = {store->node_address_};
  }
  return store;
}

absl::Status Store::CreateSchema(int exit_on_signal) {
  absl::StatusOr<std::unique_ptr<ioloop::Loop>> loop =
      ioloop::Loop::Create(options_.loop);
  if (!loop.ok()) return loop.status();
  return (*loop)->RunUntilDone(
      WithSignals(loop->get(), exit_on_signal,
                  CreateSchemaOn(loop->get(), session_, options_.replication,
                                 options_.startup_timeout)));
}

absl::Status Store::Close() {
  return node_ == nullptr ? absl::OkStatus() : node_->Stop();
}

ioloop::Task<absl::StatusOr<std::unique_ptr<cql::Session>>> ConnectSession(
    ioloop::Loop* loop, cql::SessionOptions options, absl::Duration timeout,
    ioloop::Event* stop) {
  const absl::Time give_up = loop->now() + timeout;
  absl::Duration pause = kRetryMin;
  ioloop::Event never(loop);
  if (stop == nullptr) stop = &never;
  for (;;) {
    absl::StatusOr<std::unique_ptr<cql::Session>> session =
        co_await cql::Session::Connect(loop, options);
    if (session.ok() || !absl::IsUnavailable(session.status()) ||
        loop->now() + pause > give_up) {
      co_return session;
    }
    RINGPLANE_LOG(kWarning, "the store does not answer yet",
                  {"why", session.status().message()});
    const absl::Time next = loop->now() + pause;
    bool stopped = co_await stop->WaitUntil(next);
    if (stopped) co_return absl::CancelledError("stopped before the start");
    pause = std::min(pause * 2, kRetryMax);
  }
}

}  // namespace app
