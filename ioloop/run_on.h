// A task on another loop's thread, awaited here:
//
//   auto lookup = RunOn(mine, other, [&cache](StopToken stop) {
//     return cache.Find(key, stop);          // Task<T>, made and run there
//   });
//   T found = co_await lookup;               // or WithDeadline(lookup, ...)
//
// For a plain function use CallOn() of mailbox.h, which costs less.
#ifndef RINGPLANE_IOLOOP_RUN_ON_H_
#define RINGPLANE_IOLOOP_RUN_ON_H_

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "ioloop/check.h"
#include "ioloop/loop.h"
#include "ioloop/mailbox.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace ioloop {

// The call lives in the awaiting frame; nothing is allocated but the frames of
// the task, by the thread that runs it. What the function refers to must be
// usable there and stay until the await resumes. Stopping crosses over to the
// task's token (a stop from before the await is there when the task starts);
// the await still waits for the task, whose result counts.
//
// REQUIRES: both loops run until the call is over (a LoopGroup sees to it).
template <typename F>
class [[nodiscard]] RunOnAwaiter {
  template <typename T>
  struct TaskResult;
  template <typename T>
  struct TaskResult<Task<T>> {
    using Type = T;
  };

 public:
  using Result = typename TaskResult<std::invoke_result_t<F&, StopToken>>::Type;

  RunOnAwaiter(Loop* home, Loop* target, F function)
      : home_(home), target_(target), function_(std::move(function)) {}
  RunOnAwaiter(const RunOnAwaiter&) = delete;
  RunOnAwaiter& operator=(const RunOnAwaiter&) = delete;

  Loop* loop() const { return home_; }
  void Stop() {
    if (!waiter_) {
      stop_.RequestStop();  // The task will find its token stopped.
      return;
    }
    if (std::exchange(stop_sent_, true)) return;
    ++pending_;
    Send(target_, &stop_there_);
  }

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    pending_ = 1;
    Send(target_, &start_);
  }
  Result await_resume() {
    if constexpr (!std::is_void_v<Result>) return *std::move(result_);
  }

 private:
  using Self = RunOnAwaiter;
  using Step = void (*)(Self*);
  // Work that leads back to the call.
  struct Message : PostedWork {
    Message(Self* owner, Step to_do)
        : PostedWork(&Run), call(owner), step(to_do) {}
    static void Run(PostedWork* work, bool delivered) {
      RINGPLANE_CHECK(delivered, "a loop ended with a call pending");
      auto* self = static_cast<Message*>(work);
      self->step(self->call);
    }
    Self* call;
    Step step;
  };

  // Runs on the target's thread.
  static internal::Detached RunThere(Self* call) {
    {
      Task<Result> task = call->function_(call->stop_.token());
      if constexpr (std::is_void_v<Result>) {
        co_await task;
      } else {
        call->result_.emplace(co_await task);
      }
    }
    Send(call->home_, &call->done_);  // The call is not ours any more.
  }

  static void StartThere(Self* call) { RunThere(call); }
  static void StopThere(Self* call) {
    call->stop_.RequestStop();
    Send(call->home_, &call->stopped_);
  }
  // Both answers end here, in whichever order.
  static void AnswerHere(Self* call) {
    if (--call->pending_ > 0) return;
    std::exchange(call->waiter_, nullptr).resume();
  }
  static void Send(Loop* loop, Message* message) {
    RINGPLANE_CHECK(MailboxOf(loop).Post(static_cast<PostedWork*>(message)),
                    "a call to a loop that has ended");
  }

  Loop* home_;
  Loop* target_;
  F function_;
  std::coroutine_handle<> waiter_;
  bool stop_sent_ = false;
  int pending_ = 0;  // Answers to come.
  Message start_{this, &StartThere};
  Message done_{this, &AnswerHere};
  Message stop_there_{this, &StopThere};
  Message stopped_{this, &AnswerHere};
  // The target's, between the start and the last answer.
  StopSource stop_;
  std::optional<std::conditional_t<std::is_void_v<Result>, char, Result>>
      result_;
};

template <typename F>
RunOnAwaiter<F> RunOn(Loop* home, Loop* target, F function) {
  return RunOnAwaiter<F>(home, target, std::move(function));
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_RUN_ON_H_
