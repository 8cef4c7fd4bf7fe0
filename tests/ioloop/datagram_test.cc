#include "ioloop/datagram.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <charconv>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

class DatagramTest : public LoopTest {
 protected:
  using LoopTest::LoopTest;

  DatagramSocket MustBind(const SocketAddress& address,
                          const DatagramSocket::Options& options) {
    absl::StatusOr<DatagramSocket> socket =
        DatagramSocket::Bind(loop_.get(), address, options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    if (!socket.ok()) abort();
    return *std::move(socket);
  }
  DatagramSocket MustBind() { return MustBind(SocketAddress::Loopback(0), {}); }
  void Close(DatagramSocket* socket) { loop_->RunUntilDone(socket->Close()); }
};

struct Received {
  std::string bytes;
  SocketAddress from;
  bool truncated = false;
  absl::Status status;
};

Task<void> ReceiveOne(DatagramSocket* socket, StopToken stop,
                      absl::Time deadline, Received* into) {
  absl::StatusOr<Datagram> datagram =
      co_await WithDeadline(WithStop(socket->Receive(), stop), deadline);
  into->status = datagram.status();
  if (!datagram.ok()) co_return;
  into->bytes.assign(datagram->bytes.view());
  into->from = datagram->from;
  into->truncated = datagram->truncated;
}

Task<void> SendOne(DatagramSocket* socket, SocketAddress to, std::string bytes,
                   absl::Status* status) {
  *status = co_await socket->SendTo(to, bytes);
}

TEST_F(DatagramTest, CarriesBytesAndWhereTheyCameFrom) {
  DatagramSocket a = MustBind();
  DatagramSocket b = MustBind();
  for (const std::string& sent :
       {std::string("hello"), std::string(), Pattern(4000), std::string("x")}) {
    absl::Status status;
    loop_->RunUntilDone(SendOne(&a, b.local_address(), sent, &status));
    EXPECT_TRUE(status.ok()) << status;
    Received got;
    loop_->RunUntilDone(
        ReceiveOne(&b, StopToken(), absl::InfiniteFuture(), &got));
    EXPECT_TRUE(got.status.ok()) << got.status;
    EXPECT_TRUE(got.bytes == sent) << got.bytes.size();
    EXPECT_EQ(got.from, a.local_address());
    EXPECT_FALSE(got.truncated);
  }
  Close(&a);
  Close(&b);
}

TEST_F(DatagramTest, Ipv6) {
  DatagramSocket a = MustBind(*SocketAddress::Parse("[::1]:0"), {});
  absl::Status status;
  loop_->RunUntilDone(SendOne(&a, a.local_address(), "to myself", &status));
  EXPECT_TRUE(status.ok()) << status;
  Received got;
  loop_->RunUntilDone(
      ReceiveOne(&a, StopToken(), absl::InfiniteFuture(), &got));
  EXPECT_EQ(got.bytes, "to myself");
  EXPECT_EQ(got.from, a.local_address());
  Close(&a);
}

// What does not fit a buffer says so: it is not taken for a whole datagram.
TEST_F(DatagramTest, ALongDatagramComesTruncated) {
  DatagramSocket a = MustBind();
  const std::string sent = Pattern(9000);
  absl::Status status;
  loop_->RunUntilDone(SendOne(&a, a.local_address(), sent, &status));
  Received got;
  loop_->RunUntilDone(
      ReceiveOne(&a, StopToken(), absl::InfiniteFuture(), &got));
  EXPECT_TRUE(got.truncated);
  EXPECT_LT(got.bytes.size(), 4096u);
  EXPECT_GT(got.bytes.size(), 3900u);
  EXPECT_TRUE(got.bytes == sent.substr(0, got.bytes.size()));
  Close(&a);
}

TEST_F(DatagramTest, TooLongToSendIsAnError) {
  DatagramSocket a = MustBind();
  absl::Status status;
  loop_->RunUntilDone(
      SendOne(&a, a.local_address(), std::string(70000, 'x'), &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_TRUE(a.QueueTo(a.local_address(), std::string(70000, 'x')));
  while (a.queued() > 0) Turn(absl::InfiniteDuration());
  EXPECT_EQ(a.send_errors(), 1u);
  Close(&a);
}

// A flood that nobody reads is the kernel's to drop, also where copies bring
// the buffers of a small pool back.
TEST(DatagramFloodTest, UnreadSocketOfASmallPoolHoldsABoundedNumberOfCopies) {
  Loop::Options small = SmallLoop();
  small.buffer_count = 4;
  std::unique_ptr<Loop> loop = MakeLoop(small);
  DatagramSocket::Options options;
  options.receive_queue_max = 4;
  auto socket =
      DatagramSocket::Bind(loop.get(), SocketAddress::Loopback(0), options);
  ASSERT_TRUE(socket.ok()) << socket.status();
  const int far = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(far, 0);
  const SocketAddress to = socket->local_address();
  ASSERT_EQ(connect(far, to.data(), to.length()), 0);
  ASSERT_EQ(send(far, "first", 5, 0), 5);
  Received got;
  loop->RunUntilDone(
      ReceiveOne(&*socket, StopToken(), absl::InfiniteFuture(), &got));
  EXPECT_EQ(got.bytes, "first");
  const std::string sent = Pattern(1000);
  for (int i = 0; i < 500; ++i) {
    for (int j = 0; j < 20; ++j) {
      static_cast<void>(!send(far, sent.data(), sent.size(), MSG_DONTWAIT));
    }
    ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  }
  EXPECT_GT(loop->stats().buffers_exhausted, 0u);
  EXPECT_LE(loop->buffers().lent() + loop->buffers().copies(), 100u);
  close(far);
  loop->RunUntilDone(socket->Close());
}

constexpr int kMany = 10000;

// Text that names its number, of a length that varies with it.
std::string Numbered(int number) {
  return absl::StrCat(number, ":",
                      Pattern(static_cast<size_t>(number % 700),
                              static_cast<uint64_t>(number)));
}

Task<void> EchoDatagrams(DatagramSocket* socket) {
  for (;;) {
    absl::StatusOr<Datagram> datagram = co_await socket->Receive();
    if (!datagram.ok()) co_return;
    EXPECT_TRUE(socket->QueueTo(datagram->from, datagram->bytes));
  }
}

// UDP on loopback loses nothing that its receiver has room for, so a window of
// unanswered datagrams has all of them answered.
Task<void> AskMany(DatagramSocket* socket, SocketAddress server,
                   std::vector<int>* answers) {
  constexpr int kWindow = 100;
  int sent = 0;
  for (int answered = 0; answered < kMany; ++answered) {
    for (; sent < kMany && sent - answered < kWindow; ++sent) {
      EXPECT_TRUE(socket->QueueTo(server, Numbered(sent)));
    }
    absl::StatusOr<Datagram> datagram = co_await socket->Receive();
    EXPECT_TRUE(datagram.ok()) << datagram.status();
    if (!datagram.ok()) co_return;
    const std::string_view text = datagram->bytes;
    int number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    EXPECT_TRUE(number >= 0 && number < kMany) << number;
    if (number < 0 || number >= kMany) co_return;
    EXPECT_TRUE(text == Numbered(number)) << number;
    ++(*answers)[static_cast<size_t>(number)];
  }
}

void EchoMany(Loop* loop) {
  DatagramSocket::Options options;
  options.socket_receive_bytes = 1 << 20;
  auto server = DatagramSocket::Bind(loop, SocketAddress::Loopback(0), options);
  auto client = DatagramSocket::Bind(loop, SocketAddress::Loopback(0), options);
  ASSERT_TRUE(server.ok() && client.ok());
  std::vector<int> answers(kMany);
  TaskGroup group;
  group.Spawn(EchoDatagrams(&*server));
  loop->RunUntilDone(AskMany(&*client, server->local_address(), &answers));
  EXPECT_THAT(answers, ::testing::Each(1));
  EXPECT_EQ(server->dropped() + client->dropped(), 0u);
  EXPECT_EQ(server->send_errors() + client->send_errors(), 0u);
  loop->RunUntilDone(server->Close());
  EXPECT_EQ(group.running(), 0u);
  loop->RunUntilDone(client->Close());
}

TEST_F(DatagramTest, TenThousandDatagramsComeBackOnceEach) {
  EchoMany(loop_.get());
  EXPECT_EQ(loop_->in_flight(), 0u);
  EXPECT_EQ(loop_->buffers().lent(), 0u);
}

// Shortage of everything: buffers, SQEs, CQEs.
TEST(TinyDatagramTest, TenThousandDatagramsOnTinyQueues) {
  Loop::Options options = SmallLoop();
  options.sq_entries = 4;
  options.cq_entries = 4;
  options.buffer_count = 4;
  std::unique_ptr<Loop> loop = MakeLoop(options);
  EchoMany(loop.get());
  EXPECT_GT(loop->stats().buffers_exhausted, 0u);
}

TEST(TinyDatagramTest, ABadKernelLosesNoneEither) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Loop::Options options = SmallLoop();
    options.fault_seed = seed;
    std::unique_ptr<Loop> loop = MakeLoop(options);
    EchoMany(loop.get());
  }
}

class UnixDatagramTest : public DatagramTest {
 protected:
  UnixDatagramTest() {
    char name[] = "/tmp/datagram_test_XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    folder_ = name;
  }
  ~UnixDatagramTest() override { EXPECT_EQ(rmdir(folder_.c_str()), 0); }
  SocketAddress At(const char* name) {
    return *SocketAddress::Unix(absl::StrCat(folder_, "/", name));
  }
  std::string folder_;
};

Task<void> ReceiveInOrder(DatagramSocket* socket, int* received) {
  for (; *received < kMany; ++*received) {
    absl::StatusOr<Datagram> datagram = co_await socket->Receive();
    EXPECT_TRUE(datagram.ok()) << datagram.status();
    if (!datagram.ok()) co_return;
    EXPECT_TRUE(datagram->bytes.view() == Numbered(*received)) << *received;
  }
}

Task<void> SendInOrder(DatagramSocket* socket) {
  for (int i = 0; i < kMany; ++i) {
    const std::string bytes = Numbered(i);
    const absl::Status status = co_await socket->Send(bytes);
    EXPECT_TRUE(status.ok()) << status;
  }
}

// Faster than the receiver: a unix socket makes its senders wait.
TEST_F(UnixDatagramTest, TenThousandArriveInOrder) {
  DatagramSocket server = MustBind(At("server"), {});
  absl::StatusOr<DatagramSocket> client =
      loop_->RunUntilDone(DatagramSocket::Connect(
          loop_.get(), server.local_address(), nullptr, {}));
  ASSERT_TRUE(client.ok()) << client.status();
  int received = 0;
  TaskGroup group;
  group.Spawn(ReceiveInOrder(&server, &received));
  group.Spawn(SendInOrder(&*client));
  RunUntilIdle(&group);
  EXPECT_EQ(received, kMany);
  // The same by the queue, which is refilled when it has room.
  received = 0;
  group.Spawn(ReceiveInOrder(&server, &received));
  int queued = 0;
  while (group.running() > 0) {
    while (queued < kMany && client->queued() < 1000) {
      EXPECT_TRUE(client->Queue(Numbered(queued++)));
    }
    Turn(absl::InfiniteDuration());
  }
  EXPECT_EQ(received, kMany);
  Close(&server);
  Close(&*client);
}

TEST_F(UnixDatagramTest, TheFileGoesWithTheSocket) {
  DatagramSocket server = MustBind(At("server"), {});
  const std::string path = At("server").HostString();
  struct stat info;
  EXPECT_EQ(lstat(path.c_str(), &info), 0);
  EXPECT_EQ(DatagramSocket::Bind(loop_.get(), At("server")).status().code(),
            absl::StatusCode::kAlreadyExists);
  // Nameless: nothing to remove, and its datagrams come from nowhere.
  absl::StatusOr<DatagramSocket> client = loop_->RunUntilDone(
      DatagramSocket::Connect(loop_.get(), At("server"), nullptr, {}));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(client->Queue("anonymous"));
  Received got;
  loop_->RunUntilDone(
      ReceiveOne(&server, StopToken(), absl::InfiniteFuture(), &got));
  EXPECT_EQ(got.bytes, "anonymous");
  EXPECT_FALSE(got.from.is_unix() && !got.from.HostString().empty() &&
               got.from.HostString()[0] == '/');
  Close(&server);
  EXPECT_NE(lstat(path.c_str(), &info), 0);
  Close(&*client);
  EXPECT_EQ(loop_
                ->RunUntilDone(DatagramSocket::Connect(
                    loop_.get(), At("server"), nullptr, {}))
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
}

// A peer that is not there answers with ICMP: an error to tell, no end.
TEST_F(DatagramTest, ARefusingPeerIsAnErrorAndNoEnd) {
  DatagramSocket gone = MustBind();
  const SocketAddress address = gone.local_address();
  absl::StatusOr<DatagramSocket> client = loop_->RunUntilDone(
      DatagramSocket::Connect(loop_.get(), address, nullptr, {}));
  ASSERT_TRUE(client.ok()) << client.status();
  Close(&gone);
  Received got;
  TaskGroup group;
  group.Spawn(ReceiveOne(&*client, StopToken(), absl::InfiniteFuture(), &got));
  Turn();
  EXPECT_TRUE(client->Queue("anybody there?"));
  RunUntilIdle(&group);
  EXPECT_EQ(got.status.code(), absl::StatusCode::kUnavailable) << got.status;

  DatagramSocket back = MustBind(address, {});
  EXPECT_TRUE(back.QueueTo(client->local_address(), "here I am"));
  loop_->RunUntilDone(
      ReceiveOne(&*client, StopToken(), absl::InfiniteFuture(), &got));
  EXPECT_TRUE(got.status.ok()) << got.status;
  EXPECT_EQ(got.bytes, "here I am");
  Close(&back);
  Close(&*client);
}

TEST_F(DatagramTest, AFullSendQueueRefuses) {
  DatagramSocket::Options options;
  options.send_queue_max = 3;
  DatagramSocket a = MustBind(SocketAddress::Loopback(0), options);
  const SocketAddress to = a.local_address();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(a.QueueTo(to, "x"), i < 3) << i;
  EXPECT_EQ(a.dropped(), 2u);
  EXPECT_EQ(a.queued(), 3u);
  while (a.queued() > 0) Turn(absl::InfiniteDuration());
  EXPECT_TRUE(a.QueueTo(to, "x"));
  Close(&a);
  EXPECT_FALSE(DatagramSocket().valid());
}

// What nobody asks for waits in a bounded number of buffers.
TEST_F(DatagramTest, AReceiverWhoLeavesHoldsBoundedBuffers) {
  DatagramSocket::Options options;
  options.receive_queue_max = 4;
  options.socket_receive_bytes = 1 << 20;
  DatagramSocket server = MustBind(SocketAddress::Loopback(0), options);
  DatagramSocket client = MustBind();
  Received got;
  loop_->RunUntilDone(
      ReceiveOne(&server, StopToken(), loop_->now(), &got));  // Arms.
  EXPECT_EQ(got.status.code(), absl::StatusCode::kDeadlineExceeded);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(client.QueueTo(server.local_address(), Numbered(i)));
    Turn();
  }
  for (int i = 0; i < 5; ++i) Turn();
  EXPECT_LE(loop_->buffers().lent(), 8u);
  for (int i = 0; i < 100; ++i) {
    loop_->RunUntilDone(
        ReceiveOne(&server, StopToken(), absl::InfiniteFuture(), &got));
    EXPECT_EQ(got.bytes, Numbered(i));
  }
  Close(&server);
  Close(&client);
}

TEST_F(DatagramTest, StopsDeadlinesAndCloseEndEachWait) {
  DatagramSocket a = MustBind();
  StopSource source;
  Received got;
  TaskGroup group;
  group.Spawn(ReceiveOne(&a, source.token(), absl::InfiniteFuture(), &got));
  Turn();
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(got.status.code(), absl::StatusCode::kCancelled);
  // Nothing is lost by it.
  EXPECT_TRUE(a.QueueTo(a.local_address(), "kept"));
  loop_->RunUntilDone(
      ReceiveOne(&a, StopToken(), absl::InfiniteFuture(), &got));
  EXPECT_EQ(got.bytes, "kept");
  group.Spawn(ReceiveOne(&a, StopToken(), absl::InfiniteFuture(), &got));
  Turn();
  Close(&a);
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(got.status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(a.QueueTo(SocketAddress::Loopback(1), "x"));
  absl::Status status;
  loop_->RunUntilDone(SendOne(&a, SocketAddress::Loopback(1), "x", &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

// With a send that waits for room in a full peer.
TEST_F(UnixDatagramTest, CloseEndsASendThatWaits) {
  DatagramSocket server = MustBind(At("server"), {});
  absl::StatusOr<DatagramSocket> client = loop_->RunUntilDone(
      DatagramSocket::Connect(loop_.get(), At("server"), nullptr, {}));
  ASSERT_TRUE(client.ok()) << client.status();
  int sent = 0;
  absl::Status last;
  auto flood = [](DatagramSocket* socket, int* count,
                  absl::Status* status) -> Task<void> {
    while (status->ok()) {
      *status = co_await socket->Send("more");
      *count += status->ok() ? 1 : 0;
    }
  };
  TaskGroup group;
  group.Spawn(flood(&*client, &sent, &last));
  int before = -1;
  while (before != sent) {
    before = sent;
    for (int i = 0; i < 100; ++i) Turn();
  }
  EXPECT_GT(sent, 0);
  EXPECT_EQ(group.running(), 1u);
  Close(&*client);
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(last.code(), absl::StatusCode::kCancelled) << last;
  Close(&server);
}

TEST_F(DatagramTest, DestroyedOpenItIsClosedInTheBackground) {
  SocketAddress address;
  {
    DatagramSocket a = MustBind();
    address = a.local_address();
    Received got;
    loop_->RunUntilDone(ReceiveOne(&a, StopToken(), loop_->now(), &got));
    EXPECT_TRUE(a.QueueTo(address, "never read"));
  }
  for (int i = 0; i < 100 && loop_->in_flight() > 0; ++i) Turn();
  EXPECT_EQ(loop_->in_flight(), 0u);
  DatagramSocket again = MustBind(address, {});  // The port is free.
  Close(&again);
}

}  // namespace
}  // namespace ioloop
