// What a loop does now, for its watchdog; and how long it did what, for its
// stats.
#ifndef RINGPLANE_IOLOOP_INTERNAL_ACTIVITY_H_
#define RINGPLANE_IOLOOP_INTERNAL_ACTIVITY_H_

#include <atomic>
#include <cstdint>

#include "ioloop/sockets.h"
#include "ioloop/stats.h"

namespace ioloop::internal {

// Thread-safety: the loop's thread writes; busy_since_ns() and kind() are for
// any.
class Activity {
 public:
  // `timed`: whether to read the clock and count.
  Activity(bool timed, LoopStats* stats) : timed_(timed), stats_(stats) {}

  // The loop is at work since `now_ns`: what runs first gets the time since.
  // REQUIRES: !busy().
  void Start(int64_t now_ns) {
    since_ns_ = now_ns;
    busy_since_ns_.store(now_ns, std::memory_order_relaxed);
  }

  // Handlers of `kind` run from here on, `clock` says since when. One after
  // another of a kind costs a comparison.
  void Enter(HandlerKind kind, Sockets* clock) {
    const HandlerKind before = this->kind();
    if (kind == before) return;
    if (timed_ && before != HandlerKind::kNone) Charge(before, clock->Now());
    kind_.store(kind, std::memory_order_relaxed);
  }

  // So many of them ran.
  void Count(HandlerKind kind, uint64_t count) {
    if (timed_) stats_->Of(kind).count.Add(count);
  }

  // The loop is about to wait, or leaves its turn.
  void Stop(int64_t now_ns) {
    busy_since_ns_.store(kIdle, std::memory_order_relaxed);
    const HandlerKind before = kind();
    if (before == HandlerKind::kNone) return;
    if (timed_) Charge(before, now_ns);
    kind_.store(HandlerKind::kNone, std::memory_order_relaxed);
  }

  bool busy() const { return busy_since_ns() != kIdle; }

  static constexpr int64_t kIdle = INT64_MAX;
  // When the loop last began to work; kIdle while it does not.
  int64_t busy_since_ns() const {
    return busy_since_ns_.load(std::memory_order_relaxed);
  }
  HandlerKind kind() const { return kind_.load(std::memory_order_relaxed); }

 private:
  void Charge(HandlerKind kind, int64_t now_ns) {
    stats_->Of(kind).ns.Add(static_cast<uint64_t>(now_ns - since_ns_));
    since_ns_ = now_ns;
  }

  const bool timed_;
  LoopStats* const stats_;
  int64_t since_ns_ = 0;
  std::atomic<HandlerKind> kind_{HandlerKind::kNone};
  std::atomic<int64_t> busy_since_ns_{kIdle};
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_ACTIVITY_H_
