// Deadlines. Timers live in user space (kernel timeouts cost 1000 times more);
// the earliest one bounds the wait of a turn.
#ifndef RINGPLANE_IOLOOP_TIMER_H_
#define RINGPLANE_IOLOOP_TIMER_H_

#include "absl/time/time.h"
#include "ioloop/loop.h"

namespace ioloop {

// Calls its handler once, in the first turn that starts at or after the
// deadline. Intrusive and re-armable; arming allocates nothing in steady state.
// Fires never earlier than asked, on a clock of 1 ms resolution or better.
class Timer {
 public:
  using Handler = void (*)(Timer*);
  Timer(Loop* loop, Handler handler);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();  // Disarms.

  // Replaces an earlier deadline. absl::InfiniteFuture() disarms.
  void Arm(absl::Time deadline);
  void Disarm();
  bool armed() const;
  Loop* loop() const;
  // ...
};

// co_await SleepFor(loop, absl::Seconds(1));
// co_await SleepUntil(loop, loop->now() + absl::Seconds(1));
class SleepAwaiter;
SleepAwaiter SleepUntil(Loop* loop, absl::Time deadline);
SleepAwaiter SleepFor(Loop* loop, absl::Duration duration);

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_TIMER_H_
