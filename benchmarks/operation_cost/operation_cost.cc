// Awaits NOPs, 1,000 in flight, and says how many allocations one costs; run
// under callgrind it says how many instructions: see `run`.
//
// usage: operation_cost OPERATIONS [unreported]
//
// "unreported": without what the loop reports by default. Fails if operations
// allocate.
#include <stdint.h>
#include <stdlib.h>

#include <cstdio>
#include <cstring>
#include <new>

#include "ioloop/await.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace {
uint64_t g_allocations = 0;
}  // namespace

// Not inlined: g++ 12 would see new meet free and warn.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++g_allocations;
  void* memory = malloc(bytes);
  if (memory == nullptr) abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  free(memory);
}

namespace {

using ioloop::Loop;

constexpr uint64_t kInFlight = 1000;

ioloop::Task<void> AwaitNops(Loop* loop, uint64_t count) {
  const ioloop::Request nop;
  for (; count > 0; --count) co_await ioloop::RequestAwaiter(loop, nop);
}

// Allocations after the first round of all.
uint64_t Run(Loop* loop, uint64_t rounds) {
  ioloop::TaskGroup group;
  for (uint64_t i = 0; i < kInFlight; ++i) {
    group.Spawn(AwaitNops(loop, rounds));
  }
  uint64_t warm = 0;
  while (group.running() > 0) {
    if (!loop->RunOnce(absl::InfiniteDuration()).ok()) abort();
    if (loop->stats().completions < 2 * kInFlight) warm = g_allocations;
  }
  return g_allocations - warm;
}

}  // namespace

int main(int argc, char** argv) {
  const bool reported = argc == 2;
  if (!reported && (argc != 3 || strcmp(argv[2], "unreported") != 0)) {
    fprintf(stderr, "usage: operation_cost OPERATIONS [unreported]\n");
    return 2;
  }
  const uint64_t rounds = strtoull(argv[1], nullptr, 10) / kInFlight;
  Loop::Options options;
  if (!reported) {
    options.time_handlers = false;
    options.stall_threshold = absl::ZeroDuration();
  }
  auto loop = Loop::Create(options);
  if (!loop.ok()) {
    fprintf(stderr, "operation_cost: %s\n", loop.status().ToString().c_str());
    return 1;
  }
  const uint64_t allocations = Run(loop->get(), rounds);
  printf("allocations_per_operation %g\n",
         static_cast<double>(allocations) /
             static_cast<double>(rounds * kInFlight));
  return allocations == 0 ? 0 : 1;
}
