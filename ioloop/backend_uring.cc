#include "ioloop/backend_uring.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/internal/tsan.h"
#include "ioloop/kernel.h"

namespace ioloop {
namespace {

static_assert(offsetof(io_uring_buf_ring, bufs) == 0,
              "not liburing's own io_uring.h");
static_assert(kCompletionMore == IORING_CQE_F_MORE);
static_assert(kCompletionBuffer == IORING_CQE_F_BUFFER);
static_assert(kCompletionBufferShift == IORING_CQE_BUFFER_SHIFT);
static_assert(kCompletionBufferMore == internal::kCompletionBufferIncremental);
static_assert(kCompletionSocketNonEmpty == IORING_CQE_F_SOCK_NONEMPTY);

// Everyone's buffers; where streams share theirs, datagrams have a group of
// their own.
constexpr uint16_t kBufferGroup = 0;
constexpr uint16_t kMessageGroup = 1;

// In user_data, beside the operation's address: a silent send, or a request to
// cancel the operation.
constexpr uint64_t kSilentTag = 1;
constexpr uint64_t kCancelTag = 2;
static_assert(alignof(Operation) >= 4);

// Since 6.13 the kernel runs about this many pieces of task work per wait, and
// leaves the rest for the next one (liburing#1474).
constexpr uint32_t kTaskWorkCap = 20;

// What the SQEs of a kind have in common. `head` is their first four bytes:
// opcode, flags, ioprio.
struct alignas(16) SqeTemplate {
  uint32_t head;
  uint32_t op_flags;  // msg_flags, accept_flags, poll events, ...
  bool more;          // There is more to fill in.
};

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t Head(uint8_t opcode, uint32_t flags, uint32_t ioprio) {
  return opcode | flags << 8 | ioprio << 16;
}

constexpr SqeTemplate kTemplates[kOpKinds] = {
    {Head(IORING_OP_NOP, 0, 0), 0, false},
    {Head(IORING_OP_ACCEPT, 0, IORING_ACCEPT_MULTISHOT), SOCK_CLOEXEC, false},
    {Head(IORING_OP_CONNECT, 0, 0), 0, true},
    {Head(IORING_OP_RECV, IOSQE_BUFFER_SELECT, IORING_RECV_MULTISHOT), 0,
     false},
    // MSG_WAITALL makes a short send fail, and so leave a CQE: without it the
    // missing bytes of a silent send would go unnoticed.
    {Head(IORING_OP_SEND, 0, 0), MSG_NOSIGNAL | MSG_WAITALL, true},
    {Head(IORING_OP_POLL_ADD, 0, 0), 0, true},
    {Head(IORING_OP_READ, 0, 0), 0, true},
    {Head(IORING_OP_READ, 0, 0), 0, true},
    {Head(IORING_OP_WRITE, 0, 0), 0, true},
    {Head(IORING_OP_FSYNC, 0, 0), 0, true},
    {Head(IORING_OP_RECVMSG, IOSQE_BUFFER_SELECT, IORING_RECV_MULTISHOT), 0,
     true},
    {Head(IORING_OP_SENDMSG, 0, 0), MSG_NOSIGNAL, true},
};
static_assert(static_cast<size_t>(OpKind::kReceive) == 3 &&
              static_cast<size_t>(OpKind::kSendMessage) == kOpKinds - 1);

// Keeps one turn finite even if peers post faster than we reap.
constexpr int kFlushPassesMax = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<UringBackend>> UringBackend::Create(
    uint32_t sq_entries, uint32_t cq_entries, bool incremental_buffers,
    uint64_t fault_seed, BufferPool* pool, LoopStats* stats) {
  std::unique_ptr<UringBackend> backend(new UringBackend(pool, stats));
  if (fault_seed != 0) backend->faults_.emplace(fault_seed);
  absl::Status status =
      backend->Init(sq_entries, cq_entries, incremental_buffers);
  if (!status.ok()) return status;
  return backend;
}

UringBackend::~UringBackend() {
  pool_->Detach();
  if (ring_ready_) {
    internal::ReleaseRingMemory();
    io_uring_queue_exit(&ring_);
  }
  for (const BufferRing& ring : buffer_rings_) {
    if (ring.ring != nullptr) munmap(ring.ring, ring.bytes);
  }
  if (poll_fd_ >= 0) close(poll_fd_);
}

// Not the ring's own descriptor: with DEFER_TASKRUN that one wakes nobody who
// polls it, because the completion is only posted when we enter. A registered
// eventfd is signalled when the work for it is queued.
int UringBackend::fd() const {
  if (poll_fd_ >= 0) return poll_fd_;
  // Completions from before are not signalled: the first turn looks for them.
  int signal = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signal < 0) return -1;
  if (syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_EVENTFD,
              &signal, 1) != 0) {
    close(signal);
    return -1;
  }
  return poll_fd_ = signal;
}

int UringBackend::SetBusyPoll(uint32_t microseconds) {
  internal::Napi napi;
  napi.busy_poll_us = microseconds;
  const long result = syscall(__NR_io_uring_register, ring_.ring_fd,
                              internal::kRegisterNapi, &napi, 1);
  return result < 0 ? -errno : 0;
}

bool UringBackend::HasWork() const {
  return Unsubmitted() > 0 || !waiting_.empty() || silent_left_ ||
         SqFlags() != 0 || Ready() > 0;
}

absl::Status UringBackend::Init(uint32_t sq_entries, uint32_t cq_entries,
                                bool incremental_buffers) {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = cq_entries;
  // The kernel refuses a CQ smaller than the SQ.
  sq_entries = std::max(1u, std::min(sq_entries, cq_entries));
  const int result = io_uring_queue_init_params(sq_entries, &ring_, &params);
  if (result < 0) {
    return internal::Diagnose(-result, internal::ReadKernelState());
  }
  internal::AcquireRingMemory();
  ring_ready_ = true;
  constexpr uint32_t kNeeded =
      IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
  if ((params.features & kNeeded) != kNeeded) {
    return absl::UnimplementedError(
        "io_uring of this kernel lacks features that the loop needs; use "
        "Linux 6.1 or newer");
  }
  enter_flags_ = IORING_ENTER_EXT_ARG;
  if ((params.features & internal::kFeatureNoIowait) != 0) {
    enter_flags_ |= internal::kEnterNoIowait;
  }
  cq_entries_ = params.cq_entries;
  // SQE i always stands in slot i: submitting moves the tail and no more.
  for (uint32_t i = 0; i < params.sq_entries; ++i) ring_.sq.array[i] = i;
  sq_tail_ = *ring_.sq.ktail;
  room_ = ring_.sq.ring_entries;
  // A filter may let rings be made and not be used.
  if (syscall(__NR_io_uring_enter, ring_.ring_fd, 0, 0, IORING_ENTER_GETEVENTS,
              nullptr, 0) < 0) {
    return internal::Diagnose(errno, internal::ReadKernelState(),
                              "io_uring_enter");
  }
  // Linux tells completions of shared buffers in the order of their bytes only
  // since a fix that came with this feature (liburing#1409).
  const bool ordered = (params.features & internal::kFeatureNoIowait) != 0;
  return RegisterBuffers(incremental_buffers && ordered &&
                         pool_->count() >= BufferPool::kIncrementalMin);
}

absl::Status UringBackend::RegisterBuffers(bool incremental) {
  int result = -EINVAL;
  if (incremental) {
    result = RegisterBufferRing(kBufferGroup, internal::kBufferRingIncremental);
    if (result == 0) {
      message_group_ = kMessageGroup;
      result = RegisterBufferRing(kMessageGroup, 0);
    }
  }
  // A kernel without them.
  if (result == -EINVAL) {
    incremental = false;
    result = RegisterBufferRing(kBufferGroup, 0);
  }
  if (result < 0) {
    return internal::Diagnose(-result, internal::ReadKernelState(),
                              "io_uring_register");
  }
  pool_->Attach(this, incremental);  // Provides buffers.
  return absl::OkStatus();
}

// 0 or a negated errno.
int UringBackend::RegisterBufferRing(uint16_t group, uint16_t flags) {
  BufferRing& ring = buffer_rings_[group];
  if (ring.ring == nullptr) {
    ring.bytes = pool_->count() * sizeof(io_uring_buf);
    void* memory = mmap(nullptr, ring.bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -ENOMEM;
    ring.ring = static_cast<io_uring_buf_ring*>(memory);
  }
  io_uring_buf_reg registration = {};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring.ring);
  registration.ring_entries = pool_->count();
  registration.bgid = group;
  registration.pad = flags;
  return io_uring_register_buf_ring(&ring_, &registration, 0);
}

void UringBackend::ProvideBuffer(uint32_t id) {
  BufferRing& ring =
      buffer_rings_[pool_->incremental() && pool_->whole(id) ? kMessageGroup
                                                             : kBufferGroup];
  // Not io_uring_buf_ring_add: it writes `resv` too, which in the first slot
  // is the tail.
  io_uring_buf* slot = &ring.ring->bufs[ring.tail & (pool_->count() - 1)];
  slot->addr = reinterpret_cast<uint64_t>(pool_->buffer(id));
  slot->len = pool_->buffer_bytes();
  slot->bid = static_cast<uint16_t>(id);
  ++ring.tail;
  __atomic_store_n(&ring.ring->tail, ring.tail, __ATOMIC_RELEASE);
}

absl::Status UringBackend::Turn(const Wait& wait,
                                std::vector<Harvested>* batch) {
  SubmitWaiting();
  const uint32_t unsubmitted = Unsubmitted();
  // Waiting beside completions that are there already would be a stall; so
  // would waiting with requests that an interrupted turn left behind.
  const bool sleeps =
      wait.ns > 0 && Ready() == 0 && !silent_left_ && waiting_.empty();
  absl::Status status;
  if (sleeps) {
    status = Sleep(wait);
  } else if (unsubmitted > 0 || SqFlags() != 0) {
    status = Enter(0, IORING_ENTER_GETEVENTS, 0);
  }
  if (!status.ok()) return status;
  status = Drain(batch);
  if (!status.ok()) return status;
  ResolveSilentSends(batch);
  CancelAgain();
  silent_left_ = !silent_.empty();
  if (poll_fd_ >= 0) {
    // What comes after the harvest and before this shows in HasWork().
    uint64_t signals;
    static_cast<void>(!read(poll_fd_, &signals, sizeof(signals)));
  }
  if (try_again_ && batch->empty() && sleeps) {
    // The kernel had no memory for our requests: do not spin on it.
    timespec pause = {0, 1000 * 1000};
    nanosleep(&pause, nullptr);
  }
  try_again_ = false;
  return absl::OkStatus();
}

uint32_t UringBackend::Ready() const {
  return __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE) - *ring_.cq.khead;
}

// Gathers by a plain wait with a timeout, and not by the minimum wait of Linux
// 6.12, which may outlast its time where others have fixed it not
// (liburing#1477): the second call is rare, because what is gathered for was
// expected several times over. Where something is ready already the loop is
// not idle: what gathers by itself is taken without a wait.
absl::Status UringBackend::Sleep(const Wait& wait) {
  if (wait.gather_ns > 0 && SqFlags() == 0) {
    stats_->gathers.Add(1);
    absl::Status status =
        Enter(wait.gather, IORING_ENTER_GETEVENTS, wait.gather_ns);
    if (!status.ok() || Ready() > 0 || SqFlags() != 0 || try_again_)
      return status;
    if (wait.ns == wait.gather_ns) return status;
    return Enter(1, IORING_ENTER_GETEVENTS,
                 wait.ns == kForever ? kForever : wait.ns - wait.gather_ns);
  }
  return Enter(1, IORING_ENTER_GETEVENTS, wait.ns);
}

// The drain rule: takes all that had completed when the turn began to look.
//
// The kernel runs as much task work as a call waits for, and kTaskWorkCap at
// least. Waiting for as many completions as lie in the CQ already lifts the cap
// and returns at once; a larger number would put the thread to sleep, whatever
// the timeout (15 us of CPU with zero). A pass that brings less than its cap
// has left nothing behind; what completes meanwhile is the next turn's, which
// waits for nothing.
absl::Status UringBackend::Drain(std::vector<Harvested>* batch) {
  uint32_t cap = kTaskWorkCap;
  uint32_t before = 0;
  for (;;) {
    const uint32_t ready = Ready();
    if (ready - before < cap || (SqFlags() & IORING_SQ_TASKRUN) == 0) break;
    before = ready;
    cap = std::min(ready, cq_entries_);
    absl::Status status = Enter(cap, IORING_ENTER_GETEVENTS, 0);
    if (!status.ok()) return status;
  }
  Reap(batch);
  if ((SqFlags() & IORING_SQ_CQ_OVERFLOW) == 0) [[likely]] {
    return absl::OkStatus();
  }
  return FlushOverflow(batch);
}

// Completions wait in the kernel for room in the CQ, which is empty now.
absl::Status UringBackend::FlushOverflow(std::vector<Harvested>* batch) {
  stats_->cq_overflows.Add(1);
  for (int pass = 0; pass < kFlushPassesMax; ++pass) {
    absl::Status status = Enter(0, IORING_ENTER_GETEVENTS, 0);
    if (!status.ok()) return status;
    Reap(batch);
    if ((SqFlags() & IORING_SQ_CQ_OVERFLOW) == 0) break;
  }
  return absl::OkStatus();
}

void UringBackend::Reap(std::vector<Harvested>* batch) {
  uint32_t head = *ring_.cq.khead;
  const uint32_t tail = __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE);
  const uint32_t mask = ring_.cq.ring_mask;
  const size_t before = batch->size();
  batch->resize(before + (tail - head));
  Harvested* next = batch->data() + before;
  for (; head != tail; ++head) {
    const io_uring_cqe& cqe = ring_.cq.cqes[head & mask];
    auto* op = reinterpret_cast<Operation*>(cqe.user_data &
                                            ~(kSilentTag | kCancelTag));
    if ((cqe.user_data & kCancelTag) != 0) {
      if (cqe.res == -ENOENT) cancel_again_.push_back(op);
      continue;
    }
    if ((cqe.user_data & kSilentTag) != 0) op->silent_ = false;
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
      op->harvested_ = true;
      if (!cancelling_.empty()) [[unlikely]] {
        cancelling_.erase(op);
      }
    }
    *next++ = {op, {cqe.res, cqe.flags}};
  }
  batch->resize(static_cast<size_t>(next - batch->data()));
  __atomic_store_n(ring_.cq.khead, head, __ATOMIC_RELEASE);
}

// The kernel does not find an operation between two tries at it: the one that
// ends is over by now, and the one that does not is cancelled again.
void UringBackend::CancelAgain() {
  for (Operation* op : cancel_again_) {
    if (cancelling_.contains(op)) Cancel(op);
  }
  cancel_again_.clear();
}

// A silent send that was submitted and posted nothing has sent everything: it
// never waits in the kernel, and a failure or a short send posts a CQE before
// io_uring_enter returns. Sound only when no CQE is left in the kernel, which
// Drain() has seen to.
void UringBackend::ResolveSilentSends(std::vector<Harvested>* batch) {
  if (silent_.empty()) return;
  const bool overflown = (SqFlags() & IORING_SQ_CQ_OVERFLOW) != 0;
  const uint32_t head = __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE);
  size_t kept = 0;
  for (const SilentSend& send : silent_) {
    if (!send.op->silent_) continue;  // Its CQE is in the batch.
    if (overflown || static_cast<int32_t>(head - send.position) <= 0) {
      silent_[kept++] = send;
      continue;
    }
    send.op->silent_ = false;
    send.op->harvested_ = true;
    batch->push_back({send.op, {static_cast<int32_t>(send.length), 0}});
  }
  silent_.resize(kept);
}

void UringBackend::Submit(Operation* op, const Request& request) {
  op->harvested_ = false;
  if (room_ == 0) [[unlikely]] {
    SubmitWithoutRoom(op, request);
    return;
  }
  PrepareRequest(NextSqe(), op, request);
}

// Apart from Submit(), which is to stay a leaf.
[[gnu::noinline]] void UringBackend::SubmitWithoutRoom(Operation* op,
                                                       const Request& request) {
  if (MakeRoom()) {
    PrepareRequest(NextSqe(), op, request);
  } else {
    waiting_.push_back({op, request, /*cancel=*/false});
  }
}

void UringBackend::Cancel(Operation* op) {
  // A silent send ends by itself with the next submission.
  if (op->silent_ || op->harvested_) return;
  cancelling_.insert(op);
  if (room_ == 0 && !MakeRoom()) [[unlikely]] {
    waiting_.push_back({op, {}, /*cancel=*/true});
    return;
  }
  PrepareCancel(NextSqe(), op);
}

// Writes all 64 bytes: the slot holds an old request.
inline void UringBackend::PrepareRequest(io_uring_sqe* sqe, Operation* op,
                                         const Request& request) {
  const auto kind = static_cast<size_t>(request.kind);
  const SqeTemplate& words = kTemplates[kind];
  const uint64_t head = words.head | static_cast<uint64_t>(request.fd) << 32;
  memcpy(sqe, &head, sizeof(head));
  sqe->off = 0;
  sqe->addr = reinterpret_cast<uint64_t>(request.address);
  sqe->len = request.length;
  sqe->msg_flags = words.op_flags;
  sqe->user_data = reinterpret_cast<uint64_t>(op);
  sqe->buf_group = kBufferGroup;
  sqe->personality = 0;
  sqe->splice_fd_in = 0;
  sqe->addr3 = 0;
  sqe->__pad2[0] = 0;
  if (words.more) PrepareMore(sqe, op, request);
}

void UringBackend::PrepareMore(io_uring_sqe* sqe, Operation* op,
                               const Request& request) {
  switch (request.kind) {
    case OpKind::kConnect:
      sqe->off = request.length;
      sqe->len = 0;
      break;
    case OpKind::kSend:
      if ((request.flags & kSendWaits) != 0) break;
      sqe->msg_flags |= MSG_DONTWAIT;
      sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
      sqe->user_data |= kSilentTag;
      op->silent_ = true;
      silent_.push_back({op, sqe->len, sq_tail_ - 1});
      break;
    case OpKind::kPoll:
      sqe->poll32_events = request.flags;
      break;
    case OpKind::kRead:
      sqe->off = UINT64_MAX;  // From the file's position.
      break;
    case OpKind::kReadAt:
    case OpKind::kWriteAt: {
      const auto* span = static_cast<const FileSpan*>(request.address);
      sqe->addr = reinterpret_cast<uint64_t>(span->data);
      sqe->len = span->length;
      sqe->off = span->offset;
      break;
    }
    case OpKind::kSync:
      sqe->fsync_flags =
          (request.flags & kSyncData) != 0 ? IORING_FSYNC_DATASYNC : 0;
      break;
    case OpKind::kReceiveMessage:
      sqe->buf_group = message_group_;
      [[fallthrough]];
    case OpKind::kSendMessage:
      sqe->len = 1;  // One msghdr.
      break;
    case OpKind::kNop:
    case OpKind::kAccept:
    case OpKind::kReceive:
      break;
  }
}

void UringBackend::PrepareCancel(io_uring_sqe* sqe, Operation* op) {
  memset(sqe, 0, sizeof(*sqe));
  sqe->opcode = IORING_OP_ASYNC_CANCEL;
  sqe->fd = -1;
  sqe->addr = reinterpret_cast<uint64_t>(op);
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = reinterpret_cast<uint64_t>(op) | kCancelTag;
}

// REQUIRES: room_ > 0.
inline io_uring_sqe* UringBackend::NextSqe() {
  --room_;
  return &ring_.sq.sqes[sq_tail_++ & ring_.sq.ring_mask];
}

// Hands a full SQ to the kernel. False when the kernel takes nothing now, or
// when earlier requests still wait for a place.
bool UringBackend::MakeRoom() {
  if (!waiting_.empty()) return false;
  return Enter(0, 0, 0).ok() && room_ > 0;
}

void UringBackend::SubmitWaiting() {
  if (waiting_.empty()) [[likely]] {
    return;
  }
  // Nobody waits any more, so that Enter() tells the room there is.
  std::vector<Waiting> waiting = std::exchange(waiting_, {});
  room_ = ring_.sq.ring_entries - Unsubmitted();
  size_t taken = 0;
  for (; taken < waiting.size(); ++taken) {
    if (room_ == 0 && (!Enter(0, 0, 0).ok() || room_ == 0)) break;
    const Waiting& next = waiting[taken];
    if (next.cancel) {
      PrepareCancel(NextSqe(), next.op);
    } else {
      PrepareRequest(NextSqe(), next.op, next.request);
    }
  }
  waiting.erase(waiting.begin(),
                waiting.begin() + static_cast<ptrdiff_t>(taken));
  if (waiting.empty()) return;
  waiting_ = std::move(waiting);
  room_ = 0;
}

uint32_t UringBackend::Unsubmitted() const {
  return sq_tail_ - __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE);
}

uint32_t UringBackend::SqFlags() const {
  return __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
}

absl::Status UringBackend::Enter(uint32_t wait_nr, uint32_t flags,
                                 int64_t wait_ns) {
  __atomic_store_n(ring_.sq.ktail, sq_tail_, __ATOMIC_RELEASE);
  const uint32_t to_submit = Unsubmitted();
  __kernel_timespec timeout = {};
  io_uring_getevents_arg arg = {};
  arg.sigmask_sz = _NSIG / 8;
  if (wait_nr > 0 && wait_ns != kForever) {
    timeout.tv_sec = wait_ns / 1000000000;
    timeout.tv_nsec = wait_ns % 1000000000;
    arg.ts = reinterpret_cast<uint64_t>(&timeout);
  }
  stats_->enters.Add(1);
  stats_->system_calls.Add(1);
  const int fault = faults_ ? faults_->Next() : 0;
  long result = -1;
  if (fault != 0) [[unlikely]] {
    errno = fault;
  } else {
    result = syscall(__NR_io_uring_enter, ring_.ring_fd, to_submit, wait_nr,
                     flags | enter_flags_, &arg, sizeof(arg));
  }
  // None is left to whoever would overtake those who wait.
  room_ = waiting_.empty() ? ring_.sq.ring_entries - Unsubmitted() : 0;
  if (result >= 0) {
    stats_->submissions.Add(static_cast<uint64_t>(result));
    return absl::OkStatus();
  }
  switch (errno) {
    case EINTR:  // A signal; whoever handles it may have called Stop().
    case ETIME:
      return absl::OkStatus();
    case EAGAIN:  // No memory for requests, or
    case EBUSY:   // completions to be taken first: what was queued stays so.
      try_again_ = true;
      return absl::OkStatus();
    case EBADR:
      return absl::DataLossError(
          "the kernel ran out of memory and dropped completions");
    default:
      return absl::InternalError(
          absl::StrCat("io_uring_enter: ", strerror(errno)));
  }
}

}  // namespace ioloop
