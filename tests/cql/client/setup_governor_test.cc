// How fast, and how many at once, connections are set up.
#include "cql/setup_governor.h"

#include <algorithm>
#include <map>
#include <thread>
#include <vector>

#include "ioloop/sim_kernel.h"
#include "tests/cql/client/client_test_util.h"

namespace cql {
namespace {

using ioloop::SocketAddress;
using ioloop::Task;

SocketAddress NodeAt(int number) {
  return *SocketAddress::FromIp(absl::StrCat("10.0.0.", number), 9042);
}

// The most of `times` that lie within a second.
size_t MostInASecond(std::vector<absl::Time> times) {
  std::sort(times.begin(), times.end());
  size_t most = 0;
  for (size_t first = 0, last = 0; last < times.size(); ++last) {
    while (times[last] - times[first] >= absl::Seconds(1)) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

Task<void> Joined(ioloop::TaskGroup* tasks) { co_await tasks->Join(); }

Task<void> Sleep(ioloop::Loop* loop, absl::Time until) {
  co_await ioloop::SleepUntil(loop, until);
}

class SetupGovernorTest : public ::testing::Test {
 protected:
  SetupGovernorTest() : kernel_({}), loop_(*kernel_.NewLoop({})) {}

  // Connects to a node: takes some time and ends well, or not.
  Task<void> Connect(SetupGovernor* governor, int node, bool well,
                     absl::Duration duration, ioloop::StopToken stop,
                     bool urgent = false) {
    SetupGovernor::Attempt attempt(governor, loop_.get(), NodeAt(node));
    const bool begun = co_await attempt.Begin(urgent, stop);
    if (!begun) {
      ++stopped_;
      co_return;
    }
    begun_.push_back(loop_->now());
    order_.push_back(node);
    at_once_max_ = std::max(at_once_max_, ++at_once_);
    node_max_[node] = std::max(node_max_[node], ++node_at_once_[node]);
    co_await ioloop::SleepFor(loop_.get(), duration);
    --at_once_;
    --node_at_once_[node];
    if (well) attempt.Succeeded();
  }

  void RunAll() { loop_->RunUntilDone(Joined(&tasks_)); }

  ioloop::SimKernel kernel_;
  std::unique_ptr<ioloop::Loop> loop_;
  ioloop::TaskGroup tasks_;
  std::vector<absl::Time> begun_;
  std::vector<int> order_;
  int stopped_ = 0;
  int at_once_ = 0;
  int at_once_max_ = 0;
  std::map<int, int> node_at_once_;
  std::map<int, int> node_max_;
};

TEST_F(SetupGovernorTest, NoCapIsPassedAndAllIsUsed) {
  SetupGovernor governor(
      {.at_once = 10, .node_at_once = 4, .attempts_per_second = 50});
  for (int i = 0; i < 400; ++i) {
    tasks_.Spawn(Connect(&governor, i % 5, true, absl::Milliseconds(400), {}));
  }
  RunAll();
  EXPECT_EQ(begun_.size(), 400u);
  EXPECT_EQ(at_once_max_, 10);
  for (const auto& [node, most] : node_max_) EXPECT_LE(most, 4) << node;
  EXPECT_LE(MostInASecond(begun_), 52u);
  EXPECT_EQ(governor.stats().attempts, 400u);
  EXPECT_EQ(governor.stats().at_once_max, 10u);
  EXPECT_EQ(governor.stats().at_once, 0u);
  EXPECT_EQ(governor.stats().waiting, 0u);
  EXPECT_EQ(governor.stats().failed, 0u);
}

TEST_F(SetupGovernorTest, TheRateHoldsWhereNothingElseDoes) {
  SetupGovernor governor(
      {.at_once = 1000, .node_at_once = 1000, .attempts_per_second = 100});
  for (int i = 0; i < 500; ++i) {
    tasks_.Spawn(Connect(&governor, i % 200, true, absl::ZeroDuration(), {}));
  }
  RunAll();
  const size_t most = MostInASecond(begun_);
  EXPECT_LE(most, 102u);
  EXPECT_GE(most, 98u);
}

// A node that just came up is asked by one, then by more and more.
TEST_F(SetupGovernorTest, ANodeGetsItsPlacesOneByOne) {
  SetupGovernor governor({.attempts_per_second = 1000000});
  tasks_.Spawn(Connect(&governor, 1, true, absl::Seconds(1), {}));
  for (int i = 0; i < 20; ++i) {
    tasks_.Spawn(Connect(&governor, 1, true, absl::Seconds(10), {}));
  }
  const absl::Time start = loop_->now();
  loop_->RunUntilDone(Sleep(loop_.get(), start + absl::Milliseconds(500)));
  EXPECT_EQ(begun_.size(), 1u);
  loop_->RunUntilDone(Sleep(loop_.get(), start + absl::Seconds(5)));
  EXPECT_EQ(begun_.size(), 3u);
  RunAll();
  EXPECT_EQ(begun_.size(), 21u);
}

TEST_F(SetupGovernorTest, ANodeThatFailsIsAskedByOne) {
  SetupGovernor governor({.attempts_per_second = 1000000});
  for (int i = 0; i < 80; ++i) {
    tasks_.Spawn(Connect(&governor, 1, i < 20, absl::Milliseconds(10), {}));
  }
  tasks_.Spawn(Connect(&governor, 2, false, absl::Milliseconds(10), {}));
  RunAll();
  EXPECT_GT(node_max_[1], 4);
  EXPECT_EQ(governor.stats().failed, 61u);
  // The last four failed one after the other.
  const size_t size = begun_.size();
  for (size_t i = size - 3; i < size; ++i) {
    EXPECT_GE(begun_[i] - begun_[i - 1], absl::Milliseconds(9));
  }
}

TEST_F(SetupGovernorTest, NodesTakeTurnsAndUrgentOnesComeFirst) {
  SetupGovernor governor({.at_once = 1, .attempts_per_second = 1000000});
  for (int i = 0; i < 5; ++i) {
    tasks_.Spawn(Connect(&governor, 1, true, absl::Milliseconds(1), {}));
  }
  for (int i = 0; i < 2; ++i) {
    tasks_.Spawn(Connect(&governor, 2, true, absl::Milliseconds(1), {}));
  }
  RunAll();
  EXPECT_THAT(order_, ::testing::ElementsAre(1, 2, 1, 2, 1, 1, 1));

  std::vector<bool> urgent_first;
  const auto note = [&](bool urgent) -> Task<void> {
    SetupGovernor::Attempt attempt(&governor, loop_.get(), NodeAt(3));
    const bool begun = co_await attempt.Begin(urgent, ioloop::StopToken());
    EXPECT_TRUE(begun);
    urgent_first.push_back(urgent);
    co_await ioloop::SleepFor(loop_.get(), absl::Milliseconds(1));
  };
  for (bool urgent : {false, false, false, true}) tasks_.Spawn(note(urgent));
  RunAll();
  EXPECT_THAT(urgent_first, ::testing::ElementsAre(false, true, false, false));
}

TEST_F(SetupGovernorTest, WhoIsStoppedLeavesTheLine) {
  SetupGovernor governor({.at_once = 2, .attempts_per_second = 100});
  ioloop::StopSource stop;
  for (int i = 0; i < 50; ++i) {
    tasks_.Spawn(
        Connect(&governor, i % 3, true, absl::Seconds(1), stop.token()));
  }
  tasks_.Spawn(
      [](ioloop::Loop* loop, ioloop::StopSource* source) -> Task<void> {
        co_await ioloop::SleepFor(loop, absl::Milliseconds(1005));
        source->RequestStop();
      }(loop_.get(), &stop));
  RunAll();
  EXPECT_EQ(stopped_ + static_cast<int>(begun_.size()), 50);
  EXPECT_LE(begun_.size(), 4u);
  EXPECT_EQ(governor.stats().at_once, 0u);
  EXPECT_EQ(governor.stats().waiting, 0u);
  EXPECT_EQ(governor.stats().failed, 0u);
}

TEST(SetupGovernorThreadsTest, LoopsOfOtherThreadsShareThePlaces) {
  SetupGovernor governor(
      {.at_once = 3, .node_at_once = 2, .attempts_per_second = 1000000});
  std::atomic<int> inside{0};
  std::atomic<int> done{0};
  const auto run = [&](int thread) {
    auto loop = *ioloop::Loop::Create({.buffer_count = 16});
    ioloop::TaskGroup tasks;
    const auto connect = [&](int node) -> Task<void> {
      SetupGovernor::Attempt attempt(&governor, loop.get(), NodeAt(node));
      const bool begun = co_await attempt.Begin(false, ioloop::StopToken());
      EXPECT_TRUE(begun);
      EXPECT_LE(++inside, 3);
      co_await ioloop::SleepFor(loop.get(), absl::Microseconds(100));
      --inside;
      ++done;
      attempt.Succeeded();
    };
    for (int i = 0; i < 50; ++i) tasks.Spawn(connect((thread + i) % 3));
    loop->RunUntilDone(Joined(&tasks));
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 200);
  EXPECT_LE(governor.stats().at_once_max, 3u);
}

}  // namespace

namespace testing {
namespace {

// On a simulated kernel: its clock decides, not this machine's.
class ManySessionsTest : public ClientTest {
 protected:
  static constexpr size_t kSessions = 96;

  ManySessionsTest() : kernel_(Sim()) {
    loop_ = *kernel_.NewLoop({.buffer_count = 4096});
    for (int64_t i = 0; i < 4; ++i) AddNode({.tokens = {i}});
  }
  ~ManySessionsTest() override {
    nodes_.clear();
    loop_.reset();
  }
  static ioloop::SimOptions Sim() {
    ioloop::SimOptions options;
    options.descriptors_max = 8192;
    return options;
  }

  Task<void> Connect(SessionOptions options) {
    auto session = co_await Session::Connect(loop_.get(), std::move(options));
    EXPECT_TRUE(session.ok()) << session.status();
    if (session.ok()) sessions_.push_back(*std::move(session));
  }
  size_t Connections() const {
    size_t open = 0;
    for (const auto& session : sessions_) open += session->connections();
    return open;
  }
  std::vector<absl::Time> AcceptedAt() const {
    std::vector<absl::Time> times;
    for (const auto& node : nodes_) {
      times.insert(times.end(), node->accepted_at.begin(),
                   node->accepted_at.end());
    }
    return times;
  }
  Task<void> Close() {
    ioloop::TaskGroup closing;
    for (auto& session : sessions_) closing.Spawn(session->Close());
    co_await closing.Join();
    sessions_.clear();
  }

  ioloop::SimKernel kernel_;
  std::vector<std::unique_ptr<Session>> sessions_;
};

TEST_F(ManySessionsTest, ARestartOfEveryNodeIsNoStorm) {
  constexpr SetupGovernor::Options kLimits{
      .at_once = 24, .node_at_once = 8, .attempts_per_second = 200};
  auto governor = std::make_shared<SetupGovernor>(kLimits);
  SessionOptions options = Options();
  options.governor = governor;
  // The control connection, and a read and a write one to each node.
  constexpr size_t kAll = kSessions * 9;
  RunAlone([&]() -> Task<void> {
    ioloop::TaskGroup connecting;
    for (size_t i = 0; i < kSessions; ++i) connecting.Spawn(Connect(options));
    co_await connecting.Join();
    CO_ASSERT_TRUE(sessions_.size() == kSessions);
    CO_ASSERT_TRUE(co_await Eventually([&] { return Connections() == kAll; }));

    for (auto& node : nodes_) {
      co_await node->StopListening();
      node->KillConnections();
    }
    // While nobody listens attempts fail at once, and are no more for that.
    for (int second = 0; second < 3; ++second) {
      const uint64_t before = governor->stats().attempts;
      co_await ioloop::SleepFor(loop_.get(), absl::Seconds(1));
      EXPECT_LE(governor->stats().attempts - before,
                kLimits.attempts_per_second + 2);
    }
    EXPECT_GT(governor->stats().failed, 0u);
    for (auto& node : nodes_) node->Listen();
    CO_ASSERT_TRUE(co_await Eventually([&] { return Connections() == kAll; }));

    EXPECT_LE(MostInASecond(AcceptedAt()), kLimits.attempts_per_second + 2);
    EXPECT_EQ(governor->stats().at_once_max, kLimits.at_once);
    for (auto& node : nodes_) {
      EXPECT_LE(node->in_setup_max, static_cast<int>(kLimits.node_at_once));
    }
    co_await Close();
    EXPECT_EQ(governor->stats().waiting, 0u);
    EXPECT_EQ(governor->stats().at_once, 0u);
  });
}

}  // namespace
}  // namespace testing
}  // namespace cql
