#include "ioloop/loop_group.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/internal/cpu_limits.h"
#include "ioloop/log.h"

namespace ioloop {

size_t UsableCpus() {
  const size_t affinity = std::max<size_t>(1, internal::AffinityCpus().size());
  const std::optional<double> quota = internal::CgroupCpus("");
  if (!quota) return affinity;
  return std::clamp<size_t>(static_cast<size_t>(*quota), 1, affinity);
}

// What the threads and the group's owner share. The phases are: every thread
// makes its loop; the owner says whether to go on; every main runs; the last
// main to end stops all loops.
struct LoopGroup::Shared {
  Options options;
  Main main;
  std::vector<int> cpus;

  std::mutex mutex;
  std::condition_variable changed;
  size_t made = 0;       // Loops made, or failed.
  size_t called = 0;     // Loops on which `main` has been called.
  bool decided = false;  // Whether to go on is known:
  bool go = false;
  absl::Status status;  // The first error.
  std::vector<std::unique_ptr<Loop>> loops;

  std::atomic<size_t> mains_running{0};
  // Loops are destroyed on the threads they belong to, and only when no thread
  // can post to them any more.
  size_t stopped = 0;
  bool joining = false;
  std::vector<std::thread> threads;
  bool joined = false;
};

namespace {

void NameAndPin(const LoopGroup::Options& options, size_t index,
                const std::vector<int>& cpus) {
  // The kernel keeps 15 bytes of a name.
  const std::string name = absl::StrCat(options.name, "-", index).substr(0, 15);
  pthread_setname_np(pthread_self(), name.c_str());
  if (!options.pin || options.loops > cpus.size()) return;
  const int cpu = cpus[index];
  const size_t count = static_cast<size_t>(cpu) + 1;
  cpu_set_t* set = CPU_ALLOC(count);
  const size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(static_cast<size_t>(cpu), bytes, set);
  const int error = pthread_setaffinity_np(pthread_self(), bytes, set);
  CPU_FREE(set);
  if (error != 0) {
    RINGPLANE_LOG(kWarning, "thread not pinned", {"thread", name}, {"cpu", cpu},
                  {"error", strerror(error)});
  }
}

Task<void> RunMain(const LoopGroup::Main* main, Loop* loop, size_t index) {
  Task<void> task = (*main)(loop, index);
  co_await task;
}

// Ends every loop of the group once the last main is done.
Task<void> RunMainAndCount(const LoopGroup::Main* main, Loop* loop,
                           size_t index, std::atomic<size_t>* running,
                           const std::vector<std::unique_ptr<Loop>>* loops) {
  co_await RunMain(main, loop, index);
  if (running->fetch_sub(1) == 1) {
    for (const std::unique_ptr<Loop>& each : *loops) each->Stop();
  }
}

}  // namespace

LoopGroup::LoopGroup(std::unique_ptr<Shared> shared)
    : shared_(std::move(shared)) {
  for (const std::unique_ptr<Loop>& loop : shared_->loops) {
    loops_.push_back(loop.get());
  }
}

LoopGroup::~LoopGroup() {
  RINGPLANE_CHECK(shared_->joined, "a LoopGroup died before Join()");
}

void LoopGroup::RunThread(Shared* shared, size_t index) {
  NameAndPin(shared->options, index, shared->cpus);
  auto loop = Loop::Create(shared->options.loop);
  {
    std::unique_lock lock(shared->mutex);
    if (loop.ok()) {
      shared->loops[index] = *std::move(loop);
    } else if (shared->status.ok()) {
      shared->status = loop.status();
    }
    ++shared->made;
    shared->changed.notify_all();
    shared->changed.wait(lock, [shared] { return shared->decided; });
    if (!shared->go) {
      shared->loops[index].reset();
      return;
    }
  }
  Loop* mine = shared->loops[index].get();
  absl::Status status;
  {
    TaskGroup group;
    group.Spawn(RunMainAndCount(&shared->main, mine, index,
                                &shared->mains_running, &shared->loops));
    {
      std::lock_guard lock(shared->mutex);
      ++shared->called;
      shared->changed.notify_all();
    }
    status = mine->Run();
    // Only a broken ring ends a loop before its main: there is no way to end
    // what waits for it.
    RINGPLANE_CHECK(group.running() == 0,
                    absl::StrCat("a loop failed: ", status.ToString()));
  }
  std::unique_lock lock(shared->mutex);
  if (shared->status.ok()) shared->status = status;
  ++shared->stopped;
  shared->changed.notify_all();
  shared->changed.wait(lock, [shared] {
    return shared->joining && shared->stopped == shared->loops.size();
  });
  lock.unlock();
  shared->loops[index].reset();
}

absl::StatusOr<std::unique_ptr<LoopGroup>> LoopGroup::Start(
    const Options& options, Main main) {
  auto shared = std::make_unique<Shared>();
  shared->options = options;
  if (options.loops == 0) shared->options.loops = UsableCpus();
  const size_t count = shared->options.loops;
  shared->main = std::move(main);
  shared->cpus = internal::AffinityCpus();
  shared->loops.resize(count);
  shared->mains_running = count;
  for (size_t i = 0; i < count; ++i) {
    shared->threads.emplace_back(&LoopGroup::RunThread, shared.get(), i);
  }
  absl::Status status;
  std::unique_ptr<LoopGroup> group;
  {
    std::unique_lock lock(shared->mutex);
    shared->changed.wait(lock, [&] { return shared->made == count; });
    status = shared->status;
    if (status.ok()) {
      group.reset(new LoopGroup(std::move(shared)));
      Shared* state = group->shared_.get();
      state->decided = true;
      state->go = true;
      state->changed.notify_all();
      state->changed.wait(lock, [&] { return state->called == count; });
      return group;
    }
    shared->decided = true;
    shared->changed.notify_all();
  }
  for (std::thread& thread : shared->threads) thread.join();
  return status;
}

absl::Status LoopGroup::Join() {
  {
    std::lock_guard lock(shared_->mutex);
    shared_->joining = true;
    shared_->changed.notify_all();
  }
  for (std::thread& thread : shared_->threads) thread.join();
  shared_->threads.clear();
  shared_->joined = true;
  return shared_->status;
}

}  // namespace ioloop
