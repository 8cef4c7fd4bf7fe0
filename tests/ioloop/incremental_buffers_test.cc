// Receives that share buffers: nothing is lost or reordered, and what is lent
// stays as it is. Where the backend does not share, the same holds.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "ioloop/datagram.h"
#include "ioloop/internal/asan.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

Loop::Options Incremental(uint32_t count, uint32_t bytes) {
  Loop::Options options = SmallLoop();
  options.incremental_buffers = true;
  options.buffer_count = count;
  options.buffer_bytes = bytes;
  return options;
}

class IncrementalTest : public LoopTest {
 protected:
  IncrementalTest() : IncrementalTest(Incremental(64, 4096)) {}
  explicit IncrementalTest(const Loop::Options& options) : LoopTest(options) {}
  ~IncrementalTest() override {
    for (Stream& stream : streams_) loop_->RunUntilDone(stream.Close());
    EXPECT_EQ(loop_->buffers().lent(), 0u);
    EXPECT_EQ(loop_->buffers().copies(), 0u);
  }
  void Connect(size_t count) {
    pairs_ = std::vector<SocketPair>(count);
    for (SocketPair& pair : pairs_) {
      streams_.push_back(Stream::Adopt(loop_.get(), pair.TakeNear()));
    }
  }

  std::vector<SocketPair> pairs_;
  std::vector<Stream> streams_;
};

Task<void> ReceiveInto(Stream* stream, std::vector<ReceivedBytes>* held) {
  absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  if (bytes.ok()) held->push_back(*std::move(bytes));
}

Task<void> ReceiveAllInto(Stream* stream, std::string* into) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) co_return;
    into->append(bytes->view());
  }
}

TEST_F(IncrementalTest, SmallMessagesOfManyStreamsShareABuffer) {
  constexpr size_t kStreams = 20;
  Connect(kStreams);
  std::vector<ReceivedBytes> held;
  TaskGroup group;
  for (Stream& stream : streams_) group.Spawn(ReceiveInto(&stream, &held));
  Turn();
  for (size_t i = 0; i < kStreams; ++i) pairs_[i].WriteFar(Pattern(100, i));
  RunUntilIdle(&group);
  ASSERT_EQ(held.size(), kStreams);
  std::vector<std::string> got;
  for (const ReceivedBytes& bytes : held) got.emplace_back(bytes.view());
  for (size_t i = 0; i < kStreams; ++i) {
    EXPECT_THAT(got, ::testing::Contains(Pattern(100, i)));
  }
  if (!loop_->buffers().incremental()) return;
  for (size_t i = 1; i < kStreams; ++i) {
    EXPECT_EQ(held[i].data(), held[0].data() + 100 * i);
  }
  EXPECT_EQ(loop_->buffers().lent(), 0u);  // The kernel goes on in it.
}

// A piece keeps its buffer, however much goes through the others.
TEST_F(IncrementalTest, HeldBytesStayAsTheyAre) {
  Connect(2);
  std::vector<ReceivedBytes> held;
  TaskGroup group;
  group.Spawn(ReceiveInto(&streams_[0], &held));
  pairs_[0].WriteFar(Pattern(1000, 7));
  RunUntilIdle(&group);
  ASSERT_EQ(held.size(), 1u);
  std::string got;
  group.Spawn(ReceiveAllInto(&streams_[1], &got));
  std::string sent;
  for (uint64_t i = 0; i < 1000; ++i) {
    sent += Pattern(900, i);
    pairs_[1].WriteFar(Pattern(900, i));
    Turn();
  }
  pairs_[1].CloseFar();
  RunUntilIdle(&group);
  EXPECT_TRUE(got == sent);
  EXPECT_TRUE(held[0].view() == Pattern(1000, 7));
  EXPECT_EQ(loop_->buffers().lent(), 1u);
}

#ifdef RINGPLANE_ASAN
using IncrementalDeathTest = IncrementalTest;

TEST_F(IncrementalDeathTest, AReturnedPieceIsNotReadableAndItsNeighbourIs) {
  Connect(2);
  std::vector<ReceivedBytes> held;
  TaskGroup group;
  for (size_t i = 0; i < 2; ++i) {
    group.Spawn(ReceiveInto(&streams_[i], &held));
    pairs_[i].WriteFar(Pattern(101, i));
    RunUntilIdle(&group);
  }
  ASSERT_EQ(held.size(), 2u);
  const char* bytes = held[0].data();
  EXPECT_EQ(bytes[50], Pattern(101, 0)[50]);
  held.erase(held.begin());
  EXPECT_DEATH(printf("%c", const_cast<volatile const char*>(bytes)[50]),
               "use-after-poison");
  EXPECT_TRUE(held[0].view() == Pattern(101, 1));
}
#endif

class FourIncrementalTest : public IncrementalTest {
 protected:
  FourIncrementalTest() : IncrementalTest(Incremental(4, 512)) {}
};

TEST_F(FourIncrementalTest, ManyStreamsShareFourBuffersWithoutLoss) {
  constexpr size_t kStreams = 64;
  Connect(kStreams);
  std::vector<std::string> got(kStreams);
  TaskGroup group;
  for (size_t i = 0; i < kStreams; ++i) {
    group.Spawn(ReceiveAllInto(&streams_[i], &got[i]));
  }
  Turn();
  for (size_t i = 0; i < kStreams; ++i) {
    pairs_[i].WriteFar(Pattern(20000 + i, i));
    pairs_[i].CloseFar();
  }
  RunUntilIdle(&group);
  for (size_t i = 0; i < kStreams; ++i) {
    EXPECT_TRUE(got[i] == Pattern(20000 + i, i)) << "stream " << i;
  }
  EXPECT_GT(loop_->stats().buffers_exhausted, 0u);
}

// Whoever keeps what it received is served copies and does not stop the others.
TEST_F(FourIncrementalTest, HoardersGetCopies) {
  Connect(2);
  std::vector<ReceivedBytes> held;
  std::string sent;
  TaskGroup group;
  for (uint64_t i = 0; i < 200; ++i) {
    sent += Pattern(300, i);
    pairs_[0].WriteFar(Pattern(300, i));
    group.Spawn(ReceiveInto(&streams_[0], &held));
    RunUntilIdle(&group);
  }
  EXPECT_GT(loop_->stats().buffers_copied, 0u);
  EXPECT_LT(loop_->buffers().lent(), 4u);
  std::string got;
  group.Spawn(ReceiveAllInto(&streams_[1], &got));
  pairs_[1].WriteFar(Pattern(5000, 8));
  pairs_[1].CloseFar();
  RunUntilIdle(&group);
  EXPECT_TRUE(got == Pattern(5000, 8));
  std::string hoarded;
  for (const ReceivedBytes& bytes : held) hoarded += bytes.view();
  // A message that met the end of a buffer came in two.
  EXPECT_TRUE(sent.starts_with(hoarded));
  EXPECT_GE(hoarded.size(), sent.size() / 2);
  held.clear();
}

Task<void> ReceiveDatagrams(DatagramSocket* socket, int count) {
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<Datagram> datagram = co_await socket->Receive();
    EXPECT_TRUE(datagram.ok()) << datagram.status();
    if (!datagram.ok()) co_return;
    EXPECT_FALSE(datagram->truncated);
    EXPECT_TRUE(datagram->bytes.view() == Pattern(3000)) << i;
  }
}

// What is left of a shared buffer is no room for a datagram.
TEST_F(IncrementalTest, DatagramsComeWholeBesideStreams) {
  constexpr int kCount = 500;
  auto socket = DatagramSocket::Bind(loop_.get(), SocketAddress::Loopback(0));
  ASSERT_TRUE(socket.ok()) << socket.status();
  Connect(1);
  std::string got;
  TaskGroup group;
  group.Spawn(ReceiveDatagrams(&*socket, kCount));
  group.Spawn(ReceiveAllInto(&streams_[0], &got));
  std::string sent;
  for (uint64_t i = 0; i < kCount; ++i) {
    EXPECT_TRUE(socket->QueueTo(socket->local_address(), Pattern(3000)));
    sent += Pattern(700, i);
    pairs_[0].WriteFar(Pattern(700, i));
    Turn();
  }
  pairs_[0].CloseFar();
  RunUntilIdle(&group);
  EXPECT_TRUE(got == sent);
  loop_->RunUntilDone(socket->Close());
}

}  // namespace
}  // namespace ioloop
