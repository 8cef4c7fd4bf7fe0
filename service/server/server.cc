#include "service/server/server.h"

#include <utility>

#include "ioloop/log.h"
#include "service/server/connection.h"
#include "service/server/server_impl.h"

namespace server {
namespace {

rpc::CodecOptions CodecOptionsOf(const Options& options) {
  rpc::CodecOptions codec;
  codec.message_in_bytes_max = options.message_in_bytes_max;
  codec.message_out_bytes_max = options.message_out_bytes_max;
  codec.compress_bytes_min = options.compress_bytes_min;
  return codec;
}

ioloop::Task<void> ServeConnection(Server::Impl* server,
                                   ioloop::Stream stream) {
  Connection connection(server, std::move(stream));
  server->AddConnection(&connection);
  co_await connection.Serve();
  server->RemoveConnection(&connection);
}

// gRPC health, unless the user serves that itself.
size_t AddOwnServices(const rpc::Router* router, rpc::Health* health,
                      rpc::Router* own) {
  if (router->Find("/grpc.health.v1.Health/Check") == nullptr) {
    health->AddTo(own);
  }
  return router->size() + own->size();
}

}  // namespace

Server::Impl::Impl(ioloop::Loop* its_loop, const rpc::Router* its_router,
                   Options its_options)
    : loop(its_loop),
      router(its_router),
      options(std::move(its_options)),
      // The health service's methods are two at most.
      stats(its_router->size() + 2),
      health_(its_router),
      codec_(CodecOptionsOf(options)),
      pool_(its_router->size() + 2, rpc::MessagePool::Options()),
      quiet_(its_loop) {
  size_t methods = AddOwnServices(router, &health_, &own_router_);
  for (size_t i = 0; i < methods; ++i) {
    stats.methods[i].path = i < router->size()
                                ? router->method(i).path
                                : own_router_.method(i - router->size()).path;
  }
}

Server::Impl::~Impl() {
  RINGPLANE_CHECK(!listened_ || closed_, "Close() a server first");
}

absl::StatusOr<ioloop::SocketAddress> Server::Impl::Listen(
    const ioloop::SocketAddress& address, bool reuse_port) {
  ioloop::Listener::Options listen;
  listen.reuse_port = reuse_port;
  // What a full queue and one more answer take: the queue's own bound is kept
  // by Connection, which stops reading and sending before it.
  listen.stream.send_buffer_max = options.queued_output_bytes_max +
                                  2 * options.message_out_bytes_max + (1 << 20);
  absl::StatusOr<ioloop::Listener> listener =
      ioloop::Listener::Bind(loop, address, listen);
  if (!listener.ok()) return listener.status();
  listened_ = true;
  listeners_.push_back(*std::move(listener));
  accepting_.Spawn(Accept(&listeners_.back()));
  return listeners_.back().local_address();
}

ioloop::Task<void> Server::Impl::Accept(ioloop::Listener* listener) {
  while (true) {
    absl::StatusOr<ioloop::Stream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return;
    stats.connections_accepted.Add();
    if (connection_count_ >= options.connections_max) {
      stats.Hit(Limit::kConnections);
      continue;  // Destroying the stream closes it.
    }
    serving_.Spawn(ServeConnection(this, *std::move(stream)));
  }
}

void Server::Impl::AddConnection(Connection* connection) {
  connection->next = connections_;
  if (connections_ != nullptr) connections_->previous = connection;
  connections_ = connection;
  ++connection_count_;
  stats.connections.Add(1);
}

void Server::Impl::RemoveConnection(Connection* connection) {
  if (connection->previous != nullptr) {
    connection->previous->next = connection->next;
  } else {
    connections_ = connection->next;
  }
  if (connection->next != nullptr) {
    connection->next->previous = connection->previous;
  }
  stats.connections.Add(-1);
  if (--connection_count_ == 0) quiet_.Set();
}

void Server::Impl::SetReady(bool ready) {
  ready_ = ready && !draining;
  health_.SetServing(ready_);
}

ioloop::Task<void> Server::Impl::CloseListeners() {
  for (ioloop::Listener& listener : listeners_) co_await listener.Close();
  co_await accepting_.Join();
  listeners_.clear();
}

ioloop::Task<DrainResult> Server::Impl::Drain() {
  SetReady(false);
  if (options.drain_notice > absl::ZeroDuration()) {
    co_await ioloop::SleepFor(loop, options.drain_notice);
  }
  draining = true;
  ready_ = false;
  co_await CloseListeners();
  const absl::Time deadline = loop->now() + options.drain_timeout;
  for (Connection* c = connections_; c != nullptr; c = c->next) {
    c->DrainNotice();
  }
  co_await ioloop::SleepFor(loop, options.goaway_delay);
  for (Connection* c = connections_; c != nullptr; c = c->next) {
    c->DrainFinal();
  }
  while ((waited_for_ > 0 || connection_count_ > 0) && loop->now() < deadline) {
    quiet_.Reset();
    co_await quiet_.WaitUntil(deadline);
  }
  DrainResult result;
  result.calls_cut = waited_for_;
  for (Connection* c = connections_; c != nullptr; c = c->next) c->Kill();
  co_await serving_.Join();
  co_return result;
}

ioloop::Task<void> Server::Impl::Close() {
  SetReady(false);
  draining = true;
  co_await CloseListeners();
  for (Connection* c = connections_; c != nullptr; c = c->next) c->Kill();
  co_await serving_.Join();
  co_await handlers_.Join();
  closed_ = true;
}

Server::Server(ioloop::Loop* loop, const rpc::Router* router, Options options)
    : impl_(std::make_unique<Impl>(loop, router, std::move(options))) {}
Server::~Server() = default;

void Server::SetHttpHandler(HttpHandler handler) {
  impl_->http_handler = std::move(handler);
}

void Server::SetAuthorizer(Authorizer authorizer) {
  impl_->authorizer = std::move(authorizer);
}

absl::StatusOr<ioloop::SocketAddress> Server::Listen(
    const ioloop::SocketAddress& address, bool reuse_port) {
  return impl_->Listen(address, reuse_port);
}

void Server::SetReady(bool ready) { impl_->SetReady(ready); }
bool Server::ready() const { return impl_->ready_; }
ioloop::Task<DrainResult> Server::Drain() { return impl_->Drain(); }
ioloop::Task<void> Server::Close() { return impl_->Close(); }
const ServerStats& Server::stats() const { return impl_->stats; }

Registry::Registration Server::RegisterMetrics(Registry* registry) {
  const ServerStats* stats = &impl_->stats;
  return registry->AddCollector(
      [stats](MetricsWriter& writer) { CollectServerStats(*stats, writer); });
}

}  // namespace server
