// An `ioloop::Loop` drives one io_uring on one thread. A turn submits all that
// was queued since the last one and waits in one io_uring_enter(2), follows
// the drain rule until the kernel has nothing more to post (no cap per turn),
// dispatches every completion to its operation, fires due timers, runs posted
// work, and then lets every stream with queued bytes send once.
//
// Thread-safety: none, but for Post's target (see mailbox.h), Stop and
// stats(). Create, run and destroy a loop on one thread.
#ifndef RINGPLANE_IOLOOP_LOOP_H_
#define RINGPLANE_IOLOOP_LOOP_H_

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/operation.h"
#include "ioloop/stats.h"
#include "ioloop/task.h"

namespace ioloop {

class Backend;
class BufferPool;
class TimerQueue;

// Work that runs once at the end of the current turn, after every completion
// of the turn was dispatched. Intrusive: queuing allocates nothing.
class TurnEnd {
 public:
  using Handler = void (*)(TurnEnd*);
  explicit TurnEnd(Handler handler) : handler_(handler) {}
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;
  ~TurnEnd() { RINGPLANE_CHECK(!queued_, "a TurnEnd died in the queue"); }
  bool queued() const { return queued_; }

 private:
  friend class Loop;
  Handler handler_;
  TurnEnd* next_ = nullptr;
  TurnEnd* previous_ = nullptr;
  bool queued_ = false;
};

class Loop {
 public:
  struct Options {
    // Submission queue entries; rounded up to a power of two. Queuing more in
    // one turn costs an extra io_uring_enter, never an error.
    uint32_t sq_entries = 1024;
    // Completion queue entries. Size it for what one turn can produce:
    // operations in flight, plus what multishot receives post meanwhile.
    // Overflow loses nothing but costs; `stats().cq_overflows` counts it.
    uint32_t cq_entries = 65536;
    // Receive buffers shared by every stream of the loop: `buffer_count` (a
    // power of two, at most 32768) of `buffer_bytes` each.
    uint32_t buffer_count = 1024;
    uint32_t buffer_bytes = 16384;
  };

  // kUnavailable when the kernel refuses io_uring, kUnimplemented when it lacks
  // a feature the loop needs (Linux 6.1), kResourceExhausted for memlock or
  // descriptors. The message says which cause and what to do: see kernel.h.
  static absl::StatusOr<std::unique_ptr<Loop>> Create(const Options& options);

  // REQUIRES: nothing in flight; cancel and await first.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs turns until Stop(). Returns an error only when the ring itself fails.
  absl::Status Run();

  // Runs one turn that waits at most `max_wait` for a first completion, timer
  // or post; zero does not wait.
  absl::Status RunOnce(absl::Duration max_wait);

  // Runs turns until `task` is done; for main functions and tests.
  template <typename T>
  T RunUntilDone(Task<T> task);

  // Makes Run() return after the turn in progress. Any thread.
  void Stop();

  // Asks for `request`; the completion arrives in a later turn.
  // REQUIRES: !op->in_flight(). Memory the request points at stays valid until
  // the final completion, even if the operation is cancelled.
  void Submit(Operation* op, const Request& request);

  // Ends `op` early. It still gets its final completion, often -ECANCELED,
  // sometimes the result that was already on its way. Nothing if not in flight.
  void Cancel(Operation* op);

  // Queues `work` for the end of this turn; once, if already queued.
  void AtTurnEnd(TurnEnd* work);
  // Takes it out again.
  void RemoveTurnEnd(TurnEnd* work);

  // Resumes `waiter` in this turn or the next, never inside this call.
  void Resume(std::coroutine_handle<> waiter);

  // The time of this turn, read once per turn. Steady; unrelated to wall time.
  absl::Time now() const { return now_; }

  // Operations in the kernel's hands.
  size_t in_flight() const { return in_flight_; }

  // Readable from any thread while the loop runs (relaxed counters).
  const LoopStats& stats() const { return stats_; }

  // A descriptor that is readable when a turn would find something to do; for
  // embedding in another loop.
  int fd() const;

  BufferPool& buffers() { return *buffers_; }
  TimerQueue& timers() { return *timers_; }

  // The loop this thread runs, or nullptr.
  static Loop* Current();
  // ... (private part: see the implementation's needs)
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_LOOP_H_
