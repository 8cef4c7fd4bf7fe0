// An `ioloop::Loop` drives one io_uring on one thread. A turn submits all that
// was queued since the last one and waits in one io_uring_enter(2), follows
// the drain rule until the kernel has nothing more to post (no cap per turn),
// dispatches every completion to its operation, fires due timers, runs posted
// work, and then lets every stream with queued bytes send once.
//
// Where the kernel refuses io_uring, one epoll instance carries the same
// operations with the same promises, for more system calls: see
// Options::backend.
//
// Thread-safety: none, but for mailbox(), Stop() and stats(). Create, run and
// destroy a loop on one thread.
#ifndef RINGPLANE_IOLOOP_LOOP_H_
#define RINGPLANE_IOLOOP_LOOP_H_

#include <signal.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/backend.h"
#include "ioloop/backend_choice.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/check.h"
#include "ioloop/mailbox.h"
#include "ioloop/operation.h"
#include "ioloop/stats.h"
#include "ioloop/task.h"

namespace ioloop {

class TimerQueue;

namespace internal {
class Activity;
class SendBufferPool;
class StallWatch;
class WaitPolicy;
}  // namespace internal

// Work that runs once at the end of the current turn, after every completion
// of the turn was dispatched; work that such work queues still belongs to this
// turn, within reason. Outside a turn: at the start of the next. Intrusive:
// queuing allocates nothing.
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
  bool queued_ = false;
  uint32_t place_ = 0;  // In the queue.
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
    // power of two, at most 32768) of `buffer_bytes` each. Memory that nothing
    // was ever received into is not touched, and no more buffers are in use
    // than receives are armed and buffers lent, but for a few.
    uint32_t buffer_count = 4096;
    uint32_t buffer_bytes = 16384;
    // Whether receives of streams share buffers, each going on where the one
    // before ended, where the backend can: io_uring since Linux 6.15 (6.12 has
    // it, and may tell completions out of order). For many sockets with small
    // messages it touches less memory. Bytes that are held keep their whole
    // buffer; with fewer than 4 buffers it has no effect.
    bool incremental_buffers = false;
    // The longest that a completion may be kept waiting for others, so that one
    // wake-up takes several. Used only while it pays: not when completions are
    // rarer than this, and not when the loop hardly sleeps. Zero: the first
    // completion ends every wait.
    absl::Duration latency_budget = absl::ZeroDuration();
    // How long the kernel polls the queues of the network cards that feed this
    // loop's sockets before it sleeps, 0 (not at all) to 1 s: lower latency for
    // a busy core. Of io_uring, Linux 6.9 (IORING_REGISTER_NAPI); where that is
    // missing, one line in the log and backend_reason() say so, and the loop
    // does without.
    absl::Duration busy_poll = absl::ZeroDuration();
    // Whether `stats().handlers` is counted. The clock is read where the kind
    // of handler changes, so that a run of one kind is one reading; a run is
    // at most the completions of a turn. What the loop itself does between two
    // handlers counts for the first.
    bool time_handlers = true;
    // A turn that works for longer than this is a stall: while it lasts, one
    // line in the log (at most one a second, after a burst of ten) says how
    // long it has been, in what kind of handler, and where, and
    // `stats().stalls` goes up. Zero: nobody looks. Not for a loop of
    // CreateOn(), whose clock may be any.
    //
    // The looking is done twice per threshold by a thread that all loops of a
    // process share. What the machine does not run for so long stalls as well.
    absl::Duration stall_threshold = absl::Milliseconds(100);
    // For the "where", the stalling thread gets this signal. The handler stays
    // installed for the life of the process; a signal that is not free is left
    // alone, and the line has no backtrace. By default it is one that means
    // nothing to those who do not ask for it. Calls that it interrupts go on
    // where the kernel can (signal(7)), nanosleep(2) and poll(2) end early.
    // 0: no signals, no backtraces.
    int stall_signal = SIGURG;
    // What carries the operations; see backend_choice.h, also for the
    // environment variable that goes over kAuto.
    BackendKind backend = BackendKind::kAuto;
    // On epoll: most events that one epoll_wait(2) takes, 1 to 65536. A turn
    // waits once and goes on taking until a batch comes short, so that it
    // harvests all that is ready, as on io_uring. Without `epoll_drain` it
    // takes one batch and leaves the rest to later turns, which is what most
    // loops on epoll do; to compare with them.
    uint32_t epoll_batch = 1024;
    bool epoll_drain = true;
    // For tests: not 0 makes the kernel a bad one, in ways that the seed
    // decides. Enters fail, transfers are cut short, operations end early,
    // completions and cancellations come late. The environment variable
    // RINGPLANE_FAULT_SEED goes over this, and RINGPLANE_TINY_RING=1 makes
    // queues, batches and `buffer_count` four at most.
    uint64_t fault_seed = 0;
  };

  // kResourceExhausted for want of descriptors or memory, kInvalidArgument for
  // options out of range or a nonsensical RINGPLANE_IO_BACKEND. With
  // BackendKind::kUring also kUnavailable when the kernel refuses io_uring,
  // kUnimplemented when it lacks a feature the loop needs (Linux 6.1), and
  // kResourceExhausted for memlock. The message says which cause and what to
  // do: see kernel.h.
  static absl::StatusOr<std::unique_ptr<Loop>> Create(const Options& options);

  // On a backend of the caller's, for tests: `make` gets the loop's pool and
  // counters, which outlive the backend.
  using MakeBackend =
      absl::FunctionRef<absl::StatusOr<std::unique_ptr<Backend>>(
          BufferPool* pool, LoopStats* stats)>;
  static absl::StatusOr<std::unique_ptr<Loop>> CreateOn(const Options& options,
                                                        MakeBackend make);

  // Closes streams and listeners that were destroyed open.
  // REQUIRES: nothing else in flight; cancel and await first.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs turns until Stop(). Returns an error only when the ring itself fails.
  absl::Status Run();

  // Runs one turn that waits at most `max_wait` for a first completion, timer
  // or post; zero does not wait.
  absl::Status RunOnce(absl::Duration max_wait);

  // Runs turns until `task` is done, Stop() or not; for main functions and
  // tests. A ring that fails ends the process.
  template <typename T>
  T RunUntilDone(Task<T> task);

  // Makes Run() return after the turn in progress, or the next Run() at once.
  // Any thread; the loop may be destroyed once Run() has returned for it, even
  // before Stop() itself has returned.
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
  // Queues `work` for the next turn, which comes at once, after its
  // completions; once, if already queued.
  void AtNextTurn(TurnEnd* work);
  // Takes it out again.
  void RemoveTurnEnd(TurnEnd* work);

  // Resumes `waiter` in this turn or the next, never inside this call.
  void Resume(std::coroutine_handle<> waiter);

  // Runs `function` on this loop's thread; any thread. See mailbox.h.
  template <typename F>
  bool Post(F function) {
    return mailbox_->Post(std::move(function));
  }
  Mailbox& mailbox() { return *mailbox_; }
  const std::shared_ptr<Mailbox>& shared_mailbox() { return mailbox_; }

  // The number of this turn; it wraps.
  uint32_t turn() const { return turn_; }

  // The time of this turn, read once per turn (between turns: the clock's).
  // Steady; unrelated to wall time.
  absl::Time now() const { return absl::FromUnixNanos(now_ns()); }
  int64_t now_ns() const { return in_turn_ ? now_ns_ : ReadClock(); }

  // Operations in the kernel's hands, the loop's own not counted.
  size_t in_flight() const;

  // Readable from any thread while the loop runs (relaxed counters).
  const LoopStats& stats() const { return stats_; }
  LoopStats* mutable_stats() { return &stats_; }

  // The kernel as this loop's backend has it: sockets and clock.
  Sockets& sockets() { return *backend_; }

  // For a host that has a loop of its own, on this thread. It polls fd(), which
  // is readable (level-triggered) when a turn would find something, and takes
  // turns that do not wait, after whatever else it has done:
  //   for (;;) {
  //     poll(fds, n, milliseconds rounded up of loop->PrepareSleep());
  //     ... the host's own work, which may use the loop ...
  //     loop->RunOnce(absl::ZeroDuration());
  //   }
  // EINTR is a wake too: the kernel interrupts sleeps for work of its own.
  // Made by the first call; kResourceExhausted if no descriptor is left.
  //
  // An eventfd that operations of this loop await belongs into the host's own
  // poll as well: Linux drops all but the first wake that an eventfd passes on
  // to a ring (posts of other threads are seen to).
  absl::StatusOr<int> fd();
  // How long the host may sleep on fd(): until the next timer, zero if a turn
  // has something to do now, absl::InfiniteDuration() if only fd() counts.
  // From here to the next turn posts of other threads make fd() readable: call
  // it last before sleeping, always.
  absl::Duration PrepareSleep();
  // "uring" or "epoll", and why that one: asked for, or what refuses io_uring
  // and what to do about it. Any thread.
  std::string_view backend_name() const;
  const std::string& backend_reason() const { return backend_reason_; }

  BufferPool& buffers() { return *buffers_; }
  TimerQueue& timers() { return *timers_; }
  internal::SendBufferPool& send_buffers() { return *send_buffers_; }

  // The loop whose turn this thread runs, or nullptr.
  static Loop* Current();

  // For what outlives its handle, like a stream destroyed open: the loop's
  // destructor runs turns until all have let go.
  void AddOrphan() { ++orphans_; }
  void RemoveOrphan() { --orphans_; }

  // The next turn only looks and does not wait: for a silent send whose result
  // somebody awaits.
  void SkipNextWait() { skip_wait_ = true; }

 private:
  explicit Loop(const Options& options);
  absl::Status Init(const Options& options, MakeBackend make);
  int64_t ReadClock() const { return backend_->Now(); }
  static void OnWake(Operation* op, Completion completion);
  void ArmWake();
  int64_t WaitBudget(int64_t max_wait_ns) const;
  int64_t CountBusy(int64_t now_ns);
  absl::Status Turn(int64_t max_wait_ns);
  void Dispatch();
  void ProvideBuffers();
  absl::Status HarvestStarved(uint64_t* harvested);
  void ResumeReady();
  void QueueTurnEnd(TurnEnd* work, std::vector<TurnEnd*>* queue);
  void RunAll(std::vector<TurnEnd*>* queue);
  void RunTurnEnds();
  void Enter(HandlerKind kind);

  template <typename T>
  static Task<void> Store(Task<T> task, std::optional<T>* result) {
    *result = co_await task;
  }

  LoopStats stats_;
  std::unique_ptr<BufferPool> buffers_;
  std::unique_ptr<TimerQueue> timers_;
  std::unique_ptr<internal::SendBufferPool> send_buffers_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unique_ptr<Backend> backend_;
  std::string backend_reason_ = "given by the caller";

  std::unique_ptr<internal::Activity> activity_;
  std::unique_ptr<internal::StallWatch> stall_watch_;  // Of activity_.
  std::unique_ptr<internal::WaitPolicy> wait_policy_;
  std::vector<Harvested> batch_;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> resuming_;
  std::vector<TurnEnd*> turn_ends_;  // Null: removed.
  std::vector<TurnEnd*> ending_turn_;
  std::vector<TurnEnd*> next_turn_;
  std::array<size_t, kOpKinds> in_flight_ = {};  // By OpKind.
  size_t own_in_flight_ = 0;
  size_t orphans_ = 0;
  uint64_t exhausted_ = 0;  // stats_.buffers_exhausted, as last looked at.
  int64_t now_ns_ = 0;
  uint32_t turn_ = 0;
  bool in_turn_ = false;
  bool skip_wait_ = false;
  bool host_sleeps_ = false;
  int host_fd_ = -1;  // An epoll set, once somebody asked for fd().
  bool ending_ = false;
  std::atomic<bool> stop_{false};
  Operation wake_op_{&Loop::OnWake};
  uint64_t wake_value_ = 0;
};

template <typename T>
T Loop::RunUntilDone(Task<T> task) {
  TaskGroup group;
  auto turn = [this] {
    absl::Status status = RunOnce(absl::InfiniteDuration());
    RINGPLANE_CHECK(status.ok(), status.ToString());
  };
  if constexpr (std::is_void_v<T>) {
    group.Spawn(std::move(task));
    while (group.running() > 0) turn();
  } else {
    std::optional<T> result;
    group.Spawn(Store(std::move(task), &result));
    while (group.running() > 0) turn();
    return *std::move(result);
  }
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_LOOP_H_
