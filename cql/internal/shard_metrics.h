// What is counted for each shard of a node, over all its connections.
#ifndef RINGPLANE_CQL_INTERNAL_SHARD_METRICS_H_
#define RINGPLANE_CQL_INTERNAL_SHARD_METRICS_H_

#include <cstdint>

#include "cql/latency_histogram.h"

namespace cql::internal {

struct ShardMetrics {
  LatencyHistogram latency;
  uint64_t timeouts = 0;
  uint64_t retries = 0;
  uint64_t limit_cuts = 0;
  uint64_t connections = 0;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_SHARD_METRICS_H_
