// What crosses threads: mailboxes, loop groups, the resolver. Runs under TSan.
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/event.h"
#include "ioloop/internal/cpu_limits.h"
#include "ioloop/loop_group.h"
#include "ioloop/mailbox.h"
#include "ioloop/resolver.h"
#include "ioloop/run_on.h"
#include "ioloop/stop.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MailboxTest : public LoopTest {};

// Every post arrives once, in its poster's order, and no wake is lost: the
// loop sleeps without a timeout.
TEST_F(MailboxTest, PostsOfManyThreadsArriveOnceAndInOrder) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 5000;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t, &seen, &total] {
      for (int i = 0; i < kPosts; ++i) {
        loop_->Post([t, i, &seen, &total] {
          seen[static_cast<size_t>(t)].push_back(i);
          ++total;
        });
        if (i % 97 == 0) std::this_thread::yield();
      }
    });
  }
  while (total < kThreads * kPosts) Turn(absl::InfiniteDuration());
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& order : seen) {
    ASSERT_EQ(order.size(), static_cast<size_t>(kPosts));
    for (int i = 0; i < kPosts; ++i) {
      ASSERT_EQ(order[static_cast<size_t>(i)], i);
    }
  }
}

TEST_F(MailboxTest, EachPostToASleepingLoopWakesIt) {
  std::atomic<int> ran{0};
  std::thread poster([this, &ran] {
    for (int i = 0; i < 500; ++i) {
      loop_->Post([&ran] { ran.fetch_add(1); });
      while (ran.load() <= i) std::this_thread::yield();
    }
  });
  while (ran.load() < 500) Turn(absl::InfiniteDuration());
  poster.join();
}

TEST_F(MailboxTest, PostsToAnEndedLoopAreRefusedAndFreed) {
  std::shared_ptr<Mailbox> mailbox = SharedMailbox(loop_.get());
  auto owned = std::make_shared<int>(7);
  EXPECT_TRUE(mailbox->Post([owned] { FAIL() << "never ran a turn"; }));
  EXPECT_EQ(owned.use_count(), 2);
  loop_.reset();
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_FALSE(mailbox->Post([owned] {}));
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_F(MailboxTest, StopFromAnotherThreadEndsRun) {
  std::thread stopper([this] { loop_->Stop(); });
  EXPECT_TRUE(loop_->Run().ok());
  stopper.join();
}

// The thread that runs a loop may be done with it while the stopper still
// wakes.
TEST(StopTest, TheLoopMayDieBeforeStopReturns) {
  for (int i = 0; i < 50; ++i) {
    std::promise<Loop*> running;
    std::thread owner([&running] {
      absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Create({});
      RINGPLANE_CHECK(loop.ok(), "no loop");
      (*loop)->Post([&] { running.set_value(loop->get()); });
      EXPECT_TRUE((*loop)->Run().ok());
    });
    running.get_future().get()->Stop();
    owner.join();
  }
}

TEST_F(MailboxTest, OneWakeServesMany) {
  const uint64_t wakes = loop_->stats().wakes;
  int ran = 0;
  for (int i = 0; i < 1000; ++i) loop_->Post([&ran] { ++ran; });
  Turn();
  Turn();
  EXPECT_EQ(ran, 1000);
  EXPECT_LE(loop_->stats().wakes, wakes + 1);
}

// What the mains of a group share.
struct GroupState {
  LoopGroup* group = nullptr;
  std::atomic<int> started{0};
  std::atomic<int> calls{0};
  std::atomic<uint64_t> sum{0};
  std::vector<std::thread::id> threads;
};

Task<void> CallEachOther(GroupState* state, Loop* loop, size_t index,
                         std::vector<Loop*>* loops, Event* ready) {
  co_await ready->Wait();
  for (int round = 0; round < 200; ++round) {
    for (size_t i = 0; i < loops->size(); ++i) {
      Loop* target = (*loops)[i];
      auto call = CallOn(loop, target, [target] {
        EXPECT_EQ(Loop::Current(), target);
        return 1;
      });
      const int one = co_await call;
      EXPECT_EQ(Loop::Current(), loop);
      state->sum.fetch_add(static_cast<uint64_t>(one));
      state->calls.fetch_add(1);
    }
  }
  static_cast<void>(index);
}

// A task of another loop's: counts there, and ends when it is stopped.
Task<int> SleepThere(Loop* there, StopToken stop, absl::Duration duration) {
  EXPECT_EQ(Loop::Current(), there);
  const bool slept = co_await WithStop(SleepFor(there, duration), stop);
  EXPECT_EQ(Loop::Current(), there);
  co_return slept ? 1 : 0;
}

Task<absl::Status> WaitThere(Event* event, StopToken stop) {
  const bool set = co_await WithStop(event->Wait(), stop);
  if (set) co_return absl::OkStatus();
  co_return absl::CancelledError("told to stop");
}

Task<void> VoidThere(std::atomic<int>* calls) {
  calls->fetch_add(1);
  co_return;
}

Task<void> RunOnAnother(Loop* home, Loop* target, std::atomic<int>* calls) {
  for (int i = 0; i < 300; ++i) {
    auto at_once =
        RunOn(home, target, [calls](StopToken) { return VoidThere(calls); });
    co_await at_once;
    auto slept = RunOn(home, target, [target](StopToken stop) {
      return SleepThere(target, stop, absl::ZeroDuration());
    });
    const int one = co_await slept;
    EXPECT_EQ(one, 1);
    EXPECT_EQ(Loop::Current(), home);

    // Stopped by its deadline while it runs there, or before it has begun.
    auto stopped = RunOn(home, target, [target](StopToken stop) {
      return SleepThere(target, stop, absl::Hours(1));
    });
    const absl::Time soon = home->now() + absl::Microseconds(i % 20);
    const int zero = co_await WithDeadline(stopped, soon);
    EXPECT_EQ(zero, 0);

    StopSource source;
    source.RequestStop();
    auto before = RunOn(home, target, [target](StopToken stop) {
      return SleepThere(target, stop, absl::Hours(1));
    });
    const int none = co_await WithStop(before, source.token());
    EXPECT_EQ(none, 0);

    // The stop and the end of the task cross each other.
    auto crossing = RunOn(home, target, [target, i](StopToken stop) {
      return SleepThere(target, stop, absl::Microseconds(i % 50));
    });
    co_await WithDeadline(crossing, home->now() + absl::Microseconds(i % 50));
  }
}

Task<void> StopsAStatus(Loop* home, Loop* target, absl::Status* status) {
  std::unique_ptr<Event> event;
  auto make = CallOn(home, target, [&event, target] {
    event = std::make_unique<Event>(target);
  });
  co_await make;
  auto wait = RunOn(home, target, [&event](StopToken stop) {
    return WaitThere(event.get(), stop);
  });
  *status = co_await WithDeadline(wait, home->now() + absl::Milliseconds(1));
  auto drop = CallOn(home, target, [&event] { event.reset(); });
  co_await drop;
}

Task<void> WaitThenRun(Loop* loop, size_t index, Event* ready,
                       std::atomic<Loop*>* loops, std::atomic<int>* calls,
                       absl::Status* status) {
  co_await ready->Wait();
  Loop* other = loops[1 - index].load();
  co_await RunOnAnother(loop, other, calls);
  if (index == 0) co_await StopsAStatus(loop, other, status);
}

TEST(RunOnTest, TasksRunOnTheOtherLoopAndStopThere) {
  std::atomic<int> calls{0};
  std::atomic<Loop*> loops[2] = {};
  absl::Status status;
  LoopGroup::Options options;
  options.loops = 2;
  options.loop = SmallLoop();
  std::vector<std::unique_ptr<Event>> ready(2);
  auto main = [&](Loop* loop, size_t index) -> Task<void> {
    ready[index] = std::make_unique<Event>(loop);
    loops[index].store(loop);
    return WaitThenRun(loop, index, ready[index].get(), loops, &calls, &status);
  };
  auto group = LoopGroup::Start(options, main);
  ASSERT_TRUE(group.ok()) << group.status();
  for (size_t i = 0; i < 2; ++i) {
    Event* event = ready[i].get();
    (*group)->loop(i)->Post([event] { event->Set(); });
  }
  EXPECT_TRUE((*group)->Join().ok());
  EXPECT_EQ(calls.load(), 600);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "told to stop");
}

// A main that waits to be told who its siblings are.
struct Member {
  std::unique_ptr<Event> ready;
  std::vector<Loop*> loops;
};

Task<void> MemberMain(GroupState* state, Loop* loop, size_t index,
                      std::vector<Member>* members) {
  Member& me = (*members)[index];
  me.ready = std::make_unique<Event>(loop);
  state->started.fetch_add(1);
  co_await CallEachOther(state, loop, index, &me.loops, me.ready.get());
}

TEST(LoopGroupTest, LoopsCallEachOtherUntilAllAreDone) {
  GroupState state;
  std::vector<Member> members(3);
  LoopGroup::Options options;
  options.loops = 3;
  options.loop = SmallLoop();
  auto group =
      LoopGroup::Start(options, [&state, &members](Loop* loop, size_t index) {
        return MemberMain(&state, loop, index, &members);
      });
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*group)->size(), 3u);
  EXPECT_EQ(state.started.load(), 3);  // Start() waits for every main.
  std::vector<Loop*> loops;
  for (size_t i = 0; i < 3; ++i) loops.push_back((*group)->loop(i));
  for (size_t i = 0; i < 3; ++i) {
    (*group)->loop(i)->Post([&members, i, loops] {
      members[i].loops = loops;
      members[i].ready->Set();
    });
  }
  EXPECT_TRUE((*group)->Join().ok());
  EXPECT_EQ(state.calls.load(), 3 * 3 * 200);
  EXPECT_EQ(state.sum.load(), 3u * 3u * 200u);
}

Task<void> Nothing() { co_return; }

TEST(LoopGroupTest, MainsThatEndAtOnceEndTheGroup) {
  LoopGroup::Options options;
  options.loops = 2;
  options.loop = SmallLoop();
  auto group =
      LoopGroup::Start(options, [](Loop*, size_t) { return Nothing(); });
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_TRUE((*group)->Join().ok());
}

TEST(LoopGroupTest, ALoopThatCannotBeMadeFailsTheStart) {
  LoopGroup::Options options;
  options.loops = 2;
  options.loop.buffer_count = 3;
  auto group =
      LoopGroup::Start(options, [](Loop*, size_t) { return Nothing(); });
  EXPECT_EQ(group.status().code(), absl::StatusCode::kInvalidArgument);
}

Task<void> NoteCpus(std::vector<std::vector<int>>* cpus, size_t index) {
  (*cpus)[index] = internal::AffinityCpus();
  co_return;
}

TEST(LoopGroupTest, ThreadsArePinnedToCpusOfTheMask) {
  const std::vector<int> mask = internal::AffinityCpus();
  ASSERT_FALSE(mask.empty());
  std::vector<std::vector<int>> cpus(mask.size());
  LoopGroup::Options options;
  options.loops = mask.size();
  options.loop = SmallLoop();
  auto group = LoopGroup::Start(
      options, [&cpus](Loop*, size_t index) { return NoteCpus(&cpus, index); });
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_TRUE((*group)->Join().ok());
  for (size_t i = 0; i < mask.size(); ++i) {
    EXPECT_THAT(cpus[i], ElementsAre(mask[i]));
  }
  EXPECT_EQ(internal::AffinityCpus(), mask);  // Ours is untouched.
  EXPECT_GE(UsableCpus(), 1u);
  EXPECT_LE(UsableCpus(), mask.size());
}

// A machine in files: what CgroupCpus reads.
class CgroupTest : public ::testing::Test {
 protected:
  CgroupTest()
      : root_(::testing::TempDir() + "/cgroup_" + std::to_string(getpid())) {
    std::filesystem::remove_all(root_);
  }
  ~CgroupTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string root_;
};

TEST_F(CgroupTest, NoQuotaIsNoLimit) {
  EXPECT_FALSE(internal::CgroupCpus(root_).has_value());
  Write("/proc/self/cgroup", "0::/\n");
  Write("/proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
  Write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_FALSE(internal::CgroupCpus(root_).has_value());
}

TEST_F(CgroupTest, TheTightestQuotaOfVersion2Counts) {
  Write("/proc/self/cgroup", "0::/system.slice/ringplane.service\n");
  Write("/proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  Write("/sys/fs/cgroup/system.slice/cpu.max", "250000 100000\n");
  Write("/sys/fs/cgroup/system.slice/ringplane.service/cpu.max",
        "400000 100000\n");
  EXPECT_EQ(internal::CgroupCpus(root_), 2.5);
}

TEST_F(CgroupTest, Version1InAContainerIsReadBelowItsMount) {
  Write("/proc/self/cgroup",
        "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n");
  Write("/proc/self/mountinfo",
        "31 23 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro master:9 - "
        "cgroup cgroup rw,cpu,cpuacct\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(internal::CgroupCpus(root_), 3.0);
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_FALSE(internal::CgroupCpus(root_).has_value());
}

TEST_F(CgroupTest, GarbageIsNoLimit) {
  Write("/proc/self/cgroup", "rubbish\n::\n0::/x\n");
  Write("/proc/self/mountinfo",
        "- \n1 2 3\n30 23 0:26 / /c rw - cgroup2 cgroup2 rw\n");
  Write("/c/x/cpu.max", "many few\n");
  EXPECT_FALSE(internal::CgroupCpus(root_).has_value());
}

class ResolverTest : public LoopTest {
 protected:
  absl::StatusOr<std::vector<SocketAddress>> Resolve(
      const std::string& host_port) {
    return loop_->RunUntilDone(resolver_.Resolve(
        loop_.get(), host_port, loop_->now() + absl::Seconds(60)));
  }
  Resolver resolver_;
};

TEST_F(ResolverTest, NumericAddressesNeedNoThread) {
  auto v4 = Resolve("10.1.2.3:9042");
  ASSERT_TRUE(v4.ok()) << v4.status();
  EXPECT_EQ(v4->at(0).ToString(), "10.1.2.3:9042");
  auto v6 = Resolve("[::1]:80");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->at(0).ToString(), "[::1]:80");
  auto path = Resolve("unix:/run/x.sock");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(path->at(0).ToString(), "unix:/run/x.sock");
}

TEST_F(ResolverTest, LocalhostComesFromTheHelperThread) {
  auto addresses = Resolve("localhost:1234");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, Contains(SocketAddress::Loopback(1234)));
}

TEST_F(ResolverTest, BadNamesAreErrors) {
  EXPECT_EQ(Resolve("no-port").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Resolve(std::string(300, 'a') + ":1").status().code(),
            absl::StatusCode::kInvalidArgument);
  auto unknown = Resolve("name.invalid:1");
  EXPECT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.status().ToString(), HasSubstr("name.invalid"));
}

Task<void> ResolveInto(Resolver* resolver, Loop* loop, absl::Time deadline,
                       std::vector<absl::StatusCode>* codes) {
  absl::StatusOr<std::vector<SocketAddress>> result =
      co_await resolver->Resolve(loop, "localhost", 80, deadline);
  codes->push_back(result.status().code());
}

// A lookup that nobody waits for any more comes back all the same, also to a
// loop that is gone.
TEST_F(ResolverTest, LateAnswersAreDropped) {
  std::vector<absl::StatusCode> codes;
  TaskGroup group;
  for (int i = 0; i < 50; ++i) {
    group.Spawn(ResolveInto(&resolver_, loop_.get(), loop_->now(), &codes));
  }
  RunUntilIdle(&group);
  EXPECT_EQ(codes.size(), 50u);
  loop_.reset();
}

TEST_F(ResolverTest, PendingLookupsAreBounded) {
  Resolver::Options options;
  options.pending_max = 2;
  Resolver bounded(options);
  std::vector<absl::StatusCode> codes;
  TaskGroup group;
  for (int i = 0; i < 500; ++i) {
    group.Spawn(ResolveInto(&bounded, loop_.get(),
                            loop_->now() + absl::Seconds(60), &codes));
  }
  RunUntilIdle(&group);
  EXPECT_EQ(codes.size(), 500u);
  EXPECT_THAT(codes, Contains(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(codes, Contains(absl::StatusCode::kOk));
}

}  // namespace
}  // namespace ioloop
