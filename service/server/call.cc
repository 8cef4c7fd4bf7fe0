// From a complete request to its answer.
#include <algorithm>
#include <utility>

#include "service/http/text.h"
#include "service/rpc/status_codes.h"
#include "service/server/connection.h"
#include "service/server/server_impl.h"

namespace server {
namespace {

constexpr std::string_view kCallerHeader = "x-atlantis-caller";
constexpr size_t kCallerBytesMax = 64;
constexpr size_t kShownPath = 200;

}  // namespace

Call::Call(Server::Impl* owner)
    : server(owner), timer(owner->loop, &Server::Impl::OnDeadline, this) {}

const rpc::Router::Method* Server::Impl::Find(std::string_view path,
                                              size_t* index) const {
  const rpc::Router::Method* method = router->Find(path);
  if (method != nullptr) {
    *index = method->index;
    return method;
  }
  method = own_router_.Find(path);
  if (method != nullptr) *index = router->size() + method->index;
  return method;
}

void Server::Impl::Dispatch(Connection* connection, ExchangeHandle exchange,
                            const http::Request& request) {
  rpc::CallHead head;
  absl::Status parsed = rpc::ParseCallHead(request, &head);
  if (head.protocol == rpc::Protocol::kNone || request.method != "POST") {
    ServeHttp(connection, exchange, request);
    return;
  }
  size_t index = kNoMethod;
  const rpc::Router::Method* method = Find(request.path(), &index);
  absl::Status status = authorizer ? authorizer(request) : absl::OkStatus();
  if (status.ok() && method == nullptr) {
    stats.unknown_method.Add();
    status = absl::UnimplementedError(
        http::Cat("there is no method ", request.path().substr(0, kShownPath)));
  }
  if (status.ok()) status = std::move(parsed);
  if (status.ok()) status = Admit(*connection, *method);
  if (status.ok() && request.body_too_large) {
    stats.Hit(Limit::kMessageIn);
    status = absl::ResourceExhaustedError(
        absl::StrCat("the request is too large: a message may have ",
                     options.message_in_bytes_max, " bytes"));
  }
  if (!status.ok()) {
    Refuse(connection, exchange, head, index, status);
    return;
  }

  Call* call = NewCall();
  call->method = method;
  call->index = index;
  call->head = head;
  call->messages = pool_.Take(*method, index);
  call->message_bytes = request.body.size();
  status = codec_.Decode(head, request.body, call->messages.request.get());
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    stats.Hit(Limit::kMessageIn);
  }
  if (status.ok()) status = CheckKeys(*method, *call->messages.request);
  absl::Duration timeout = std::min(head.timeout == absl::InfiniteDuration()
                                        ? options.default_deadline
                                        : head.timeout,
                                    options.max_deadline);
  if (status.ok() && timeout <= absl::ZeroDuration()) {
    stats.Hit(Limit::kDeadline);
    status = absl::DeadlineExceededError("the call came without time left");
  }
  if (!status.ok()) {
    FreeCall(call);
    Refuse(connection, exchange, head, index, status);
    return;
  }

  call->started = loop->now();
  call->caller.assign(
      request.headers.Find(kCallerHeader).substr(0, kCallerBytesMax));
  call->context.loop = loop;
  call->context.caller = call->caller;
  call->context.deadline = call->started + timeout;
  call->exchange = exchange;
  if (exchange != nullptr) exchange->user = call;
  connection->AddCall(call);
  ++waited_for_;
  stats.calls_in_flight.Add(1);
  handlers_.Spawn(Run(call));
}

absl::Status Server::Impl::Admit(const Connection& connection,
                                 const rpc::Router::Method& method) {
  if (method.handler == nullptr) {
    return absl::UnimplementedError(
        http::Cat(std::string_view(method.path), " is not implemented"));
  }
  // Health checks are how a balancer learns of the states below.
  if (method.service == &health_) return absl::OkStatus();
  if (draining) return absl::UnavailableError("the server is shutting down");
  if (handlers_.running() >= options.calls_in_flight_max ||
      connection.calls() >= 2 * size_t{options.streams_per_connection_max}) {
    stats.Hit(Limit::kCallsInFlight);
    return absl::UnavailableError("too many calls in flight");
  }
  if (connection.pending_output() > options.queued_output_bytes_max) {
    stats.Hit(Limit::kQueuedOutput);
    return absl::ResourceExhaustedError(
        "too many bytes of answers that were not taken");
  }
  return absl::OkStatus();
}

absl::Status Server::Impl::CheckKeys(const rpc::Router::Method& method,
                                     const google::protobuf::Message& request) {
  size_t keys = 0;
  const google::protobuf::Reflection* reflection = request.GetReflection();
  for (const google::protobuf::FieldDescriptor* field : method.key_fields) {
    keys += static_cast<size_t>(reflection->FieldSize(request, field));
  }
  if (keys <= options.keys_per_request_max) return absl::OkStatus();
  stats.Hit(Limit::kKeys);
  return absl::InvalidArgumentError(
      absl::StrCat("the request has ", keys, " keys, at most ",
                   options.keys_per_request_max, " are allowed"));
}

ioloop::Task<void> Server::Impl::Run(Call* call) {
  call->timer.Arm(call->context.deadline);
  absl::Status status;
  {
    ioloop::Task<absl::Status> handler = call->method->handler(
        call->method->service, call->context, *call->messages.request,
        call->messages.response.get());
    status = co_await handler;
  }
  stats.calls_in_flight.Add(-1);
  if (call->answered) {
    stats.calls_orphaned.Add(-1);
  } else {
    Answer(call, status);
  }
  if (call->connection != nullptr) call->connection->RemoveCall(call);
  FreeCall(call);
}

void Server::Impl::Answer(Call* call, const absl::Status& status) {
  Connection* connection = call->connection;
  ExchangeHandle exchange = std::exchange(call->exchange, nullptr);
  call->answered = true;
  call->timer.Disarm();
  if (--waited_for_ == 0) quiet_.Set();
  if (exchange != nullptr) exchange->user = nullptr;

  http::Response* response = connection->ResponseOf(exchange);
  absl::Status sent = codec_.Encode(call->head, status,
                                    call->messages.response.get(), response);
  if (status.ok() && !sent.ok()) stats.Hit(Limit::kMessageOut);
  size_t waiting = connection->pending_output();
  if (sent.ok() && waiting > 0 &&
      waiting + response->body.size() > options.queued_output_bytes_max) {
    stats.Hit(Limit::kQueuedOutput);
    response->Clear();
    sent = codec_.Encode(call->head,
                         absl::ResourceExhaustedError(
                             "too many bytes of answers that were not taken"),
                         nullptr, response);
  }
  call->message_bytes += response->body.size();
  Count(call->index, sent);
  stats.methods[call->index].latency.ObserveNanos(
      absl::ToInt64Nanoseconds(loop->now() - call->started));
  connection->Send(exchange);
}

void Server::Impl::Abandon(Call* call) {
  call->context.cancelled = true;
  if (call->exchange != nullptr) call->exchange->user = nullptr;
  call->exchange = nullptr;
  if (call->answered) return;
  call->answered = true;
  call->timer.Disarm();
  if (--waited_for_ == 0) quiet_.Set();
  stats.calls_cancelled.Add();
  stats.calls_orphaned.Add(1);
  Count(call->index, absl::CancelledError());
}

void Server::Impl::OnDeadline(ioloop::Timer* timer) {
  Call* call = static_cast<CallTimer*>(timer)->call;
  Server::Impl* self = call->server;
  self->stats.Hit(Limit::kDeadline);
  self->stats.calls_orphaned.Add(1);
  call->context.cancelled = true;
  self->Answer(call, absl::DeadlineExceededError("the deadline has passed"));
}

void Server::Impl::Refuse(Connection* connection, ExchangeHandle exchange,
                          const rpc::CallHead& head, size_t index,
                          const absl::Status& status) {
  Count(index, status);
  absl::Status sent =
      codec_.Encode(head, status, nullptr, connection->ResponseOf(exchange));
  connection->Send(exchange);
}

void Server::Impl::ServeHttp(Connection* connection, ExchangeHandle exchange,
                             const http::Request& request) {
  stats.http_requests.Add();
  http::Response* response = connection->ResponseOf(exchange);
  size_t index = 0;
  absl::Status authorized = authorizer ? authorizer(request) : absl::OkStatus();
  if (!authorized.ok()) {
    response->status = rpc::ConnectHttpStatus(authorized.code());
    response->headers.Add("content-type", "text/plain; charset=utf-8");
    response->body = http::Cat(authorized.message(), "\n");
  } else if (Find(request.path(), &index) != nullptr) {
    if (request.method != "POST") {
      response->status = 405;
      response->headers.Add("allow", "POST");
    } else {
      response->status = 415;
      response->headers.Add("accept-post",
                            "application/grpc, application/grpc+proto, "
                            "application/grpc-web+proto, application/proto, "
                            "application/json");
    }
  } else if (request.body_too_large) {
    stats.Hit(Limit::kMessageIn);
    response->status = 413;
  } else if (http_handler) {
    http_handler(request, response);
  } else {
    response->status = 404;
  }
  if (response->body.empty() && response->status >= 400 &&
      !response->headers.Contains("content-type")) {
    response->headers.Add("content-type", "text/plain; charset=utf-8");
    response->body = http::Cat(response->status, " ",
                               http::ReasonPhrase(response->status), "\n");
  }
  connection->Send(exchange);
}

Call* Server::Impl::NewCall() {
  if (free_calls_.empty()) {
    calls_.push_back(std::make_unique<Call>(this));
    return calls_.back().get();
  }
  Call* call = free_calls_.back();
  free_calls_.pop_back();
  return call;
}

void Server::Impl::FreeCall(Call* call) {
  call->timer.Disarm();
  pool_.Return(std::move(call->messages), call->index, call->message_bytes);
  call->messages = rpc::MessagePool::Pair();
  call->context = rpc::CallContext();
  call->method = nullptr;
  call->connection = nullptr;
  call->exchange = nullptr;
  call->answered = false;
  free_calls_.push_back(call);
}

void Server::Impl::Count(size_t index, const absl::Status& status) {
  if (index == kNoMethod) return;
  size_t code = static_cast<size_t>(status.code());
  if (code >= kCodes) code = static_cast<size_t>(absl::StatusCode::kUnknown);
  stats.methods[index].calls[code].Add();
}

}  // namespace server
