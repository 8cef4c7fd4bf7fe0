#include "ioloop/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/internal/activity.h"
#include "ioloop/internal/make_backend.h"
#include "ioloop/internal/send_buffer_pool.h"
#include "ioloop/internal/stall_watch.h"
#include "ioloop/internal/test_environment.h"
#include "ioloop/internal/wait_policy.h"
#include "ioloop/log.h"
#include "ioloop/timer.h"

namespace ioloop {
namespace {

constinit thread_local Loop* t_current = nullptr;

// Work queued by work at the end of a turn belongs to the turn, this often.
constexpr int kTurnEndRounds = 16;

// Receives that found no buffer go on within the turn, this often.
constexpr int kStarvedRounds = 16;

int64_t ToNanoseconds(absl::Duration duration) {
  if (duration >= absl::Hours(24 * 365)) return Backend::kForever;
  return std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration));
}

}  // namespace

Loop* Loop::Current() { return t_current; }

absl::StatusOr<std::unique_ptr<Loop>> Loop::Create(const Options& given) {
  const absl::StatusOr<Options> options = internal::WithTestEnvironment(given);
  if (!options.ok()) return options.status();
  std::string reason;
  auto loop = CreateOn(*options, [&](BufferPool* pool, LoopStats* stats) {
    return internal::MakeBackend(*options, pool, stats, &reason);
  });
  if (!loop.ok()) return loop;
  (*loop)->backend_reason_ = std::move(reason);
  if (options->stall_threshold > absl::ZeroDuration()) {
    (*loop)->stall_watch_ = internal::StallWatch::Start(
        (*loop)->activity_.get(), ToNanoseconds(options->stall_threshold),
        options->stall_signal, &(*loop)->stats_);
  }
  return loop;
}

absl::StatusOr<std::unique_ptr<Loop>> Loop::CreateOn(const Options& options,
                                                     MakeBackend make) {
  std::unique_ptr<Loop> loop(new Loop(options));
  absl::Status status = loop->Init(options, make);
  if (!status.ok()) return status;
  return loop;
}

Loop::Loop(const Options& options)
    : timers_(std::make_unique<TimerQueue>()),
      send_buffers_(std::make_unique<internal::SendBufferPool>()),
      activity_(
          std::make_unique<internal::Activity>(options.time_handlers, &stats_)),
      wait_policy_(std::make_unique<internal::WaitPolicy>(std::max<int64_t>(
          0, absl::ToInt64Nanoseconds(options.latency_budget)))) {
  batch_.reserve(std::min<size_t>(options.cq_entries, 4096));
}

absl::Status Loop::Init(const Options& options, MakeBackend make) {
  auto buffers =
      BufferPool::Create(options.buffer_count, options.buffer_bytes, &stats_);
  if (!buffers.ok()) return buffers.status();
  buffers_ = *std::move(buffers);
  auto backend = make(buffers_.get(), &stats_);
  if (!backend.ok()) return backend.status();
  const int wake_fd = eventfd(0, EFD_CLOEXEC);
  if (wake_fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("eventfd: ", strerror(errno)));
  }
  backend_ = *std::move(backend);
  mailbox_ = std::make_shared<Mailbox>(wake_fd);
  now_ns_ = ReadClock();
  ArmWake();
  return absl::OkStatus();
}

Loop::~Loop() {
  RINGPLANE_CHECK(!in_turn_, "a Loop died in its own turn");
  if (host_fd_ >= 0) close(host_fd_);
  if (backend_ == nullptr || mailbox_ == nullptr) return;
  absl::Status status;
  while (status.ok() && orphans_ > 0) status = Turn(Backend::kForever);
  mailbox_->Close();
  RINGPLANE_CHECK(in_flight() == 0 || !status.ok(),
                  "a Loop died with operations in flight");
  ending_ = true;
  Cancel(&wake_op_);
  while (status.ok() && wake_op_.in_flight()) status = Turn(Backend::kForever);
  if (!status.ok()) {
    RINGPLANE_LOG(kError, "loop ended with its ring broken",
                  {"error", status.message()});
  }
}

absl::Status Loop::Run() {
  // A Stop() from before counts: whoever asked for it knows of no Run().
  absl::Status status;
  while (status.ok() && !stop_.exchange(false, std::memory_order_acquire)) {
    status = Turn(Backend::kForever);
  }
  activity_->Stop(ReadClock());
  return status;
}

absl::Status Loop::RunOnce(absl::Duration max_wait) {
  absl::Status status = Turn(ToNanoseconds(max_wait));
  activity_->Stop(ReadClock());
  return status;
}

void Loop::Stop() {
  // Whoever runs the loop may destroy it as soon as the flag is seen: only the
  // mailbox is touched after that.
  const std::shared_ptr<Mailbox> mailbox = mailbox_;
  stop_.store(true, std::memory_order_release);
  mailbox->Wake();
}

absl::Status Loop::Turn(int64_t max_wait_ns) {
  RINGPLANE_CHECK(!in_turn_, "turns do not nest");
  Loop* const outer = std::exchange(t_current, this);
  if (!turn_ends_.empty()) {  // Of work that was queued between turns.
    if (!activity_->busy()) activity_->Start(ReadClock());
    RunTurnEnds();
  }

  const int64_t before_ns = ReadClock();
  activity_->Stop(before_ns);
  // A host that sleeps between turns is not busy for us.
  const int64_t busy_ns =
      std::exchange(host_sleeps_, false) ? 0 : CountBusy(before_ns);
  now_ns_ = before_ns;
  int64_t wait_ns = WaitBudget(max_wait_ns);
  if (wait_ns > 0 && !mailbox_->PrepareSleep()) wait_ns = 0;
  skip_wait_ = false;
  ProvideBuffers();
  absl::Status status = backend_->Turn(wait_policy_->Plan(wait_ns), &batch_);
  mailbox_->EndSleep();
  now_ns_ = ReadClock();
  stats_.wait_ns.Add(static_cast<uint64_t>(now_ns_ - before_ns));
  wait_policy_->Observe(batch_.size(), busy_ns, now_ns_ - before_ns);

  in_turn_ = true;
  ++turn_;
  activity_->Start(now_ns_);
  uint64_t harvested = batch_.size();
  Dispatch();
  if (status.ok()) status = HarvestStarved(&harvested);
  stats_.CountTurn(harvested);
  if (!next_turn_.empty()) RunAll(&next_turn_);
  if (timers_->next_deadline_ns() <= now_ns_) {
    Enter(HandlerKind::kTimer);
    activity_->Count(HandlerKind::kTimer, timers_->FireDue(now_ns_));
  }
  if (!mailbox_->empty()) {
    Enter(HandlerKind::kPost);
    activity_->Count(HandlerKind::kPost, mailbox_->RunPosted());
  }
  if (!ready_.empty()) ResumeReady();
  if (buffers_->starving() && buffers_->WakeStarved()) SkipNextWait();
  RunTurnEnds();
  for (size_t i = 0; i < kOpKinds; ++i) stats_.in_flight[i].Set(in_flight_[i]);
  in_turn_ = false;
  t_current = outer;
  return status;
}

int64_t Loop::CountBusy(int64_t now_ns) {
  const int64_t busy_ns = now_ns - now_ns_;
  stats_.CountBusy(static_cast<uint64_t>(busy_ns));
  return busy_ns;
}

size_t Loop::in_flight() const {
  return std::accumulate(in_flight_.begin(), in_flight_.end(), size_t{0}) -
         own_in_flight_;
}

absl::StatusOr<int> Loop::fd() {
  if (host_fd_ >= 0) return host_fd_;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  int failed = epoll < 0 ? errno : 0;
  // The mailbox stands for itself: its eventfd's wakes may not get through the
  // backend's.
  for (const int fd : {backend_->fd(), mailbox_->wake_fd()}) {
    if (failed != 0) break;
    epoll_event event = {};
    event.events = EPOLLIN;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) failed = errno;
  }
  if (failed != 0) {
    if (epoll >= 0) close(epoll);
    return absl::ResourceExhaustedError(
        absl::StrCat("no descriptor for a host to poll: ", strerror(failed)));
  }
  return host_fd_ = epoll;
}

absl::Duration Loop::PrepareSleep() {
  RINGPLANE_CHECK(!in_turn_, "a host sleeps between turns");
  const int64_t now_ns = ReadClock();
  if (!std::exchange(host_sleeps_, true)) CountBusy(now_ns);
  now_ns_ = now_ns;
  // Before looking, as Mailbox::PrepareSleep() does: what comes later wakes.
  const bool posted = !mailbox_->PrepareSleep();
  const int64_t wait_ns = WaitBudget(Backend::kForever);
  if (posted || wait_ns == 0 || backend_->HasWork()) {
    return absl::ZeroDuration();
  }
  if (wait_ns == Backend::kForever) return absl::InfiniteDuration();
  return absl::Nanoseconds(wait_ns);
}

// A turn may sleep until its caller, a timer or a completion wants it.
int64_t Loop::WaitBudget(int64_t max_wait_ns) const {
  if (skip_wait_ || !ready_.empty() || !turn_ends_.empty() ||
      !next_turn_.empty()) {
    return 0;
  }
  const int64_t deadline_ns = timers_->next_deadline_ns();
  if (deadline_ns == TimerQueue::kNever) return max_wait_ns;
  // Compared first: a deadline may be as far in the past as can be.
  if (deadline_ns <= now_ns_) return 0;
  return std::min(max_wait_ns, deadline_ns - now_ns_);
}

void Loop::Enter(HandlerKind kind) { activity_->Enter(kind, backend_.get()); }

// Handlers submit, cancel and destroy; what they add completes in later turns.
void Loop::Dispatch() {
  const Harvested* next = batch_.data();
  const Harvested* const end = next + batch_.size();
  while (next != end) {
    const OpKind kind = next->op->kind_;
    Enter(HandlerOf(kind));
    const Harvested* const first = next;
    do {
      Operation* op = next->op;
      const Completion completion = next->completion;
      ++next;
      if ((completion.flags & kCompletionMore) == 0) {
        op->in_flight_ = false;
        --in_flight_[static_cast<size_t>(kind)];
      }
      op->handler_(op, completion);  // `op` may be gone after this.
    } while (next != end && next->op->kind_ == kind);
    activity_->Count(HandlerOf(kind), static_cast<uint64_t>(next - first));
  }
  batch_.clear();
}

void Loop::ProvideBuffers() {
  buffers_->ProvideFor(
      in_flight_[static_cast<size_t>(OpKind::kReceive)],
      in_flight_[static_cast<size_t>(OpKind::kReceiveMessage)]);
}

// Handlers have returned buffers by now, so what was ready and found none can
// be had in this turn, too.
absl::Status Loop::HarvestStarved(uint64_t* harvested) {
  for (int round = 0; round < kStarvedRounds; ++round) {
    const bool starving = buffers_->starving();
    if (!starving && exhausted_ == stats_.buffers_exhausted) break;
    exhausted_ = stats_.buffers_exhausted;
    if (starving) buffers_->WakeStarved();
    ProvideBuffers();
    absl::Status status = backend_->Turn(Wait(), &batch_);
    if (!status.ok()) return status;
    *harvested += batch_.size();
    Dispatch();
  }
  exhausted_ = stats_.buffers_exhausted;
  return absl::OkStatus();
}

void Loop::Submit(Operation* op, const Request& request) {
  RINGPLANE_CHECK(!op->in_flight_, "an Operation submitted twice");
  op->in_flight_ = true;
  op->kind_ = request.kind;
  ++in_flight_[static_cast<size_t>(request.kind)];
  backend_->Submit(op, request);
}

void Loop::Cancel(Operation* op) {
  if (op->in_flight_) backend_->Cancel(op);
}

void Loop::Resume(std::coroutine_handle<> waiter) { ready_.push_back(waiter); }

// Those that resume others meanwhile do it for the next turn: no chain of
// resumptions can starve the kernel's completions.
void Loop::ResumeReady() {
  resuming_.swap(ready_);
  Enter(HandlerKind::kResume);
  for (std::coroutine_handle<> waiter : resuming_) waiter.resume();
  activity_->Count(HandlerKind::kResume, resuming_.size());
  resuming_.clear();
}

void Loop::AtTurnEnd(TurnEnd* work) { QueueTurnEnd(work, &turn_ends_); }

void Loop::AtNextTurn(TurnEnd* work) { QueueTurnEnd(work, &next_turn_); }

void Loop::QueueTurnEnd(TurnEnd* work, std::vector<TurnEnd*>* queue) {
  if (work->queued_) return;
  work->queued_ = true;
  work->place_ = static_cast<uint32_t>(queue->size());
  queue->push_back(work);
}

void Loop::RemoveTurnEnd(TurnEnd* work) {
  if (!work->queued_) return;
  work->queued_ = false;
  // It stands in one of them, and no other at its place.
  for (std::vector<TurnEnd*>* queue :
       {&turn_ends_, &ending_turn_, &next_turn_}) {
    if (work->place_ < queue->size() && (*queue)[work->place_] == work) {
      (*queue)[work->place_] = nullptr;
      return;
    }
  }
}

void Loop::RunTurnEnds() {
  for (int round = 0; round < kTurnEndRounds && !turn_ends_.empty(); ++round) {
    RunAll(&turn_ends_);
  }
}

// But not what is queued meanwhile.
void Loop::RunAll(std::vector<TurnEnd*>* queue) {
  ending_turn_.swap(*queue);
  Enter(HandlerKind::kTurnEnd);
  uint64_t ran = 0;
  // Handlers remove others, by their places.
  for (size_t i = 0; i < ending_turn_.size(); ++i) {
    TurnEnd* work = std::exchange(ending_turn_[i], nullptr);
    if (work == nullptr) continue;
    work->queued_ = false;
    work->handler_(work);
    ++ran;
  }
  activity_->Count(HandlerKind::kTurnEnd, ran);
  ending_turn_.clear();
}

void Loop::ArmWake() {
  Request request;
  request.kind = OpKind::kRead;
  request.fd = mailbox_->wake_fd();
  request.address = &wake_value_;
  request.length = sizeof(wake_value_);
  ++own_in_flight_;
  Submit(&wake_op_, request);
}

void Loop::OnWake(Operation* op, Completion completion) {
  // The only operation of the loop itself; it stands inside the loop.
  Loop* loop = t_current;
  RINGPLANE_DCHECK(op == &loop->wake_op_);
  static_cast<void>(op);
  --loop->own_in_flight_;
  if (loop->ending_) return;
  if (completion.result > 0) loop->stats_.wakes.Add(1);
  loop->ArmWake();
}

std::string_view Loop::backend_name() const { return backend_->name(); }

std::shared_ptr<Mailbox> SharedMailbox(Loop* loop) {
  return loop->shared_mailbox();
}

Mailbox& MailboxOf(Loop* loop) { return loop->mailbox(); }

}  // namespace ioloop
