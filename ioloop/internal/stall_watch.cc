#include "ioloop/internal/stall_watch.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "ioloop/internal/stack_sample.h"
#include "ioloop/log.h"

namespace ioloop::internal {
namespace {

int64_t MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

std::string ThreadName() {
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof(name));
  return name;
}

}  // namespace

class Watchdog {
 public:
  // Has the process's watchdog look after `watch`; nullptr, and why not, if it
  // has to be started and there is no thread for it.
  static Watchdog* Add(StallWatch* watch, std::string* error);
  // Undoes it; the last one ends the watchdog.
  void Remove(StallWatch* watch);

 private:
  // Of the process. Never destroyed: loops may outlive what static objects do.
  struct Place {
    std::mutex mutex;
    Watchdog* watchdog = nullptr;
  };
  static Place& ThePlace() {
    static Place* const place = new Place;
    return *place;
  }
  void Start();
  void Run();
  std::chrono::nanoseconds Period() const;

  const pid_t process_ = getpid();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StallWatch*> watches_;
  bool ending_ = false;
  std::thread thread_;
};

Watchdog* Watchdog::Add(StallWatch* watch, std::string* error) {
  Place& place = ThePlace();
  std::lock_guard lock(place.mutex);
  // A fork leaves the thread behind, and whatever it had locked.
  if (place.watchdog == nullptr || place.watchdog->process_ != getpid()) {
    auto watchdog = std::make_unique<Watchdog>();
    try {
      watchdog->Start();
    } catch (const std::system_error& failure) {
      *error = failure.what();
      return nullptr;
    }
    place.watchdog = watchdog.release();
  }
  std::lock_guard inner(place.watchdog->mutex_);
  place.watchdog->watches_.push_back(watch);
  place.watchdog->changed_.notify_one();
  return place.watchdog;
}

void Watchdog::Remove(StallWatch* watch) {
  if (process_ != getpid()) return;  // The parent's.
  Place& place = ThePlace();
  std::lock_guard lock(place.mutex);
  {
    std::lock_guard inner(mutex_);
    watches_.erase(std::find(watches_.begin(), watches_.end(), watch));
    if (!watches_.empty()) return;
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
  place.watchdog = nullptr;
  delete this;
}

void Watchdog::Start() {
  // Signals belong to the threads that expect them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    thread_ = std::thread(&Watchdog::Run, this);
  } catch (const std::system_error&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::chrono::nanoseconds Watchdog::Period() const {
  int64_t threshold_ns = INT64_MAX;
  for (const StallWatch* watch : watches_) {
    threshold_ns = std::min(threshold_ns, watch->threshold_ns_);
  }
  return std::chrono::nanoseconds(std::clamp<int64_t>(
      threshold_ns / 2, 1000 * 1000, int64_t{3600} * 1000 * 1000 * 1000));
}

void Watchdog::Run() {
  pthread_setname_np(pthread_self(), "loop-watchdog");
  std::unique_lock lock(mutex_);
  while (!ending_) {
    changed_.wait_for(lock, Period());
    for (StallWatch* watch : watches_) watch->Look(MonotonicNow());
  }
}

StallWatch::StallWatch(const Activity* activity, int64_t threshold_ns,
                       int signal, LoopStats* stats)
    : activity_(activity),
      stats_(stats),
      threshold_ns_(threshold_ns),
      signal_(signal),
      tid_(static_cast<pid_t>(syscall(SYS_gettid))),
      thread_(ThreadName()) {}

StallWatch::~StallWatch() {
  if (watchdog_ != nullptr) watchdog_->Remove(this);
}

std::unique_ptr<StallWatch> StallWatch::Start(const Activity* activity,
                                              int64_t threshold_ns, int signal,
                                              LoopStats* stats) {
  std::unique_ptr<StallWatch> watch(
      new StallWatch(activity, threshold_ns, signal, stats));
  if (signal != 0 && !PrepareStackSignal(signal)) {
    RINGPLANE_LOG(kWarning, "stalls are logged without a backtrace",
                  {"signal", signal},
                  {"why",
                   "it is handled or ignored; name a free one by "
                   "Loop::Options::stall_signal, or 0"});
    watch->signal_ = 0;
  }
  std::string error;
  watch->watchdog_ = Watchdog::Add(watch.get(), &error);
  if (watch->watchdog_ == nullptr) {
    RINGPLANE_LOG(kWarning, "stalls go unnoticed, for want of a thread",
                  {"error", error});
    return nullptr;
  }
  return watch;
}

void StallWatch::Look(int64_t now_ns) {
  const int64_t since_ns = activity_->busy_since_ns();
  const int64_t ran_ns = now_ns - since_ns;
  if (since_ns == Activity::kIdle || ran_ns < threshold_ns_) return;
  stats_->stall_max_ns.Raise(static_cast<uint64_t>(ran_ns));
  if (since_ns == seen_) return;
  seen_ = since_ns;
  const HandlerKind kind = activity_->kind();
  std::string backtrace;
  if (signal_ != 0) backtrace = SampleStack(tid_, signal_);
  // Over meanwhile: the stack is that of something else.
  if (activity_->busy_since_ns() != since_ns) backtrace.clear();
  RINGPLANE_LOG(kWarning, "a loop stalls", {"thread", thread_},
                {"ms", ran_ns / 1000000}, {"handler", HandlerKindName(kind)},
                {"backtrace", backtrace});
  stats_->stalls.Add(1);  // Last: who sees it finds the line.
}

}  // namespace ioloop::internal
