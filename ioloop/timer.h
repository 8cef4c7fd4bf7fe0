// Deadlines. Timers live in user space (kernel timeouts cost 1000 times more);
// the earliest one bounds the wait of a turn.
#ifndef RINGPLANE_IOLOOP_TIMER_H_
#define RINGPLANE_IOLOOP_TIMER_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ioloop/loop.h"

namespace ioloop {

// Calls its handler once, in the first turn that starts at or after the
// deadline. Intrusive and re-armable; arming allocates nothing in steady state.
// Fires never earlier than asked; timers with one deadline fire in the order
// they were armed.
class Timer {
 public:
  // May arm again, or destroy the timer.
  using Handler = void (*)(Timer*);
  Timer(Loop* loop, Handler handler) : loop_(loop), handler_(handler) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Disarm(); }

  // Replaces an earlier deadline. absl::InfiniteFuture() disarms.
  void Arm(absl::Time deadline);
  void Disarm();
  bool armed() const { return index_ != kUnarmed; }
  Loop* loop() const { return loop_; }

 private:
  friend class TimerQueue;
  static constexpr uint32_t kUnarmed = UINT32_MAX;
  Loop* loop_;
  Handler handler_;
  uint32_t index_ = kUnarmed;  // In the heap.
};

// The armed timers of a loop: a heap by deadline whose entries carry their
// key, so that sifting touches no timer but to note where it is.
class TimerQueue {
 public:
  static constexpr int64_t kNever = INT64_MAX;

  void Arm(Timer* timer, int64_t deadline_ns);
  void Disarm(Timer* timer);
  // When the earliest fires, in nanoseconds of the loop's clock, or kNever.
  int64_t next_deadline_ns() const {
    return heap_.empty() ? kNever : heap_.front().deadline_ns;
  }
  // Fires what is due, but not what handlers arm meanwhile for `now_ns` or
  // earlier; how many fired.
  size_t FireDue(int64_t now_ns);
  size_t size() const { return heap_.size(); }

 private:
  struct Entry {
    int64_t deadline_ns;
    uint64_t order;  // Of arming: equal deadlines fire first come first.
    Timer* timer;
    bool Before(const Entry& other) const {
      if (deadline_ns != other.deadline_ns) {
        return deadline_ns < other.deadline_ns;
      }
      return order < other.order;
    }
  };
  void Place(size_t index, const Entry& entry);
  void SiftUp(size_t index, const Entry& entry);
  void SiftDown(size_t index, const Entry& entry);

  std::vector<Entry> heap_;
  uint64_t armed_ = 0;
};

// co_await SleepFor(loop, absl::Seconds(1));
// co_await SleepUntil(loop, loop->now() + absl::Seconds(1));
class [[nodiscard]] SleepAwaiter {
 public:
  SleepAwaiter(Loop* loop, absl::Time deadline)
      : timer_(loop, &OnDeadline), deadline_(deadline) {}
  bool await_ready() const { return woken_; }
  void await_suspend(std::coroutine_handle<> waiter) {
    started_ = true;
    timer_.waiter = waiter;
    timer_.Arm(deadline_);
  }
  // False if it was woken before the deadline.
  bool await_resume() const { return !woken_; }

  // Ends the sleep early, in this turn or the next. For owners that keep the
  // awaiter in a variable.
  void Wake();
  // The same, for WithStop().
  void Stop() { Wake(); }
  Loop* loop() const { return timer_.loop(); }

 private:
  struct WaiterTimer : Timer {
    using Timer::Timer;
    std::coroutine_handle<> waiter;
  };
  static void OnDeadline(Timer* timer) {
    std::exchange(static_cast<WaiterTimer*>(timer)->waiter, nullptr).resume();
  }
  WaiterTimer timer_;
  absl::Time deadline_;
  bool started_ = false;
  bool woken_ = false;
};

inline SleepAwaiter SleepUntil(Loop* loop, absl::Time deadline) {
  return SleepAwaiter(loop, deadline);
}
inline SleepAwaiter SleepFor(Loop* loop, absl::Duration duration) {
  return SleepAwaiter(loop, loop->now() + duration);
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_TIMER_H_
