#include "service/app/loop_service.h"

#include <utility>

#include "ioloop/check.h"
#include "ioloop/log.h"
#include "proto/bsky.pb.h"
#include "service/app/admin.h"
#include "service/app/store.h"
#include "service/app/tablet_cache.h"
#include "service/app/version.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Cat;

// How stale a scrape may be. Copying costs the loop a microsecond or so.
constexpr absl::Duration kSnapshotInterval = absl::Milliseconds(100);

absl::Status Annotate(const absl::Status& status, std::string_view what) {
  if (status.ok()) return status;
  return absl::Status(status.code(), Cat(what, ": ", status.message()));
}

}  // namespace

class LoopService::Invalidator : public ingest::RecordCacheInvalidator {
 public:
  explicit Invalidator(dataplane::PostRecordCache* cache) : cache_(cache) {}
  void Invalidate(std::string_view uri) override { cache_->Invalidate(uri); }

 private:
  dataplane::PostRecordCache* const cache_;
};

LoopService::LoopService(ioloop::Loop* loop, size_t index,
                         const LoopServiceOptions* options,
                         server::Registry* registry, QueryPage* queries)
    : loop_(loop),
      index_(index),
      options_(options),
      registry_(registry),
      queries_(queries),
      stopping_(loop) {}

LoopService::~LoopService() = default;

ioloop::Task<absl::Status> LoopService::Start(ioloop::Event* stop) {
  absl::StatusOr<std::unique_ptr<cql::Session>> session =
      co_await ConnectSession(loop_, options_->session,
                              options_->startup_timeout, stop);
  if (!session.ok()) co_return session.status();
  session_ = *std::move(session);

  dataplane::PostRecordCache::Options cache_options;
  if (options_->redis.has_value()) {
    redis_ = redis::Client::Create(loop_, options_->redis->client);
    cache_options = options_->redis->cache;
  }
  absl::StatusOr<std::unique_ptr<dataplane::Dataplane>> dataplane =
      co_await dataplane::Dataplane::Create(session_.get(), redis_.get(),
                                            options_->dataplane, cache_options);
  if (!dataplane.ok()) {
    co_return Annotate(dataplane.status(),
                       "the schema is missing or not this version's (see "
                       "ringplane schema --apply)");
  }
  dataplane_ = *std::move(dataplane);
  dataplane_->Register(&router_);

  server_ = std::make_unique<server::Server>(loop_, &router_, options_->server);
  registrations_.push_back(server_->RegisterMetrics(registry_));
  TakeSnapshot();
  registrations_.push_back(
      registry_->AddCollector([this](server::MetricsWriter& writer) {
        CollectSnapshot(snapshot_.Get(), writer);
      }));
  tasks_.Spawn(TakeSnapshots());
  for (const ioloop::SocketAddress& address : options_->listen.listen) {
    absl::StatusOr<ioloop::SocketAddress> bound = server_->Listen(address);
    if (!bound.ok()) co_return bound.status();
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> LoopService::StartAdmin(
    std::function<std::string()> not_ready) {
  invalidator_ = std::make_unique<Invalidator>(dataplane_->post_cache());
  absl::StatusOr<std::unique_ptr<ingest::Indexer>> indexer =
      co_await ingest::Indexer::Create(session_.get(), options_->indexer,
                                       invalidator_.get());
  if (!indexer.ok()) co_return Annotate(indexer.status(), "indexer");
  indexer_ = *std::move(indexer);
  scheduler_ = std::make_unique<ingest::Scheduler>(loop_, indexer_.get(),
                                                   options_->scheduler);
  dataplane::AdminService::Options service_options;
  service_options.version = kVersion;
  absl::StatusOr<std::unique_ptr<dataplane::AdminService>> admin =
      co_await dataplane::AdminService::Create(
          session_.get(), indexer_.get(), scheduler_.get(), service_options);
  if (!admin.ok()) co_return Annotate(admin.status(), "admin");
  admin_service_ = *std::move(admin);
  admin_service_->Register(&admin_router_);

  server::Options admin_options = options_->server;
  // By the time it drains, nobody asks for readiness any more.
  admin_options.drain_notice = absl::ZeroDuration();
  admin_server_ =
      std::make_unique<server::Server>(loop_, &admin_router_, admin_options);
  admin_server_->SetAuthorizer(
      MakeAdminAuthorizer(options_->listen.admin_token));
  admin_server_->SetHttpHandler(
      MakeAdminHandler(registry_, queries_, std::move(not_ready)));
  registrations_.push_back(admin_server_->RegisterMetrics(registry_));
  // Of the process, so one loop tells them.
  registrations_.push_back(registry_->AddCollector(
      [governor = options_->session.governor](server::MetricsWriter& writer) {
        CollectSetup(governor->stats(), writer);
      }));
  absl::StatusOr<ioloop::SocketAddress> bound =
      admin_server_->Listen(options_->listen.admin, false);
  if (!bound.ok()) co_return bound.status();
  admin_address_ = *bound;
  co_return absl::OkStatus();
}

ioloop::Task<void> LoopService::Drain() {
  if (server_ == nullptr) co_return;
  server::DrainResult result = co_await server_->Drain();
  if (result.calls_cut > 0) {
    RINGPLANE_LOG(kWarning, "calls were cut off", {"calls", result.calls_cut});
  }
}

ioloop::Task<void> LoopService::Stop() {
  stopping_.Set();
  co_await tasks_.Join();
  if (admin_server_ != nullptr) {
    static_cast<void>(co_await admin_server_->Drain());
  }
  // Both have drained: nobody waits for what still runs, so a store that does
  // not answer must not hold up the end.
  // One loop's knowledge is enough: all ask for the same tables.
  if (session_ != nullptr && admin_server_ != nullptr &&
      !options_->tablet_cache_file.empty()) {
    co_await WriteTabletCache(loop_, options_->tablet_cache_file,
                              session_->TabletCache());
  }
  if (session_ != nullptr) co_await session_->Close();
  if (admin_server_ != nullptr) co_await admin_server_->Close();
  if (server_ != nullptr) co_await server_->Close();
  registrations_.clear();
  admin_server_.reset();
  admin_service_.reset();
  scheduler_.reset();
  indexer_.reset();
  server_.reset();
  dataplane_.reset();
  if (redis_ != nullptr) co_await redis_->Close();
  redis_.reset();
  session_.reset();
}

size_t LoopService::store_connections() const {
  return session_ == nullptr ? 0 : session_->connections();
}

ioloop::Task<void> LoopService::TakeSnapshots() {
  for (;;) {
    absl::Time next = loop_->now() + kSnapshotInterval;
    bool stopping = co_await stopping_.WaitUntil(next);
    if (stopping) co_return;
    TakeSnapshot();
  }
}

void LoopService::TakeSnapshot() {
  LoopSnapshot::Values values;
  values.cql = session_->stats();
  if (redis_ != nullptr) {
    values.has_redis = true;
    values.redis_usable = redis_->usable();
    values.redis = redis_->stats();
    values.cache = dataplane_->post_cache()->stats();
  }
  values.dataplane = dataplane_->stats();
  if (scheduler_ != nullptr) values.indexing = scheduler_->stats();
  snapshot_.Set(values);
  queries_->Set(index_, loop_->now(),
                session_->in_flight(QueryPage::kInFlightMax),
                session_->slow_queries());
}

}  // namespace app
