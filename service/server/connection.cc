#include "service/server/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace server {
namespace {

// Requests that a client of HTTP/1.1 may send ahead, in bytes.
constexpr size_t kBehindMax = 64 << 10;

}  // namespace

Connection::Connection(Server::Impl* server, ioloop::Stream stream)
    : server_(server),
      stream_(std::move(stream)),
      since_(server->loop->now()),
      timer_(server->loop, &Connection::OnTimer, this),
      progress_(server->loop) {}

Connection::~Connection() = default;

ioloop::Task<void> Connection::Serve() {
  EnsureTimer(since_ + options().header_timeout);
  while (!finishing_ && !killed_) {
    {
      absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream_.Receive();
      if (finishing_ || killed_) break;
      if (!bytes.ok()) {
        killed_ = true;  // It broke: there is nobody to say anything to.
        break;
      }
      if (bytes->empty()) {
        OnEof();
      } else {
        Consume(bytes->view());
      }
    }  // The buffer is back before anything is waited for.
    // Falling behind stops reading; so does the end of what the client sends.
    while (!finishing_ && !killed_ &&
           (waiting_for_output_ || eof_ || behind_.size() > kBehindMax)) {
      progress_.Reset();
      co_await progress_.Wait();
    }
  }
  // Handlers go on without us; HTTP/2 answers that wait are lost with it.
  for (Call* call = first_call_; call != nullptr; call = call->next) {
    server_->Abandon(call);
  }
  if (!killed_) co_await FlushAndLinger();
  co_await waiters_.Join();
  timer_.Disarm();
  session_.reset();
  while (first_call_ != nullptr) RemoveCall(first_call_);
  co_await stream_.Close();
}

void Connection::Consume(std::string_view bytes) {
  server_->stats.bytes_received.Add(bytes.size());
  switch (mode_) {
    case Mode::kUnknown:
      Sniff(bytes);
      break;
    case Mode::kHttp1:
      ConsumeHttp1(bytes);
      break;
    case Mode::kHttp2:
      ConsumeHttp2(bytes);
      break;
  }
  CheckOutput();
}

void Connection::Sniff(std::string_view bytes) {
  if (!early_.empty()) {
    early_.append(bytes);
    bytes = early_;
  }
  switch (http::SniffProtocol(bytes)) {
    case http::Sniffed::kNeedMore:
      if (early_.empty()) early_.assign(bytes);
      return;
    case http::Sniffed::kBadPreface:
      server_->stats.Hit(Limit::kBadRequest);
      Finish();
      return;
    case http::Sniffed::kHttp1: {
      mode_ = Mode::kHttp1;
      server_->stats.connections_http1.Add();
      http::Http1Parser::Limits limits;
      limits.header_bytes_max = options().header_bytes_max;
      limits.header_count_max = options().header_count_max;
      // A gRPC prefix, or base64 with it, around a message of full size.
      limits.body_bytes_max = options().message_in_bytes_max / 3 * 4 + 64;
      parser_ = std::make_unique<http::Http1Parser>(limits);
      ConsumeHttp1(bytes);
      std::string().swap(early_);
      return;
    }
    case http::Sniffed::kHttp2: {
      mode_ = Mode::kHttp2;
      server_->stats.connections_http2.Add();
      http::Http2Session::Options session;
      session.concurrent_streams_max = options().streams_per_connection_max;
      session.header_bytes_max = options().header_bytes_max;
      session.header_count_max = options().header_count_max;
      session.body_bytes_max = options().message_in_bytes_max / 3 * 4 + 64;
      session.request_buffer_bytes_max = options().request_buffer_bytes_max;
      session.abuse = options().http2_abuse;
      session_ = std::make_unique<http::Http2Session>(session, this, now());
      ConsumeHttp2(bytes);
      std::string().swap(early_);
      if (server_->draining) DrainNotice();
      return;
    }
  }
}

void Connection::OnEof() {
  eof_ = true;
  // A client of HTTP/1.1 may have closed only its half; its handler is told
  // that it may stop, and what it still answers is sent.
  if (mode_ == Mode::kHttp1 && busy_) {
    for (Call* call = first_call_; call != nullptr; call = call->next) {
      call->context.cancelled = true;
    }
    return;
  }
  Finish();
}

void Connection::Finish() {
  if (finishing_) return;
  finishing_ = true;
  stream_.CancelReceive();
  progress_.Set();
}

void Connection::Kill() {
  if (killed_) return;
  killed_ = true;
  // Ends a receive and a send that the kernel holds, without waiting for them.
  if (stream_.fd() >= 0) ::shutdown(stream_.fd(), SHUT_RDWR);
  stream_.CancelReceive();
  progress_.Set();
}

ioloop::Task<void> Connection::FlushAndLinger() {
  co_await waiters_.Join();
  absl::Status drained = co_await stream_.Drained();
  if (!drained.ok() || killed_ || eof_) co_return;
  // Closing with bytes unread would reset the connection, and the peer might
  // never see what was sent last.
  stream_.ShutdownWrite();
  lingering_ = true;
  since_ = now();
  EnsureTimer(since_ + options().linger_timeout);
  while (!killed_) {
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream_.Receive();
    if (!bytes.ok() || bytes->empty()) co_return;
  }
}

http::Response* Connection::ResponseOf(ExchangeHandle exchange) {
  return exchange == nullptr ? &response_ : &exchange->response;
}

void Connection::Send(ExchangeHandle exchange) {
  NoteOutput();
  if (exchange == nullptr) {
    SendHttp1();
    return;
  }
  if (exchange->request.method == "HEAD") exchange->response.body.clear();
  session_->Respond(exchange);
  // Otherwise whoever receives flushes what all of its requests answered.
  if (!receiving_) FlushHttp2();
}

void Connection::AddCall(Call* call) {
  call->connection = this;
  call->previous = nullptr;
  call->next = first_call_;
  if (first_call_ != nullptr) first_call_->previous = call;
  first_call_ = call;
  ++call_count_;
}

void Connection::RemoveCall(Call* call) {
  (call->previous == nullptr ? first_call_ : call->previous->next) = call->next;
  if (call->next != nullptr) call->next->previous = call->previous;
  call->connection = nullptr;
  call->next = nullptr;
  call->previous = nullptr;
  --call_count_;
}

size_t Connection::pending_output() const {
  return stream_.queued_bytes() +
         (session_ == nullptr ? 0 : session_->held_bytes());
}

void Connection::Append(std::string_view bytes) {
  stream_.Queue(bytes);
  appended_ += bytes.size();
  server_->stats.bytes_sent.Add(bytes.size());
}

bool Connection::full() const {
  return stream_.queued_bytes() >= options().queued_output_bytes_max;
}

void Connection::NoteOutput() {
  if (pending_output() > 0) return;
  output_since_ = now();
  output_mark_ = appended_;
  EnsureTimer(output_since_ + options().write_stall_timeout);
}

void Connection::CheckOutput() {
  if (!full() || waiting_for_output_ || killed_) return;
  server_->stats.Hit(Limit::kQueuedOutput);
  waiting_for_output_ = true;
  waiters_.Spawn(WaitForOutput());
}

ioloop::Task<void> Connection::WaitForOutput() {
  absl::Status drained =
      co_await stream_.Drained(options().queued_output_bytes_max / 2);
  waiting_for_output_ = false;
  if (drained.ok() && !killed_ && !finishing_) {
    if (mode_ == Mode::kHttp2) {
      FlushHttp2();
    } else {
      ResumeHttp1();
    }
  }
  progress_.Set();
}

void Connection::DrainNotice() {
  draining_ = true;
  if (finishing_ || killed_) return;
  if (mode_ == Mode::kHttp2) {
    session_->ShutdownNotice();
    FlushHttp2();
  } else if (!busy_ && (parser_ == nullptr || !parser_->in_request())) {
    Finish();
  }
}

void Connection::DrainFinal() {
  if (finishing_ || killed_ || mode_ != Mode::kHttp2) return;
  session_->Goaway();
  FlushHttp2();
}

void Connection::EnsureTimer(absl::Time deadline) {
  if (deadline >= timer_at_) return;  // Looks again then anyway.
  timer_at_ = deadline;
  timer_.Arm(deadline);
}

void Connection::OnTimer(ioloop::Timer* timer) {
  Connection* self = static_cast<LimitTimer*>(timer)->connection;
  self->timer_at_ = absl::InfiniteFuture();
  absl::Time soonest = self->CheckTimeouts();
  if (!self->killed_) self->EnsureTimer(soonest);
}

absl::Time Connection::CheckTimeouts() {
  const absl::Time time = now();
  absl::Time soonest = absl::InfiniteFuture();
  if (lingering_) {
    soonest = since_ + options().linger_timeout;
    if (time >= soonest) Kill();
    return soonest;
  }
  if (pending_output() > 0) {
    uint64_t progress = appended_ - stream_.queued_bytes();
    if (time >= output_since_ + options().write_stall_timeout) {
      if (progress - output_mark_ < options().write_progress_bytes) {
        server_->stats.Hit(Limit::kWriteStall);
        Kill();
        return soonest;
      }
      output_since_ = time;
      output_mark_ = progress;
    }
    soonest = output_since_ + options().write_stall_timeout;
  }
  if (finishing_ || eof_) return soonest;
  return std::min(soonest, RequestDeadline());
}

absl::Time Connection::RequestDeadline() {
  const absl::Time time = now();
  Limit limit = Limit::kIdleTimeout;
  absl::Duration timeout = options().idle_timeout;
  if (mode_ == Mode::kHttp2) {
    while (http::Http2Stream* stream = session_->OldestIncomplete()) {
      absl::Time deadline = stream->opened + options().body_timeout;
      if (time < deadline) return deadline;
      server_->stats.Hit(Limit::kBodyTimeout);
      session_->Reset(stream);
      FlushHttp2();
      // Still there: the reset waits for the peer to read.
      if (session_->OldestIncomplete() == stream) return time + timeout;
    }
    if (session_->open_streams() > 0) return time + timeout;
  } else if (busy_) {
    return time + timeout;
  } else if (parser_ != nullptr && parser_->in_body()) {
    limit = Limit::kBodyTimeout;
    timeout = options().body_timeout;
  } else if (!served_any_ || parser_->in_request()) {
    limit = Limit::kHeaderTimeout;
    timeout = options().header_timeout;
  }
  if (time < since_ + timeout) return since_ + timeout;
  server_->stats.Hit(limit);
  if (limit != Limit::kIdleTimeout && parser_ != nullptr &&
      parser_->in_request()) {
    RejectHttp1(408);
  } else if (mode_ == Mode::kHttp2) {
    session_->Goaway();
    FlushHttp2();  // Finishes: no stream is open.
  } else {
    Finish();
  }
  return absl::InfiniteFuture();
}

}  // namespace server
