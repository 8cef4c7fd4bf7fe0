// Ending an operation before it ends by itself: by a deadline, or because
// somebody asked for it. Both wrap any awaiter of the loop and compose:
//
//   co_await WithDeadline(stream.Receive(), loop->now() + absl::Seconds(5));
//   co_await WithStop(listener.Accept(), stop);
//   co_await WithDeadline(WithStop(event.Wait(), stop), deadline);
//
// What was stopped gives its kCancelled (a Completion -ECANCELED, a bool
// false), and kDeadlineExceeded (-ETIME) if it was the deadline that stopped
// it. A result that is there already wins over a deadline that has passed, so
// a deadline in the past means: look, do not wait. A stop that was asked for
// before the await wins over everything, and nothing is started. Nothing is
// lost either way: what a stopped Receive() or Accept() would have brought
// comes with the next one, and what a stopped SendAll() has queued stays so.
//
// A source is loop-local: no atomics, no shared state, no allocation. Not
// std::stop_source, which allocates what its tokens share and locks it for
// threads that are not there. Another thread asks by a post:
//   loop->Post([source] { source->RequestStop(); });
//
// Thread-safety: none; a source, its tokens and callbacks belong to one loop.
#ifndef RINGPLANE_IOLOOP_STOP_H_
#define RINGPLANE_IOLOOP_STOP_H_

#include <cerrno>
#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/operation.h"
#include "ioloop/timer.h"

namespace ioloop {

class StopSource;

namespace internal {

// A member of the ring of all that watch one source.
class StopLink {
 public:
  StopLink(const StopLink&) = delete;
  StopLink& operator=(const StopLink&) = delete;

 protected:
  using Handler = void (*)(StopLink*);
  StopLink() : next_(this), previous_(this) {}
  explicit StopLink(Handler handler)
      : next_(this), previous_(this), handler_(handler) {}
  ~StopLink() { Unlink(); }

  bool alone() const { return next_ == this; }
  void Unlink() {
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = this;
  }
  // REQUIRES: alone().
  void LinkAfter(const StopLink& other) {
    previous_ = const_cast<StopLink*>(&other);
    next_ = other.next_;
    previous_->next_ = next_->previous_ = this;
  }
  // Watches what `other` watches.
  void Follow(const StopLink& other) {
    Unlink();
    stopped_ = other.stopped_;
    if (!other.alone()) LinkAfter(other);
  }

  bool stopped_ = false;

 private:
  friend class ioloop::StopSource;
  StopLink* next_;
  StopLink* previous_;
  Handler handler_ = nullptr;
};

}  // namespace internal

// Knows whether a stop was asked for. Copies of it and what it stops may
// outlive the source: with the source gone, no stop comes any more.
class StopToken : private internal::StopLink {
 public:
  // Never stops.
  StopToken() = default;
  StopToken(const StopToken& other) : StopLink() { Follow(other); }
  StopToken& operator=(const StopToken& other) {
    if (this != &other) Follow(other);
    return *this;
  }

  bool stop_requested() const { return stopped_; }
  // Whether a stop was asked for or may still be.
  bool can_stop() const { return stopped_ || !alone(); }

 private:
  friend class StopSource;
  friend class StopCallback;
};

// Calls its handler when a stop is asked for, inside RequestStop(). If that
// was before, it does not: look at stop_requested() of the token.
class StopCallback : private internal::StopLink {
 public:
  // May destroy the callback, the source, and others.
  using Handler = void (*)(StopCallback*);
  StopCallback(const StopToken& token, Handler handler)
      : StopLink(&OnStop), handler_(handler) {
    Follow(token);
  }
  // Watches no more.
  void Detach() { Unlink(); }
  bool stop_requested() const { return stopped_; }

 private:
  static void OnStop(StopLink* link) {
    auto* self = static_cast<StopCallback*>(link);
    self->handler_(self);
  }
  Handler handler_;
};

// Who asks. Destroying it asks for nothing.
class StopSource : private internal::StopLink {
 public:
  StopSource() = default;
  ~StopSource();

  // Once; later calls do nothing. Operations end in this turn or the next,
  // those in the kernel's hands as soon as it lets go of them.
  void RequestStop();
  bool stop_requested() const { return stopped_; }
  StopToken token() const {
    StopToken token;
    token.stopped_ = stopped_;
    if (!stopped_) token.LinkAfter(*this);
    return token;
  }
};

// Asks at a given time, unless it is destroyed before: a deadline over
// everything that watches the source.
class StopTimer : private Timer {
 public:
  // `source` outlives the timer.
  StopTimer(Loop* loop, StopSource* source, absl::Time deadline)
      : Timer(loop, &OnDeadline), source_(source) {
    Arm(deadline);
  }

 private:
  static void OnDeadline(Timer* timer) {
    static_cast<StopTimer*>(timer)->source_->RequestStop();
  }
  StopSource* source_;
};

// An awaiter that can be told to end early. Stop() before it is awaited: it
// does not start, and gives the result of what was stopped. While it waits: it
// resumes later, never inside Stop(). Later, or twice: nothing.
template <typename A>
concept Stoppable = requires(A& awaiter, std::coroutine_handle<> waiter) {
  { awaiter.await_ready() } -> std::convertible_to<bool>;
  awaiter.await_suspend(waiter);
  awaiter.await_resume();
  { awaiter.loop() } -> std::same_as<Loop*>;
  awaiter.Stop();
};

namespace internal {

// What was stopped by a deadline says so.
inline void MarkExpired(absl::Status* status) {
  if (!absl::IsCancelled(*status)) return;
  *status =
      absl::Status(absl::StatusCode::kDeadlineExceeded, status->message());
}
template <typename T>
void MarkExpired(absl::StatusOr<T>* result) {
  if (!absl::IsCancelled(result->status())) return;
  *result = absl::Status(absl::StatusCode::kDeadlineExceeded,
                         result->status().message());
}
inline void MarkExpired(Completion* completion) {
  if (completion->result == -ECANCELED) completion->result = -ETIME;
}
template <typename T>
void MarkExpired(T*) {}

template <typename A>
class [[nodiscard]] DeadlineAwaiter : private Timer {
 public:
  DeadlineAwaiter(A* awaiter, absl::Time deadline)
      : Timer(awaiter->loop(), &OnDeadline),
        awaiter_(awaiter),
        deadline_(deadline) {}

  using Timer::loop;
  void Stop() { awaiter_->Stop(); }

  bool await_ready() { return awaiter_->await_ready(); }
  auto await_suspend(std::coroutine_handle<> waiter) {
    Arm(deadline_);
    // Last of all: the waiter may be resumed inside it.
    return awaiter_->await_suspend(waiter);
  }
  auto await_resume() {
    Disarm();
    if constexpr (std::is_void_v<decltype(awaiter_->await_resume())>) {
      awaiter_->await_resume();
    } else {
      auto result = awaiter_->await_resume();
      if (expired_) MarkExpired(&result);
      return result;
    }
  }

 private:
  static void OnDeadline(Timer* timer) {
    auto* self = static_cast<DeadlineAwaiter*>(timer);
    self->expired_ = true;
    self->awaiter_->Stop();
  }
  A* awaiter_;
  absl::Time deadline_;
  bool expired_ = false;
};

template <typename A>
class [[nodiscard]] StopAwaiter : private StopCallback {
 public:
  StopAwaiter(A* awaiter, const StopToken& token)
      : StopCallback(token, &OnStop), awaiter_(awaiter) {
    if (stop_requested()) awaiter->Stop();
  }

  Loop* loop() const { return awaiter_->loop(); }
  void Stop() { awaiter_->Stop(); }

  bool await_ready() { return awaiter_->await_ready(); }
  auto await_suspend(std::coroutine_handle<> waiter) {
    return awaiter_->await_suspend(waiter);
  }
  decltype(auto) await_resume() {
    Detach();
    return awaiter_->await_resume();
  }

 private:
  static void OnStop(StopCallback* callback) {
    static_cast<StopAwaiter*>(callback)->awaiter_->Stop();
  }
  A* awaiter_;
};

}  // namespace internal

// Await what these return where it is made: the awaiter inside it may be a
// temporary of the same expression.
template <typename A>
  requires Stoppable<std::remove_reference_t<A>>
internal::DeadlineAwaiter<std::remove_reference_t<A>> WithDeadline(
    A&& awaiter ABSL_ATTRIBUTE_LIFETIME_BOUND, absl::Time deadline) {
  return internal::DeadlineAwaiter<std::remove_reference_t<A>>(&awaiter,
                                                               deadline);
}
template <typename A>
  requires Stoppable<std::remove_reference_t<A>>
internal::StopAwaiter<std::remove_reference_t<A>> WithStop(
    A&& awaiter ABSL_ATTRIBUTE_LIFETIME_BOUND, const StopToken& token) {
  return internal::StopAwaiter<std::remove_reference_t<A>>(&awaiter, token);
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_STOP_H_
