// Everything that one loop of `ringplane serve` owns: its session, its Redis
// client, its dataplane and its server; and on the first loop the indexer and
// the admin listener.
#ifndef RINGPLANE_SERVICE_APP_LOOP_SERVICE_H_
#define RINGPLANE_SERVICE_APP_LOOP_SERVICE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cql/session.h"
#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/task.h"
#include "service/app/options.h"
#include "service/app/process_metrics.h"
#include "service/app/query_page.h"
#include "service/dataplane/admin_service.h"
#include "service/dataplane/dataplane.h"
#include "service/ingest/indexer.h"
#include "service/ingest/scheduler.h"
#include "service/redis/client.h"
#include "service/rpc/router.h"
#include "service/server/metrics.h"
#include "service/server/server.h"

namespace app {

// What every loop is made from; the same for all of them.
struct LoopServiceOptions {
  cql::SessionOptions session;
  absl::Duration startup_timeout;
  std::string tablet_cache_file;  // Empty: none.
  std::optional<RedisOptions> redis;
  server::Options server;
  dataplane::Options dataplane;
  ingest::IndexerOptions indexer;
  ingest::SchedulerOptions scheduler;
  // With the ports already chosen.
  ListenOptions listen;
};

class LoopService {
 public:
  // `index`: the loop's number in the process. The others outlive the service.
  LoopService(ioloop::Loop* loop, size_t index,
              const LoopServiceOptions* options, server::Registry* registry,
              QueryPage* queries);
  ~LoopService();  // REQUIRES: Stop() was awaited.
  LoopService(const LoopService&) = delete;
  LoopService& operator=(const LoopService&) = delete;

  // Connects, prepares and listens; the status names what failed. kCancelled
  // if `stop` was set before the store answered.
  ioloop::Task<absl::Status> Start(ioloop::Event* stop);

  // The first loop's part, after Start(). `not_ready` is asked by /readyz.
  ioloop::Task<absl::Status> StartAdmin(std::function<std::string()> not_ready);
  const ioloop::SocketAddress& admin_address() const { return admin_address_; }

  // Drains bsky.Service. Admin still answers.
  ioloop::Task<void> Drain();
  // Closes the rest; also after a Start() that failed.
  ioloop::Task<void> Stop();

  size_t store_connections() const;

 private:
  // Tells the post cache, in Redis, of what the indexer wrote.
  class Invalidator;

  ioloop::Task<void> TakeSnapshots();
  void TakeSnapshot();

  ioloop::Loop* const loop_;
  const size_t index_;
  const LoopServiceOptions* const options_;
  server::Registry* const registry_;
  QueryPage* const queries_;

  LoopSnapshot snapshot_;
  ioloop::Event stopping_;
  ioloop::TaskGroup tasks_;

  std::unique_ptr<cql::Session> session_;
  std::unique_ptr<redis::Client> redis_;
  std::unique_ptr<dataplane::Dataplane> dataplane_;
  rpc::Router router_;
  std::unique_ptr<server::Server> server_;

  std::unique_ptr<Invalidator> invalidator_;
  std::unique_ptr<ingest::Indexer> indexer_;
  std::unique_ptr<ingest::Scheduler> scheduler_;
  std::unique_ptr<dataplane::AdminService> admin_service_;
  rpc::Router admin_router_;
  std::unique_ptr<server::Server> admin_server_;
  ioloop::SocketAddress admin_address_;

  // Last: no scrape may look at what is gone.
  std::vector<server::Registry::Registration> registrations_;
};

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_LOOP_SERVICE_H_
