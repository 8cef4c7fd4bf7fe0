#include "cql/internal/deadline_wheel.h"

namespace cql::internal {

DeadlineWheel::DeadlineWheel(ioloop::Loop* loop, int slot_bits)
    : loop_(loop),
      slot_bits_(slot_bits),
      timer_(loop, this),
      next_slot_(Milliseconds(loop->now()) >> slot_bits_) {}

DeadlineWheel::~DeadlineWheel() {
  for (PendingRequest* request : slots_) {
    RINGPLANE_CHECK(request == nullptr, "a request outlived its session");
  }
}

void DeadlineWheel::Fire(ioloop::Timer* timer) {
  static_cast<WheelTimer*>(timer)->wheel->RunDue();
}

void DeadlineWheel::Arm(int64_t slot) {
  armed_slot_ = slot;
  // The end of the slot: everything in it is due then.
  timer_.Arm(absl::FromUnixMillis((slot + 1) << slot_bits_));
}

void DeadlineWheel::RunDue() {
  const int64_t now_ms = Milliseconds(loop_->now());
  const int64_t now_slot = now_ms >> slot_bits_;
  armed_slot_ = INT64_MAX;

  const int64_t first =
      std::max(next_slot_, now_slot - static_cast<int64_t>(kSlots) + 1);
  next_slot_ = std::max(next_slot_, now_slot);

  // Take out everything that is due before any handler runs: handlers add and
  // remove requests.
  PendingRequest* due = nullptr;
  for (int64_t slot = first; slot < now_slot; ++slot) {
    PendingRequest** link = &slots_[static_cast<size_t>(slot) & (kSlots - 1)];
    while (*link != nullptr) {
      PendingRequest* request = *link;
      if (request->deadline_ms_ >> slot_bits_ >= now_slot) {
        link = &request->next_due_;  // Due in a later round.
        continue;
      }
      Remove(request);
      Link(&due, request);
    }
  }
  while (due != nullptr) {
    PendingRequest* request = due;
    Remove(request);
    request->OnDeadline();
  }

  // A handler may have armed the timer for an earlier slot already; the next
  // slot in use is the other candidate.
  for (size_t ahead = 0; ahead < kSlots; ++ahead) {
    const int64_t slot = now_slot + static_cast<int64_t>(ahead);
    if (slot >= armed_slot_) return;
    if (slots_[static_cast<size_t>(slot) & (kSlots - 1)] != nullptr) {
      Arm(slot);
      return;
    }
  }
}

}  // namespace cql::internal
