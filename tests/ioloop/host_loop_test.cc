// A loop inside somebody else's: the host polls Loop::fd() with epoll, sleeps
// as long as PrepareSleep() says, and takes turns that do not wait. Every
// epoll_wait that has something to find sleeps without a timeout: a wake that
// does not come hangs the test.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/await.h"
#include "ioloop/event.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

class HostLoopTest : public LoopTest {
 protected:
  HostLoopTest() : HostLoopTest(SmallLoop()) {}
  explicit HostLoopTest(const Loop::Options& options)
      : LoopTest(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    const absl::StatusOr<int> fd = loop_->fd();
    EXPECT_TRUE(fd.ok()) << fd.status();
    if (fd.ok()) Add(*fd);
  }
  ~HostLoopTest() override { close(epoll_); }

  void Add(int fd) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ASSERT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0);
  }
  // As long as PrepareSleep() says; the descriptor that woke us, -1 if none.
  int Sleep() {
    const absl::Duration wait = loop_->PrepareSleep();
    const int timeout_ms = wait == absl::InfiniteDuration()
                               ? -1
                               : static_cast<int>(absl::ToInt64Milliseconds(
                                     absl::Ceil(wait, absl::Milliseconds(1))));
    epoll_event event = {};
    const int ready = epoll_wait(epoll_, &event, 1, timeout_ms);
    // The kernel may interrupt for work of its own.
    EXPECT_TRUE(ready >= 0 || errno == EINTR);
    ++sleeps_;
    return ready == 1 ? event.data.fd : -1;
  }
  void HostTurn() {
    Sleep();
    Turn();
  }
  // Turns until the loop has nothing to do but wait.
  void Settle() {
    while (loop_->PrepareSleep() == absl::ZeroDuration()) Turn();
  }

  int epoll_;
  int sleeps_ = 0;
};

Task<void> Echo(Stream* stream) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) break;
    const absl::Status sent = co_await stream->SendAll(*bytes);
    if (!sent.ok()) break;
  }
  co_await stream->Close();
}

// With DEFER_TASKRUN a completion stands as task work until the ring is
// entered, and the ring's own descriptor stays silent; fd() must not.
TEST_F(HostLoopTest, FdWakesTheHostForACompletion) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  TaskGroup group;
  group.Spawn(Echo(&stream));
  Settle();
  EXPECT_EQ(loop_->PrepareSleep(), absl::InfiniteDuration());
  for (int i = 0; i < 200; ++i) {
    std::thread writer([&pair] { pair.WriteFar("hello"); });
    std::string got;
    while (got.size() < 5) {
      HostTurn();
      got += pair.ReadFar();
    }
    writer.join();
    EXPECT_EQ(got, "hello");
  }
  pair.CloseFar();
  while (group.running() > 0) HostTurn();
}

// Once all is taken fd() is silent: a level-triggered host does not spin.
TEST_F(HostLoopTest, FdIsSilentWhenNothingIsLeft) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  TaskGroup group;
  group.Spawn(Echo(&stream));
  for (int i = 0; i < 50; ++i) {
    pair.WriteFar("x");
    std::string got;
    while (got.empty()) {
      HostTurn();
      got += pair.ReadFar();
    }
    Settle();
    EXPECT_EQ(loop_->PrepareSleep(), absl::InfiniteDuration());
    epoll_event event;
    EXPECT_EQ(epoll_wait(epoll_, &event, 1, 0), 0);
  }
  EXPECT_LT(sleeps_, 1000);
  pair.CloseFar();
  while (group.running() > 0) HostTurn();
}

TEST_F(HostLoopTest, TimersBoundTheSleep) {
  Settle();
  EXPECT_EQ(loop_->PrepareSleep(), absl::InfiniteDuration());
  Event never(loop_.get());
  struct NotingTimer : Timer {
    explicit NotingTimer(Loop* loop)
        : Timer(loop, [](Timer* timer) {
            static_cast<NotingTimer*>(timer)->fired = true;
          }) {}
    bool fired = false;
  };
  NotingTimer timer(loop_.get());
  timer.Arm(loop_->now() + absl::Hours(1));
  EXPECT_LE(loop_->PrepareSleep(), absl::Hours(1));
  EXPECT_GT(loop_->PrepareSleep(), absl::Minutes(1));
  timer.Arm(loop_->now() + absl::Milliseconds(3));
  while (!timer.fired) HostTurn();
  // Slept through, not polled through.
  EXPECT_LE(sleeps_, 4);
  timer.Arm(absl::InfinitePast());
  EXPECT_EQ(loop_->PrepareSleep(), absl::ZeroDuration());
}

Task<void> Poll(Loop* loop, int fd, int32_t* result) {
  Request request;
  request.kind = OpKind::kPoll;
  request.fd = fd;
  request.flags = 1;
  const Completion completion = co_await RequestAwaiter(loop, request);
  *result = completion.result;
}

Task<void> WaitFor(Event* event, int* woken) {
  co_await event->Wait();
  ++*woken;
}

// The host may use the loop between turns. What it queues there is not in the
// kernel yet and no descriptor shows it: the sleep must not begin.
TEST_F(HostLoopTest, WorkQueuedBetweenTurnsAllowsNoSleep) {
  Settle();
  // A request.
  SocketPair polled;
  int32_t result = 0;
  TaskGroup group;
  group.Spawn(Poll(loop_.get(), polled.near, &result));
  // epoll has it at once: there is nothing to hand over, and it will wake us.
  EXPECT_EQ(loop_->PrepareSleep(), loop_->backend_name() == "epoll"
                                       ? absl::InfiniteDuration()
                                       : absl::ZeroDuration());
  Settle();
  std::thread writer([&polled] { polled.WriteFar("x"); });
  while (group.running() > 0) HostTurn();
  EXPECT_EQ(result, 1);
  writer.join();
  // Bytes in a stream.
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  stream.Queue("queued by the host");
  EXPECT_EQ(loop_->PrepareSleep(), absl::ZeroDuration());
  Settle();
  EXPECT_EQ(pair.ReadFar(), "queued by the host");
  // A coroutine to be resumed.
  Event event(loop_.get());
  int woken = 0;
  group.Spawn(WaitFor(&event, &woken));
  Settle();
  event.Set();
  EXPECT_EQ(loop_->PrepareSleep(), absl::ZeroDuration());
  HostTurn();
  EXPECT_EQ(woken, 1);
  group.Spawn(stream.Close());
  while (group.running() > 0) HostTurn();
}

// A post of another thread comes through fd() too, whenever it comes.
TEST_F(HostLoopTest, PostsWakeTheHost) {
  int ran = 0;
  std::thread poster([this, &ran] {
    for (int i = 0; i < 500; ++i) {
      loop_->Post([&ran] { ++ran; });
      if (i % 3 == 0) std::this_thread::yield();
    }
  });
  while (ran < 500) HostTurn();
  poster.join();
  EXPECT_LE(sleeps_, 4000);
}

// The host's descriptors and the loop's in one wait.
TEST_F(HostLoopTest, SharesTheThreadWithTheHostsOwnDescriptors) {
  const int host_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  Add(host_fd);
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  TaskGroup group;
  group.Spawn(Echo(&stream));
  int host_events = 0;
  std::string got;
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) {
      pair.WriteFar("x");
      eventfd_write(host_fd, 1);
    }
  });
  while (host_events < 100 || got.size() < 100) {
    if (Sleep() == host_fd) {
      eventfd_t value = 0;
      if (eventfd_read(host_fd, &value) == 0) {
        host_events += static_cast<int>(value);
      }
    }
    Turn();
    got += pair.ReadFar();
  }
  writer.join();
  EXPECT_EQ(host_events, 100);
  pair.CloseFar();
  while (group.running() > 0) HostTurn();
  close(host_fd);
}

class TinyHostLoopTest : public HostLoopTest {
 protected:
  static Loop::Options Tiny() {
    Loop::Options options = SmallLoop();
    options.sq_entries = 4;
    options.cq_entries = 4;
    options.buffer_count = 4;
    options.buffer_bytes = 256;
    return options;
  }
  TinyHostLoopTest() : HostLoopTest(Tiny()) {}
};

// Overflow, shortage and interrupted enters leave work behind that only
// PrepareSleep() knows of.
TEST_F(TinyHostLoopTest, ManyStreamsOnTinyQueuesDoNotStall) {
  constexpr size_t kStreams = 40;
  std::vector<SocketPair> pairs(kStreams);
  std::vector<Stream> streams;
  TaskGroup group;
  for (SocketPair& pair : pairs) {
    streams.push_back(Stream::Adopt(loop_.get(), pair.TakeNear()));
  }
  for (Stream& stream : streams) group.Spawn(Echo(&stream));
  for (int round = 0; round < 20; ++round) {
    for (SocketPair& pair : pairs) pair.WriteFar(std::string(700, 'x'));
    size_t back = 0;
    while (back < 700 * kStreams) {
      HostTurn();
      for (SocketPair& pair : pairs) back += pair.ReadFar().size();
    }
  }
  for (SocketPair& pair : pairs) pair.CloseFar();
  while (group.running() > 0) HostTurn();
}

// Two loops may share a thread; neither minds the other.
TEST(TwoLoopsTest, OnOneThread) {
  std::unique_ptr<Loop> first = MakeLoop(SmallLoop());
  std::unique_ptr<Loop> second = MakeLoop(SmallLoop());
  SocketPair pair;
  Stream near = Stream::Adopt(first.get(), pair.TakeNear());
  Stream far = Stream::Adopt(second.get(), std::exchange(pair.far, -1));
  TaskGroup group;
  std::string got;
  absl::Status status;
  group.Spawn(Echo(&near));
  far.Queue("from one loop to the other");
  far.ShutdownWrite();
  group.Spawn(ReceiveAll(&far, &got, &status));
  while (group.running() > 0) {
    ASSERT_TRUE(first->RunOnce(absl::ZeroDuration()).ok());
    ASSERT_TRUE(second->RunOnce(absl::ZeroDuration()).ok());
  }
  EXPECT_EQ(got, "from one loop to the other");
  second->RunUntilDone(far.Close());
}

}  // namespace
}  // namespace ioloop
