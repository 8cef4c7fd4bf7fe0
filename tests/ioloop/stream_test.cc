#include "ioloop/stream.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/event.h"
#include "ioloop/listener.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;

class StreamTest : public LoopTest {
 protected:
  StreamTest() = default;
  explicit StreamTest(const Loop::Options& options) : LoopTest(options) {}

  Stream Adopt(SocketPair* pair, const Stream::Options& options) {
    return Stream::Adopt(loop_.get(), pair->TakeNear(), options);
  }
  Stream Adopt(SocketPair* pair) { return Adopt(pair, Stream::Options()); }
  void Close(Stream* stream) { loop_->RunUntilDone(stream->Close()); }
};

Task<absl::Status> Send(Stream* stream, std::string bytes) {
  co_return co_await stream->SendAll(bytes);
}

TEST_F(StreamTest, QueuedBytesOfOneTurnLeaveInOneSend) {
  if (!KernelIsGood()) GTEST_SKIP() << "counts what a good kernel does";
  SocketPair pair;
  Stream stream = Adopt(&pair);
  stream.Queue("one ");
  stream.Queue("two ");
  std::span<char> room = stream.Reserve(5);
  ASSERT_GE(room.size(), 5u);
  std::copy_n("three", 5, room.data());
  stream.Commit(5);
  EXPECT_EQ(stream.queued_bytes(), 13u);
  EXPECT_EQ(pair.ReadFar(), "");
  const uint64_t submissions = loop_->stats().submissions;
  Turn();
  EXPECT_EQ(pair.ReadFar(), "one two three");
  EXPECT_EQ(stream.queued_bytes(), 0u);
  // The loop's own wake-up is armed with the first turn.
  EXPECT_LE(loop_->stats().submissions, submissions + 2);
  EXPECT_EQ(loop_->stats().short_sends, 0u);
}

TEST_F(StreamTest, DrainedResumesWithoutAnythingElseHappening) {
  SocketPair pair;
  Stream stream = Adopt(&pair);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(loop_->RunUntilDone(Send(&stream, "ping")).ok());
    ASSERT_EQ(pair.ReadFar(), "ping");
  }
}

// Reads what the far end gets, slowly, while the loop runs.
Task<void> DrainFar(Loop* loop, const SocketPair* pair, size_t bytes,
                    std::string* into) {
  while (into->size() < bytes) {
    into->append(pair->ReadFar());
    co_await SleepFor(loop, absl::ZeroDuration());
  }
}

// Most of a large send does not fit the socket: what is missing waits in the
// kernel, in order, and nothing that was queued meanwhile overtakes it.
TEST_F(StreamTest, ShortSendsLoseAndReorderNothing) {
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  Stream stream = Adopt(&pair);
  std::string expected;
  std::string got;
  TaskGroup group;
  size_t total = 0;
  for (int i = 0; i < 40; ++i) total += 20000 + static_cast<size_t>(i) * 777;
  group.Spawn(DrainFar(loop_.get(), &pair, total, &got));
  for (int i = 0; i < 40; ++i) {
    const std::string piece =
        Pattern(20000 + static_cast<size_t>(i) * 777, static_cast<uint64_t>(i));
    stream.Queue(piece);
    expected += piece;
    Turn();
  }
  RunUntilIdle(&group);
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_TRUE(got == expected);
  EXPECT_GT(loop_->stats().short_sends, 0u);
  EXPECT_EQ(stream.queued_bytes(), 0u);
}

TEST_F(StreamTest, ReceivesInOrderUntilTheEnd) {
  SocketPair pair;
  Stream stream = Adopt(&pair);
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(ReceiveAll(&stream, &got, &status));
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    const std::string piece = Pattern(1000, static_cast<uint64_t>(i));
    pair.WriteFar(piece);
    expected += piece;
    if (i % 3 == 0) Turn();
  }
  pair.CloseFar();
  RunUntilIdle(&group);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(got == expected);
  EXPECT_EQ(loop_->buffers().lent(), 0u);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(StreamTest, IdleStreamsHoldNoBuffer) {
  std::vector<SocketPair> pairs(50);
  std::vector<Stream> streams;
  std::vector<std::string> got(pairs.size());
  std::vector<absl::Status> statuses(pairs.size());
  TaskGroup group;
  for (SocketPair& pair : pairs) streams.push_back(Adopt(&pair));
  for (size_t i = 0; i < pairs.size(); ++i) {
    group.Spawn(ReceiveAll(&streams[i], &got[i], &statuses[i]));
    pairs[i].WriteFar("hello");
  }
  Turn();
  Turn();
  EXPECT_EQ(loop_->buffers().lent(), 0u);
  for (SocketPair& pair : pairs) pair.CloseFar();
  RunUntilIdle(&group);
  for (const std::string& text : got) EXPECT_EQ(text, "hello");
}

Task<void> ReceivePart(Stream* stream, size_t bytes, std::string* into) {
  while (into->size() < bytes) {
    absl::StatusOr<ReceivedBytes> got = co_await stream->Receive();
    if (!got.ok() || got->empty()) co_return;
    into->append(got->view());
  }
}

// Also where the pool is so small that the kernel runs out of buffers, and
// copies bring them back.
TEST(StreamFloodTest, UnreadStreamOfASmallPoolHoldsABoundedNumberOfCopies) {
  Loop::Options small = SmallLoop();
  small.buffer_count = 4;
  std::unique_ptr<Loop> loop = MakeLoop(small);
  SocketPair pair;
  Stream::Options options;
  options.receive_queue_max = 4;
  Stream stream = Stream::Adopt(loop.get(), pair.TakeNear(), options);
  std::string got;
  TaskGroup group;
  group.Spawn(ReceivePart(&stream, 1, &got));
  const std::string sent = Pattern(64 << 10);
  for (int i = 0; i < 500; ++i) {
    static_cast<void>(!send(pair.far, sent.data(), sent.size(), MSG_DONTWAIT));
    ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  }
  EXPECT_GT(loop->stats().buffers_exhausted, 0u);
  EXPECT_LE(loop->buffers().lent() + loop->buffers().copies(), 100u);
  loop->RunUntilDone(stream.Close());
}

// A consumer that stays away holds a bounded number of buffers; then the
// sender feels it; and when the consumer is back nothing is missing.
TEST_F(StreamTest, UnreadStreamStopsTheSenderAndGoesOn) {
  SocketPair pair;
  Stream::Options options;
  options.receive_queue_max = 4;
  Stream stream = Adopt(&pair, options);
  std::string got;
  TaskGroup group;
  group.Spawn(ReceivePart(&stream, 1, &got));
  const std::string sent = Pattern(8 << 20);
  size_t written = 0;
  auto write_more = [&] {
    for (;;) {
      const ssize_t n = send(pair.far, sent.data() + written,
                             sent.size() - written, MSG_DONTWAIT);
      if (n <= 0) return;
      written += static_cast<size_t>(n);
    }
  };
  for (int i = 0; i < 50; ++i) {
    write_more();
    Turn();
  }
  EXPECT_LT(written, sent.size());
  EXPECT_LE(loop_->buffers().lent() + loop_->buffers().copies(), 200u);
  const size_t stalled_at = written;
  for (int i = 0; i < 10; ++i) {
    write_more();
    Turn();
  }
  EXPECT_EQ(written, stalled_at);  // Nothing moves while nobody receives.

  group.Spawn(ReceivePart(&stream, sent.size(), &got));
  while (group.running() > 0) {
    write_more();
    Turn(absl::Milliseconds(1));
  }
  EXPECT_TRUE(got == sent);
  Close(&stream);
}

class FourBuffersTest : public StreamTest {
 protected:
  static Loop::Options FourBuffers() {
    Loop::Options options = SmallLoop();
    options.buffer_count = 4;
    options.buffer_bytes = 512;
    return options;
  }
  FourBuffersTest() : StreamTest(FourBuffers()) {}
};

TEST_F(FourBuffersTest, ManyStreamsShareFourBuffersWithoutStallOrLoss) {
  constexpr size_t kStreams = 64;
  std::vector<SocketPair> pairs(kStreams);
  std::vector<Stream> streams;
  std::vector<std::string> got(kStreams);
  std::vector<absl::Status> statuses(kStreams);
  TaskGroup group;
  for (SocketPair& pair : pairs) streams.push_back(Adopt(&pair));
  for (size_t i = 0; i < kStreams; ++i) {
    group.Spawn(ReceiveAll(&streams[i], &got[i], &statuses[i]));
  }
  Turn();
  for (size_t i = 0; i < kStreams; ++i) {
    pairs[i].WriteFar(Pattern(20000, i));
    pairs[i].CloseFar();
  }
  RunUntilIdle(&group);
  for (size_t i = 0; i < kStreams; ++i) {
    EXPECT_TRUE(statuses[i].ok()) << statuses[i];
    EXPECT_TRUE(got[i] == Pattern(20000, i)) << "stream " << i;
  }
  EXPECT_GT(loop_->stats().buffers_exhausted, 0u);
  EXPECT_EQ(loop_->buffers().lent(), 0u);
  EXPECT_EQ(loop_->buffers().copies(), 0u);
}

Task<void> Hoard(Stream* stream, std::vector<ReceivedBytes>* held) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) co_return;
    held->push_back(*std::move(bytes));
  }
}

// Whoever keeps what it received must not stop the others.
TEST_F(FourBuffersTest, HoardersGetCopiesAndOthersGoOn) {
  SocketPair hoarder_pair;
  SocketPair pair;
  Stream hoarder = Adopt(&hoarder_pair);
  Stream stream = Adopt(&pair);
  std::vector<ReceivedBytes> held;
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(Hoard(&hoarder, &held));
  hoarder_pair.WriteFar(Pattern(40000, 7));
  for (int i = 0; i < 200; ++i) Turn();
  std::string hoarded;
  for (const ReceivedBytes& bytes : held) hoarded += bytes.view();
  EXPECT_TRUE(hoarded == Pattern(40000, 7));
  EXPECT_GT(loop_->stats().buffers_copied, 0u);
  EXPECT_LT(loop_->buffers().lent(), 4u);

  group.Spawn(ReceiveAll(&stream, &got, &status));
  pair.WriteFar(Pattern(5000, 8));
  pair.CloseFar();
  hoarder_pair.CloseFar();
  RunUntilIdle(&group);
  EXPECT_TRUE(got == Pattern(5000, 8));
  held.clear();
  EXPECT_EQ(loop_->buffers().copies(), 0u);
}

class TinyQueueTest : public StreamTest {
 protected:
  static Loop::Options TinyQueues() {
    Loop::Options options = SmallLoop();
    options.sq_entries = 4;
    options.cq_entries = 4;
    options.buffer_count = 4;
    options.buffer_bytes = 256;
    return options;
  }
  TinyQueueTest() : StreamTest(TinyQueues()) {}
};

Task<void> EchoUntilEnd(Stream* stream, absl::Status* status) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok()) {
      *status = bytes.status();
      co_return;
    }
    if (bytes->empty()) break;
    *status = co_await stream->SendAll(*bytes);
    if (!status->ok()) co_return;
  }
  stream->ShutdownWrite();
}

Task<void> TalkTo(Stream* stream, size_t bytes, uint64_t seed,
                  std::string* got) {
  stream->Queue(Pattern(bytes, seed));
  stream->ShutdownWrite();
  absl::Status status;
  co_await ReceiveAll(stream, got, &status);
  EXPECT_TRUE(status.ok()) << status;
}

// Streams that echo and clients that check what comes back, all on one loop.
void EchoOnEveryStream(Loop* loop, size_t streams, size_t bytes) {
  std::vector<Stream> servers;
  std::vector<Stream> clients;
  std::vector<std::string> got(streams);
  std::vector<absl::Status> statuses(streams);
  TaskGroup group;
  for (size_t i = 0; i < streams; ++i) {
    SocketPair pair;
    const int small = 2048;
    setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    servers.push_back(Stream::Adopt(loop, pair.TakeNear()));
    clients.push_back(Stream::Adopt(loop, std::exchange(pair.far, -1)));
  }
  for (size_t i = 0; i < streams; ++i) {
    group.Spawn(EchoUntilEnd(&servers[i], &statuses[i]));
    group.Spawn(TalkTo(&clients[i], bytes, i, &got[i]));
  }
  while (group.running() > 0) {
    ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
  }
  for (size_t i = 0; i < streams; ++i) {
    EXPECT_TRUE(statuses[i].ok()) << statuses[i];
    EXPECT_TRUE(got[i] == Pattern(bytes, i)) << "stream " << i;
  }
}

// Everything at once on queues of four: overflow, shortage of buffers, short
// sends; each stream still gets its own bytes back, in order.
TEST_F(TinyQueueTest, EchoSurvivesOverflowShortageAndShortSends) {
  EchoOnEveryStream(loop_.get(), 20, 30000);
  // Only a ring can overflow.
  EXPECT_EQ(loop_->stats().cq_overflows > 0, loop_->backend_name() == "uring");
}

// The same on kernels that interrupt, refuse, cut short and cancel at random.
TEST(FaultTest, EchoSurvivesABadKernelForEverySeed) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Loop::Options options = SmallLoop();
    options.fault_seed = seed;
    if (seed % 2 == 0) {
      options.sq_entries = 4;
      options.cq_entries = 4;
      options.buffer_count = 4;
      options.buffer_bytes = 256;
    }
    std::unique_ptr<Loop> loop = MakeLoop(options);
    EchoOnEveryStream(loop.get(), 5, 4000);
    if (::testing::Test::HasFailure()) return;
  }
}

// The end is there before the receive is: behind as much as the kernel takes in
// one go, and around it.
TEST(StreamEndTest, WhatCameBeforeTheReceiveEndsToo) {
  Loop::Options options = SmallLoop();
  options.buffer_bytes = 1024;
  std::unique_ptr<Loop> loop = MakeLoop(options);
  Stream::Options eager;
  eager.receive_queue_max = eager.receive_turn_max = 200;
  for (size_t pieces = 1; pieces <= 60; ++pieces) {
    SCOPED_TRACE(pieces);
    SocketPair pair;
    const std::string sent = Pattern(1000 * pieces);
    for (size_t i = 0; i < pieces; ++i) {
      pair.WriteFar(std::string_view(sent).substr(i * 1000, 1000));
    }
    pair.CloseFar();
    Stream stream = Stream::Adopt(loop.get(), pair.TakeNear(), eager);
    std::string got;
    absl::Status status;
    loop->RunUntilDone(ReceiveAll(&stream, &got, &status));
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(got == sent);
    loop->RunUntilDone(stream.Close());
  }
}

TEST_F(StreamTest, HalfCloseStillReceives) {
  SocketPair pair;
  Stream stream = Adopt(&pair);
  stream.Queue("request");
  stream.ShutdownWrite();
  stream.Queue("too late");
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(ReceiveAll(&stream, &got, &status));
  for (int i = 0; i < 3; ++i) Turn();
  EXPECT_EQ(pair.ReadFar(), "request");
  char byte;
  EXPECT_EQ(recv(pair.far, &byte, 1, MSG_DONTWAIT), 0);  // FIN.
  pair.WriteFar("answer");
  pair.CloseFar();
  RunUntilIdle(&group);
  EXPECT_EQ(got, "answer");
}

Task<void> NoteReceive(Stream* stream, absl::Status* status) {
  absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
  *status = bytes.status();
}

Task<void> NoteDrained(Stream* stream, absl::Status* status) {
  *status = co_await stream->Drained();
}

TEST_F(StreamTest, CloseCancelsWhoWaitsAndAwaitsTheKernel) {
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  auto stream = std::make_unique<Stream>(Adopt(&pair));
  absl::Status received;
  absl::Status drained;
  TaskGroup group;
  group.Spawn(NoteReceive(stream.get(), &received));
  stream->Queue(Pattern(1 << 20));  // Fills the socket: a send stays pending.
  group.Spawn(NoteDrained(stream.get(), &drained));
  for (int i = 0; i < 3; ++i) Turn();
  ASSERT_EQ(group.running(), 2u);
  EXPECT_EQ(loop_->in_flight(), 2u);
  loop_->RunUntilDone(stream->Close());
  EXPECT_EQ(stream->fd(), -1);
  stream.reset();
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(received.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(drained.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(StreamTest, StreamDestroyedOpenClosesInTheBackground) {
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  {
    Stream stream = Adopt(&pair);
    std::string got;
    TaskGroup group;
    group.Spawn(ReceivePart(&stream, 1, &got));
    pair.WriteFar("x");
    RunUntilIdle(&group);
    pair.WriteFar("unread");
    stream.Queue(Pattern(1 << 20));
    Turn();
  }
  // Reading on at the far end sees the end, not a hang.
  while (loop_->in_flight() > 0) Turn(absl::Seconds(10));
  while (!pair.ReadFar().empty()) {
  }
  char byte;
  errno = 0;
  EXPECT_LE(recv(pair.far, &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_NE(errno, EAGAIN);
}

TEST_F(StreamTest, LoopEndsTheStreamsThatWereDestroyedOpen) {
  SocketPair pair;
  {
    Stream stream = Adopt(&pair);
    std::string got;
    TaskGroup group;
    group.Spawn(ReceivePart(&stream, 1, &got));
    pair.WriteFar("x");
    RunUntilIdle(&group);
  }
  loop_.reset();
  errno = 0;
  char byte;
  EXPECT_EQ(recv(pair.far, &byte, 1, MSG_DONTWAIT), 0);
}

TEST_F(StreamTest, CancelReceiveLosesNoByte) {
  SocketPair pair;
  Stream stream = Adopt(&pair);
  absl::Status status;
  TaskGroup group;
  group.Spawn(NoteReceive(&stream, &status));
  Turn();
  stream.CancelReceive();
  pair.WriteFar("kept");
  Turn();
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  std::string got;
  group.Spawn(ReceivePart(&stream, 4, &got));
  RunUntilIdle(&group);
  EXPECT_EQ(got, "kept");
  Close(&stream);
}

TEST_F(StreamTest, QueuingPastTheBoundBreaksTheStream) {
  SocketPair pair;
  Stream::Options options;
  options.send_buffer_max = 1000;
  Stream stream = Adopt(&pair, options);
  stream.Queue(Pattern(1000));
  EXPECT_TRUE(stream.status().ok());
  stream.Queue("x");
  EXPECT_EQ(stream.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(stream.queued_bytes(), 0u);
  absl::Status status;
  TaskGroup group;
  group.Spawn(NoteReceive(&stream, &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  stream.Queue("dropped");
  EXPECT_EQ(stream.queued_bytes(), 0u);
}

// Two ends of one TCP connection on the loop.
Task<void> AcceptOne(Listener* listener, Stream* into) {
  absl::StatusOr<Stream> stream = co_await listener->Accept();
  EXPECT_TRUE(stream.ok()) << stream.status();
  if (stream.ok()) *into = *std::move(stream);
}

Task<absl::Status> ConnectTo(Loop* loop, SocketAddress address,
                             absl::Duration timeout,
                             const SocketAddress* source, Stream* into) {
  absl::StatusOr<Stream> stream =
      co_await Stream::Connect(loop, address, timeout, source);
  if (stream.ok() && into != nullptr) *into = *std::move(stream);
  co_return stream.status();
}

class TcpTest : public StreamTest {
 protected:
  TcpTest() {
    auto listener = Listener::Bind(loop_.get(), 0);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = std::make_unique<Listener>(*std::move(listener));
  }
  void MakePair(Stream* near, Stream* far) {
    TaskGroup group;
    group.Spawn(AcceptOne(listener_.get(), far));
    absl::Status status =
        loop_->RunUntilDone(ConnectTo(loop_.get(), listener_->local_address(),
                                      absl::Seconds(30), nullptr, near));
    ASSERT_TRUE(status.ok()) << status;
    RunUntilIdle(&group);
  }
  std::unique_ptr<Listener> listener_;
};

TEST_F(TcpTest, ResetIsAnErrorOnceAndNoCrash) {
  Stream near;
  Stream far;
  MakePair(&near, &far);
  absl::Status status;
  TaskGroup group;
  group.Spawn(NoteReceive(&near, &status));
  loop_->RunUntilDone(far.Abort());
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("reset"));
  EXPECT_EQ(near.status(), status);
  absl::Status sent = loop_->RunUntilDone(Send(&near, "into the void"));
  EXPECT_EQ(sent, status);
}

TEST_F(TcpTest, SendToAPeerThatIsGoneFailsWithoutSigpipe) {
  Stream near;
  Stream far;
  MakePair(&near, &far);
  Close(&far);
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i) {
    status = loop_->RunUntilDone(Send(&near, "hello"));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(TcpTest, LargeTransferKeepsOrderOverTinyBuffers) {
  Stream near;
  Stream far;
  MakePair(&near, &far);
  const int small = 8192;
  setsockopt(near.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  setsockopt(far.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  std::string got;
  TaskGroup group;
  absl::Status status;
  group.Spawn(EchoUntilEnd(&far, &status));
  group.Spawn(TalkTo(&near, 5 << 20, 99, &got));
  RunUntilIdle(&group);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(got == Pattern(5 << 20, 99));
  EXPECT_GT(loop_->stats().short_sends, 0u);
}

TEST_F(TcpTest, ConnectRefusedSaysWhereAndWhy) {
  const SocketAddress address = listener_->local_address();
  loop_->RunUntilDone(listener_->Close());
  absl::Status status = loop_->RunUntilDone(
      ConnectTo(loop_.get(), address, absl::Seconds(30), nullptr, nullptr));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr(address.ToString()));
  EXPECT_THAT(status.ToString(), HasSubstr("refused"));
}

// A listener that never accepts and has no room left swallows the SYN.
TEST_F(TcpTest, ConnectEndsAtItsTimeout) {
  Listener::Options options;
  options.backlog = 0;
  auto full = Listener::Bind(loop_.get(), SocketAddress::Loopback(0), options);
  ASSERT_TRUE(full.ok());
  std::vector<Stream> kept(8);
  absl::Status last;
  for (Stream& stream : kept) {
    last = loop_->RunUntilDone(ConnectTo(loop_.get(), full->local_address(),
                                         absl::Milliseconds(20), nullptr,
                                         &stream));
    if (!last.ok()) break;
  }
  EXPECT_EQ(last.code(), absl::StatusCode::kDeadlineExceeded) << last;
}

TEST_F(TcpTest, ConnectFromAGivenPort) {
  // A port that was free a moment ago.
  auto other = Listener::Bind(loop_.get(), 0);
  ASSERT_TRUE(other.ok());
  const SocketAddress source = other->local_address();
  loop_->RunUntilDone(other->Close());
  Stream near;
  Stream far;
  TaskGroup group;
  group.Spawn(AcceptOne(listener_.get(), &far));
  absl::Status status =
      loop_->RunUntilDone(ConnectTo(loop_.get(), listener_->local_address(),
                                    absl::Seconds(30), &source, &near));
  ASSERT_TRUE(status.ok()) << status;
  RunUntilIdle(&group);
  EXPECT_EQ(near.local_address().port(), source.port());
  EXPECT_EQ(far.peer_address().port(), source.port());

  // The same pair of ports again: taken.
  status =
      loop_->RunUntilDone(ConnectTo(loop_.get(), listener_->local_address(),
                                    absl::Seconds(30), &source, nullptr));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;

  // Port 0 of a source: any port, that address.
  const SocketAddress any_port = SocketAddress::Loopback(0);
  group.Spawn(AcceptOne(listener_.get(), &far));
  status =
      loop_->RunUntilDone(ConnectTo(loop_.get(), listener_->local_address(),
                                    absl::Seconds(30), &any_port, &near));
  EXPECT_TRUE(status.ok()) << status;
  RunUntilIdle(&group);
}

TEST_F(TcpTest, PortInUseNamesTheAddress) {
  auto second = Listener::Bind(loop_.get(), listener_->local_address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(second.status().ToString(),
              HasSubstr(listener_->local_address().ToString()));
}

TEST_F(TcpTest, ReusePortLetsSeveralListenersShareAPort) {
  Listener::Options options;
  options.reuse_port = true;
  auto first = Listener::Bind(loop_.get(), SocketAddress::Loopback(0), options);
  ASSERT_TRUE(first.ok());
  auto second = Listener::Bind(loop_.get(), first->local_address(), options);
  EXPECT_TRUE(second.ok()) << second.status();
}

Task<void> AcceptMany(Listener* listener, int count,
                      std::vector<Stream>* into) {
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<Stream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return;
    into->push_back(*std::move(stream));
  }
}

// Connections beyond the queue wait in the kernel and come when asked for.
TEST_F(TcpTest, AcceptingIsBoundedWhileNobodyAsks) {
  Listener::Options options;
  options.pending_max = 4;
  auto listener =
      Listener::Bind(loop_.get(), SocketAddress::Loopback(0), options);
  ASSERT_TRUE(listener.ok());
  std::vector<Stream> accepted;
  TaskGroup group;
  group.Spawn(AcceptMany(&*listener, 1, &accepted));
  std::vector<Stream> clients(40);
  for (Stream& client : clients) {
    absl::Status status =
        loop_->RunUntilDone(ConnectTo(loop_.get(), listener->local_address(),
                                      absl::Seconds(30), nullptr, &client));
    ASSERT_TRUE(status.ok()) << status;
  }
  RunUntilIdle(&group);
  group.Spawn(AcceptMany(&*listener, 39, &accepted));
  RunUntilIdle(&group);
  EXPECT_EQ(accepted.size(), 40u);
}

// Out of descriptors: the listener pauses, says so, and recovers by itself.
TEST_F(TcpTest, AcceptPausesWithoutDescriptorsAndRecovers) {
  Listener::Options options;
  options.pause = absl::Milliseconds(2);
  auto listener =
      Listener::Bind(loop_.get(), SocketAddress::Loopback(0), options);
  ASSERT_TRUE(listener.ok());
  std::vector<Stream> accepted;
  TaskGroup group;
  std::vector<int> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  Turn();  // UBSan needs a descriptor when it sees an object first.
  rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const int next = dup(0);
  close(next);
  rlimit limit = old_limit;
  limit.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  // The kernel notes the limit when accepting is asked for.
  group.Spawn(AcceptMany(&*listener, 3, &accepted));
  const SocketAddress address = listener->local_address();
  for (int client : clients) {
    ASSERT_EQ(connect(client, address.data(), address.length()), 0);
  }
  while (loop_->stats().accept_pauses < 3) Turn(absl::Seconds(10));
  EXPECT_EQ(group.running(), 1u);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old_limit), 0);
  RunUntilIdle(&group);
  EXPECT_EQ(accepted.size(), 3u);
  for (int client : clients) close(client);
}

Task<void> NoteAccept(Listener* listener, absl::Status* status) {
  absl::StatusOr<Stream> stream = co_await listener->Accept();
  *status = stream.status();
}

TEST_F(TcpTest, ClosingAListenerCancelsAccept) {
  absl::Status status;
  TaskGroup group;
  group.Spawn(NoteAccept(listener_.get(), &status));
  Turn();
  loop_->RunUntilDone(listener_->Close());
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(TcpTest, CancelAcceptEndsEveryLaterAccept) {
  absl::Status status;
  TaskGroup group;
  group.Spawn(NoteAccept(listener_.get(), &status));
  Turn();
  listener_->CancelAccept();
  Turn();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  status = absl::OkStatus();
  group.Spawn(NoteAccept(listener_.get(), &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

// Descriptor numbers come back at once after close(2): a request of the old
// stream must never deliver to the new one.
TEST_F(StreamTest, ReusedDescriptorsGetOnlyTheirOwnBytes) {
  for (int i = 0; i < 2000; ++i) {
    SocketPair pair;
    Stream stream = Adopt(&pair);
    std::string got;
    TaskGroup group;
    const std::string own = "stream " + std::to_string(i);
    group.Spawn(ReceivePart(&stream, own.size(), &got));
    pair.WriteFar(own);
    RunUntilIdle(&group);
    ASSERT_EQ(got, own);
    if (i % 2 == 0) pair.WriteFar("late bytes of " + own);
    if (i % 3 == 0) {
      Close(&stream);
    }  // Otherwise in the background.
  }
}

std::string SocketPath(const char* name) {
  return ::testing::TempDir() + "/" + name + std::to_string(getpid());
}

TEST_F(StreamTest, UnixSocketsListenConnectAndCleanUp) {
  const std::string path = SocketPath("ringplane_unix_");
  absl::StatusOr<SocketAddress> address = SocketAddress::Unix(path);
  ASSERT_TRUE(address.ok());
  auto listener = Listener::Bind(loop_.get(), *address);
  ASSERT_TRUE(listener.ok()) << listener.status();
  // Somebody listens there: not stale.
  auto second = Listener::Bind(loop_.get(), *address);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);

  Stream near;
  Stream far;
  TaskGroup group;
  group.Spawn(AcceptOne(&*listener, &far));
  absl::Status status = loop_->RunUntilDone(
      ConnectTo(loop_.get(), *address, absl::Seconds(30), nullptr, &near));
  ASSERT_TRUE(status.ok()) << status;
  RunUntilIdle(&group);
  std::string got;
  absl::Status echoed;
  group.Spawn(EchoUntilEnd(&far, &echoed));
  group.Spawn(TalkTo(&near, 100000, 5, &got));
  RunUntilIdle(&group);
  EXPECT_TRUE(got == Pattern(100000, 5));
  loop_->RunUntilDone(listener->Close());
  EXPECT_NE(access(path.c_str(), F_OK), 0);

  // A file left by a process that was killed does not stand in the way.
  const int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(stale, address->data(), address->length()), 0);
  close(stale);
  auto third = Listener::Bind(loop_.get(), *address);
  EXPECT_TRUE(third.ok()) << third.status();
}

TEST_F(StreamTest, AbstractUnixSocketsWork) {
  absl::StatusOr<SocketAddress> address =
      SocketAddress::Parse("unix:@ringplane-test-" + std::to_string(getpid()));
  ASSERT_TRUE(address.ok());
  auto listener = Listener::Bind(loop_.get(), *address);
  ASSERT_TRUE(listener.ok()) << listener.status();
  Stream near;
  Stream far;
  TaskGroup group;
  group.Spawn(AcceptOne(&*listener, &far));
  absl::Status status = loop_->RunUntilDone(
      ConnectTo(loop_.get(), *address, absl::Seconds(30), nullptr, &near));
  ASSERT_TRUE(status.ok()) << status;
  RunUntilIdle(&group);
}

}  // namespace
}  // namespace ioloop
