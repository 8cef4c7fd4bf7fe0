// Something that coroutines wait for and other code of the same loop sets.
#ifndef RINGPLANE_IOLOOP_EVENT_H_
#define RINGPLANE_IOLOOP_EVENT_H_

#include <coroutine>

#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/timer.h"

namespace ioloop {

// Any number of waiters. Set() wakes all of them through Loop::Resume: they go
// on later in this turn or in the next, never inside Set(). Stays set until
// Reset(); waiting for a set event does not suspend.
//
//   Event ready(loop);
//   ... co_await ready.Wait();          // in any coroutines
//   ... ready.Set();                    // anywhere on the loop's thread
//   bool set = co_await ready.WaitUntil(deadline);   // false: too late
//
// Thread-safety: none. Across threads use mailbox.h.
class Event {
 public:
  explicit Event(Loop* loop) : loop_(loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // REQUIRES: nobody waits.
  ~Event() { RINGPLANE_CHECK(head_ == nullptr, "an Event died awaited"); }

  void Set();
  void Reset() { set_ = false; }
  // Wakes those who wait now; the event does not stay set.
  void Pulse();
  bool is_set() const { return set_; }

  class WaitAwaiter;
  // Resumes when set, or when stopped (see stop.h), which gives false.
  WaitAwaiter Wait();
  // True when set, false when `deadline` came first.
  WaitAwaiter WaitUntil(absl::Time deadline);

 private:
  friend class WaitAwaiter;
  void Add(WaitAwaiter* waiter);
  void Remove(WaitAwaiter* waiter);

  Loop* loop_;
  WaitAwaiter* head_ = nullptr;
  WaitAwaiter* tail_ = nullptr;
  bool set_ = false;
};

// Immovable; lives in the waiting frame.
class [[nodiscard]] Event::WaitAwaiter {
 public:
  WaitAwaiter(Event* event, absl::Time deadline)
      : event_(event), deadline_(deadline), timer_(event->loop_, &OnDeadline) {}
  WaitAwaiter(const WaitAwaiter&) = delete;
  WaitAwaiter& operator=(const WaitAwaiter&) = delete;

  // Makes it give false, unless the event was set first.
  void Stop();
  Loop* loop() const { return event_->loop_; }

  bool await_ready() {
    woken_ = event_->set_ && !stopped_;
    return woken_ || stopped_;
  }
  void await_suspend(std::coroutine_handle<> waiter);
  bool await_resume() const { return woken_; }

 private:
  friend class Event;
  struct DeadlineTimer : Timer {
    DeadlineTimer(Loop* loop, Handler handler) : Timer(loop, handler) {}
    WaitAwaiter* awaiter = nullptr;
  };
  static void OnDeadline(Timer* timer);

  Event* event_;
  absl::Time deadline_;
  DeadlineTimer timer_;
  std::coroutine_handle<> waiter_;
  WaitAwaiter* next_ = nullptr;
  WaitAwaiter* previous_ = nullptr;
  bool waiting_ = false;
  bool woken_ = false;
  bool stopped_ = false;
};

inline Event::WaitAwaiter Event::Wait() {
  return WaitAwaiter(this, absl::InfiniteFuture());
}
inline Event::WaitAwaiter Event::WaitUntil(absl::Time deadline) {
  return WaitAwaiter(this, deadline);
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_EVENT_H_
