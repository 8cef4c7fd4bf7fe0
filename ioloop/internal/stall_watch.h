// Finds a loop that works for too long without coming back to its kernel, and
// says where it is while it does.
#ifndef RINGPLANE_IOLOOP_INTERNAL_STALL_WATCH_H_
#define RINGPLANE_IOLOOP_INTERNAL_STALL_WATCH_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "ioloop/internal/activity.h"
#include "ioloop/stats.h"

namespace ioloop::internal {

class Watchdog;

// One loop's place with the watchdog: a thread that all watched loops of the
// process share, which looks twice per threshold. It begins with the first and
// ends with the last of them.
class StallWatch {
 public:
  // Watches the calling thread, whose clock is CLOCK_MONOTONIC. `activity` and
  // `stats` outlive it. `signal`: see Loop::Options::stall_signal. nullptr,
  // and a line in the log, if there is no thread left for it.
  static std::unique_ptr<StallWatch> Start(const Activity* activity,
                                           int64_t threshold_ns, int signal,
                                           LoopStats* stats);
  ~StallWatch();
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;

 private:
  friend class Watchdog;
  StallWatch(const Activity* activity, int64_t threshold_ns, int signal,
             LoopStats* stats);
  void Look(int64_t now_ns);

  const Activity* const activity_;
  LoopStats* const stats_;
  const int64_t threshold_ns_;
  int signal_;
  const pid_t tid_;
  std::string thread_;              // Its name.
  int64_t seen_ = Activity::kIdle;  // The stall that is in the log already.
  Watchdog* watchdog_ = nullptr;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_STALL_WATCH_H_
