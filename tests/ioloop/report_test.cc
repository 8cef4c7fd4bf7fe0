// What a loop says about itself: times by kind of handler, histograms, stalls.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/await.h"
#include "ioloop/internal/activity.h"
#include "ioloop/internal/stack_sample.h"
#include "ioloop/internal/tsan.h"
#include "ioloop/kernel.h"
#include "ioloop/loop_group.h"
#include "ioloop/sim_kernel.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"
#include "tests/ioloop/refusals.h"

namespace ioloop {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

uint64_t Count(const LoopStats& stats, HandlerKind kind) {
  return stats.handlers[static_cast<size_t>(kind)].count;
}

uint64_t Nanoseconds(const LoopStats& stats, HandlerKind kind) {
  return stats.handlers[static_cast<size_t>(kind)].ns;
}

TEST(NamesTest, EveryKindHasOneOfItsOwn) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i <= kHandlerKinds; ++i) {
    names.push_back(HandlerKindName(static_cast<HandlerKind>(i)));
    EXPECT_NE(names.back(), "?");
    if (i < kOpKinds) {
      EXPECT_EQ(names.back(), OpKindName(static_cast<OpKind>(i)));
    }
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

// A clock that the test moves.
class HandClock : public Sockets {
 public:
  int64_t Now() override {
    ++readings;
    return now_ns;
  }
  int64_t now_ns = 0;
  int readings = 0;
};

TEST(ActivityTest, TimeGoesToTheKindThatRuns) {
  LoopStats stats;
  HandClock clock;
  internal::Activity activity(/*timed=*/true, &stats);
  EXPECT_FALSE(activity.busy());
  activity.Start(100);
  EXPECT_EQ(activity.busy_since_ns(), 100);
  EXPECT_EQ(activity.kind(), HandlerKind::kNone);
  clock.now_ns = 130;
  activity.Enter(HandlerOf(OpKind::kReceive), &clock);
  EXPECT_EQ(clock.readings, 0);  // The first has all the time since the start.
  EXPECT_EQ(activity.kind(), HandlerOf(OpKind::kReceive));
  activity.Enter(HandlerOf(OpKind::kReceive), &clock);
  EXPECT_EQ(clock.readings, 0);  // The same again costs no reading.
  clock.now_ns = 150;
  activity.Enter(HandlerKind::kTimer, &clock);
  EXPECT_EQ(clock.readings, 1);
  activity.Stop(157);
  EXPECT_FALSE(activity.busy());
  EXPECT_EQ(activity.kind(), HandlerKind::kNone);
  activity.Stop(1000);  // Waiting is nobody's time.
  EXPECT_EQ(Nanoseconds(stats, HandlerOf(OpKind::kReceive)), 50u);
  EXPECT_EQ(Nanoseconds(stats, HandlerKind::kTimer), 7u);
}

TEST(ActivityTest, UntimedItReadsNoClockAndKnowsTheKind) {
  LoopStats stats;
  HandClock clock;
  internal::Activity activity(/*timed=*/false, &stats);
  activity.Start(100);
  activity.Enter(HandlerKind::kPost, &clock);
  activity.Count(HandlerKind::kPost, 3);
  activity.Enter(HandlerKind::kTimer, &clock);
  EXPECT_EQ(activity.kind(), HandlerKind::kTimer);
  activity.Stop(200);
  EXPECT_EQ(clock.readings, 0);
  EXPECT_EQ(Count(stats, HandlerKind::kPost), 0u);
  EXPECT_EQ(Nanoseconds(stats, HandlerKind::kTimer), 0u);
}

TEST(LoopStatsTest, TurnTimesFallIntoTheirBuckets) {
  LoopStats stats;
  for (uint64_t ns : {0u, 999u, 1000u, 1999u, 2000u, 4000000000u}) {
    stats.CountBusy(ns);
  }
  stats.CountBusy(uint64_t{1} << 60);
  EXPECT_EQ(stats.turn_time[0], 2u);
  EXPECT_EQ(stats.turn_time[1], 2u);
  EXPECT_EQ(stats.turn_time[2], 1u);
  EXPECT_EQ(stats.turn_time[22], 1u);  // 2.1 to 4.2 s.
  EXPECT_EQ(stats.turn_time[LoopStats::kTimeHistogramSize - 1], 1u);
  EXPECT_EQ(stats.turn_max_ns, uint64_t{1} << 60);
}

class ReportTest : public LoopTest {
 protected:
  uint64_t Ran(HandlerKind kind) const { return Count(loop_->stats(), kind); }
};

Task<void> UseEverything(Loop* loop) {
  Request nop;
  for (int i = 0; i < 3; ++i) co_await RequestAwaiter(loop, nop);
  for (int i = 0; i < 4; ++i) co_await SleepFor(loop, absl::ZeroDuration());
  for (int i = 0; i < 5; ++i) loop->Post([] {});
  for (int i = 0; i < 6; ++i) loop->Resume(std::noop_coroutine());
}

TEST_F(ReportTest, EveryKindOfHandlerIsCountedForItself) {
  loop_->RunUntilDone(UseEverything(loop_.get()));
  static int ends;
  ends = 0;
  TurnEnd end([](TurnEnd*) { ++ends; });
  for (int i = 0; i < 7; ++i) {
    loop_->AtTurnEnd(&end);
    Turn();
  }
  EXPECT_EQ(ends, 7);
  EXPECT_EQ(Ran(HandlerOf(OpKind::kNop)), 3u);
  EXPECT_EQ(Ran(HandlerKind::kTimer), 4u);
  EXPECT_EQ(Ran(HandlerKind::kPost), 5u);
  EXPECT_EQ(Ran(HandlerKind::kResume), 6u);
  EXPECT_EQ(Ran(HandlerKind::kTurnEnd), 7u);
  EXPECT_EQ(Ran(HandlerOf(OpKind::kAccept)), 0u);
}

// In the kernel's own terms: handlers are what completions have.
TEST_F(ReportTest, CountsAndTimesAddUp) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(ReceiveAll(&stream, &got, &status));
  for (int i = 0; i < 100; ++i) {
    pair.WriteFar("x");
    stream.Queue("y");
    Turn(absl::InfiniteDuration());
  }
  pair.CloseFar();
  RunUntilIdle(&group);
  const LoopStats& stats = loop_->stats();
  uint64_t handlers = 0;
  uint64_t ns = 0;
  for (size_t i = 0; i < kHandlerKinds; ++i) {
    if (i < kOpKinds) handlers += stats.handlers[i].count;
    ns += stats.handlers[i].ns;
  }
  EXPECT_EQ(handlers, stats.completions);
  EXPECT_GE(Ran(HandlerOf(OpKind::kReceive)), 1u);
  EXPECT_GT(ns, 0u);
  EXPECT_LE(ns, stats.turn_ns);
  EXPECT_EQ(std::accumulate(stats.turn_time.begin(), stats.turn_time.end(),
                            uint64_t{0}),
            stats.turns);
  EXPECT_EQ(std::accumulate(stats.completions_per_turn.begin(),
                            stats.completions_per_turn.end(), uint64_t{0}),
            stats.turns);
}

TEST_F(ReportTest, OperationsInFlightAreCountedByKind) {
  SocketPair pair;
  Request request;
  request.kind = OpKind::kPoll;
  request.fd = pair.near;
  request.flags = POLLIN;
  struct Poll : Operation {
    Poll() : Operation([](Operation*, Completion) {}) {}
  } polls[3];
  for (Poll& poll : polls) loop_->Submit(&poll, request);
  EXPECT_EQ(loop_->in_flight(), 3u);
  Turn();
  const auto& in_flight = loop_->stats().in_flight;
  EXPECT_EQ(in_flight[static_cast<size_t>(OpKind::kPoll)], 3u);
  pair.WriteFar("x");
  while (loop_->in_flight() > 0) Turn(absl::InfiniteDuration());
  EXPECT_EQ(in_flight[static_cast<size_t>(OpKind::kPoll)], 0u);
  // What wakes the loop.
  EXPECT_EQ(in_flight[static_cast<size_t>(OpKind::kRead)], 1u);
}

// Works until the loop says that it stalls.
[[gnu::noinline]] void WorkTooLong(const LoopStats& stats) {
  const uint64_t before = stats.stalls;
  while (stats.stalls == before) {
  }
}

// Its frame is found, unless a sanitizer holds signals back.
#ifdef RINGPLANE_TSAN
constexpr bool kSeesStacks = false;
#else
constexpr bool kSeesStacks = true;
#endif

// What is logged when a loop of a thread so called stalls in a timer.
std::string Stall(Loop::Options options, const char* thread) {
  options.stall_threshold = absl::Milliseconds(2);
  LoopGroup::Options group;
  group.loops = 1;
  group.name = thread;
  group.loop = options;
  std::string log;
  // The log admits so many lines a second.
  while (log.find("a loop stalls") == std::string::npos) {
    ::testing::internal::CaptureStderr();
    auto started =
        LoopGroup::Start(group, [](Loop* loop, size_t) -> Task<void> {
          co_await SleepFor(loop, absl::ZeroDuration());
          WorkTooLong(loop->stats());
          EXPECT_GE(loop->stats().stall_max_ns, 2000000u);
        });
    const bool ended = started.ok() && (*started)->Join().ok();
    log += ::testing::internal::GetCapturedStderr();
    if (!ended) return "no loop";
  }
  return log;
}

TEST(StallTest, IsFoundWhileItLastsAndSaysWhere) {
  std::string log;
  // A machine that does not run the thread for a second has no stack.
  do {
    log = Stall(SmallLoop(), "worker");
  } while (kSeesStacks && log.find("backtrace=\"\"") != std::string::npos);
  EXPECT_THAT(log, AllOf(HasSubstr(" WARN  a loop stalls thread=worker-0 ms="),
                         HasSubstr(" handler=timer ")));
  if (kSeesStacks) {
    EXPECT_THAT(log, HasSubstr("WorkTooLong"));
    EXPECT_THAT(log, HasSubstr("ioloop::Loop::Turn()"));
  }
}

TEST(StallTest, WithoutASignalThereIsNoBacktrace) {
  Loop::Options options = SmallLoop();
  options.stall_signal = 0;
  EXPECT_THAT(Stall(options, "quiet"),
              HasSubstr("handler=timer backtrace=\"\""));
}

// The handler of whoever embeds a loop stays.
TEST(StallTest, ASignalThatIsTakenIsLeftAlone) {
  static std::atomic<int> received{0};
  struct sigaction mine = {};
  mine.sa_handler = [](int) { ++received; };
  ASSERT_EQ(sigaction(SIGUSR2, &mine, nullptr), 0);
  Loop::Options options = SmallLoop();
  options.stall_signal = SIGUSR2;
  const std::string log = Stall(options, "guest");
  EXPECT_THAT(log, HasSubstr("without a backtrace"));
  EXPECT_THAT(log, HasSubstr("handler=timer backtrace=\"\""));
  EXPECT_EQ(received, 0);
  struct sigaction now = {};
  sigaction(SIGUSR2, nullptr, &now);
  EXPECT_EQ(now.sa_handler, mine.sa_handler);
  signal(SIGUSR2, SIG_DFL);
}

// Others may send it too; the answer to a question is that of its thread.
TEST(StackSampleTest, SignalsFromElsewhereAnswerNothing) {
  EXPECT_EQ(internal::SampleStack(gettid(), SIGUSR1), "");  // Not prepared.
  ASSERT_TRUE(internal::PrepareStackSignal(SIGURG));
  raise(SIGURG);
  kill(getpid(), SIGURG);
  std::string stack;
  std::thread([&stack, tid = gettid()] {
    raise(SIGURG);
    stack = internal::SampleStack(tid, SIGURG);
  }).join();
  if (kSeesStacks) {
    EXPECT_THAT(stack, HasSubstr("TestBody"));
  }
}

TEST(StallTest, ZeroLooksAtNothing) {
  Loop::Options options = SmallLoop();
  options.stall_threshold = absl::ZeroDuration();
  std::unique_ptr<Loop> quiet = MakeLoop(options);
  options.stall_threshold = absl::Milliseconds(1);
  std::unique_ptr<Loop> watched = MakeLoop(options);
  ::testing::internal::CaptureStderr();
  // Both are at work as long as the inner one stalls.
  quiet->Post([&] {
    watched->Post([&] { WorkTooLong(watched->stats()); });
    ASSERT_TRUE(watched->RunOnce(absl::ZeroDuration()).ok());
  });
  ASSERT_TRUE(quiet->RunOnce(absl::ZeroDuration()).ok());
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(watched->stats().stalls, 1u);
  EXPECT_EQ(quiet->stats().stalls, 0u);
}

// Simulated time has nothing to do with the watchdog's.
TEST(StallTest, SimulatedLoopsAreNotWatched) {
  SimKernel kernel({});
  Loop::Options options = SmallLoop();
  options.stall_threshold = absl::Milliseconds(1);
  auto simulated = kernel.NewLoop(options);
  ASSERT_TRUE(simulated.ok());
  std::unique_ptr<Loop> real = MakeLoop(options);
  ::testing::internal::CaptureStderr();
  (*simulated)->Post([&] {
    real->Post([&] { WorkTooLong(real->stats()); });
    ASSERT_TRUE(real->RunOnce(absl::ZeroDuration()).ok());
  });
  ASSERT_TRUE((*simulated)->RunOnce(absl::ZeroDuration()).ok());
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ((*simulated)->stats().stalls, 0u);
}

#ifndef RINGPLANE_TSAN  // Which does not follow a fork.
// A child has the parent's loops, and no watchdog: its own loops get one.
TEST(StallTest, AForkWatchesItsOwnLoops) {
  std::unique_ptr<Loop> parents = MakeLoop(SmallLoop());
  const pid_t child = fork();
  if (child == 0) {
    Loop::Options options = SmallLoop();
    options.stall_threshold = absl::Milliseconds(1);
    std::unique_ptr<Loop> own = MakeLoop(options);
    own->Post([&] { WorkTooLong(own->stats()); });
    const bool turned = own->RunOnce(absl::ZeroDuration()).ok();
    own.reset();
    _exit(turned ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
#endif

// What two loops with busy polling say of it, in a process of their own.
std::string BusyPollingLoops(BackendKind backend) {
  return InChild([backend] {
    Loop::Options options = SmallLoop();
    options.backend = backend;
    options.busy_poll = absl::Microseconds(50);
    ::testing::internal::CaptureStderr();
    std::string text;
    for (int i = 0; i < 2; ++i) {
      auto loop = Loop::Create(options);
      if (!loop.ok()) return loop.status().ToString();
      (*loop)->RunUntilDone(UseEverything(loop->get()));
      text.append((*loop)->backend_reason()).append("\n");
    }
    return text + ::testing::internal::GetCapturedStderr();
  });
}

TEST(BusyPollTest, IsSilentWhereTheKernelHasIt) {
  if (!ProbeKernelFeatures().napi.present) GTEST_SKIP() << "it has not";
  EXPECT_THAT(BusyPollingLoops(BackendKind::kUring),
              Not(HasSubstr("busy polling")));
}

TEST(BusyPollTest, IsMissedInEachReasonAndInOneLineOfTheLog) {
  const std::string text = BusyPollingLoops(BackendKind::kEpoll);
  EXPECT_THAT(
      text,
      AllOf(StartsWith("asked for by option; without busy polling of network "
                       "queues: it takes io_uring\n"
                       "asked for by option; without busy polling"),
            HasSubstr(" WARN  no busy polling of network queues why=")));
  EXPECT_EQ(text.find("no busy polling"), text.rfind("no busy polling"));
}

TEST(BusyPollTest, IsBounded) {
  Loop::Options options = SmallLoop();
  for (absl::Duration wrong :
       {absl::Milliseconds(1001), absl::Nanoseconds(-1)}) {
    options.busy_poll = wrong;
    EXPECT_TRUE(absl::IsInvalidArgument(Loop::Create(options).status()));
  }
}

}  // namespace
}  // namespace ioloop
