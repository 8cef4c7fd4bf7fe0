#include "ioloop/event.h"

namespace ioloop {

void Event::Set() {
  set_ = true;
  Pulse();
}

void Event::Pulse() {
  while (head_ != nullptr) {
    WaitAwaiter* waiter = head_;
    Remove(waiter);
    waiter->timer_.Disarm();
    waiter->woken_ = true;
    loop_->Resume(waiter->waiter_);
  }
}

void Event::Add(WaitAwaiter* waiter) {
  waiter->waiting_ = true;
  waiter->next_ = nullptr;
  waiter->previous_ = tail_;
  (tail_ ? tail_->next_ : head_) = waiter;
  tail_ = waiter;
}

void Event::Remove(WaitAwaiter* waiter) {
  waiter->waiting_ = false;
  (waiter->previous_ ? waiter->previous_->next_ : head_) = waiter->next_;
  (waiter->next_ ? waiter->next_->previous_ : tail_) = waiter->previous_;
}

void Event::WaitAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  event_->Add(this);
  if (deadline_ != absl::InfiniteFuture()) {
    timer_.awaiter = this;
    timer_.Arm(deadline_);
  }
}

void Event::WaitAwaiter::Stop() {
  stopped_ = true;
  if (!waiting_) return;
  event_->Remove(this);
  timer_.Disarm();
  event_->loop_->Resume(waiter_);
}

void Event::WaitAwaiter::OnDeadline(Timer* timer) {
  WaitAwaiter* self = static_cast<DeadlineTimer*>(timer)->awaiter;
  self->event_->Remove(self);
  self->waiter_.resume();
}

}  // namespace ioloop
