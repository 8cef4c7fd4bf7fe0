// A bare io_uring, the least that the kernel's part of a loop can be driven
// by: multishot receives from one buffer ring, deferred task work, silent
// sends, and the drain rule. No operations, no ownership, no errors but fatal
// ones: what the study calls the floor, and what its load is made of.
#ifndef RINGPLANE_BENCHMARKS_SOCKET_SCALING_RAW_RING_H_
#define RINGPLANE_BENCHMARKS_SOCKET_SCALING_RAW_RING_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"

namespace socket_scaling {

static_assert(offsetof(io_uring_buf_ring, bufs) == 0,
              "not liburing's own io_uring.h");

class RawRing {
 public:
  struct Options {
    uint32_t sq_entries = 4096;
    uint32_t cq_entries = 65536;
    uint32_t buffer_count = 1024;  // A power of two, at most 32768.
    uint32_t buffer_bytes = 4096;
  };
  enum class Kind : uint32_t { kAccept, kReceive, kSend };
  struct Event {
    Kind kind;
    uint32_t index;  // As given with the request.
    int32_t result;
    bool more;        // A multishot goes on.
    uint32_t buffer;  // Of a receive that brought data.
    char* data;
  };

  RawRing(const Options& options, Counts* counts);

  void Accept(int listener);
  void Receive(uint32_t index, int fd);
  // `data` must stay until the next Turn() has submitted. What the socket does
  // not take at once ends the process: see CheckSent().
  void Send(uint32_t index, int fd, const void* data, uint32_t bytes);

  // Submits, waits for `wait` completions (0: looks), takes everything that
  // has completed, and calls `handle(const Event&)` for each.
  template <typename Handle>
  void Turn(uint32_t wait, Handle&& handle);

  // True when a Turn() that does not wait could find or submit something.
  bool HasWork() const {
    return sq_tail_ != __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE) ||
           SqFlags() != 0 || Ready() > 0;
  }

  // Gives a buffer back to the kernel, seen with the next PublishBuffers().
  void ReturnBuffer(uint32_t id);
  void PublishBuffers();

 private:
  static constexpr uint32_t kTaskWorkCap = 20;  // liburing#1474

  io_uring_sqe* NextSqe(Kind kind, uint32_t index);
  void Enter(uint32_t wait, uint32_t flags, bool no_wait);
  uint32_t SqFlags() const {
    return __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  }
  uint32_t Ready() const {
    return __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE) - *ring_.cq.khead;
  }
  // Everything that has completed waits in the CQ afterwards.
  void SubmitAndWait(uint32_t wait);

  Options options_;
  Counts* counts_;
  io_uring ring_ = {};
  uint32_t enter_flags_ = 0;
  uint32_t sq_tail_ = 0;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  uint16_t buffer_tail_ = 0;
  char* buffers_ = nullptr;
};

template <typename Handle>
void RawRing::Turn(uint32_t wait, Handle&& handle) {
  SubmitAndWait(wait);
  uint32_t head = *ring_.cq.khead;
  const uint32_t tail = __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE);
  const uint32_t mask = ring_.cq.ring_mask;
  counts_->turns.Add(1);
  for (; head != tail; ++head) {
    const io_uring_cqe& cqe = ring_.cq.cqes[head & mask];
    Event event;
    event.kind = static_cast<Kind>(cqe.user_data >> 32);
    event.index = static_cast<uint32_t>(cqe.user_data);
    event.result = cqe.res;
    event.more = (cqe.flags & IORING_CQE_F_MORE) != 0;
    event.buffer = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
    event.data =
        buffers_ + static_cast<size_t>(event.buffer) * options_.buffer_bytes;
    handle(event);
  }
  __atomic_store_n(ring_.cq.khead, head, __ATOMIC_RELEASE);
}

// The end of a process whose socket did not take a message: what is in flight
// is to fit the sockets' buffers.
[[noreturn]] void DieOfShortSend(int32_t result);

}  // namespace socket_scaling

#endif  // RINGPLANE_BENCHMARKS_SOCKET_SCALING_RAW_RING_H_
