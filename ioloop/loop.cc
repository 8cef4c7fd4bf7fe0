#include "ioloop/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ioloop/internal/make_backend.h"
#include "ioloop/internal/send_buffer_pool.h"
#include "ioloop/log.h"
#include "ioloop/timer.h"

namespace ioloop {
namespace {

constinit thread_local Loop* t_current = nullptr;

// Work queued by work at the end of a turn belongs to the turn, this often.
constexpr int kTurnEndRounds = 16;

int64_t ToNanoseconds(absl::Duration duration) {
  if (duration >= absl::Hours(24 * 365)) return Backend::kForever;
  return std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration));
}

}  // namespace

Loop* Loop::Current() { return t_current; }

absl::StatusOr<std::unique_ptr<Loop>> Loop::Create(const Options& options) {
  std::string reason;
  auto loop = CreateOn(options, [&](BufferPool* pool, LoopStats* stats) {
    return internal::MakeBackend(options, pool, stats, &reason);
  });
  if (loop.ok()) (*loop)->backend_reason_ = std::move(reason);
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
      send_buffers_(std::make_unique<internal::SendBufferPool>()) {
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
  if (backend_ == nullptr || mailbox_ == nullptr) return;
  absl::Status status;
  while (status.ok() && orphans_ > 0) status = Turn(Backend::kForever);
  mailbox_->Close();
  RINGPLANE_CHECK(in_flight() == 0 || !status.ok(),
                  "a Loop died with operations in flight");
  ending_ = true;
  Cancel(&wake_op_);
  while (status.ok() && in_flight_ > 0) status = Turn(Backend::kForever);
  if (!status.ok()) {
    RINGPLANE_LOG(kError, "loop ended with its ring broken",
                  {"error", status.message()});
  }
}

absl::Status Loop::Run() {
  // A Stop() from before counts: whoever asked for it knows of no Run().
  while (!stop_.exchange(false, std::memory_order_relaxed)) {
    absl::Status status = Turn(Backend::kForever);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Loop::RunOnce(absl::Duration max_wait) {
  return Turn(ToNanoseconds(max_wait));
}

void Loop::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  mailbox_->Wake();
}

absl::Status Loop::Turn(int64_t max_wait_ns) {
  RINGPLANE_CHECK(!in_turn_, "turns do not nest");
  Loop* const outer = std::exchange(t_current, this);
  RunTurnEnds();  // Of work that was queued between turns.

  const int64_t before_ns = ReadClock();
  const int64_t busy_ns = before_ns - now_ns_;
  stats_.turn_ns.Add(static_cast<uint64_t>(busy_ns));
  stats_.turn_max_ns.Raise(static_cast<uint64_t>(busy_ns));
  now_ns_ = before_ns;
  int64_t wait_ns = WaitBudget(max_wait_ns);
  if (wait_ns > 0 && !mailbox_->PrepareSleep()) wait_ns = 0;
  skip_wait_ = false;
  absl::Status status = backend_->Turn(wait_ns, &batch_);
  mailbox_->EndSleep();
  now_ns_ = ReadClock();
  stats_.wait_ns.Add(static_cast<uint64_t>(now_ns_ - before_ns));

  in_turn_ = true;
  stats_.CountTurn(batch_.size());
  Dispatch();
  if (timers_->next_deadline_ns() <= now_ns_) timers_->FireDue(now_ns_);
  if (!mailbox_->empty()) mailbox_->RunPosted();
  if (!ready_.empty()) ResumeReady();
  if (buffers_->starving() && buffers_->WakeStarved()) SkipNextWait();
  RunTurnEnds();
  in_turn_ = false;
  t_current = outer;
  return status;
}

// A turn may sleep until its caller, a timer or a completion wants it.
int64_t Loop::WaitBudget(int64_t max_wait_ns) const {
  if (skip_wait_ || !ready_.empty() || turn_end_head_ != nullptr) return 0;
  const int64_t deadline_ns = timers_->next_deadline_ns();
  if (deadline_ns == TimerQueue::kNever) return max_wait_ns;
  return std::min(max_wait_ns, std::max<int64_t>(0, deadline_ns - now_ns_));
}

// Handlers submit, cancel and destroy; what they add completes in later turns.
void Loop::Dispatch() {
  for (const Harvested& harvested : batch_) {
    Operation* op = harvested.op;
    if ((harvested.completion.flags & kCompletionMore) == 0) {
      op->in_flight_ = false;
      --in_flight_;
      stats_.in_flight[static_cast<size_t>(op->kind_)].Subtract(1);
    }
    op->handler_(op, harvested.completion);  // `op` may be gone after this.
  }
  batch_.clear();
}

void Loop::Submit(Operation* op, const Request& request) {
  RINGPLANE_CHECK(!op->in_flight_, "an Operation submitted twice");
  op->in_flight_ = true;
  op->kind_ = request.kind;
  ++in_flight_;
  stats_.in_flight[static_cast<size_t>(request.kind)].Add(1);
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
  for (std::coroutine_handle<> waiter : resuming_) waiter.resume();
  resuming_.clear();
}

void Loop::AtTurnEnd(TurnEnd* work) {
  if (work->queued_) return;
  work->queued_ = true;
  work->next_ = nullptr;
  work->previous_ = turn_end_tail_;
  (turn_end_tail_ ? turn_end_tail_->next_ : turn_end_head_) = work;
  turn_end_tail_ = work;
}

void Loop::RemoveTurnEnd(TurnEnd* work) {
  if (!work->queued_) return;
  work->queued_ = false;
  (work->previous_ ? work->previous_->next_ : turn_end_head_) = work->next_;
  (work->next_ ? work->next_->previous_ : turn_end_tail_) = work->previous_;
}

void Loop::RunTurnEnds() {
  for (int round = 0; round < kTurnEndRounds && turn_end_head_; ++round) {
    const TurnEnd* last = turn_end_tail_;
    bool more = true;
    while (more && turn_end_head_ != nullptr) {
      TurnEnd* work = turn_end_head_;
      more = work != last;
      RemoveTurnEnd(work);
      work->handler_(work);
    }
  }
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

int Loop::fd() const { return backend_->fd(); }

std::string_view Loop::backend_name() const { return backend_->name(); }

std::shared_ptr<Mailbox> SharedMailbox(Loop* loop) {
  return loop->shared_mailbox();
}

Mailbox& MailboxOf(Loop* loop) { return loop->mailbox(); }

}  // namespace ioloop
