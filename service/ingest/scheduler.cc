#include "service/ingest/scheduler.h"

#include <algorithm>
#include <utility>

#include "ioloop/check.h"
#include "ioloop/log.h"
#include "ioloop/timer.h"
#include "service/ingest/text.h"

namespace ingest {

struct Scheduler::Call {
  ioloop::TaskGroup events;
  std::vector<Rejection> rejections;
  absl::Status error;  // The first that is not a rejection.
};

bool Scheduler::Turnstile::Pass::await_ready() const noexcept {
  return !std::exchange(turnstile_->taken_, true);
}

void Scheduler::Turnstile::Pass::await_suspend(std::coroutine_handle<> waiter) {
  turnstile_->waiting_.push_back(waiter);
}

void Scheduler::Turnstile::Leave() {
  if (waiting_.empty()) {
    taken_ = false;
    return;
  }
  // Stays taken: it is handed on.
  std::coroutine_handle<> next = waiting_.front();
  waiting_.pop_front();
  next.resume();
}

Scheduler::Scheduler(ioloop::Loop* loop, Indexer* indexer,
                     const SchedulerOptions& options)
    : loop_(loop), indexer_(indexer), options_(options) {}

Scheduler::~Scheduler() {
  RINGPLANE_CHECK(running_ == 0, "a scheduler died with events in progress");
}

ioloop::Task<absl::StatusOr<std::vector<EventSink::Rejection>>>
Scheduler::Apply(const std::vector<Event>& events) {
  absl::Status status = MayBegin();
  if (!status.ok()) co_return status;
  Call call;
  ++calls_;
  {
    Turnstile::Pass pass(&turnstile_);
    co_await pass;
    for (size_t i = 0; i < events.size() && call.error.ok(); ++i) {
      status = co_await Admit(events[i], &call, i);
      if (!status.ok()) OnFailure(&call, status);
    }
  }
  co_await call.events.Join();
  if (--calls_ == 0) failure_ = absl::OkStatus();
  if (!call.error.ok()) co_return call.error;
  std::sort(
      call.rejections.begin(), call.rejections.end(),
      [](const Rejection& a, const Rejection& b) { return a.index < b.index; });
  co_return std::move(call.rejections);
}

ioloop::Task<absl::Status> Scheduler::Admit(const Event& event, Call* call,
                                            size_t index) {
  co_await AwaitFewerThan(options_.concurrency);
  absl::Status status = MayBegin();
  if (!status.ok()) co_return status;
  KeySet keys;
  bool alone = false;
  {
    KeyedOrder::Place before(&order_);
    if (Indexer::KeysNeedStore(event)) {
      // What the event replaces is in the store once all that came before it
      // of the same account is done.
      keys.AddExclusive(event.did);
      before.Enter(keys);
      co_await before;
    }
    status = co_await KeysWithRetries(event, &keys, &alone);
    if (!status.ok()) co_return status;
    if (!alone) {
      // Takes its place in the order before this one is given up.
      call->events.Spawn(Run(event, call, index, keys));
      co_return absl::OkStatus();
    }
  }
  co_await AwaitFewerThan(1);
  // Nobody else is admitted meanwhile: this call holds the turnstile.
  co_await Run(event, call, index, keys);
  co_return absl::OkStatus();
}

ioloop::Task<void> Scheduler::Run(const Event& event, Call* call, size_t index,
                                  KeySet keys) {
  ++running_;
  {
    KeyedOrder::Place place(&order_);
    place.Enter(keys);
    co_await place;
    absl::Status status = MayBegin();
    const bool begun = status.ok();
    if (begun) status = co_await ApplyWithRetries(event);
    if (absl::IsInvalidArgument(status)) {
      ++stats_.rejected;
      Rejection rejection;
      rejection.index = index;
      rejection.reason = View(status.message());
      call->rejections.push_back(std::move(rejection));
    } else if (!status.ok()) {
      // Before the place is given up: whoever waits for it sees this.
      stats_.failed += begun ? 1 : 0;
      OnFailure(call, status);
    }
  }
  OnEventEnd();
}

absl::Status Scheduler::MayBegin() const {
  if (failure_.ok()) return absl::OkStatus();
  return absl::AbortedError(Cat("not tried, for what came before failed: ",
                                View(failure_.message())));
}

void Scheduler::OnFailure(Call* call, const absl::Status& status) {
  if (call->error.ok()) call->error = status;
  if (failure_.ok()) failure_ = status;
}

ioloop::Task<absl::Status> Scheduler::ApplyWithRetries(const Event& event) {
  const absl::Time give_up = loop_->now() + options_.retry_timeout;
  absl::Duration pause = options_.retry_min;
  for (;;) {
    absl::StatusOr<Indexer::Outcome> outcome = co_await indexer_->Apply(event);
    if (outcome.ok()) {
      ++(*outcome == Indexer::Outcome::kApplied ? stats_.applied
                                                : stats_.no_news);
      co_return absl::OkStatus();
    }
    if (!Retriable(outcome.status()) || loop_->now() + pause >= give_up) {
      co_return outcome.status();
    }
    ++stats_.retries;
    co_await ioloop::SleepFor(loop_, pause);
    pause = std::min(2 * pause, options_.retry_max);
  }
}

ioloop::Task<absl::Status> Scheduler::KeysWithRetries(const Event& event,
                                                      KeySet* keys,
                                                      bool* alone) {
  const absl::Time give_up = loop_->now() + options_.retry_timeout;
  absl::Duration pause = options_.retry_min;
  for (;;) {
    absl::Status status = co_await indexer_->KeysOf(event, keys, alone);
    if (status.ok() || !Retriable(status) || loop_->now() + pause >= give_up) {
      co_return status;
    }
    ++stats_.retries;
    co_await ioloop::SleepFor(loop_, pause);
    pause = std::min(2 * pause, options_.retry_max);
  }
}

ioloop::Task<void> Scheduler::AwaitFewerThan(size_t limit) {
  struct Awaiter {
    Scheduler* scheduler;
    explicit Awaiter(Scheduler* owner) : scheduler(owner) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      scheduler->admission_ = waiter;
    }
    void await_resume() const noexcept {}
  };
  running_limit_ = limit;
  while (running_ >= limit) {
    Awaiter awaiter(this);
    co_await awaiter;
  }
}

void Scheduler::OnEventEnd() {
  --running_;
  if (admission_ && running_ < running_limit_) {
    // In a turn of its own: the event that ended is still on the stack.
    loop_->Resume(std::exchange(admission_, nullptr));
  }
}

}  // namespace ingest
