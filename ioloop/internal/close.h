// How sockets end: what Stream, Listener and DatagramSocket share.
#ifndef RINGPLANE_IOLOOP_INTERNAL_CLOSE_H_
#define RINGPLANE_IOLOOP_INTERNAL_CLOSE_H_

#include <coroutine>

#include "ioloop/check.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace ioloop::internal {

// Resumes when the kernel has let go of a socket's state, after those who
// waited in it were resumed. The state has `loop`, Idle(), and `close_waiter`,
// which it resumes once it is idle.
template <typename State>
class Released {
 public:
  explicit Released(State* state) : state_(state) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    if (state_->Idle()) {
      state_->loop->Resume(waiter);
    } else {
      state_->close_waiter = waiter;
    }
  }
  void await_resume() const {}

 private:
  State* state_;
};

// Closes once; again is nothing, and while it goes on a mistake: `twice` says
// so. `state` is the handle's and outlives this.
template <typename State>
Task<void> CloseState(State* state, const char* twice) {
  if (state->closing) {
    RINGPLANE_CHECK(state->fd < 0, twice);
    co_return;
  }
  state->BeginClose();
  co_await Released<State>(state);
  state->CloseDescriptor();
}

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_CLOSE_H_
