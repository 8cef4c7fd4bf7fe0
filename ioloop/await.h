// A bare request as an awaiter: the operation lives in the awaiting frame.
//
//   Request request;
//   request.kind = OpKind::kPoll;
//   ...
//   Completion completion = co_await RequestAwaiter(loop, request);
#ifndef RINGPLANE_IOLOOP_AWAIT_H_
#define RINGPLANE_IOLOOP_AWAIT_H_

#include <cerrno>
#include <coroutine>

#include "ioloop/loop.h"
#include "ioloop/operation.h"

namespace ioloop {

// For requests with one completion, so not kAccept and kReceive. -ECANCELED
// when stopped before the kernel was done; it resumes only when the kernel has
// let go of the memory. Takes WithDeadline() and WithStop().
class [[nodiscard]] RequestAwaiter : public Operation {
 public:
  // `insists`: asks again when the kernel answers EINTR or EAGAIN.
  RequestAwaiter(Loop* loop, const Request& request, bool insists = false)
      : Operation(&Done), loop_(loop), request_(request), insists_(insists) {}

  Loop* loop() const { return loop_; }
  void Stop() {
    stopped_ = true;
    loop_->Cancel(this);
  }

  bool await_ready() const { return stopped_; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    loop_->Submit(this, request_);
  }
  Completion await_resume() const { return completion_; }

 private:
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<RequestAwaiter*>(op);
    if (self->insists_ && !self->stopped_ &&
        (completion.result == -EINTR || completion.result == -EAGAIN)) {
      self->loop_->Submit(self, self->request_);
      return;
    }
    self->completion_ = completion;
    self->waiter_.resume();
  }

  Loop* loop_;
  Request request_;
  const bool insists_;
  bool stopped_ = false;
  Completion completion_ = {-ECANCELED, 0};
  std::coroutine_handle<> waiter_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_AWAIT_H_
