// Feeds events to an indexer: many at once, and yet with the effect of one
// after the other.
#ifndef RINGPLANE_SERVICE_INGEST_SCHEDULER_H_
#define RINGPLANE_SERVICE_INGEST_SCHEDULER_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "service/ingest/indexer.h"
#include "service/ingest/ingest_command.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/keyed_order.h"

namespace ingest {

struct SchedulerOptions {
  // Events in progress.
  size_t concurrency = 64;
  // Calls of Apply() in progress.
  size_t calls_max = 4;
  // An event that the store cannot take (Retriable()) is tried again for this
  // long, and what depends on it waits; then the call ends with the error, and
  // nothing is begun any more until all calls that came before have ended:
  // what depends on the event must not overtake it.
  absl::Duration retry_timeout = absl::Seconds(30);
  absl::Duration retry_min = absl::Milliseconds(50);
  absl::Duration retry_max = absl::Seconds(2);
};

struct SchedulerStats {
  uint64_t applied = 0;
  uint64_t no_news = 0;
  uint64_t rejected = 0;
  // Those that were not tried because another had failed are not among them.
  uint64_t failed = 0;
  uint64_t retries = 0;
};

// Thread-safety: none; it belongs to its indexer's loop. One per indexer.
class Scheduler : public EventSink {
 public:
  // Both outlive the scheduler.
  Scheduler(ioloop::Loop* loop, Indexer* indexer,
            const SchedulerOptions& options);
  ~Scheduler() override;  // REQUIRES: no call is in progress.
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  ioloop::Task<absl::StatusOr<std::vector<Rejection>>> Apply(
      const std::vector<Event>& events) override;
  size_t calls_max() const override { return options_.calls_max; }

  const SchedulerStats& stats() const { return stats_; }

 private:
  struct Call;

  // Events enter the order one at a time, in the order of the calls.
  class Turnstile {
   public:
    class Pass {
     public:
      explicit Pass(Turnstile* turnstile) : turnstile_(turnstile) {}
      Pass(const Pass&) = delete;
      Pass& operator=(const Pass&) = delete;
      ~Pass() { turnstile_->Leave(); }
      bool await_ready() const noexcept;
      void await_suspend(std::coroutine_handle<> waiter);
      void await_resume() const noexcept {}

     private:
      Turnstile* turnstile_;
    };

   private:
    void Leave();
    bool taken_ = false;
    std::deque<std::coroutine_handle<>> waiting_;
  };

  ioloop::Task<absl::Status> Admit(const Event& event, Call* call,
                                   size_t index);
  ioloop::Task<void> Run(const Event& event, Call* call, size_t index,
                         KeySet keys);
  ioloop::Task<absl::Status> ApplyWithRetries(const Event& event);
  ioloop::Task<absl::Status> KeysWithRetries(const Event& event, KeySet* keys,
                                             bool* alone);
  void OnFailure(Call* call, const absl::Status& status);
  // OK, or why nothing is begun at the moment.
  absl::Status MayBegin() const;
  // Resumes when fewer than `limit` events are in progress.
  ioloop::Task<void> AwaitFewerThan(size_t limit);
  void OnEventEnd();

  ioloop::Loop* const loop_;
  Indexer* const indexer_;
  const SchedulerOptions options_;
  SchedulerStats stats_;
  KeyedOrder order_;
  Turnstile turnstile_;
  size_t calls_ = 0;  // In progress.
  // An event has failed; stays until these calls have ended.
  absl::Status failure_;
  size_t running_ = 0;
  size_t running_limit_ = 0;  // What the admission waits for.
  std::coroutine_handle<> admission_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_SCHEDULER_H_
