// Two loops on two threads share nothing: each visit is counted by the loop
// that owns the counter, and the other awaits the answer.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/loop_group.h"
#include "ioloop/mailbox.h"
#include "ioloop/run_on.h"
#include "ioloop/task.h"
#include "ioloop/timer.h"

struct Counter {
  ioloop::Loop* owner = nullptr;
  int visits = 0;  // Touched on the owner's thread alone: no lock, no atomic.
};

ioloop::Task<int> CountSlowly(Counter* counter, ioloop::StopToken stop) {
  co_await WithStop(SleepFor(counter->owner, absl::Milliseconds(1)), stop);
  co_return ++counter->visits;
}

ioloop::Task<> Visit(ioloop::Loop* loop, Counter* counter,
                     ioloop::Event* ready) {
  co_await ready->Wait();
  int visits = 0;
  for (int i = 0; i < 1000; ++i) {
    // A function over there. The call lives in this frame: no allocation.
    auto call =
        CallOn(loop, counter->owner, [counter] { return ++counter->visits; });
    visits = co_await call;
  }
  // A task over there, which may await things of its own.
  auto task = RunOn(loop, counter->owner, [counter](ioloop::StopToken stop) {
    return CountSlowly(counter, stop);
  });
  std::printf("%d visits, then %d\n", visits, co_await task);
}

ioloop::Task<> Idle() { co_return; }

int main() {
  Counter counter;
  std::unique_ptr<ioloop::Event> ready;
  auto start = [&](ioloop::Loop* loop, size_t index) -> ioloop::Task<> {
    if (index == 1) return Idle();  // Answers until the whole group is done.
    ready = std::make_unique<ioloop::Event>(loop);
    return Visit(loop, &counter, ready.get());
  };
  ioloop::LoopGroup::Options options;
  options.loops = 2;
  auto group = ioloop::LoopGroup::Start(options, start);
  if (!group.ok()) return EXIT_FAILURE;
  counter.owner = (*group)->loop(1);
  (*group)->loop(0)->Post([&ready] { ready->Set(); });
  return (*group)->Join().ok() ? EXIT_SUCCESS : EXIT_FAILURE;
}
