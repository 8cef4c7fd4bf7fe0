#include "ioloop/backend_epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ioloop {
namespace {

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI &&
              EPOLLRDHUP == POLLRDHUP && EPOLLERR == POLLERR &&
              EPOLLHUP == POLLHUP);

// All that poll(2) has.
constexpr uint32_t kPollEvents = 0x27df;
// What is reported without being asked for.
constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;

// In the place of a descriptor's number, for our own.
constexpr int kWorkerTag = -1;
constexpr int kRetryTag = -2;
constexpr int kNudgeTag = -3;

constexpr int64_t kConnectRetryNs = 5 * 1000 * 1000;

uint64_t EventData(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

absl::Status NoDescriptor(const char* what, int error) {
  return absl::ResourceExhaustedError(
      absl::StrCat("no ", what, " for a loop: ", strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EpollBackend>> EpollBackend::Create(
    const Options& options, BufferPool* pool, LoopStats* stats) {
  if (options.batch == 0 || options.batch > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat("epoll_batch must be 1 to 65536, not ", options.batch));
  }
  std::unique_ptr<EpollBackend> backend(new EpollBackend(options, pool, stats));
  absl::Status status = backend->Init();
  if (!status.ok()) return status;
  return backend;
}

EpollBackend::EpollBackend(const Options& options, BufferPool* pool,
                           LoopStats* stats)
    : pool_(pool), stats_(stats), drain_(options.drain) {
  events_.resize(options.batch);
  free_buffers_.reserve(pool->count());
  if (options.fault_seed != 0) faults_.emplace(options.fault_seed);
}

absl::Status EpollBackend::Init() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) return NoDescriptor("epoll instance", errno);
  nudge_fd_ = eventfd(0, EFD_CLOEXEC);
  if (nudge_fd_ < 0) return NoDescriptor("eventfd", errno);
  const int error =
      Control(EPOLL_CTL_ADD, nudge_fd_, EPOLLIN, EventData(kNudgeTag, 0));
  if (error != 0) return NoDescriptor("epoll watch", error);
  pool_->Attach(this);  // Provides every buffer.
  return absl::OkStatus();
}

EpollBackend::~EpollBackend() {
  pool_->Detach();
  worker_ = nullptr;
  for (int fd : {epoll_fd_, nudge_fd_, retry_fd_}) {
    if (fd >= 0) close(fd);
  }
}

int EpollBackend::fd() const {
  watched_ = true;
  if (!done_.empty() || !again_.empty()) Nudge();
  return epoll_fd_;
}

// Completions that are here already go out first; beside any that somebody may
// wait for, the kernel is only looked at. A send that is complete is not of
// those, as with io_uring: whoever awaits it asks for a turn that does not
// wait.
absl::Status EpollBackend::Turn(const Wait& wait,
                                std::vector<Harvested>* batch) {
  int64_t wait_ns = wait.ns;
  batch_ = batch;
  batch->insert(batch->end(), done_.begin(), done_.end());
  done_.clear();
  if (std::exchange(urgent_, false) || !again_.empty()) wait_ns = 0;
  if (nudged_) [[unlikely]] {
    uint64_t value;
    nudged_ = false;
    static_cast<void>(Call(SYS_read, nudge_fd_, &value, sizeof(value)));
  }
  had_buffers_ = !free_buffers_.empty();
  going_on_.swap(again_);
  for (int fd : going_on_) {
    const uint32_t events =
        std::exchange(descriptors_[static_cast<size_t>(fd)].again, 0);
    if (events != 0) OnEvent(fd, events);
  }
  going_on_.clear();

  if (wait_ns > 0 && wait.gather_ns > 0) wait_ns = Gather(wait);

  // Every descriptor is reported once at most, unless more arrives meanwhile:
  // so many passes see all that was ready, and a flood does not keep us here.
  size_t taken = 0;
  int count;
  do {
    count = WaitForEvents(wait_ns);
    if (count < 0 && count != -EINTR) break;
    if (count > 0) TakeEvents(count);
    taken += static_cast<size_t>(std::max(count, 0));
    wait_ns = 0;
  } while (drain_ &&
           static_cast<size_t>(std::max(count, 0)) == events_.size() &&
           taken < registered_);
  batch_ = nullptr;
  if (watched_ && !again_.empty()) Nudge();
  if (count < 0 && count != -EINTR) {
    return absl::InternalError(absl::StrCat("epoll_wait: ", strerror(-count)));
  }
  return absl::OkStatus();
}

// epoll_wait(2) always ends with the first event, so gathering is a sleep that
// no event ends. How long to wait for a first one after it.
int64_t EpollBackend::Gather(const Wait& wait) {
  stats_->gathers.Add(1);
  const timespec sleep = {wait.gather_ns / 1000000000,
                          wait.gather_ns % 1000000000};
  constexpr void* kNoRest = nullptr;
  static_cast<void>(Call(SYS_nanosleep, &sleep, kNoRest));
  return wait.ns == kForever ? kForever : wait.ns - wait.gather_ns;
}

int EpollBackend::WaitForEvents(int64_t wait_ns) {
  stats_->enters.Add(1);
  if (faults_ && faults_->Next() != 0) return -EINTR;
  const auto room = static_cast<int>(events_.size());
  constexpr void* kNoMask = nullptr;
  if (wait_ns > 0 && wait_ns != kForever && !no_pwait2_) {
    const timespec timeout = {wait_ns / 1000000000, wait_ns % 1000000000};
    const long count = Call(SYS_epoll_pwait2, epoll_fd_, events_.data(), room,
                            &timeout, kNoMask, 0);
    // Linux 5.11; filters older than the call refuse it.
    if (count != -ENOSYS && count != -EPERM) return static_cast<int>(count);
    no_pwait2_ = true;
  }
  int timeout_ms = -1;
  if (wait_ns != kForever) {
    // Rounded up: a turn that ends before its timer would only spin.
    constexpr int64_t kLongest = 1000 * 1000 * 1000;
    timeout_ms = static_cast<int>(
        std::min(kLongest, wait_ns / 1000000 + (wait_ns % 1000000 != 0)));
  }
  return static_cast<int>(Call(SYS_epoll_pwait, epoll_fd_, events_.data(), room,
                               timeout_ms, kNoMask, 0));
}

void EpollBackend::TakeEvents(int count) {
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    const auto fd = static_cast<int>(static_cast<uint32_t>(event.data.u64));
    switch (fd) {
      case kWorkerTag:
        TakeFromWorker();
        break;
      case kRetryTag:
        RetryConnects();
        break;
      case kNudgeTag:
        break;
      default:
        if (event.data.u64 >> 32 ==
            descriptors_[static_cast<size_t>(fd)].generation) {
          OnEvent(fd, event.events);
        }
    }
  }
}

// Lets everything that waits for `fd` try, first come first served. Trying
// unlinks no other operation.
void EpollBackend::OnEvent(int fd, uint32_t events) {
  Descriptor& descriptor = descriptors_[static_cast<size_t>(fd)];
  if ((events & EPOLLOUT) != 0) descriptor.full = false;
  if (descriptor.first == kNone) return;
  uint32_t slot = descriptor.first;
  const uint32_t last = slots_[slot].previous;
  for (bool more = true; more;) {
    const uint32_t next = slots_[slot].next;
    more = slot != last;
    if ((slots_[slot].wants & events) != 0 &&
        Try(slot, events) == Progress::kPaused) {
      GoOnLater(fd, events);
    }
    slot = next;
  }
}

void EpollBackend::GoOnLater(int fd, uint32_t events) {
  uint32_t& again = descriptors_[static_cast<size_t>(fd)].again;
  if (again == 0) again_.push_back(fd);
  again |= kGoOn;
  if ((events & kEnding) != 0) again |= kGoOnToEnd;
}

// Makes fd() readable, for work that epoll knows nothing of.
void EpollBackend::Nudge() const {
  if (std::exchange(nudged_, true)) return;
  const uint64_t one = 1;
  static_cast<void>(!write(nudge_fd_, &one, sizeof(one)));
}

// Operations that have not ended.

// Whether operations may be had on `fd`; makes room for what we know of it.
bool EpollBackend::Admit(int fd) {
  if (Known(fd)) return !descriptors_[static_cast<size_t>(fd)].closing;
  // A number out of thin air must not cost memory.
  if (fd < 0 || fcntl(fd, F_GETFD) < 0) return false;
  const auto needed = static_cast<size_t>(fd) + 1;
  descriptors_.resize(std::max({needed, descriptors_.size() * 2, size_t{64}}));
  return true;
}

uint32_t EpollBackend::Link(Operation* op, const Request& request,
                            uint32_t wants) {
  uint32_t slot = free_slot_;
  if (slot == kNone) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    free_slot_ = slots_[slot].next;
  }
  Waiting& waiting = slots_[slot];
  waiting = {};
  waiting.op = op;
  waiting.kind = request.kind;
  waiting.fd = request.fd;
  waiting.address = request.address;
  waiting.length = request.length;
  waiting.flags = request.flags;
  waiting.wants = wants;
  Descriptor& descriptor = descriptors_[static_cast<size_t>(request.fd)];
  if (descriptor.first == kNone) {
    descriptor.first = waiting.next = waiting.previous = slot;
  } else {
    Waiting& first = slots_[descriptor.first];
    waiting.next = descriptor.first;
    waiting.previous = first.previous;
    slots_[first.previous].next = slot;
    first.previous = slot;
  }
  op->slot_ = slot;
  return slot;
}

void EpollBackend::Unlink(uint32_t slot) {
  Waiting& waiting = slots_[slot];
  Descriptor& descriptor = descriptors_[static_cast<size_t>(waiting.fd)];
  slots_[waiting.next].previous = waiting.previous;
  slots_[waiting.previous].next = waiting.next;
  if (descriptor.first == slot) {
    descriptor.first = waiting.next == slot ? kNone : waiting.next;
  }
  waiting.op->slot_ = kNone;
  waiting.next = free_slot_;
  free_slot_ = slot;
}

void EpollBackend::Complete(Operation* op, int32_t result, uint32_t flags) {
  if (batch_ != nullptr) {
    batch_->push_back({op, {result, flags}});
    return;
  }
  done_.push_back({op, {result, flags}});
  if (watched_) Nudge();
}

// Ends an operation that was linked.
void EpollBackend::Finish(uint32_t slot, int32_t result, uint32_t flags) {
  const Waiting ended = slots_[slot];
  Unlink(slot);
  if (ended.kind == OpKind::kConnect) std::erase(retries_, slot);
  Complete(ended.op, result, flags);
  urgent_ = urgent_ || batch_ == nullptr;
  Descriptor& descriptor = descriptors_[static_cast<size_t>(ended.fd)];
  if (ended.was_blocking) {
    // The next accept, if any, is now the one to restore the mode.
    uint32_t heir = descriptor.first;
    while (heir != kNone && slots_[heir].kind != OpKind::kAccept) {
      heir = slots_[heir].next;
      if (heir == descriptor.first) heir = kNone;
    }
    if (heir != kNone) {
      slots_[heir].was_blocking = true;
    } else {
      MakeBlocking(ended.fd);
    }
  }
  if (descriptor.closing && descriptor.first == kNone) {
    Forget(ended.fd);
    Sockets::Close(ended.fd);
  }
}

// The file behind the number is no longer ours to watch.
void EpollBackend::Forget(int fd) {
  Descriptor& descriptor = descriptors_[static_cast<size_t>(fd)];
  if (descriptor.interest != 0) --registered_;
  const uint32_t first = descriptor.first;
  const uint32_t generation = descriptor.generation + 1;
  descriptor = {};
  descriptor.first = first;
  descriptor.generation = generation;
}

// `fd` was closed behind our back: whatever waited for it, but for `but`, never
// hears of its file again.
void EpollBackend::EndStale(int fd, uint32_t but) {
  Forget(fd);
  uint32_t slot = descriptors_[static_cast<size_t>(fd)].first;
  const uint32_t last = slots_[slot].previous;
  for (bool more = true; more;) {
    const uint32_t next = slots_[slot].next;
    more = slot != last;
    slots_[slot].was_blocking &= slot == but;
    if (slot != but && !slots_[slot].in_worker) Finish(slot, -EBADF);
    slot = next;
  }
}

int EpollBackend::Close(int fd) {
  if (Known(fd)) {
    Descriptor& descriptor = descriptors_[static_cast<size_t>(fd)];
    if (descriptor.closing) return -EBADF;
    if (descriptor.first != kNone) {
      descriptor.closing = true;
      return 0;
    }
    Forget(fd);
  }
  return Sockets::Close(fd);
}

void EpollBackend::Cancel(Operation* op) {
  const uint32_t slot = op->slot_;
  if (slot == kNone) return;  // Has ended already.
  const Waiting& waiting = slots_[slot];
  if (waiting.in_worker && !worker_->Remove(slot)) return;
  Finish(slot,
         waiting.done > 0 ? static_cast<int32_t>(waiting.done) : -ECANCELED);
}

// Submitting.

void EpollBackend::Submit(Operation* op, const Request& request) {
  stats_->submissions.Add(1);
  if (request.kind == OpKind::kSend) return SubmitSend(op, request);
  if (request.kind == OpKind::kNop || !Admit(request.fd)) {
    Complete(op, request.kind == OpKind::kNop ? 0 : -EBADF, 0);
    urgent_ = true;
    return;
  }
  switch (request.kind) {
    case OpKind::kReceive:
      Start(
          Link(op, request, EPOLLIN | EPOLLRDHUP | EPOLLPRI | kAlways | kGoOn));
      break;
    case OpKind::kReceiveMessage:
      Start(Link(op, request, EPOLLIN | kAlways | kGoOn));
      break;
    case OpKind::kAccept: {
      const uint32_t slot = Link(op, request, EPOLLIN | kAlways | kGoOn);
      // accept4(2) has no flag that keeps it from blocking.
      slots_[slot].was_blocking = MakeNonBlocking(request.fd);
      Start(slot);
      break;
    }
    case OpKind::kPoll:
      Start(Link(op, request, (request.flags & kPollEvents) | kAlways));
      break;
    case OpKind::kRead:
      Start(Link(op, request, EPOLLIN | kAlways));
      break;
    case OpKind::kConnect:
      SubmitConnect(op, request);
      break;
    case OpKind::kSendMessage:
      SubmitSendMessage(op, request);
      break;
    case OpKind::kReadAt:
    case OpKind::kWriteAt:
    case OpKind::kSync:
      ToWorker(Link(op, request, 0));
      break;
    case OpKind::kNop:
    case OpKind::kSend:
      break;
  }
}

void EpollBackend::SubmitSend(Operation* op, const Request& send) {
  const bool waits = (send.flags & kSendWaits) != 0;
  const Descriptor known = Known(send.fd)
                               ? descriptors_[static_cast<size_t>(send.fd)]
                               : Descriptor();
  long sent = -EAGAIN;
  if (known.closing) {
    sent = -EBADF;
  } else if (!waits || !known.full) {  // Else there is no room, we know.
    sent = Call(SYS_sendto, send.fd, send.address, send.length,
                MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
  }
  if (sent == send.length) {
    Complete(op, static_cast<int32_t>(sent), 0);
    urgent_ = urgent_ || waits;  // Its completion wakes, as with io_uring.
    return;
  }
  if ((sent == -EAGAIN || sent >= 0) && Admit(send.fd)) {
    descriptors_[static_cast<size_t>(send.fd)].full = true;
    if (waits) {
      const uint32_t slot = Link(op, send, EPOLLOUT | kAlways);
      slots_[slot].done = static_cast<uint32_t>(std::max(sent, 0L));
      Start(slot);
      return;
    }
  }
  Complete(op, static_cast<int32_t>(sent), 0);
  urgent_ = true;
}

void EpollBackend::SubmitSendMessage(Operation* op, const Request& request) {
  const long sent = SendMessage(request.fd, request.address);
  if (sent == -EAGAIN) {
    Start(Link(op, request, EPOLLOUT | kAlways));
    return;
  }
  Complete(op, static_cast<int32_t>(sent), 0);
  urgent_ = true;
}

void EpollBackend::SubmitConnect(Operation* op, const Request& request) {
  const uint32_t slot = Link(op, request, EPOLLOUT | kAlways);
  const long result = ConnectNow(slots_[slot]);
  if (result == -EINPROGRESS) {
    Start(slot);
  } else if (result == -EAGAIN) {
    RetryLater(slot);
  } else {
    Finish(slot, static_cast<int32_t>(result));
  }
}

// Has `slot` wait for its descriptor; if that is ready, the next turn sees it.
void EpollBackend::Start(uint32_t slot) {
  const int error = Register(slot);
  if (error == 0) return;
  const Waiting& waiting = slots_[slot];
  if (error != EPERM) {
    Finish(slot, -error);
  } else if (waiting.kind == OpKind::kRead) {
    ToWorker(slot);
  } else if (waiting.kind == OpKind::kPoll) {
    // What epoll cannot watch is ready at all times, as poll(2) has it.
    Finish(slot, static_cast<int32_t>(waiting.wants & (POLLIN | POLLOUT)));
  } else {
    Finish(slot, -ENOTSOCK);
  }
}

// 0, or the errno that stands in the way.
int EpollBackend::Register(uint32_t slot) {
  const int fd = slots_[slot].fd;
  Descriptor& descriptor = descriptors_[static_cast<size_t>(fd)];
  uint32_t interest = slots_[slot].wants & ~(kAlways | kGoOn);
  // A descriptor without interest is one that is not registered.
  if (interest == 0) interest = EPOLLPRI;
  if (descriptor.interest != 0) {
    const uint32_t both = descriptor.interest | interest;
    const int error = Control(EPOLL_CTL_MOD, fd, both | EPOLLET,
                              EventData(fd, descriptor.generation));
    if (error == 0) descriptor.interest = both;
    if (error != ENOENT && error != EBADF) return error;
    EndStale(fd, slot);
    if (error == EBADF) return error;
  }
  const uint64_t data = EventData(fd, descriptor.generation);
  int error = Control(EPOLL_CTL_ADD, fd, interest | EPOLLET, data);
  if (error == EEXIST) {
    error = Control(EPOLL_CTL_MOD, fd, interest | EPOLLET, data);
  }
  if (error != 0) return error;
  descriptor.interest = interest;
  ++registered_;
  return 0;
}

int EpollBackend::Control(int operation, int fd, uint32_t events,
                          uint64_t data) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = data;
  return static_cast<int>(
      -Call(SYS_epoll_ctl, epoll_fd_, operation, fd, &event));
}

void EpollBackend::ToWorker(uint32_t slot) {
  if (worker_ == nullptr) {
    auto worker = internal::FileWorker::Start();
    if (!worker.ok()) return Finish(slot, -EAGAIN);
    const int error = Control(EPOLL_CTL_ADD, (*worker)->fd(), EPOLLIN | EPOLLET,
                              EventData(kWorkerTag, 0));
    if (error != 0) return Finish(slot, -error);
    worker_ = *std::move(worker);
  }
  Waiting& waiting = slots_[slot];
  internal::FileJob job;
  job.id = slot;
  job.kind = waiting.kind;
  job.fd = waiting.fd;
  job.flags = waiting.flags;
  if (waiting.kind == OpKind::kRead) {
    job.span = {const_cast<void*>(waiting.address), waiting.length, UINT64_MAX};
  } else if (waiting.kind != OpKind::kSync) {
    job.span = *static_cast<const FileSpan*>(waiting.address);
  }
  waiting.wants = 0;
  waiting.in_worker = true;
  worker_->Add(job);
}

void EpollBackend::TakeFromWorker() {
  from_worker_.clear();
  worker_->TakeDone(&from_worker_);
  for (const internal::FileJob& job : from_worker_) {
    Finish(job.id, job.result);
  }
}

// A unix socket's listener with a full queue: the kernel tells nobody when
// there is room, so we ask again now and then.
void EpollBackend::RetryLater(uint32_t slot) {
  slots_[slot].wants = 0;
  if (retry_fd_ < 0) {
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0) return Finish(slot, -errno);
    const int error =
        Control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, EventData(kRetryTag, 0));
    if (error != 0) {
      close(fd);
      return Finish(slot, -error);
    }
    retry_fd_ = fd;
  }
  if (retries_.empty()) {
    const timespec pause = {0, kConnectRetryNs};
    const itimerspec every = {pause, pause};
    timerfd_settime(retry_fd_, 0, &every, nullptr);
  }
  retries_.push_back(slot);
}

void EpollBackend::RetryConnects() {
  for (uint32_t slot : std::exchange(retries_, {})) {
    const long result = ConnectNow(slots_[slot]);
    if (result == -EAGAIN) {
      retries_.push_back(slot);
    } else {
      Finish(slot, static_cast<int32_t>(result));
    }
  }
  if (retries_.empty()) {
    const itimerspec never = {};
    timerfd_settime(retry_fd_, 0, &never, nullptr);
  }
}

}  // namespace ioloop
