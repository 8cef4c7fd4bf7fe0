// What only the readiness backend promises; what every backend does is in
// operations_test.cc.
#include "ioloop/backend_epoll.h"

#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::SizeIs;

Loop::Options OnEpoll() {
  Loop::Options options = SmallLoop();
  options.backend = BackendKind::kEpoll;
  return options;
}

class EpollTest : public LoopTest {
 protected:
  EpollTest() : LoopTest(OnEpoll()) {}
};

struct Noting : Operation {
  Noting() : Operation(&Done) {}
  static void Done(Operation* op, Completion completion) {
    static_cast<Noting*>(op)->completions.push_back(completion);
  }
  std::vector<Completion> completions;
};

Request Poll(int fd, uint32_t events) {
  Request request;
  request.kind = OpKind::kPoll;
  request.fd = fd;
  request.flags = events;
  return request;
}

TEST(EpollOptionsTest, RefusesImpossibleBatches) {
  Loop::Options options = OnEpoll();
  for (uint32_t batch : {0u, 65537u}) {
    options.epoll_batch = batch;
    EXPECT_EQ(Loop::Create(options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

Task<void> ReceiveOne(Stream* stream, int* received) {
  absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
  if (bytes.ok() && bytes->size() == 1) ++*received;
}

Task<void> CloseEach(std::vector<Stream>* streams) {
  for (Stream& stream : *streams) co_await stream.Close();
}

// Streams that all get a byte, and how many had it after each turn.
std::vector<int> ReceivedByTurn(const Loop::Options& options, int sockets) {
  std::unique_ptr<Loop> loop = MakeLoop(options);
  std::vector<SocketPair> pairs(static_cast<size_t>(sockets));
  std::vector<Stream> streams;
  int received = 0;
  TaskGroup group;
  for (SocketPair& pair : pairs) {
    streams.push_back(Stream::Adopt(loop.get(), pair.TakeNear()));
  }
  for (Stream& stream : streams) group.Spawn(ReceiveOne(&stream, &received));
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  }
  for (SocketPair& pair : pairs) pair.WriteFar("x");
  std::vector<int> by_turn;
  while (group.running() > 0) {
    EXPECT_TRUE(loop->RunOnce(absl::Seconds(10)).ok());
    by_turn.push_back(received);
  }
  loop->RunUntilDone(CloseEach(&streams));
  return by_turn;
}

TEST(EpollBatchTest, OneTurnDrainsWhateverTheBatch) {
  for (uint32_t batch : {1u, 16u, 1000u, 4096u}) {
    Loop::Options options = OnEpoll();
    options.buffer_count = 2048;
    options.epoll_batch = batch;
    EXPECT_THAT(ReceivedByTurn(options, 1000), ::testing::ElementsAre(1000));
  }
}

// As most loops on epoll do it, for comparisons.
TEST(EpollBatchTest, WithoutDrainATurnTakesOneBatch) {
  Loop::Options options = OnEpoll();
  options.buffer_count = 2048;
  options.epoll_batch = 16;
  options.epoll_drain = false;
  const std::vector<int> by_turn = ReceivedByTurn(options, 160);
  ASSERT_THAT(by_turn, SizeIs(10));
  for (size_t i = 0; i < by_turn.size(); ++i) {
    EXPECT_EQ(by_turn[i], 16 * (static_cast<int>(i) + 1));
  }
}

Task<void> AcceptInto(Listener* listener, Stream* into) {
  absl::StatusOr<Stream> stream = co_await listener->Accept();
  EXPECT_TRUE(stream.ok()) << stream.status();
  *into = *std::move(stream);
}

Task<void> ConnectInto(Loop* loop, SocketAddress address, Stream* into) {
  absl::StatusOr<Stream> stream =
      co_await Stream::Connect(loop, address, absl::Seconds(30), nullptr);
  EXPECT_TRUE(stream.ok()) << stream.status();
  *into = *std::move(stream);
}

Task<void> Echo(Stream* stream) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) co_return;
    stream->Queue(*bytes);
  }
}

Task<void> PingPong(Stream* stream, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    stream->Queue("ping");
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    EXPECT_TRUE(bytes.ok());
    EXPECT_EQ(bytes->view(), "ping");
  }
}

Task<void> ConnectPair(Loop* loop, Stream* near, Stream* far) {
  auto listener = Listener::Bind(loop, 0);
  EXPECT_TRUE(listener.ok()) << listener.status();
  TaskGroup group;
  group.Spawn(AcceptInto(&*listener, far));
  group.Spawn(ConnectInto(loop, listener->local_address(), near));
  co_await group.Join();
  co_await listener->Close();
}

// In steady state a message costs its receive and its send: no epoll_ctl, no
// receive that only finds out that there is nothing.
TEST_F(EpollTest, AMessageCostsTwoCallsBesideTheWait) {
  Stream near;
  Stream far;
  loop_->RunUntilDone(ConnectPair(loop_.get(), &near, &far));
  TaskGroup group;
  group.Spawn(Echo(&far));
  loop_->RunUntilDone(PingPong(&near, 10));
  const LoopStats& stats = loop_->stats();
  const uint64_t calls = stats.system_calls;
  const uint64_t waits = stats.enters;
  constexpr int kRounds = 500;
  loop_->RunUntilDone(PingPong(&near, kRounds));
  // Each round is a message each way.
  EXPECT_EQ(stats.system_calls - calls - (stats.enters - waits),
            uint64_t{2 * 2 * kRounds});
  loop_->RunUntilDone(near.Close());
  RunUntilIdle(&group);
}

// The whole of a host's loop: it polls one descriptor and never lets ours wait.
TEST_F(EpollTest, AHostThatPollsTheDescriptorMissesNothing) {
  pollfd host = {*loop_->fd(), POLLIN, 0};
  std::vector<SocketPair> pairs(8);
  std::vector<Stream> streams;
  TaskGroup group;
  for (SocketPair& pair : pairs) {
    streams.push_back(Stream::Adopt(loop_.get(), pair.TakeNear()));
  }
  for (Stream& stream : streams) group.Spawn(Echo(&stream));
  Turn();
  for (int round = 0; round < 100; ++round) {
    size_t expected = 0;
    for (size_t i = 0; i < pairs.size(); ++i) {
      if ((static_cast<size_t>(round) + i) % 3 == 0) continue;
      pairs[i].WriteFar(Pattern(20000, i));
      expected += 20000;
    }
    size_t back = 0;
    while (back < expected) {
      ASSERT_EQ(poll(&host, 1, 60000), 1) << "nothing to do, they say";
      Turn();
      for (const SocketPair& pair : pairs) back += pair.ReadFar().size();
    }
    while (poll(&host, 1, 0) == 1) Turn();
  }
  for (SocketPair& pair : pairs) pair.CloseFar();
  RunUntilIdle(&group);
}

// Closed with close(2) while an operation waited: it hears of it when the
// number is used again, and what uses it then gets its own file's events.
TEST_F(EpollTest, ADescriptorClosedBehindOurBackIsNoticed) {
  for (int i = 0; i < 100; ++i) {
    SocketPair old;
    const int number = old.TakeNear();
    Noting left;
    loop_->Submit(&left, Poll(number, POLLIN));
    Turn();
    close(number);
    SocketPair next;
    ASSERT_EQ(next.near, number);
    Noting op;
    loop_->Submit(&op, Poll(next.near, POLLIN));
    Turn();
    ASSERT_THAT(left.completions, SizeIs(1));
    ASSERT_EQ(left.completions[0].result, -EBADF);
    ASSERT_TRUE(op.in_flight());
    next.WriteFar("x");
    Turn();
    ASSERT_THAT(op.completions, SizeIs(1));
    ASSERT_EQ(op.completions[0].result, POLLIN);
  }
}

// A duplicate keeps the old file and epoll's watch on it alive; its events
// carry the number of a descriptor that has become another file's.
TEST_F(EpollTest, EventsOfAnEarlierFileAreDropped) {
  SocketPair old;
  const int duplicate = dup(old.near);
  ASSERT_GE(duplicate, 0);
  Noting left;
  loop_->Submit(&left, Poll(old.near, POLLPRI));
  Turn();
  loop_->Cancel(&left);
  Turn();
  const int number = old.TakeNear();
  ASSERT_EQ(loop_->sockets().Close(number), 0);
  SocketPair next;
  ASSERT_EQ(next.near, number);
  Noting op;
  loop_->Submit(&op, Poll(next.near, POLLIN | POLLHUP));
  Turn();
  old.CloseFar();  // Hang-up of the old file.
  Turn();
  EXPECT_TRUE(op.in_flight());
  next.WriteFar("x");
  Turn();
  EXPECT_FALSE(op.in_flight());
  close(duplicate);
}

// Closing waits for the operations, and takes no new ones.
TEST_F(EpollTest, CloseWaitsForWhatIsPending) {
  SocketPair pair;
  const int fd = pair.TakeNear();
  Noting op;
  loop_->Submit(&op, Poll(fd, POLLIN));
  Turn();
  EXPECT_EQ(loop_->sockets().Close(fd), 0);
  EXPECT_EQ(loop_->sockets().Close(fd), -EBADF);
  Noting late;
  loop_->Submit(&late, Poll(fd, POLLIN));
  Turn();
  ASSERT_THAT(late.completions, SizeIs(1));
  EXPECT_EQ(late.completions[0].result, -EBADF);
  char byte;
  EXPECT_EQ(recv(pair.far, &byte, 1, MSG_DONTWAIT), -1);  // Not closed yet.
  loop_->Cancel(&op);
  EXPECT_EQ(recv(pair.far, &byte, 1, MSG_DONTWAIT), 0);
  Turn();
  EXPECT_THAT(op.completions, SizeIs(1));
}

struct Returning : Operation {
  explicit Returning(BufferPool* the_pool) : Operation(&Done), pool(the_pool) {}
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<Returning*>(op);
    self->last = completion;
    if ((completion.flags & kCompletionBuffer) == 0) return;
    self->received += completion.result;
    self->pool->Return(
        self->pool->Take(completion.flags >> kCompletionBufferShift,
                         static_cast<uint32_t>(completion.result)));
  }
  BufferPool* pool;
  int received = 0;
  Completion last = {};
};

// A turn that takes more than there are buffers leaves the rest to the next,
// by when those are back: no receive ends, none has to be armed anew.
TEST(EpollBuffersTest, ReceivesOutliveATurnThatUsesEveryBuffer) {
  constexpr size_t kSockets = 50;
  Loop::Options options = OnEpoll();
  options.buffer_count = 4;
  std::unique_ptr<Loop> loop = MakeLoop(options);
  std::vector<SocketPair> pairs(kSockets);
  std::vector<std::unique_ptr<Returning>> ops;
  for (SocketPair& pair : pairs) {
    ops.push_back(std::make_unique<Returning>(&loop->buffers()));
    Request request;
    request.kind = OpKind::kReceive;
    request.fd = pair.near;
    loop->Submit(ops.back().get(), request);
  }
  ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  const LoopStats& stats = loop->stats();
  const uint64_t calls = stats.system_calls - stats.enters;
  for (SocketPair& pair : pairs) pair.WriteFar("x");
  const auto missing = [&ops] {
    return std::count_if(ops.begin(), ops.end(),
                         [](const auto& op) { return op->received == 0; });
  };
  for (int i = 0; i < 100 && missing() > 0; ++i) {
    // There is more to take: no such turn waits.
    ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
  }
  EXPECT_EQ(missing(), 0);
  // Of a unix socket each receive is followed by one that finds nothing, and
  // one more getsockopt(2) has found out that it is one.
  EXPECT_LE(stats.system_calls - stats.enters - calls, 3 * kSockets);
  for (const auto& op : ops) {
    EXPECT_TRUE(op->in_flight());
    EXPECT_EQ(op->last.result, 1);
    loop->Cancel(op.get());
  }
  while (loop->in_flight() > 0) {
    ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
  }
}

// One sender with much to say leaves room for the others in each turn, and
// what is left over is taken without another event.
TEST_F(EpollTest, AFloodIsTakenInTurns) {
  SocketPair pair;
  const int large = 4 << 20;
  setsockopt(pair.far, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
  std::string sent = Pattern(1 << 20);
  size_t written = 0;
  while (written < sent.size()) {
    const ssize_t n =
        send(pair.far, sent.data() + written,
             std::min<size_t>(2048, sent.size() - written), MSG_DONTWAIT);
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  ASSERT_GT(written, 256u << 10);
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(ReceiveAll(&stream, &got, &status));
  const uint64_t before = loop_->stats().completions;
  Turn();
  EXPECT_LE(loop_->stats().completions - before, 33u);
  for (int i = 0; i < 2000 && got.size() < written; ++i) Turn();
  EXPECT_TRUE(got == sent.substr(0, written));
  pair.CloseFar();
  RunUntilIdle(&group);
}

}  // namespace
}  // namespace ioloop
