// One loop per core, each on a pinned thread of its own.
#ifndef RINGPLANE_IOLOOP_LOOP_GROUP_H_
#define RINGPLANE_IOLOOP_LOOP_GROUP_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace ioloop {

// CPUs that this process may use: its affinity mask, and no more than its
// cgroup's quota (v1 and v2, rounded down) pays for. At least 1.
size_t UsableCpus();

// The loops run until every main is done, so that calls across loops are
// answered to the end.
//
//   auto group = LoopGroup::Start({}, [](Loop* loop, size_t index) {
//     return ServeOn(loop, index);   // Task<void>; done when told to stop
//   });
//   ...
//   absl::Status status = (*group)->Join();
class LoopGroup {
 public:
  struct Options {
    size_t loops = 0;  // 0: UsableCpus().
    // Pin each thread to one CPU of the affinity mask, in order, when there
    // are no more loops than CPUs. A refusal is logged, not an error.
    bool pin = true;
    std::string name = "loop";  // Threads are called "loop-0", "loop-1", ...
    Loop::Options loop;
  };
  using Main = std::function<Task<void>(Loop* loop, size_t index)>;

  // Starts the threads; returns when every loop exists and `main` has been
  // called on each. The first loop that cannot be made fails the whole, with
  // Loop::Create's status. `main` is called on each thread, and kept alive
  // until Join().
  static absl::StatusOr<std::unique_ptr<LoopGroup>> Start(
      const Options& options, Main main);

  // REQUIRES: joined.
  ~LoopGroup();
  LoopGroup(const LoopGroup&) = delete;
  LoopGroup& operator=(const LoopGroup&) = delete;

  size_t size() const { return loops_.size(); }
  // For its mailbox and stats(), from any thread until Join() is called. Work
  // posted after every main is done may not run.
  Loop* loop(size_t index) const { return loops_[index]; }

  // Waits until every main is done and every thread has ended; the first
  // error of a loop, if any. Call it once, from outside the loops.
  absl::Status Join();

 private:
  struct Shared;
  explicit LoopGroup(std::unique_ptr<Shared> shared);
  static void RunThread(Shared* shared, size_t index);

  std::unique_ptr<Shared> shared_;
  std::vector<Loop*> loops_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_LOOP_GROUP_H_
