// An RPC server on one loop: gRPC, gRPC-Web and Connect over HTTP/1.1 and
// HTTP/2 (cleartext with prior knowledge) on the same ports.
//
//   rpc::Router router;
//   router.AddService(bsky::Service::descriptor());
//   router.Handle<&Dataplane::GetTimeline>("bsky.Service", "GetTimeline", &dp);
//   server::Server server(loop, &router, options);
//   auto address =
//   server.Listen(*ioloop::SocketAddress::Parse("0.0.0.0:3000"));
//   ...
//   server::DrainResult result = co_await server.Drain();
//   co_await server.Close();
//
// Thread-safety: none, but for stats() and what a Registry reads of it. A
// process has one server per loop; each listens with SO_REUSEPORT.
#ifndef RINGPLANE_SERVICE_SERVER_SERVER_H_
#define RINGPLANE_SERVICE_SERVER_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/task.h"
#include "service/http/http2_session.h"
#include "service/http/message.h"
#include "service/rpc/router.h"
#include "service/server/metrics.h"
#include "service/server/stats.h"

namespace server {

// Serves a request that is no RPC: any GET, and what has no RPC content type.
// Must not wait: it runs inside the connection's turn. Starts from an empty
// 200; unset handlers answer 404.
using HttpHandler =
    std::function<void(const http::Request& request, http::Response* response)>;

// Called with the head of every request, RPC or not, before anything else is
// done with it. An error is answered in the caller's protocol (401 for
// kUnauthenticated, 403 for kPermissionDenied where HTTP speaks).
using Authorizer = std::function<absl::Status(const http::Request& request)>;

// All limits are per server, that is, per loop. What reaches a limit is counted
// in `ringplane_limit_hits_total{limit="..."}`.
struct Options {
  // Connections open at once; one more is closed as soon as it is accepted.
  size_t connections_max = 16384;
  // Calls that run on one HTTP/2 connection; above it the client waits
  // (SETTINGS_MAX_CONCURRENT_STREAMS) or is refused (REFUSED_STREAM).
  uint32_t streams_per_connection_max = 100;
  // Calls whose handlers have not finished, those that nobody waits for any
  // more included; above it: Unavailable at once.
  size_t calls_in_flight_max = 8192;
  // Names and values of a request's header fields, each with 32 bytes of
  // overhead as HTTP/2 counts them; above it: 431.
  size_t header_bytes_max = 16 << 10;
  size_t header_count_max = 100;
  // A request message, after decompression; above it: ResourceExhausted.
  size_t message_in_bytes_max = 4 << 20;
  // A response message before compression; above it: ResourceExhausted.
  size_t message_out_bytes_max = 64 << 20;
  // Bytes of all requests of one connection that are not complete yet; above
  // it: ResourceExhausted.
  size_t request_buffer_bytes_max = 16 << 20;
  // Bytes of answers that one connection's peer has not taken. Above it calls
  // get ResourceExhausted, and a connection whose socket is that far behind is
  // not read from.
  size_t queued_output_bytes_max = 16 << 20;
  // Elements of all repeated fields of a request; above it: InvalidArgument.
  size_t keys_per_request_max = 50000;

  // A connection without calls is closed after this.
  absl::Duration idle_timeout = absl::Minutes(20);
  // From the first byte (or accept) to the end of the head: 408 or closed.
  absl::Duration header_timeout = absl::Seconds(5);
  // From the end of the head to the end of the body: 408 or stream reset.
  absl::Duration body_timeout = absl::Seconds(8);
  // A peer with answers waiting that takes less than `write_progress_bytes` of
  // them in this time is cut off.
  absl::Duration write_stall_timeout = absl::Seconds(10);
  size_t write_progress_bytes = 4096;

  // For calls that name no deadline, and the most that a call may ask for.
  absl::Duration default_deadline = absl::Seconds(30);
  absl::Duration max_deadline = absl::Minutes(5);

  // Drain() waits this long for calls in flight before it cuts them off, and
  // goes on as usual for `drain_notice` after readiness has said no, so that
  // load balancers see it first. Between the two GOAWAYs of an HTTP/2
  // connection lies `goaway_delay`: what was on its way arrives.
  absl::Duration drain_timeout = absl::Seconds(10);
  absl::Duration drain_notice = absl::ZeroDuration();
  absl::Duration goaway_delay = absl::Milliseconds(50);
  // A connection that the server ends is read from for this long, so that the
  // peer gets what was sent last and not a reset.
  absl::Duration linger_timeout = absl::Seconds(1);

  // Answers of at least this size are compressed for clients that ask for it.
  size_t compress_bytes_min = 1024;

  // Budgets against hostile HTTP/2 clients; see http2_session.h.
  http::Http2Session::AbuseLimits http2_abuse;
};

struct DrainResult {
  // Calls that were not finished in time.
  size_t calls_cut = 0;
};

class Server {
 public:
  // `router` and `loop` outlive the server; `router` is complete.
  Server(ioloop::Loop* loop, const rpc::Router* router, Options options);
  // REQUIRES: Close() has finished, if Listen() was ever called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Set before Listen().
  void SetHttpHandler(HttpHandler handler);
  void SetAuthorizer(Authorizer authorizer);

  // Accepts on `address` (port 0: a free one) and returns where it listens.
  // With `reuse_port`, other servers may listen on the same port.
  absl::StatusOr<ioloop::SocketAddress> Listen(
      const ioloop::SocketAddress& address, bool reuse_port = true);

  // Whether the server wants calls: what /readyz and gRPC health say. Starts
  // true; Drain() makes it false for ever.
  void SetReady(bool ready);
  bool ready() const;

  // Says "not serving", stops accepting, tells every client to go, answers
  // new calls with Unavailable, waits for those in flight, and closes every
  // connection. Once.
  ioloop::Task<DrainResult> Drain();
  // Cuts off what is left and waits for handlers to end: they are told by
  // `CallContext::cancelled`, and end by their deadline if they pass it on.
  ioloop::Task<void> Close();

  // Readable from any thread.
  const ServerStats& stats() const;
  // Writes this server's counters; the registration must die before it.
  [[nodiscard]] Registry::Registration RegisterMetrics(Registry* registry);

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace server

#endif  // RINGPLANE_SERVICE_SERVER_SERVER_H_
