// The deadlines of all requests of a session behind one timer of the loop.
#ifndef RINGPLANE_CQL_INTERNAL_DEADLINE_WHEEL_H_
#define RINGPLANE_CQL_INTERNAL_DEADLINE_WHEEL_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "cql/internal/pending_request.h"
#include "ioloop/loop.h"
#include "ioloop/timer.h"

namespace cql::internal {

// A hashed wheel of slots of 8 ms, or fewer: adding and removing cost a few
// instructions, and the timer moves only when the earliest deadline does. A
// request ends at most one slot late and never early.
class DeadlineWheel {
 public:
  // Slots of 2^slot_bits milliseconds.
  explicit DeadlineWheel(ioloop::Loop* loop, int slot_bits = 3);
  ~DeadlineWheel();

  static int64_t Milliseconds(absl::Time deadline) {
    return absl::ToUnixMillis(deadline);
  }

  // REQUIRES: not in the wheel.
  void Add(PendingRequest* request, int64_t deadline_ms) {
    request->deadline_ms_ = deadline_ms;
    // What is late already belongs into the slot that runs next.
    const int64_t slot = std::max(deadline_ms >> slot_bits_, next_slot_);
    Link(&slots_[static_cast<size_t>(slot) & (kSlots - 1)], request);
    if (slot < armed_slot_) Arm(slot);
  }

  // Nothing if not in the wheel.
  void Remove(PendingRequest* request) {
    if (request->due_link_ == nullptr) return;
    *request->due_link_ = request->next_due_;
    if (request->next_due_ != nullptr) {
      request->next_due_->due_link_ = request->due_link_;
    }
    request->due_link_ = nullptr;
  }

  // Calls visit(PendingRequest*), which may neither add nor remove, for each.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    for (PendingRequest* request : slots_) {
      for (; request != nullptr; request = request->next_due_) visit(request);
    }
  }

 private:
  static constexpr size_t kSlots = 2048;  // Of 8 ms: sixteen seconds a round.

  struct WheelTimer : ioloop::Timer {
    WheelTimer(ioloop::Loop* loop, DeadlineWheel* owner)
        : Timer(loop, &DeadlineWheel::Fire), wheel(owner) {}
    DeadlineWheel* wheel;
  };
  static void Fire(ioloop::Timer* timer);

  static void Link(PendingRequest** head, PendingRequest* request) {
    request->next_due_ = *head;
    if (*head != nullptr) (*head)->due_link_ = &request->next_due_;
    request->due_link_ = head;
    *head = request;
  }
  void Arm(int64_t slot);
  void RunDue();

  ioloop::Loop* loop_;
  const int slot_bits_;
  WheelTimer timer_;
  int64_t armed_slot_ = INT64_MAX;
  int64_t next_slot_;  // Slots before this one were run.
  std::array<PendingRequest*, kSlots> slots_ = {};
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_DEADLINE_WHEEL_H_
