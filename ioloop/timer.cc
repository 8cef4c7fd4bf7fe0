#include "ioloop/timer.h"

#include <utility>

#include "ioloop/check.h"

namespace ioloop {

void Timer::Arm(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) {
    Disarm();
    return;
  }
  // Saturates: far away on either side is as good as never and at once.
  loop_->timers().Arm(this, absl::ToUnixNanos(deadline));
}

void Timer::Disarm() {
  if (armed()) loop_->timers().Disarm(this);
}

void SleepAwaiter::Wake() {
  if (!started_) woken_ = true;
  if (!timer_.waiter) return;
  woken_ = true;
  timer_.Disarm();
  timer_.loop()->Resume(std::exchange(timer_.waiter, nullptr));
}

void TimerQueue::Arm(Timer* timer, int64_t deadline_ns) {
  const Entry entry = {deadline_ns, armed_++, timer};
  size_t index = timer->index_;
  if (index == Timer::kUnarmed) {
    index = heap_.size();
    heap_.push_back(entry);
    SiftUp(index, entry);
  } else if (entry.Before(heap_[index])) {
    SiftUp(index, entry);
  } else {
    SiftDown(index, entry);
  }
}

void TimerQueue::Disarm(Timer* timer) {
  const size_t index = timer->index_;
  timer->index_ = Timer::kUnarmed;
  const Entry removed = heap_[index];
  const Entry last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (last.Before(removed)) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

size_t TimerQueue::FireDue(int64_t now_ns) {
  const uint64_t armed_before = armed_;
  size_t fired = 0;
  while (!heap_.empty() && heap_.front().deadline_ns <= now_ns) {
    // A handler that arms a timer for the past gets it in the next turn.
    if (heap_.front().order >= armed_before) break;
    Timer* timer = heap_.front().timer;
    Disarm(timer);
    timer->handler_(timer);  // May be gone after this.
    ++fired;
  }
  return fired;
}

void TimerQueue::Place(size_t index, const Entry& entry) {
  heap_[index] = entry;
  entry.timer->index_ = static_cast<uint32_t>(index);
}

void TimerQueue::SiftUp(size_t index, const Entry& entry) {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (!entry.Before(heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, entry);
}

void TimerQueue::SiftDown(size_t index, const Entry& entry) {
  const size_t size = heap_.size();
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= size) break;
    if (child + 1 < size && heap_[child + 1].Before(heap_[child])) ++child;
    if (!heap_[child].Before(entry)) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, entry);
}

}  // namespace ioloop
