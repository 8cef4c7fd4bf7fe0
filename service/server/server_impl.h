// What is behind server::Server: calls, and the table of connections. Only for
// the files of this folder.
#ifndef RINGPLANE_SERVICE_SERVER_SERVER_IMPL_H_
#define RINGPLANE_SERVICE_SERVER_SERVER_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "ioloop/event.h"
#include "ioloop/listener.h"
#include "ioloop/timer.h"
#include "service/rpc/health.h"
#include "service/rpc/message_pool.h"
#include "service/rpc/protocol.h"
#include "service/server/server.h"

namespace server {

class Connection;
struct Call;

// Where the answer to a request goes: an HTTP/2 stream, or (nullptr) the one
// exchange of an HTTP/1.1 connection.
using ExchangeHandle = http::Http2Stream*;

// Fires at a call's deadline.
struct CallTimer : ioloop::Timer {
  CallTimer(ioloop::Loop* loop, Handler handler, Call* timed)
      : Timer(loop, handler), call(timed) {}
  Call* call;
};

// A call whose handler runs. Answered once: by its handler, by its deadline,
// or not at all because its client left; its memory stays until the handler
// has ended. Reused.
struct Call {
  explicit Call(Server::Impl* owner);

  Server::Impl* const server;
  rpc::CallContext context;
  std::string caller;
  rpc::CallHead head;
  const rpc::Router::Method* method = nullptr;
  size_t index = 0;  // of the method, in stats and pools
  rpc::MessagePool::Pair messages;
  size_t message_bytes = 0;
  absl::Time started;
  CallTimer timer;
  // The connection it came by, as long as that lives.
  Connection* connection = nullptr;
  ExchangeHandle exchange = nullptr;
  bool answered = false;  // or nobody waits
  Call* next = nullptr;   // of the connection
  Call* previous = nullptr;
};

class Server::Impl {
 public:
  Impl(ioloop::Loop* loop, const rpc::Router* router, Options options);
  ~Impl();

  // --- server.cc
  absl::StatusOr<ioloop::SocketAddress> Listen(
      const ioloop::SocketAddress& address, bool reuse_port);
  ioloop::Task<void> Accept(ioloop::Listener* listener);
  ioloop::Task<DrainResult> Drain();
  ioloop::Task<void> Close();
  void SetReady(bool ready);
  void AddConnection(Connection* connection);
  void RemoveConnection(Connection* connection);
  ioloop::Task<void> CloseListeners();

  // --- call.cc
  // Serves a complete request. The answer is sent by Connection::Send, in this
  // call or later.
  void Dispatch(Connection* connection, ExchangeHandle exchange,
                const http::Request& request);
  // The client of `exchange` left: nobody waits for its call any more.
  void Abandon(Call* call);

  ioloop::Loop* const loop;
  const rpc::Router* const router;
  const Options options;
  ServerStats stats;
  HttpHandler http_handler;
  Authorizer authorizer;
  bool draining = false;

 private:
  friend struct Call;

  void ServeHttp(Connection* connection, ExchangeHandle exchange,
                 const http::Request& request);
  const rpc::Router::Method* Find(std::string_view path, size_t* index) const;
  // Why a call of a known method cannot start; OK if it can.
  absl::Status Admit(const Connection& connection,
                     const rpc::Router::Method& method);
  absl::Status CheckKeys(const rpc::Router::Method& method,
                         const google::protobuf::Message& request);
  // Answers without a handler. `index` is the method's, or kNoMethod.
  static constexpr size_t kNoMethod = SIZE_MAX;
  void Refuse(Connection* connection, ExchangeHandle exchange,
              const rpc::CallHead& head, size_t index,
              const absl::Status& status);
  ioloop::Task<void> Run(Call* call);
  void Answer(Call* call, const absl::Status& status);
  static void OnDeadline(ioloop::Timer* timer);
  Call* NewCall();
  void FreeCall(Call* call);
  void Count(size_t index, const absl::Status& status);

  rpc::Router own_router_;
  rpc::Health health_;
  rpc::MessageCodec codec_;
  rpc::MessagePool pool_;
  std::vector<std::unique_ptr<Call>> calls_;  // every one ever made
  std::vector<Call*> free_calls_;
  std::list<ioloop::Listener> listeners_;
  Connection* connections_ = nullptr;
  size_t connection_count_ = 0;
  bool ready_ = true;
  bool closed_ = false;
  bool listened_ = false;
  // Set while no handler runs that somebody waits for.
  size_t waited_for_ = 0;
  ioloop::Event quiet_;
  ioloop::TaskGroup accepting_;
  ioloop::TaskGroup serving_;
  ioloop::TaskGroup handlers_;

  friend class Server;
};

}  // namespace server

#endif  // RINGPLANE_SERVICE_SERVER_SERVER_IMPL_H_
