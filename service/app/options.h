// Flags as the options of what they configure, checked. Every error is
// kInvalidArgument and one line that names the flag.
#ifndef RINGPLANE_SERVICE_APP_OPTIONS_H_
#define RINGPLANE_SERVICE_APP_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "ioloop/loop_group.h"
#include "ioloop/socket_address.h"
#include "service/dataplane/options.h"
#include "service/dataplane/post_record_cache.h"
#include "service/ingest/generate.h"
#include "service/ingest/indexer.h"
#include "service/ingest/ingest_command.h"
#include "service/ingest/scheduler.h"
#include "service/redis/client.h"
#include "service/server/server.h"

namespace app {

struct NodeOptions {
  std::string data_dir;
  uint32_t shards = 1;
  ioloop::SocketAddress listen;
  bool sync = true;
};

struct StoreOptions {
  // No contact points: the embedded node.
  bool embedded() const { return session.contact_points.empty(); }

  cql::SessionOptions session;
  std::string replication;
  absl::Duration startup_timeout;
  std::string tablet_cache_file;  // Empty: none.
  NodeOptions node;
  ioloop::Loop::Options loop;  // Of the node, and for making the schema.
};
absl::StatusOr<StoreOptions> GetStoreOptions();

struct RedisOptions {
  redis::Client::Options client;
  dataplane::PostRecordCache::Options cache;
};
// nullopt: no Redis.
absl::StatusOr<std::optional<RedisOptions>> GetRedisOptions();

struct ListenOptions {
  std::vector<ioloop::SocketAddress> listen;
  ioloop::SocketAddress admin;
  // Empty: none is asked for.
  std::string admin_token;
};
absl::StatusOr<ListenOptions> GetListenOptions();

// For loops that do little: only what carries their operations is chosen.
absl::StatusOr<ioloop::Loop::Options> GetBackendOptions();
absl::StatusOr<ioloop::LoopGroup::Options> GetLoopGroupOptions();
absl::StatusOr<server::Options> GetServerOptions();
absl::StatusOr<dataplane::Options> GetDataplaneOptions();
absl::StatusOr<ingest::IndexerOptions> GetIndexerOptions();
absl::StatusOr<ingest::SchedulerOptions> GetSchedulerOptions();

enum class ProgressStyle { kNone, kLines, kBar };
struct IngestCommandOptions {
  ingest::IngestOptions run;
  // Empty: directly into the store.
  std::string to_host_port;
  std::string token;
  absl::Duration call_timeout;
  ioloop::Loop::Options loop;
  ProgressStyle progress = ProgressStyle::kNone;
};
absl::StatusOr<IngestCommandOptions> GetIngestOptions();

absl::StatusOr<ingest::GenerateOptions> GetGenerateOptions();

// Sets the log's level from its flag.
absl::Status ApplyLogLevel();

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_OPTIONS_H_
