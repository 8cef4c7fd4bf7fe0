// Signals as values: SIGTERM and friends arrive on a loop by signalfd(2).
#ifndef RINGPLANE_IOLOOP_SIGNALS_H_
#define RINGPLANE_IOLOOP_SIGNALS_H_

#include <signal.h>

#include <coroutine>
#include <initializer_list>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/loop.h"
#include "ioloop/operation.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace ioloop {

// Blocks `signals` in the calling thread and in every thread it starts later.
// Call it first in main(), before any other thread exists.
absl::Status BlockSignals(std::initializer_list<int> signals);

// Receives signals that are blocked everywhere. Destroy it when nobody awaits
// Next().
//
//   BlockSignals({SIGINT, SIGTERM});
//   auto signals = SignalSet::Create(loop, {SIGINT, SIGTERM});
//   absl::StatusOr<int> signal = co_await (*signals)->Next();
class SignalSet {
 public:
  static absl::StatusOr<std::unique_ptr<SignalSet>> Create(
      Loop* loop, std::initializer_list<int> signals);
  ~SignalSet();
  SignalSet(const SignalSet&) = delete;
  SignalSet& operator=(const SignalSet&) = delete;

  // The next signal's number; kCancelled when `stop` asks, and always after
  // Cancel(). One waiter.
  Task<absl::StatusOr<int>> Next(StopToken stop = StopToken());
  void Cancel();

 private:
  SignalSet(Loop* loop, int fd) : loop_(loop), fd_(fd) {}
  Loop* loop_;
  int fd_;
  Operation* waiting_ = nullptr;
  bool cancelled_ = false;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_SIGNALS_H_
