// Work that one thread hands to another thread's loop: a queue without locks,
// and one wake per change from idle to busy.
//
//   other->mailbox().Post([] { ... });                     // any thread
//   int n = co_await CallOn(mine, other, [] { return Count(); });
#ifndef RINGPLANE_IOLOOP_MAILBOX_H_
#define RINGPLANE_IOLOOP_MAILBOX_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "ioloop/check.h"

namespace ioloop {

class Loop;

// One piece of work; intrusive, so posting allocates nothing. Stays put from
// Post() until its handler runs.
class PostedWork {
 public:
  // Runs once on the loop's thread. `delivered` is false when the loop ended
  // first: then only give back what the work owns. May destroy the work.
  using Handler = void (*)(PostedWork*, bool delivered);
  explicit PostedWork(Handler handler) : handler_(handler) {}
  PostedWork(const PostedWork&) = delete;
  PostedWork& operator=(const PostedWork&) = delete;

 private:
  friend class Mailbox;
  Handler handler_;
  PostedWork* next_ = nullptr;
};

// Thread-safety: Post() from any thread at any time, also while the loop ends;
// the rest belongs to the loop. Work of one poster arrives in its order.
class Mailbox {
 public:
  // `wake_fd` is an eventfd that the loop reads; owned by the mailbox.
  explicit Mailbox(int wake_fd) : wake_fd_(wake_fd) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  // Hands `work` to the loop. False when the loop has ended: `work` stays the
  // caller's and its handler will not run.
  bool Post(PostedWork* work);

  // The same for a callable, in one allocation.
  template <typename F>
    requires std::is_invocable_v<F&>
  bool Post(F function) {
    struct Owned : PostedWork {
      explicit Owned(F&& f) : PostedWork(&Run), function(std::move(f)) {}
      static void Run(PostedWork* work, bool delivered) {
        std::unique_ptr<Owned> owned(static_cast<Owned*>(work));
        if (delivered) owned->function();
      }
      F function;
    };
    auto owned = std::make_unique<Owned>(std::move(function));
    if (!Post(static_cast<PostedWork*>(owned.get()))) return false;
    static_cast<void>(owned.release());
    return true;
  }

  // Wakes the loop if it sleeps, without work.
  void Wake();

  // For the loop. About to sleep: false if there is work already.
  bool PrepareSleep();
  void EndSleep() { sleeping_.store(false, std::memory_order_relaxed); }
  // Runs what was posted before the call; how much that was.
  size_t RunPosted();
  bool empty() const { return Empty(head_.load(std::memory_order_relaxed)); }
  // Hands back what was posted (`delivered` false) and refuses any more.
  void Close();
  int wake_fd() const { return wake_fd_; }

 private:
  // The head once the loop has ended.
  static PostedWork* Closed() {
    return reinterpret_cast<PostedWork*>(uintptr_t{1});
  }
  static bool Empty(PostedWork* head) {
    return head == nullptr || head == Closed();
  }

  // A list with the newest first; the loop takes all of it and turns it round.
  std::atomic<PostedWork*> head_{nullptr};
  std::atomic<bool> sleeping_{false};
  const int wake_fd_;
};

// Of a loop, for posters that may outlive it.
std::shared_ptr<Mailbox> SharedMailbox(Loop* loop);
Mailbox& MailboxOf(Loop* loop);

// Runs `function` on `target`'s thread and resumes here, on `home`, with what
// it returned. No allocation: the call lives in the awaiting frame. It cannot
// be stopped, and ends when the target comes to it; for what takes longer than
// a function may, see run_on.h.
//
// REQUIRES: both loops run until the call is over (a LoopGroup sees to it).
template <typename F>
class [[nodiscard]] CallAwaiter : private PostedWork {
 public:
  using Result = std::invoke_result_t<F&>;
  CallAwaiter(Loop* home, Loop* target, F function)
      : PostedWork(&RunThere),
        back_(this),
        home_(home),
        target_(target),
        function_(std::move(function)) {}

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    RINGPLANE_CHECK(MailboxOf(target_).Post(static_cast<PostedWork*>(this)),
                    "a call to a loop that has ended");
  }
  Result await_resume() {
    if constexpr (!std::is_void_v<Result>) return *std::move(result_);
  }

 private:
  struct Back : PostedWork {
    explicit Back(CallAwaiter* owner) : PostedWork(&RunBack), call(owner) {}
    CallAwaiter* call;
  };
  static void RunThere(PostedWork* work, bool delivered) {
    auto* call = static_cast<CallAwaiter*>(work);
    RINGPLANE_CHECK(delivered, "a loop ended with a call to it pending");
    if constexpr (std::is_void_v<Result>) {
      call->function_();
    } else {
      call->result_.emplace(call->function_());
    }
    RINGPLANE_CHECK(
        MailboxOf(call->home_).Post(static_cast<PostedWork*>(&call->back_)),
        "a loop ended with a call of its own pending");
  }
  static void RunBack(PostedWork* work, bool delivered) {
    RINGPLANE_CHECK(delivered, "a loop ended with a call of its own pending");
    static_cast<Back*>(work)->call->waiter_.resume();
  }

  Back back_;
  Loop* home_;
  Loop* target_;
  F function_;
  std::coroutine_handle<> waiter_;
  std::optional<std::conditional_t<std::is_void_v<Result>, char, Result>>
      result_;
};

template <typename F>
CallAwaiter<F> CallOn(Loop* home, Loop* target, F function) {
  return CallAwaiter<F>(home, target, std::move(function));
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_MAILBOX_H_
