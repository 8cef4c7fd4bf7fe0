#include "ioloop/loop.h"

#include <poll.h>

#include <algorithm>
#include <coroutine>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/await.h"
#include "ioloop/event.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::ElementsAre;

Task<void> ReceiveOnce(Stream* stream, std::string* into) {
  absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
  if (bytes.ok()) *into = std::string(bytes->view());
}

Request Nop() {
  Request request;
  request.kind = OpKind::kNop;
  return request;
}

// Ends every request that tests leave in the kernel, so that the loop may die.
Task<void> CloseEach(std::vector<Stream>* streams) {
  for (Stream& stream : *streams) co_await stream.Close();
}

// One turn must take everything the kernel has, however much: a naive wait with
// DEFER_TASKRUN returns 20 completions of these thousand (liburing#1474).
TEST(LoopDrainTest, OneTurnHarvestsEveryReadableSocket) {
  if (!KernelIsGood()) GTEST_SKIP() << "counts what a good kernel does";
  constexpr int kSockets = 1000;
  Loop::Options options;
  options.buffer_count = 2048;
  options.buffer_bytes = 1024;
  std::unique_ptr<Loop> loop = MakeLoop(options);
  std::vector<SocketPair> pairs(kSockets);
  std::vector<Stream> streams;
  std::vector<std::string> received(kSockets);
  TaskGroup group;
  for (int i = 0; i < kSockets; ++i) {
    streams.push_back(Stream::Adopt(loop.get(), pairs[i].TakeNear()));
  }
  for (int i = 0; i < kSockets; ++i) {
    group.Spawn(ReceiveOnce(&streams[i], &received[i]));
  }
  ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  ASSERT_EQ(group.running(), static_cast<size_t>(kSockets));
  for (SocketPair& pair : pairs) pair.WriteFar("x");

  ASSERT_TRUE(loop->RunOnce(absl::Seconds(10)).ok());
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(loop->stats().cqes_max, static_cast<uint64_t>(kSockets));
  EXPECT_EQ(loop->stats().completions_per_turn[10], 1u);  // 512 to 1023.
  for (const std::string& text : received) EXPECT_EQ(text, "x");
  loop->RunUntilDone(CloseEach(&streams));
  EXPECT_EQ(loop->in_flight(), 0u);
}

// The same with a completion queue of four entries: everything overflows, and
// nothing is lost.
TEST(LoopDrainTest, TinyCompletionQueueLosesNothing) {
  constexpr int kSockets = 200;
  Loop::Options options = SmallLoop();
  options.sq_entries = 4;
  options.cq_entries = 4;
  std::unique_ptr<Loop> loop = MakeLoop(options);
  std::vector<SocketPair> pairs(kSockets);
  std::vector<Stream> streams;
  std::vector<std::string> received(kSockets);
  TaskGroup group;
  for (int i = 0; i < kSockets; ++i) {
    streams.push_back(Stream::Adopt(loop.get(), pairs[i].TakeNear()));
  }
  for (int i = 0; i < kSockets; ++i) {
    group.Spawn(ReceiveOnce(&streams[i], &received[i]));
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  }
  for (int i = 0; i < kSockets; ++i) {
    pairs[i].WriteFar(std::string("y") + std::to_string(i));
  }
  while (group.running() > 0) {
    ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
  }
  for (int i = 0; i < kSockets; ++i) {
    EXPECT_EQ(received[i], std::string("y") + std::to_string(i));
  }
  loop->RunUntilDone(CloseEach(&streams));
}

Task<void> Nops(Loop* loop, int count, int* done) {
  for (int i = 0; i < count; ++i) {
    Completion completion = co_await RequestAwaiter(loop, Nop());
    if (completion.result == 0) ++*done;
  }
}

TEST_F(LoopTest, MoreRequestsThanTheQueueHoldsAllComplete) {
  constexpr int kTasks = 2000;
  int done = 0;
  TaskGroup group;
  for (int i = 0; i < kTasks; ++i) group.Spawn(Nops(loop_.get(), 3, &done));
  RunUntilIdle(&group);
  EXPECT_EQ(done, 3 * kTasks);
  EXPECT_EQ(loop_->stats().in_flight[static_cast<size_t>(OpKind::kNop)], 0u);
}

struct CountingOperation : Operation {
  CountingOperation() : Operation(&Done) {}
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<CountingOperation*>(op);
    ++self->completions;
    self->result = completion.result;
  }
  int completions = 0;
  int32_t result = 1;
};

// Whether the cancel or the event comes first, an operation ends exactly once.
TEST_F(LoopTest, CancelledOperationsEndExactlyOnce) {
  const int rounds = Rounds(20000);
  SocketPair pair;
  CountingOperation op;
  int cancelled = 0;
  for (int i = 0; i < rounds; ++i) {
    Request request;
    request.kind = OpKind::kPoll;
    request.fd = pair.near;
    request.flags = POLLIN;
    op.completions = 0;
    loop_->Submit(&op, request);
    if (i % 3 == 0) pair.WriteFar("x");
    if (i % 2 == 0) Turn();
    loop_->Cancel(&op);
    loop_->Cancel(&op);
    while (op.in_flight()) Turn(absl::InfiniteDuration());
    ASSERT_EQ(op.completions, 1);
    if (op.result == -ECANCELED) ++cancelled;
    if (i % 3 == 0) {
      char byte;
      ASSERT_EQ(read(pair.near, &byte, 1), 1);
    }
  }
  Turn();
  EXPECT_EQ(op.completions, 1);
  EXPECT_GT(cancelled, 0);
  EXPECT_LT(cancelled, rounds);
}

// Where the kernel takes nothing for a while, requests wait for room in the
// queue; what comes later waits behind them, a cancellation above all.
TEST(LoopDrainTest, CancelsDoNotOvertakeRequestsThatWaitForRoom) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Loop::Options options = SmallLoop();
    options.sq_entries = 4;
    options.cq_entries = 4;
    options.fault_seed = seed;
    std::unique_ptr<Loop> loop = MakeLoop(options);
    SocketPair pair;
    std::vector<CountingOperation> ops(30);
    Request request;
    request.kind = OpKind::kPoll;
    request.fd = pair.near;
    request.flags = POLLIN;
    for (CountingOperation& op : ops) loop->Submit(&op, request);
    ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
    for (CountingOperation& op : ops) loop->Cancel(&op);
    while (loop->in_flight() > 0) {
      ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
    }
    for (const CountingOperation& op : ops) {
      EXPECT_EQ(op.completions, 1);
      EXPECT_EQ(op.result, -ECANCELED);
    }
  }
}

Task<int> FinishesAtOnce(int value) { co_return value; }

Task<int64_t> AwaitsMany(int count) {
  int64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await FinishesAtOnce(1);
  co_return sum;
}

// Symmetric transfer overflows the stack here below -O2 and under ASan.
TEST_F(LoopTest, MillionAwaitsUseConstantStack) {
  EXPECT_EQ(loop_->RunUntilDone(AwaitsMany(1000000)), 1000000);
}

Task<int64_t> AwaitsManySuspended(Loop* loop, int count, int* done) {
  for (int i = 0; i < count; ++i) co_await Nops(loop, 1, done);
  co_return count;
}

TEST_F(LoopTest, ManyAwaitsOfSuspendedTasksUseConstantStack) {
  int done = 0;
  EXPECT_EQ(loop_->RunUntilDone(AwaitsManySuspended(loop_.get(), 20000, &done)),
            20000);
  EXPECT_EQ(done, 20000);
}

Task<void> Sleep(Loop* loop, absl::Duration duration, int id,
                 std::vector<int>* order) {
  const absl::Time deadline = loop->now() + duration;
  co_await SleepUntil(loop, deadline);
  EXPECT_GE(loop->now(), deadline);
  order->push_back(id);
}

TEST_F(LoopTest, TimersFireInOrderAndNeverEarly) {
  std::vector<int> order;
  TaskGroup group;
  group.Spawn(Sleep(loop_.get(), absl::Milliseconds(6), 3, &order));
  group.Spawn(Sleep(loop_.get(), absl::Milliseconds(2), 1, &order));
  group.Spawn(Sleep(loop_.get(), absl::Milliseconds(4), 2, &order));
  group.Spawn(Sleep(loop_.get(), absl::ZeroDuration(), 0, &order));
  RunUntilIdle(&group);
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST_F(LoopTest, TimersOfOneDeadlineFireInTheOrderOfArming) {
  std::vector<int> order;
  std::vector<int> expected;
  TaskGroup group;
  for (int i = 0; i < 50; ++i) {
    group.Spawn(
        Sleep(loop_.get(), absl::Seconds(-1) + absl::Seconds(1), i, &order));
    expected.push_back(i);
  }
  RunUntilIdle(&group);
  EXPECT_EQ(order, expected);
}

struct NotingTimer : Timer {
  explicit NotingTimer(Loop* loop) : Timer(loop, &Fire) {}
  static void Fire(Timer* timer) { ++static_cast<NotingTimer*>(timer)->fired; }
  int fired = 0;
};

TEST_F(LoopTest, TimersCanBeMovedAndDisarmed) {
  NotingTimer moved(loop_.get());
  NotingTimer disarmed(loop_.get());
  NotingTimer never(loop_.get());
  {
    NotingTimer gone(loop_.get());
    gone.Arm(loop_->now());
  }
  moved.Arm(loop_->now() + absl::Hours(1));
  disarmed.Arm(loop_->now());
  never.Arm(absl::InfiniteFuture());
  EXPECT_FALSE(never.armed());
  moved.Arm(loop_->now() + absl::Milliseconds(1));
  disarmed.Disarm();
  while (moved.fired == 0) Turn(absl::Seconds(10));
  EXPECT_EQ(moved.fired, 1);
  EXPECT_EQ(disarmed.fired, 0);
  EXPECT_FALSE(moved.armed());
}

// The heap against a sorted list, with moves and removals in between.
TEST(TimerQueueTest, RandomArmingFiresSorted) {
  std::unique_ptr<Loop> loop = MakeLoop(SmallLoop());
  constexpr int kTimers = 2000;
  struct KeyedTimer : Timer {
    KeyedTimer(Loop* owner, std::vector<int64_t>* into)
        : Timer(owner, &Fire), fired(into) {}
    static void Fire(Timer* timer) {
      auto* self = static_cast<KeyedTimer*>(timer);
      self->fired->push_back(self->key);
    }
    std::vector<int64_t>* fired;
    int64_t key = 0;
  };
  std::vector<int64_t> fired;
  std::vector<std::unique_ptr<KeyedTimer>> timers;
  TimerQueue& queue = loop->timers();
  uint64_t state = 12345;
  auto random = [&state] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int64_t>(state >> 40);
  };
  std::vector<int64_t> expected;
  for (int i = 0; i < kTimers; ++i) {
    timers.push_back(std::make_unique<KeyedTimer>(loop.get(), &fired));
  }
  for (int round = 0; round < 3; ++round) {
    for (auto& timer : timers) {
      timer->key = random();
      queue.Arm(timer.get(), timer->key);
      if (random() % 5 == 0) timer->Disarm();
    }
  }
  for (auto& timer : timers) {
    if (timer->armed()) expected.push_back(timer->key);
  }
  std::sort(expected.begin(), expected.end());
  queue.FireDue(INT64_MAX);
  EXPECT_EQ(fired, expected);
  EXPECT_EQ(queue.size(), 0u);
}

Task<void> WaitFor(Event* event, int* woken) {
  co_await event->Wait();
  ++*woken;
}

Task<void> WaitUntil(Event* event, absl::Time deadline, int* result) {
  const bool set = co_await event->WaitUntil(deadline);
  *result = set ? 1 : 0;
}

TEST_F(LoopTest, EventWakesEveryWaiterLater) {
  Event event(loop_.get());
  int woken = 0;
  TaskGroup group;
  for (int i = 0; i < 5; ++i) group.Spawn(WaitFor(&event, &woken));
  event.Set();
  EXPECT_EQ(woken, 0);  // Never inside Set().
  Turn();
  EXPECT_EQ(woken, 5);
  group.Spawn(WaitFor(&event, &woken));  // Set: does not suspend.
  EXPECT_EQ(woken, 6);
  event.Reset();
  group.Spawn(WaitFor(&event, &woken));
  Turn();
  EXPECT_EQ(woken, 6);
  event.Pulse();
  EXPECT_FALSE(event.is_set());
  Turn();
  EXPECT_EQ(woken, 7);
}

TEST_F(LoopTest, EventWaitEndsAtItsDeadline) {
  Event event(loop_.get());
  int late = -1;
  int soon = -1;
  TaskGroup group;
  group.Spawn(WaitUntil(&event, loop_->now() + absl::Milliseconds(1), &late));
  while (late < 0) Turn(absl::Seconds(10));
  EXPECT_EQ(late, 0);
  group.Spawn(WaitUntil(&event, loop_->now() + absl::Hours(1), &soon));
  event.Set();
  RunUntilIdle(&group);
  EXPECT_EQ(soon, 1);
  EXPECT_EQ(loop_->timers().size(), 0u);
}

struct NotingTurnEnd : TurnEnd {
  NotingTurnEnd(std::vector<int>* into, int number)
      : TurnEnd(&Run), order(into), id(number) {}
  static void Run(TurnEnd* work) {
    auto* self = static_cast<NotingTurnEnd*>(work);
    self->order->push_back(self->id);
    if (self->next != nullptr) self->loop->AtTurnEnd(self->next);
  }
  std::vector<int>* order;
  int id;
  Loop* loop = nullptr;
  TurnEnd* next = nullptr;
};

TEST_F(LoopTest, TurnEndWorkRunsOnceInOrderAndCanBeTakenOut) {
  std::vector<int> order;
  NotingTurnEnd first(&order, 1);
  NotingTurnEnd second(&order, 2);
  NotingTurnEnd third(&order, 3);
  NotingTurnEnd queued_by_first(&order, 4);
  first.loop = loop_.get();
  first.next = &queued_by_first;
  loop_->AtTurnEnd(&first);
  loop_->AtTurnEnd(&second);
  loop_->AtTurnEnd(&first);
  loop_->AtTurnEnd(&third);
  loop_->RemoveTurnEnd(&second);
  EXPECT_FALSE(second.queued());
  Turn();
  EXPECT_THAT(order, ElementsAre(1, 3, 4));
}

// A handler that queues itself for ever must not stop the turns.
TEST_F(LoopTest, EndlessTurnEndWorkStillLetsTurnsEnd) {
  std::vector<int> order;
  NotingTurnEnd endless(&order, 1);
  endless.loop = loop_.get();
  endless.next = &endless;
  loop_->AtTurnEnd(&endless);
  Turn();
  EXPECT_FALSE(order.empty());
  loop_->RemoveTurnEnd(&endless);
}

TEST_F(LoopTest, StopEndsRunAfterTheTurn) {
  ASSERT_TRUE(loop_->Post([this] { loop_->Stop(); }));
  EXPECT_TRUE(loop_->Run().ok());
  loop_->Stop();  // Before Run(): it counts all the same.
  EXPECT_TRUE(loop_->Run().ok());
}

TEST_F(LoopTest, CurrentIsTheLoopWhoseTurnItIs) {
  EXPECT_EQ(Loop::Current(), nullptr);
  Loop* seen = nullptr;
  loop_->Post([&seen] { seen = Loop::Current(); });
  Turn();
  EXPECT_EQ(seen, loop_.get());
  EXPECT_EQ(Loop::Current(), nullptr);
}

Task<void> Spawner(TaskGroup* group, Loop* loop, int depth, int* done) {
  if (depth > 0) {
    group->Spawn(Spawner(group, loop, depth - 1, done));
    group->Spawn(Spawner(group, loop, depth - 1, done));
  }
  co_await RequestAwaiter(loop, Nop());
  ++*done;
}

Task<int> JoinAll(Loop* loop, int depth) {
  int done = 0;
  TaskGroup group;
  group.Spawn(Spawner(&group, loop, depth, &done));
  co_await group.Join();
  co_return done;
}

TEST_F(LoopTest, TaskGroupJoinsWhatItsTasksSpawned) {
  EXPECT_EQ(loop_->RunUntilDone(JoinAll(loop_.get(), 7)), 255);
}

TEST_F(LoopTest, RefusesImpossibleOptions) {
  if (QueuesAreTiny()) GTEST_SKIP() << "none is too large then";
  Loop::Options options = SmallLoop();
  options.buffer_count = 3;
  EXPECT_EQ(Loop::Create(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.buffer_count = 65536;
  EXPECT_EQ(Loop::Create(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.buffer_count = 4;
  options.buffer_bytes = 0;
  EXPECT_EQ(Loop::Create(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(LoopTest, CountsTurnsAndEnters) {
  if (!KernelIsGood()) GTEST_SKIP() << "counts what a good kernel does";
  const uint64_t turns = loop_->stats().turns;
  int done = 0;
  TaskGroup group;
  for (int i = 0; i < 10; ++i) group.Spawn(Nops(loop_.get(), 1, &done));
  Turn();
  EXPECT_EQ(done, 10);
  EXPECT_EQ(loop_->stats().turns, turns + 1);
  EXPECT_GE(loop_->stats().completions, 10u);
  EXPECT_GE(loop_->stats().enters, 1u);
}

}  // namespace
}  // namespace ioloop
