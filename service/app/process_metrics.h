// What a process counts beside its RPCs: loops, sessions, Redis, indexing.
#ifndef RINGPLANE_SERVICE_APP_PROCESS_METRICS_H_
#define RINGPLANE_SERVICE_APP_PROCESS_METRICS_H_

#include <cstddef>
#include <mutex>

#include "cql/setup_governor.h"
#include "cql/stats.h"
#include "ioloop/stats.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/post_record_cache.h"
#include "service/ingest/scheduler.h"
#include "service/redis/client.h"
#include "service/server/metrics.h"

namespace app {

// Numbers that only their loop may read, copied by it now and then for others.
class LoopSnapshot {
 public:
  struct Values {
    cql::SessionStats cql;
    bool has_redis = false;
    bool redis_usable = false;
    redis::Client::Stats redis;
    dataplane::PostRecordCache::Stats cache;
    dataplane::Dataplane::Stats dataplane;
    ingest::SchedulerStats indexing;
  };

  void Set(const Values& values) {
    std::lock_guard<std::mutex> lock(mutex_);
    values_ = values;
  }
  Values Get() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return values_;
  }

 private:
  mutable std::mutex mutex_;
  Values values_;
};

// Samples of several loops add up, but for those with the label "loop".
void CollectLoopStats(size_t index, const ioloop::LoopStats& stats,
                      server::MetricsWriter& writer);
void CollectSnapshot(const LoopSnapshot::Values& values,
                     server::MetricsWriter& writer);
// What the process's connections to the store wait for when they are set up.
void CollectSetup(const cql::SetupGovernor::Stats& stats,
                  server::MetricsWriter& writer);
// Memory, descriptors, CPU time, log lines not written, version.
void CollectProcess(server::MetricsWriter& writer);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_PROCESS_METRICS_H_
