// `Task<T>` is a coroutine that starts when it is awaited; `TaskGroup` runs
// tasks side by side and waits for all of them.
//
// Both belong to one thread. Neither ever runs anything later "by itself": a
// task runs inside the call that resumes it, which is a loop dispatching a
// completion, or the code that spawned it.
#ifndef RINGPLANE_IOLOOP_TASK_H_
#define RINGPLANE_IOLOOP_TASK_H_

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "ioloop/check.h"

namespace ioloop {

class Loop;

template <typename T = void>
class Task;

namespace internal {

// What a finished task resumes: the frame that awaits it, or nobody. A child
// that ends inside the await that started it must not resume its parent, which
// has not suspended yet: `resume_inline` says so.
struct PromiseBase {
  std::coroutine_handle<> continuation;
  bool resume_continuation = false;

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      PromiseBase& promise = self.promise();
      // The frame may be destroyed by the continuation: touch it no more.
      if (promise.resume_continuation) promise.continuation.resume();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  // No code of ours throws; what a library throws out of a task ends the
  // process where it was thrown.
  void unhandled_exception() const noexcept { std::terminate(); }

  // Frames come from a free list of the thread: see internal/frame_pool.cc.
  static void* operator new(std::size_t bytes);
  static void operator delete(void* frame, std::size_t bytes) noexcept;
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() { return *std::move(value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void Take() const noexcept {}
};

// A coroutine that starts at once and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
    static void* operator new(std::size_t bytes) {
      return PromiseBase::operator new(bytes);
    }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
      PromiseBase::operator delete(frame, bytes);
    }
  };
};

}  // namespace internal

// A lazy coroutine that yields a T. Move-only; awaited at most once.
//
// A loop that awaits a million tasks which finish at once uses constant stack:
// the child is resumed inside `await_suspend`, which then reports whether the
// parent has to suspend at all. (Symmetric transfer is no tail call in g++ 12
// below -O2 and under ASan.)
//
// REQUIRES: a task that has started is finished before it is destroyed.
// Cancel what it waits for, then await it.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() noexcept = default;
  explicit Task(Handle frame) noexcept : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~Task() { Destroy(); }

  bool valid() const noexcept { return frame_ != nullptr; }

  class Awaiter {
   public:
    explicit Awaiter(Handle frame) noexcept : frame_(frame) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> parent) const {
      internal::PromiseBase& promise = frame_.promise();
      promise.continuation = parent;
      frame_.resume();
      if (frame_.done()) return false;  // Finished at once: do not suspend.
      promise.resume_continuation = true;
      return true;
    }
    T await_resume() const { return frame_.promise().Take(); }

   private:
    Handle frame_;
  };
  Awaiter operator co_await() const noexcept { return Awaiter(frame_); }

 private:
  void Destroy() noexcept {
    if (frame_) std::exchange(frame_, nullptr).destroy();
  }

  Handle frame_;
};

namespace internal {

template <typename T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace internal

// Runs tasks side by side on this thread and waits for them. The owner of the
// group awaits `Join()` before the group dies; there is no detach.
//
//   TaskGroup group;
//   for (auto& peer : peers) group.Spawn(Greet(&peer));
//   co_await group.Join();
class TaskGroup {
 public:
  TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() {
    RINGPLANE_CHECK(running_ == 0, "a TaskGroup died with tasks running");
  }

  // Starts `task` now; it runs until it first suspends before this returns.
  // Its result is dropped. One allocation: a frame that owns the task.
  template <typename T>
  void Spawn(Task<T> task) {
    ++running_;
    Run(this, std::move(task));
  }

  // Tasks spawned and not yet finished.
  size_t running() const { return running_; }

  // Resumes when no task is running (at once if none is). One waiter.
  class JoinAwaiter {
   public:
    explicit JoinAwaiter(TaskGroup* group) : group_(group) {}
    bool await_ready() const noexcept { return group_->running_ == 0; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      RINGPLANE_CHECK(!group_->waiter_, "a TaskGroup has one waiter");
      group_->waiter_ = waiter;
    }
    void await_resume() const noexcept {}

   private:
    TaskGroup* group_;
  };
  JoinAwaiter Join() { return JoinAwaiter(this); }

  // The same for WithDeadline() and WithStop() of stop.h: true if no task is
  // running, false if it was stopped before. The tasks run on: stop them by a
  // token of theirs and join again.
  class StoppableJoin {
   public:
    StoppableJoin(TaskGroup* group, Loop* loop) : group_(group), loop_(loop) {}
    bool await_ready() const noexcept {
      return stopped_ || group_->running_ == 0;
    }
    void await_suspend(std::coroutine_handle<> waiter) noexcept {
      waits_ = true;
      JoinAwaiter(group_).await_suspend(waiter);
    }
    bool await_resume() const noexcept { return group_->running_ == 0; }
    void Stop();
    Loop* loop() const { return loop_; }

   private:
    TaskGroup* group_;
    Loop* loop_;
    bool waits_ = false;
    bool stopped_ = false;
  };
  StoppableJoin Join(Loop* loop) { return StoppableJoin(this, loop); }

 private:
  template <typename T>
  static internal::Detached Run(TaskGroup* group, Task<T> task) {
    {
      Task<T> owned = std::move(task);
      if constexpr (std::is_void_v<T>) {
        co_await owned;
      } else {
        static_cast<void>(co_await owned);
      }
    }  // The task's frame is gone before anyone who joins it goes on.
    if (--group->running_ == 0 && group->waiter_) {
      std::exchange(group->waiter_, nullptr).resume();
    }
  }

  size_t running_ = 0;
  std::coroutine_handle<> waiter_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_TASK_H_
