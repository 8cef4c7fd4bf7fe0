// Counts allocations: in steady state an operation makes none, and an idle
// socket costs the library at most 256 bytes.
#include <stdlib.h>

#include <atomic>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "ioloop/await.h"
#include "ioloop/event.h"
#include "ioloop/internal/asan.h"
#include "ioloop/internal/stream_state.h"
#include "ioloop/mailbox.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace {
std::atomic<uint64_t> g_allocations{0};
std::atomic<uint64_t> g_bytes{0};
}  // namespace

// Not inlined: g++ 12 would see new meet free and warn.
[[gnu::noinline]] void* operator new(size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  g_bytes.fetch_add(bytes, std::memory_order_relaxed);
  void* memory = malloc(bytes);
  if (memory == nullptr) abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  free(memory);
}

namespace ioloop {
namespace {

class AllocationTest : public LoopTest {};

Task<void> Echo(Stream* stream) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) co_return;
    if (!(co_await stream->SendAll(*bytes)).ok()) co_return;
  }
}

TEST_F(AllocationTest, EchoInSteadyStateAllocatesNothing) {
  constexpr size_t kStreams = 32;
  std::vector<SocketPair> pairs(kStreams);
  std::vector<Stream> streams;
  for (SocketPair& pair : pairs) {
    streams.push_back(Stream::Adopt(loop_.get(), pair.TakeNear()));
  }
  TaskGroup group;
  for (Stream& stream : streams) group.Spawn(Echo(&stream));
  char buffer[4096];
  auto round = [&] {
    for (SocketPair& pair : pairs) {
      if (write(pair.far, "hello", 5) != 5) abort();
    }
    size_t back = 0;
    while (back < 5 * kStreams) {
      if (!loop_->RunOnce(absl::Seconds(10)).ok()) abort();
      for (SocketPair& pair : pairs) {
        const ssize_t got =
            recv(pair.far, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (got > 0) back += static_cast<size_t>(got);
      }
    }
  };
  for (int i = 0; i < 50; ++i) round();
  const uint64_t before = g_allocations;
  for (int i = 0; i < 500; ++i) round();
  EXPECT_EQ(g_allocations - before, 0u);
  for (SocketPair& pair : pairs) pair.CloseFar();
  RunUntilIdle(&group);
}

Request Nop() {
  Request request;
  request.kind = OpKind::kNop;
  return request;
}

Task<void> UseEverything(Loop* loop, Event* event, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    co_await RequestAwaiter(loop, Nop());
    co_await SleepFor(loop, absl::ZeroDuration());
    event->Reset();
    loop->Resume(std::noop_coroutine());
    event->Set();
    co_await event->Wait();
    const bool set = co_await event->WaitUntil(loop->now() + absl::Hours(1));
    if (!set) abort();
    auto call = CallOn(loop, loop, [] { return 1; });
    if (co_await call != 1) abort();
  }
}

Task<uint64_t> CountAllocations(Loop* loop, Event* event) {
  Task<void> warm = UseEverything(loop, event, 100);
  Task<void> measured = UseEverything(loop, event, 1000);
  co_await warm;
  const uint64_t before = g_allocations;
  co_await measured;
  co_return g_allocations - before;
}

TEST_F(AllocationTest, AwaitersTimersEventsAndCallsAllocateNothing) {
  Event event(loop_.get());
  EXPECT_EQ(loop_->RunUntilDone(CountAllocations(loop_.get(), &event)), 0u);
}

#ifndef RINGPLANE_ASAN
Task<int> Child(Loop* loop) {
  co_await RequestAwaiter(loop, Nop());
  co_return 1;
}

Task<uint64_t> CountFrames(Loop* loop) {
  uint64_t before = 0;
  for (int i = 0; i < 1100; ++i) {
    if (i == 100) before = g_allocations;
    if (co_await Child(loop) != 1) abort();
  }
  co_return g_allocations - before;
}

// Frames come from a free list (not under ASan, where the heap sees them).
TEST_F(AllocationTest, TasksInSteadyStateAllocateNothing) {
  EXPECT_EQ(loop_->RunUntilDone(CountFrames(loop_.get())), 0u);
}
#endif

TEST_F(AllocationTest, AnIdleSocketCostsAtMost256Bytes) {
  constexpr size_t kStreams = 200;
  std::vector<SocketPair> pairs(kStreams);
  std::vector<Stream> streams;
  streams.reserve(kStreams);
  TaskGroup group;
  Turn();
  uint64_t in_frames = 0;
  const uint64_t before = g_bytes;
  for (SocketPair& pair : pairs) {
    streams.push_back(Stream::Adopt(loop_.get(), pair.TakeNear()));
    const uint64_t adopted = g_bytes;
    group.Spawn(Echo(&streams.back()));  // The user's own frames.
    in_frames += g_bytes - adopted;
    if (write(pair.far, "x", 1) != 1) abort();
  }
  for (int i = 0; i < 4; ++i) Turn();
  const uint64_t growth = g_bytes - before - in_frames;
  // What the loop itself grew to (queues of a turn, send buffers that all
  // sockets share) does not count; it does not grow with idle sockets.
  EXPECT_LE(sizeof(internal::StreamState), 256u);
  EXPECT_GE(growth, kStreams * sizeof(internal::StreamState));
  RecordProperty("stream_state_bytes",
                 static_cast<int>(sizeof(internal::StreamState)));
  printf("StreamState is %zu bytes\n", sizeof(internal::StreamState));
  for (SocketPair& pair : pairs) pair.CloseFar();
  RunUntilIdle(&group);
}

}  // namespace
}  // namespace ioloop
