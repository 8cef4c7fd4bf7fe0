#include "service/server/stats.h"

#include "service/rpc/status_codes.h"

namespace server {

std::string_view LimitName(Limit limit) {
  switch (limit) {
    case Limit::kConnections:
      return "connections";
    case Limit::kStreams:
      return "streams_per_connection";
    case Limit::kCallsInFlight:
      return "calls_in_flight";
    case Limit::kHeaderBytes:
      return "header_bytes";
    case Limit::kMessageIn:
      return "message_in_bytes";
    case Limit::kMessageOut:
      return "message_out_bytes";
    case Limit::kRequestBuffer:
      return "request_buffer_bytes";
    case Limit::kQueuedOutput:
      return "queued_output_bytes";
    case Limit::kKeys:
      return "keys_per_request";
    case Limit::kIdleTimeout:
      return "idle_timeout";
    case Limit::kHeaderTimeout:
      return "header_timeout";
    case Limit::kBodyTimeout:
      return "body_timeout";
    case Limit::kWriteStall:
      return "write_stall_timeout";
    case Limit::kDeadline:
      return "deadline";
    case Limit::kHttp2Abuse:
      return "http2_abuse";
    case Limit::kBadRequest:
      return "bad_request";
    case Limit::kCount:
      break;
  }
  return "unknown";
}

void CollectServerStats(const ServerStats& stats, MetricsWriter& writer) {
  auto number = [](const auto& metric) {
    return static_cast<double>(metric.value());
  };
  writer.Counter("ringplane_connections_accepted_total",
                 "Client connections accepted.", {},
                 number(stats.connections_accepted));
  writer.Counter("ringplane_connections_total",
                 "Client connections by the protocol that they spoke.",
                 {{"http", "1.1"}}, number(stats.connections_http1));
  writer.Counter("ringplane_connections_total",
                 "Client connections by the protocol that they spoke.",
                 {{"http", "2"}}, number(stats.connections_http2));
  writer.Gauge("ringplane_connections", "Client connections open.", {},
               number(stats.connections));
  writer.Gauge("ringplane_rpc_in_flight", "Calls whose handler still runs.", {},
               number(stats.calls_in_flight));
  writer.Gauge("ringplane_rpc_orphaned",
               "Calls whose handler still runs though nobody waits.", {},
               number(stats.calls_orphaned));
  writer.Counter("ringplane_rpc_cancelled_total",
                 "Calls whose client left before the answer.", {},
                 number(stats.calls_cancelled));
  writer.Counter("ringplane_http_requests_total", "Requests that were no RPC.",
                 {}, number(stats.http_requests));
  writer.Counter("ringplane_rpc_unknown_method_total",
                 "Calls of methods that no service has.", {},
                 number(stats.unknown_method));
  writer.Counter("ringplane_received_bytes_total", "Bytes from clients.", {},
                 number(stats.bytes_received));
  writer.Counter("ringplane_sent_bytes_total", "Bytes queued to clients.", {},
                 number(stats.bytes_sent));
  for (size_t i = 0; i < static_cast<size_t>(Limit::kCount); ++i) {
    writer.Counter("ringplane_limit_hits_total",
                   "Times that a limit refused or closed something.",
                   {{"limit", LimitName(static_cast<Limit>(i))}},
                   number(stats.limits[i]));
  }
  for (const MethodStats& method : stats.methods) {
    std::string_view path = method.path;
    uint64_t calls = 0;
    for (size_t code = 0; code < kCodes; ++code) {
      uint64_t n = method.calls[code].value();
      calls += n;
      if (n == 0) continue;
      writer.Counter(
          "ringplane_rpc_total", "Calls answered, by code.",
          {{"method", path},
           {"code", rpc::CodeName(static_cast<absl::StatusCode>(code))}},
          static_cast<double>(n));
    }
    // A hundred methods that nobody calls would be most of the page.
    if (calls == 0) continue;
    writer.Histogram("ringplane_rpc_seconds",
                     "Time from a call's last byte to its answer.",
                     {{"method", path}}, method.latency);
  }
}

}  // namespace server
