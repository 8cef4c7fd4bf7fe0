#include "benchmarks/socket_scaling/raw_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace socket_scaling {
namespace {

constexpr uint16_t kBufferGroup = 0;
constexpr uint32_t kEnterNoIowait = 1u << 7;     // Linux 6.15
constexpr uint32_t kFeatureNoIowait = 1u << 17;  // Linux 6.15

char* MapMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) DieOfErrno("mmap");
  return static_cast<char*>(memory);
}

}  // namespace

RawRing::RawRing(const Options& options, Counts* counts)
    : options_(options), counts_(counts) {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE;
  params.cq_entries = options.cq_entries;
  int result = io_uring_queue_init_params(options.sq_entries, &ring_, &params);
  if (result < 0) {
    Skip(std::string("io_uring is refused here: ") + strerror(-result));
  }
  enter_flags_ = IORING_ENTER_EXT_ARG;
  if ((params.features & kFeatureNoIowait) != 0) {
    enter_flags_ |= kEnterNoIowait;
  }
  for (uint32_t i = 0; i < params.sq_entries; ++i) ring_.sq.array[i] = i;
  sq_tail_ = *ring_.sq.ktail;

  const uint32_t count = options.buffer_count;
  buffer_ring_ = reinterpret_cast<io_uring_buf_ring*>(
      MapMemory(count * sizeof(io_uring_buf)));
  buffers_ = MapMemory(static_cast<size_t>(count) * options.buffer_bytes);
  io_uring_buf_reg registration = {};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  registration.ring_entries = count;
  registration.bgid = kBufferGroup;
  result = io_uring_register_buf_ring(&ring_, &registration, 0);
  if (result < 0) {
    Skip(std::string("buffer rings are refused here: ") + strerror(-result));
  }
  for (uint32_t i = 0; i < count; ++i) ReturnBuffer(i);
  PublishBuffers();
}

io_uring_sqe* RawRing::NextSqe(Kind kind, uint32_t index) {
  if (sq_tail_ - __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE) ==
      ring_.sq.ring_entries) {
    Enter(0, 0, /*no_wait=*/false);
  }
  io_uring_sqe* sqe = &ring_.sq.sqes[sq_tail_++ & ring_.sq.ring_mask];
  memset(sqe, 0, sizeof(*sqe));
  sqe->user_data = static_cast<uint64_t>(kind) << 32 | index;
  return sqe;
}

void RawRing::Accept(int listener) {
  io_uring_sqe* sqe = NextSqe(Kind::kAccept, static_cast<uint32_t>(listener));
  sqe->opcode = IORING_OP_ACCEPT;
  sqe->fd = listener;
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
  sqe->accept_flags = SOCK_CLOEXEC;
}

void RawRing::Receive(uint32_t index, int fd) {
  io_uring_sqe* sqe = NextSqe(Kind::kReceive, index);
  sqe->opcode = IORING_OP_RECV;
  sqe->fd = fd;
  sqe->ioprio = IORING_RECV_MULTISHOT;
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
}

void RawRing::Send(uint32_t index, int fd, const void* data, uint32_t bytes) {
  io_uring_sqe* sqe = NextSqe(Kind::kSend, index);
  sqe->opcode = IORING_OP_SEND;
  sqe->fd = fd;
  sqe->addr = reinterpret_cast<uint64_t>(data);
  sqe->len = bytes;
  // Silent when all was sent; MSG_WAITALL makes a short send speak.
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT;
}

void RawRing::SubmitAndWait(uint32_t wait) {
  if (Ready() > 0) wait = 0;
  Enter(wait, IORING_ENTER_GETEVENTS, /*no_wait=*/false);
  // The drain rule: a count to wait for lifts the cap on task work, and one
  // that is there already does not sleep. Until a call brings less than its
  // cap: what arrives meanwhile is the next turn's, which waits for nothing.
  uint32_t cap = kTaskWorkCap;
  uint32_t before = 0;
  while (Ready() - before >= cap && (SqFlags() & IORING_SQ_TASKRUN) != 0) {
    before = Ready();
    cap = std::min(before, ring_.cq.ring_entries);
    Enter(cap, IORING_ENTER_GETEVENTS, /*no_wait=*/true);
  }
}

void RawRing::Enter(uint32_t wait, uint32_t flags, bool no_wait) {
  __atomic_store_n(ring_.sq.ktail, sq_tail_, __ATOMIC_RELEASE);
  const uint32_t submit =
      sq_tail_ - __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE);
  __kernel_timespec zero = {};
  io_uring_getevents_arg arg = {};
  arg.sigmask_sz = _NSIG / 8;
  if (no_wait) arg.ts = reinterpret_cast<uint64_t>(&zero);
  counts_->syscalls.Add(1);
  const long result = syscall(__NR_io_uring_enter, ring_.ring_fd, submit, wait,
                              flags | enter_flags_, &arg, sizeof(arg));
  if (result < 0 && errno != ETIME && errno != EINTR && errno != EAGAIN &&
      errno != EBUSY) {
    DieOfErrno("io_uring_enter");
  }
}

void RawRing::ReturnBuffer(uint32_t id) {
  // Not `resv`, which in the first slot is the tail.
  io_uring_buf* slot =
      &buffer_ring_->bufs[buffer_tail_ & (options_.buffer_count - 1)];
  slot->addr = reinterpret_cast<uint64_t>(buffers_ + static_cast<size_t>(id) *
                                                         options_.buffer_bytes);
  slot->len = options_.buffer_bytes;
  slot->bid = static_cast<uint16_t>(id);
  ++buffer_tail_;
}

void RawRing::PublishBuffers() {
  __atomic_store_n(&buffer_ring_->tail, buffer_tail_, __ATOMIC_RELEASE);
}

void DieOfShortSend(int32_t result) {
  Die("a socket did not take a whole message (" + std::to_string(result) +
      "): too much is in flight for its buffer");
}

}  // namespace socket_scaling
