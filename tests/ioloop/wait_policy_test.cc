#include "ioloop/internal/wait_policy.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using internal::WaitPolicy;

constexpr int64_t kUs = 1000;
constexpr int64_t kBudgetNs = 200 * kUs;

// A policy that has seen turns like this for long.
WaitPolicy After(uint64_t completions, int64_t busy_ns, int64_t wait_ns,
                 int64_t budget_ns = kBudgetNs) {
  WaitPolicy policy(budget_ns);
  for (int i = 0; i < 10000; ++i) {
    policy.Observe(completions, busy_ns, wait_ns);
  }
  return policy;
}

TEST(WaitPolicyTest, GathersWhatABudgetBrings) {
  // One completion each 25 us.
  const Wait wait = After(1, 5 * kUs, 20 * kUs).Plan(Wait::kForever);
  EXPECT_EQ(wait.ns, Wait::kForever);
  EXPECT_EQ(wait.gather_ns, kBudgetNs);
  EXPECT_NEAR(wait.gather, 8, 1);
}

TEST(WaitPolicyTest, WaitsForOneWithoutABudget) {
  EXPECT_EQ(After(1, 5 * kUs, 20 * kUs, 0).Plan(Wait::kForever).gather_ns, 0);
}

TEST(WaitPolicyTest, WaitsForOneNearIdle) {
  EXPECT_EQ(After(1, 5 * kUs, 995 * kUs).Plan(Wait::kForever).gather_ns, 0);
}

TEST(WaitPolicyTest, WaitsForOneWhenSleepingIsRareAnyway) {
  EXPECT_EQ(After(20, 95 * kUs, 5 * kUs).Plan(Wait::kForever).gather_ns, 0);
}

TEST(WaitPolicyTest, GathersNoLongerThanTheTurnMaySleep) {
  const WaitPolicy policy = After(1, 5 * kUs, 20 * kUs);
  const Wait wait = policy.Plan(100 * kUs);
  EXPECT_EQ(wait.ns, 100 * kUs);
  EXPECT_EQ(wait.gather_ns, 100 * kUs);
  EXPECT_EQ(policy.Plan(0).gather_ns, 0);
  EXPECT_EQ(policy.Plan(30 * kUs).gather_ns, 0);
}

Task<void> ReceiveUntilEnd(Stream* stream) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) co_return;
  }
}

// Completions that are there are taken as they are: a loop that never sleeps
// has none to save.
TEST(WaitBudgetTest, TurnsThatFindSomethingReadyDoNotGather) {
  constexpr size_t kSockets = 50;
  Loop::Options options = SmallLoop();
  options.latency_budget = absl::Milliseconds(100);
  std::unique_ptr<Loop> loop = MakeLoop(options);
  if (loop->backend_name() != "uring") {
    GTEST_SKIP() << "epoll does not know before it asks";
  }
  std::vector<SocketPair> pairs(kSockets);
  std::vector<Stream> streams;
  TaskGroup group;
  for (SocketPair& pair : pairs) {
    streams.push_back(Stream::Adopt(loop.get(), pair.TakeNear()));
  }
  for (Stream& stream : streams) group.Spawn(ReceiveUntilEnd(&stream));
  ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  for (int i = 0; i < 1000; ++i) {
    for (SocketPair& pair : pairs) pair.WriteFar("x");
    ASSERT_TRUE(loop->RunOnce(absl::Seconds(1)).ok());
  }
  EXPECT_EQ(loop->stats().gathers, 0u);
  EXPECT_EQ(loop->stats().cqes_max, kSockets);

  ASSERT_TRUE(loop->RunOnce(absl::Milliseconds(10)).ok());
  EXPECT_EQ(loop->stats().gathers, 1u);

  for (SocketPair& pair : pairs) pair.CloseFar();
  while (group.running() > 0) {
    ASSERT_TRUE(loop->RunOnce(absl::Seconds(1)).ok());
  }
  for (Stream& stream : streams) loop->RunUntilDone(stream.Close());
}

}  // namespace
}  // namespace ioloop
