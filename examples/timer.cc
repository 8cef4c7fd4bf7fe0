// Timers: a tick that does not drift, a deadline on a wait, and a stop.
#include "ioloop/timer.h"

#include <cstdio>
#include <cstdlib>

#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

ioloop::Task<> Tick(ioloop::Loop* loop, ioloop::StopToken stop) {
  const absl::Duration period = absl::Milliseconds(10);
  absl::Time next = loop->now() + period;
  for (int tick = 1;; ++tick, next += period) {
    // False once it was stopped, before or while it slept.
    if (!co_await WithStop(SleepUntil(loop, next), stop)) break;
    if (tick <= 3) std::printf("tick %d\n", tick);
  }
  std::printf("stopped\n");
}

ioloop::Task<> Demonstrate(ioloop::Loop* loop) {
  ioloop::StopSource source;
  ioloop::TaskGroup group;
  group.Spawn(Tick(loop, source.token()));
  // Nobody sets the event: the deadline ends the wait.
  ioloop::Event event(loop);
  const absl::Time deadline = loop->now() + absl::Milliseconds(100);
  const bool set = co_await event.WaitUntil(deadline);
  std::printf("%s\n", set ? "the event was set" : "the deadline came first");
  source.RequestStop();
  co_await group.Join();  // Who starts tasks waits for their end.
}

int main() {
  auto loop = ioloop::Loop::Create({});
  if (!loop.ok()) {
    std::fprintf(stderr, "%s\n", loop.status().ToString().c_str());
    return EXIT_FAILURE;
  }
  (*loop)->RunUntilDone(Demonstrate(loop->get()));
}
