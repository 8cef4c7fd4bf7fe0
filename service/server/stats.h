// What a server counts. Its loop writes; any thread reads.
#ifndef RINGPLANE_SERVICE_SERVER_STATS_H_
#define RINGPLANE_SERVICE_SERVER_STATS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "service/server/metrics.h"

namespace server {

// Every bound of Options that a peer can reach.
enum class Limit : uint8_t {
  kConnections,
  kStreams,
  kCallsInFlight,
  kHeaderBytes,
  kMessageIn,
  kMessageOut,
  kRequestBuffer,
  kQueuedOutput,
  kKeys,
  kIdleTimeout,
  kHeaderTimeout,
  kBodyTimeout,
  kWriteStall,
  kDeadline,
  kHttp2Abuse,
  kBadRequest,
  kCount,
};

std::string_view LimitName(Limit limit);

// The codes of absl::StatusCode, kOk to kUnauthenticated.
inline constexpr size_t kCodes = 17;

struct MethodStats {
  std::string path;       // "/package.Service/Method"
  Counter calls[kCodes];  // answered, by code
  LatencyHistogram latency;
};

struct ServerStats {
  explicit ServerStats(size_t method_count) : methods(method_count) {}
  ServerStats(const ServerStats&) = delete;
  ServerStats& operator=(const ServerStats&) = delete;

  Counter connections_accepted;
  Counter connections_http1;
  Counter connections_http2;
  Gauge connections;
  Gauge calls_in_flight;
  // Calls whose client left or whose deadline passed, still running.
  Gauge calls_orphaned;
  Counter calls_cancelled;
  Counter http_requests;  // no RPC
  Counter unknown_method;
  Counter bytes_received;
  Counter bytes_sent;
  Counter limits[static_cast<size_t>(Limit::kCount)];
  // By Router::Method::index; the server's own methods (health) follow.
  std::vector<MethodStats> methods;

  void Hit(Limit limit) { limits[static_cast<size_t>(limit)].Add(); }
  uint64_t hits(Limit limit) const {
    return limits[static_cast<size_t>(limit)].value();
  }
};

// Writes `stats` in the names that docs and dashboards use.
void CollectServerStats(const ServerStats& stats, MetricsWriter& writer);

}  // namespace server

#endif  // RINGPLANE_SERVICE_SERVER_STATS_H_
