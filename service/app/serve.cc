// `ringplane serve`: a loop per core, each with everything it needs.

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "ioloop/event.h"
#include "ioloop/log.h"
#include "ioloop/loop_group.h"
#include "ioloop/mailbox.h"
#include "ioloop/signals.h"
#include "service/app/commands.h"
#include "service/app/flags.h"
#include "service/app/kernel_report.h"
#include "service/app/loop_service.h"
#include "service/app/options.h"
#include "service/app/sd_notify.h"
#include "service/app/store.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Cat;

// As many descriptors as the machine allows: every connection is one.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    RINGPLANE_LOG(kWarning, "the limit on descriptors was not raised",
                  {"limit", before}, {"error", strerror(errno)});
    return;
  }
  RINGPLANE_LOG(kInfo, "limit on descriptors", {"before", before},
                {"now", limit.rlim_cur});
}

// Ports chosen before there are loops, and kept until every loop listens:
// loops share a port by SO_REUSEPORT, which would also share it with another
// process of the same user that happens to use it.
class PortReservation {
 public:
  PortReservation() = default;
  PortReservation(const PortReservation&) = delete;
  PortReservation& operator=(const PortReservation&) = delete;
  ~PortReservation() { Release(); }

  // Sets the port of `address` if it is 0. kAlreadyExists if it is taken.
  absl::Status Reserve(ioloop::SocketAddress* address) {
    // A bind without SO_REUSEPORT fails where anybody listens.
    absl::StatusOr<int> alone = Bind(*address, SO_REUSEADDR);
    if (!alone.ok()) return alone.status();
    sockaddr_storage bound = {};
    socklen_t length = sizeof(bound);
    getsockname(*alone, reinterpret_cast<sockaddr*>(&bound), &length);
    *address = ioloop::SocketAddress::FromSockaddr(
        reinterpret_cast<sockaddr*>(&bound), length);
    close(*alone);
    absl::StatusOr<int> shared = Bind(*address, SO_REUSEPORT);
    if (!shared.ok()) return shared.status();
    sockets_.push_back(*shared);
    return absl::OkStatus();
  }

  void Release() {
    for (int fd : sockets_) close(fd);
    sockets_.clear();
  }

 private:
  static absl::StatusOr<int> Bind(const ioloop::SocketAddress& address,
                                  int option) {
    int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, option, &one, sizeof(one)) != 0 ||
        bind(fd, address.data(), address.length()) != 0 ||
        // Binding alone does not collide with who listens in every case.
        (option == SO_REUSEADDR && listen(fd, 1) != 0)) {
      absl::Status status = absl::AlreadyExistsError(
          Cat("listen on ", address.ToString(), ": ", strerror(errno)));
      if (fd >= 0) close(fd);
      return status;
    }
    return fd;
  }

  std::vector<int> sockets_;
};

// The process: threads meet here.
class ServeProcess {
 public:
  explicit ServeProcess(LoopServiceOptions options)
      : options_(std::move(options)) {}

  absl::Status Run(const ioloop::LoopGroup::Options& group_options);

 private:
  // A loop's own; made and used on its thread.
  struct PerLoop {
    explicit PerLoop(ioloop::Loop* the_loop) : loop(the_loop), stop(the_loop) {}
    ioloop::Loop* loop;
    ioloop::Event stop;
  };

  ioloop::Task<void> RunLoop(ioloop::Loop* loop, size_t index);
  ioloop::Task<void> WatchSignals(ioloop::SignalSet* signals);
  // Makes every loop drain and end. Any thread, any number of times.
  void StopAll(std::string_view why);
  void Started(const absl::Status& status);
  std::string NotReady() const;
  void Announce();

  LoopServiceOptions options_;
  server::Registry registry_;
  QueryPage queries_;
  PortReservation reservation_;
  std::unique_ptr<ioloop::LoopGroup> group_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<PerLoop>> loops_;  // those that take a stop
  size_t started_ = 0;
  absl::Status failure_;
  size_t store_connections_ = 0;
  ioloop::SocketAddress admin_address_;
  size_t drained_ = 0;
  std::shared_ptr<PerLoop> admin_;  // waits until all have drained
  size_t loop_count_ = 0;

  std::atomic<bool> ready_{false};
  std::atomic<bool> stopping_{false};
};

absl::Status ServeProcess::Run(
    const ioloop::LoopGroup::Options& group_options) {
  for (ioloop::SocketAddress& address : options_.listen.listen) {
    if (address.is_unix()) continue;
    absl::Status status = reservation_.Reserve(&address);
    if (!status.ok()) return status;
  }
  server::Registry::Registration process = registry_.AddCollector(
      [features = ReportKernel()](server::MetricsWriter& writer) {
        CollectProcess(writer);
        CollectKernel(features, writer);
      });

  ioloop::LoopGroup::Options group = group_options;
  if (group.loops == 0) group.loops = ioloop::UsableCpus();
  loop_count_ = group.loops;
  absl::StatusOr<std::unique_ptr<ioloop::LoopGroup>> started =
      ioloop::LoopGroup::Start(group, [this](ioloop::Loop* loop, size_t index) {
        return RunLoop(loop, index);
      });
  if (!started.ok()) return started.status();
  group_ = *std::move(started);

  absl::Status failure;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return started_ == loop_count_; });
    failure = failure_;
    // Told to end before it had begun.
    if (stopping_.load()) failure = absl::OkStatus();
  }
  reservation_.Release();
  if (failure.ok()) {
    // A signal may have come before the last loop was ready.
    if (!stopping_.load()) {
      ready_.store(true);
      Announce();
      SdNotify("READY=1");
    }
  } else {
    StopAll("the start failed");
  }
  absl::Status joined = group_->Join();
  return failure.ok() ? joined : failure;
}

ioloop::Task<void> ServeProcess::RunLoop(ioloop::Loop* loop, size_t index) {
  const bool first = index == 0;
  auto self = std::make_shared<PerLoop>(loop);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    loops_.push_back(self);
    if (stopping_.load()) self->stop.Set();
  }
  LoopService service(loop, index, &options_, &registry_, &queries_);
  server::Registry::Registration stats =
      registry_.AddCollector([loop, index](server::MetricsWriter& writer) {
        CollectLoopStats(index, loop->stats(), writer);
        CollectBackend(index, *loop, writer);
      });

  std::unique_ptr<ioloop::SignalSet> signals;
  ioloop::TaskGroup watch;
  absl::Status status;
  if (first) {
    absl::StatusOr<std::unique_ptr<ioloop::SignalSet>> created =
        ioloop::SignalSet::Create(loop, {SIGINT, SIGTERM});
    if (created.ok()) {
      signals = *std::move(created);
      watch.Spawn(WatchSignals(signals.get()));
    } else {
      status = created.status();
    }
  }
  if (status.ok()) status = co_await service.Start(&self->stop);
  if (status.ok() && first) {
    std::function<std::string()> not_ready = [this] { return NotReady(); };
    status = co_await service.StartAdmin(not_ready);
    if (status.ok()) {
      std::lock_guard<std::mutex> lock(mutex_);
      admin_address_ = service.admin_address();
    }
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    store_connections_ += service.store_connections();
  }
  Started(status);

  co_await self->stop.Wait();
  co_await service.Drain();

  // The admin listener answers until every loop has drained.
  bool last = false;
  std::shared_ptr<PerLoop> admin;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    self->stop.Reset();
    if (first) admin_ = self;
    last = ++drained_ == loop_count_;
    admin = admin_;
  }
  if (last && !first) {
    admin->loop->Post([admin] { admin->stop.Set(); });
  }
  if (first && !last) co_await self->stop.Wait();

  co_await service.Stop();
  if (signals != nullptr) {
    signals->Cancel();
    co_await watch.Join();
  }
}

ioloop::Task<void> ServeProcess::WatchSignals(ioloop::SignalSet* signals) {
  for (bool again = false;; again = true) {
    absl::StatusOr<int> signal = co_await signals->Next();
    if (!signal.ok()) co_return;
    if (again) {
      RINGPLANE_LOG(kWarning, "a second signal: ending at once",
                    {"signal", strsignal(*signal)});
      _exit(kExitFailure);
    }
    StopAll(strsignal(*signal));
  }
}

void ServeProcess::StopAll(std::string_view why) {
  ready_.store(false);
  if (stopping_.exchange(true)) return;
  RINGPLANE_LOG(kInfo, "draining", {"why", ingest::AbslView(why)});
  SdNotify("STOPPING=1");
  std::lock_guard<std::mutex> lock(mutex_);
  for (const std::shared_ptr<PerLoop>& loop : loops_) {
    loop->loop->Post([loop] { loop->stop.Set(); });
  }
}

void ServeProcess::Started(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++started_;
  if (failure_.ok()) failure_ = status;
  changed_.notify_all();
}

std::string ServeProcess::NotReady() const {
  if (stopping_.load()) return "draining";
  if (!ready_.load()) return "starting";
  return "";
}

void ServeProcess::Announce() {
  std::lock_guard<std::mutex> lock(mutex_);
  RINGPLANE_LOG(kInfo, "ready", {"loops", loop_count_},
                {"store_connections", store_connections_});
  Say(Cat(loop_count_, loop_count_ == 1 ? " loop, " : " loops, ",
          store_connections_, " connections to the store"));
  for (const ioloop::SocketAddress& address : options_.listen.listen) {
    Say(Cat("listening on http://", address.ToString()));
  }
  Say(Cat("admin on http://", admin_address_.ToString()));
}

absl::Status Serve() {
  absl::StatusOr<StoreOptions> store_options = GetStoreOptions();
  if (!store_options.ok()) return store_options.status();
  absl::StatusOr<ListenOptions> listen = GetListenOptions();
  if (!listen.ok()) return listen.status();
  absl::StatusOr<std::optional<RedisOptions>> redis = GetRedisOptions();
  if (!redis.ok()) return redis.status();
  absl::StatusOr<server::Options> server = GetServerOptions();
  if (!server.ok()) return server.status();
  absl::StatusOr<dataplane::Options> dataplane = GetDataplaneOptions();
  if (!dataplane.ok()) return dataplane.status();
  absl::StatusOr<ingest::IndexerOptions> indexer = GetIndexerOptions();
  if (!indexer.ok()) return indexer.status();
  absl::StatusOr<ingest::SchedulerOptions> scheduler = GetSchedulerOptions();
  if (!scheduler.ok()) return scheduler.status();
  absl::StatusOr<ioloop::LoopGroup::Options> loops = GetLoopGroupOptions();
  if (!loops.ok()) return loops.status();

  RaiseDescriptorLimit();
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(*store_options);
  if (!store.ok()) return store.status();
  if (!(*store)->node_address().empty()) {
    Say(Cat("cql node on ", (*store)->node_address()));
  }
  Store* opened = store->get();
  absl::Status status;
  if (store_options->embedded() || absl::GetFlag(FLAGS_create_schema)) {
    status = opened->CreateSchema(kExitOk);
  }
  if (status.ok()) {
    LoopServiceOptions options;
    options.session = opened->session_options();
    options.startup_timeout = store_options->startup_timeout;
    options.tablet_cache_file = store_options->tablet_cache_file;
    options.redis = *std::move(redis);
    options.server = *server;
    options.dataplane = *dataplane;
    options.indexer = *indexer;
    options.scheduler = *scheduler;
    options.listen = *listen;
    ServeProcess process(std::move(options));
    status = process.Run(*loops);
  }
  absl::Status closed = opened->Close();
  return status.ok() ? closed : status;
}

}  // namespace

int RunServe(std::span<const std::string>) {
  absl::Status status = ApplyLogLevel();
  if (status.ok()) {
    // Before any thread exists, so that all of them leave signals alone.
    status = ioloop::BlockSignals({SIGINT, SIGTERM});
  }
  if (!status.ok()) return FailCommand("serve", status);
  signal(SIGPIPE, SIG_IGN);
  if (int fault = CheckBackend("serve"); fault != kExitOk) return fault;
  status = Serve();
  if (!status.ok()) return FailCommand("serve", status);
  return kExitOk;
}

}  // namespace app
