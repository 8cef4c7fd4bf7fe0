// What a loop counts about itself.
#ifndef RINGPLANE_IOLOOP_STATS_H_
#define RINGPLANE_IOLOOP_STATS_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ioloop/operation.h"

namespace ioloop {

// A number that one thread changes and any thread reads. Not a locked
// instruction: a relaxed load and a relaxed store.
class StatCounter {
 public:
  void Add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount,
                 std::memory_order_relaxed);
  }
  void Set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Raise(uint64_t value) {
    if (value > value_.load(std::memory_order_relaxed)) {
      value_.store(value, std::memory_order_relaxed);
    }
  }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }
  operator uint64_t() const { return Get(); }  // NOLINT

 private:
  std::atomic<uint64_t> value_{0};
};

// What a turn runs. Below kTimer: the handlers of completions, by OpKind; what
// they resume and call is theirs.
enum class HandlerKind : uint8_t {
  kTimer = kOpKinds,
  kPost,     // Work that other threads posted.
  kResume,   // Coroutines that Loop::Resume() queued.
  kTurnEnd,  // Work at the end of a turn: mostly, streams that send.
  kNone,     // The loop waits, or is not in a turn.
};
inline constexpr size_t kHandlerKinds = static_cast<size_t>(HandlerKind::kNone);
constexpr HandlerKind HandlerOf(OpKind kind) {
  return static_cast<HandlerKind>(kind);
}

// OpKindName(), "timer", "post", "resume", "turn_end" or "none".
std::string_view HandlerKindName(HandlerKind kind);

// How often handlers of a kind ran, and how long in all.
struct HandlerStats {
  StatCounter count;
  StatCounter ns;
};

// Thread-safety: the loop's thread writes, any thread reads. Numbers of one
// turn may be seen partly.
class LoopStats {
 public:
  // completions_per_turn[0] counts turns with none, [i] those with
  // 2^(i-1) to 2^i - 1; the last one everything above.
  static constexpr size_t kHistogramSize = 18;
  // turn_time[0] counts stretches below 1 us, [i] those from 2^(i-1) us to
  // below 2^i us; the last one everything above.
  static constexpr size_t kTimeHistogramSize = 24;

  StatCounter turns;
  StatCounter enters;        // io_uring_enter calls (epoll_wait elsewhere).
  StatCounter gathers;       // Waits for more than the first completion.
  StatCounter system_calls;  // All that the backend made, those included.
  StatCounter submissions;   // Requests handed to the kernel.
  StatCounter completions;
  StatCounter cqes_max;  // Most completions that one turn brought.
  std::array<StatCounter, kHistogramSize> completions_per_turn;
  // Receives that ended, or on epoll paused, for want of a buffer.
  StatCounter buffers_exhausted;
  StatCounter buffers_copied;  // Copied out because few buffers were free.
  StatCounter short_sends;     // Sends that the socket took only partly.
  StatCounter cq_overflows;    // Turns that found the CQ overflown.
  StatCounter accept_pauses;   // Listeners paused for want of descriptors.
  StatCounter wakes;           // By another thread.
  StatCounter wait_ns;         // Inside the kernel's wait, submission too.
  StatCounter turn_ns;         // Dispatching: everything between waits.
  StatCounter turn_max_ns;     // The longest stretch between two waits.
  std::array<StatCounter, kTimeHistogramSize> turn_time;
  // By HandlerKind; see Loop::Options::time_handlers.
  std::array<HandlerStats, kHandlerKinds> handlers;
  // By OpKind, the loop's own kRead included; as the last turn left it.
  std::array<StatCounter, kOpKinds> in_flight;
  // Turns that ran for longer than Loop::Options::stall_threshold, counted
  // while they do; and the longest so far. Written by the watchdog.
  StatCounter stalls;
  StatCounter stall_max_ns;

  void CountTurn(uint64_t batch) {
    turns.Add(1);
    completions.Add(batch);
    cqes_max.Raise(batch);
    size_t bucket = static_cast<size_t>(std::bit_width(batch));
    if (bucket >= kHistogramSize) bucket = kHistogramSize - 1;
    completions_per_turn[bucket].Add(1);
  }

  void CountBusy(uint64_t ns) {
    turn_ns.Add(ns);
    turn_max_ns.Raise(ns);
    size_t bucket = static_cast<size_t>(std::bit_width(ns / 1000));
    if (bucket >= kTimeHistogramSize) bucket = kTimeHistogramSize - 1;
    turn_time[bucket].Add(1);
  }

  HandlerStats& Of(HandlerKind kind) {
    return handlers[static_cast<size_t>(kind)];
  }
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_STATS_H_
