#include "service/redis/client.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/log.h"

namespace redis {

std::unique_ptr<Client> Client::Create(ioloop::Loop* loop, Options options) {
  std::unique_ptr<Client> client(new Client(loop, std::move(options)));
  client->tasks_.Spawn(client->Run());
  return client;
}

Client::Client(ioloop::Loop* loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      back_off_(options_.reconnect_min),
      wake_timer_(
          this,
          [](ioloop::Timer* timer) {
            Client* client = static_cast<ClientTimer*>(timer)->client;
            client->loop_->Resume(std::exchange(client->sleeper_, nullptr));
          }),
      timeout_timer_(this, [](ioloop::Timer* timer) {
        static_cast<ClientTimer*>(timer)->client->OnTimeout();
      }) {}

Client::~Client() {
  RINGPLANE_CHECK(tasks_.running() == 0, "a redis::Client was not closed");
}

ioloop::Task<void> Client::Close() {
  closing_ = true;
  FailPending(absl::CancelledError("redis client closed"));
  if (stream_.has_value()) stream_->CancelReceive();
  if (sleeper_) {
    wake_timer_.Disarm();
    loop_->Resume(std::exchange(sleeper_, nullptr));
  }
  co_await tasks_.Join();
}

ioloop::Task<void> Client::Run() {
  while (!closing_) {
    absl::StatusOr<ioloop::Stream> stream = co_await ioloop::Stream::Connect(
        loop_, options_.address, options_.connect_timeout, nullptr);
    absl::Status why = stream.status();
    if (stream.ok()) {
      stream_.emplace(*std::move(stream));
      if (!closing_) why = co_await Serve();
      timeout_timer_.Disarm();
      co_await stream_->Close();
      stream_.reset();
    }
    if (closing_) break;
    RINGPLANE_LOG(kWarning, "redis is not usable", {"reason", why.ToString()},
                  {"retry_in", absl::FormatDuration(back_off_)});
    co_await BackOff();
  }
}

// Resumes after the back-off or when the client closes.
ioloop::Task<void> Client::BackOff() {
  struct Sleep {
    Client* client;
    bool await_ready() const noexcept { return client->closing_; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      client->sleeper_ = waiter;
      client->wake_timer_.Arm(client->loop_->now() + client->back_off_);
    }
    void await_resume() const noexcept {}
  };
  Sleep sleep{this};
  co_await sleep;
  back_off_ = std::min(back_off_ * 2, options_.reconnect_max);
}

ioloop::Task<absl::Status> Client::Serve() {
  ReplyReader reader(options_.reply_limits);
  broken_ = absl::OkStatus();
  timeouts_in_row_ = 0;
  QueueHandshake();
  absl::Status why = absl::OkStatus();
  while (why.ok()) {
    // Cancelling a receive only reaches one that waits.
    if (closing_ || !broken_.ok()) {
      why = closing_ ? absl::CancelledError("closed") : broken_;
      break;
    }
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream_->Receive();
    if (!broken_.ok()) {
      why = broken_;
    } else if (!bytes.ok()) {
      why = bytes.status();
    } else if (bytes->empty()) {
      why = absl::UnavailableError("redis closed the connection");
    } else {
      why = Consume(bytes->view(), &reader);
    }
  }
  if (ready_) ++stats_.disconnects;
  ready_ = false;
  FailPending(absl::UnavailableError(why.message()));
  co_return why;
}

// Nothing else is sent until Redis has answered all of it.
void Client::QueueHandshake() {
  const absl::Time deadline = loop_->now() + options_.connect_timeout;
  Slot slot;
  slot.deadline = deadline;
  slot.handshake = true;
  absl::Status sent;
  if (!options_.password.empty()) {
    absl::InlinedVector<std::string_view, 3> auth = {"AUTH"};
    if (!options_.username.empty()) auth.push_back(options_.username);
    auth.push_back(options_.password);
    sent.Update(Send(Arguments(auth.data(), auth.size()), slot));
  }
  if (options_.database != 0) {
    const std::string database = absl::StrCat(options_.database);
    const std::array<std::string_view, 2> select = {"SELECT", database};
    sent.Update(Send(select, slot));
  }
  const std::array<std::string_view, 1> ping = {"PING"};
  sent.Update(Send(ping, slot));
  if (!sent.ok()) Break(sent);
  ArmTimeout();
}

Call Client::Start(Arguments arguments) { return Call(this, arguments); }

bool Client::Post(Arguments arguments) {
  Slot slot;
  slot.deadline = loop_->now() + options_.call_timeout;
  if (!usable() || !Send(arguments, slot).ok()) {
    ++stats_.skipped;
    return false;
  }
  ArmTimeout();
  return true;
}

absl::Status Client::Send(Arguments arguments, Slot slot) {
  if (pending_.size() >= options_.in_flight_max) {
    return absl::ResourceExhaustedError("too many redis calls in flight");
  }
  if (stream_->queued_bytes() > options_.queued_bytes_max) {
    return absl::ResourceExhaustedError("too much is queued for redis");
  }
  if (!stream_->status().ok()) {
    return absl::UnavailableError(stream_->status().message());
  }
  absl::InlinedVector<const char*, 16> texts;
  absl::InlinedVector<size_t, 16> sizes;
  texts.reserve(arguments.size());
  sizes.reserve(arguments.size());
  for (std::string_view argument : arguments) {
    texts.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  char* command = nullptr;
  const int size = redisFormatCommandArgv(
      &command, static_cast<int>(arguments.size()), texts.data(), sizes.data());
  if (size < 0) return absl::ResourceExhaustedError("no memory for a command");
  stream_->Queue(std::string_view(command, static_cast<size_t>(size)));
  redisFreeCommand(command);
  pending_.push_back(slot);
  ++stats_.calls;
  return absl::OkStatus();
}

absl::Status Client::Consume(std::string_view bytes, ReplyReader* reader) {
  reader->Feed(bytes);
  absl::Status status;
  while (status.ok()) {
    absl::StatusOr<std::optional<Reply>> reply = reader->Next();
    if (reply.ok() && !reply->has_value()) break;
    status = reply.ok() ? Answer(**std::move(reply)) : reply.status();
  }
  if (!status.ok()) ++stats_.nonsense;
  ArmTimeout();
  return status;
}

// Gives `reply` to the oldest call. An error if there is none, or if a
// handshake was refused.
absl::Status Client::Answer(Reply reply) {
  if (pending_.empty()) {
    return absl::InvalidArgumentError("redis answered what nobody asked");
  }
  const Slot slot = pending_.front();
  pending_.pop_front();
  ++first_sequence_;
  if (timed_out_ > 0) {
    --timed_out_;
  } else {
    timeouts_in_row_ = 0;
  }
  if (slot.handshake) {
    if (reply.type == Reply::Type::kError) {
      return absl::FailedPreconditionError(
          absl::StrCat("redis refused the handshake: ", reply.text));
    }
    if (pending_.empty()) {
      ready_ = true;
      ++stats_.connects;
      RINGPLANE_LOG(kInfo, "redis is usable");
    }
    return absl::OkStatus();
  }
  // A connection that serves calls has recovered.
  back_off_ = options_.reconnect_min;
  if (slot.call != nullptr) {
    ++stats_.replies;
    slot.call->Finish(std::move(reply));
  }
  return absl::OkStatus();
}

void Client::FailPending(const absl::Status& status) {
  std::deque<Slot> failed = std::exchange(pending_, {});
  first_sequence_ += failed.size();
  timed_out_ = 0;
  for (Slot& slot : failed) {
    if (slot.call != nullptr) slot.call->Finish(status);
  }
}

// Ends the connection from this side: Serve() wakes up and cleans up.
void Client::Break(absl::Status why) {
  if (!broken_.ok()) return;
  broken_ = std::move(why);
  if (ready_) ++stats_.disconnects;
  ready_ = false;
  FailPending(absl::UnavailableError(broken_.message()));
  stream_->CancelReceive();
}

void Client::ArmTimeout() {
  if (timed_out_ < pending_.size()) {
    timeout_timer_.Arm(pending_[timed_out_].deadline);
  } else {
    timeout_timer_.Disarm();
  }
}

// Deadlines are in order: every call has the same time.
void Client::OnTimeout() {
  if (timed_out_ >= pending_.size()) return;
  // A deadline counts from the start of the turn that sent the call. If that
  // turn was long, the answer had no chance yet: look once more.
  const uint64_t oldest = first_sequence_ + timed_out_;
  if (suspected_ != oldest) {
    suspected_ = oldest;
    timeout_timer_.Arm(loop_->now() + options_.call_timeout / 4);
    return;
  }
  bool handshake = false;
  while (timed_out_ < pending_.size() &&
         pending_[timed_out_].deadline <= loop_->now()) {
    Slot& slot = pending_[timed_out_++];
    handshake |= slot.handshake;
    ++timeouts_in_row_;
    ++stats_.timeouts;
    if (slot.call != nullptr) {
      std::exchange(slot.call, nullptr)
          ->Finish(absl::DeadlineExceededError("redis did not answer in time"));
    }
  }
  if (handshake || timeouts_in_row_ >= options_.timeouts_max) {
    Break(absl::DeadlineExceededError(
        absl::StrCat("redis left ", timeouts_in_row_,
                     " calls in a row without an answer in time")));
    return;
  }
  ArmTimeout();
}

void Client::Forget(Call* call) {
  const uint64_t index = call->sequence_ - first_sequence_;
  if (call->sequence_ >= first_sequence_ && index < pending_.size() &&
      pending_[index].call == call) {
    pending_[index].call = nullptr;
  }
}

Call::Call(Client* client, Client::Arguments arguments)
    : client_(client), result_(absl::UnavailableError("redis is not usable")) {
  if (!client_->usable()) {
    ++client_->stats_.skipped;
    done_ = true;
    return;
  }
  sequence_ = client_->first_sequence_ + client_->pending_.size();
  Client::Slot slot;
  slot.call = this;
  slot.deadline = client_->loop_->now() + client_->options_.call_timeout;
  absl::Status sent = client_->Send(arguments, slot);
  if (!sent.ok()) {
    ++client_->stats_.skipped;
    result_ = std::move(sent);
    done_ = true;
    return;
  }
  client_->ArmTimeout();
}

Call::~Call() {
  if (!done_) client_->Forget(this);
}

// The waiter goes on later in this turn, not inside the client's bookkeeping.
void Call::Finish(absl::StatusOr<Reply> result) {
  result_ = std::move(result);
  done_ = true;
  if (waiter_) client_->loop_->Resume(std::exchange(waiter_, nullptr));
}

}  // namespace redis
