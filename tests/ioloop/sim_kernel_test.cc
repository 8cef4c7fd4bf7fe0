// The simulated kernel itself: that it behaves as a kernel does, and catches
// who breaks a kernel's rules.
#include "ioloop/sim_kernel.h"

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/await.h"
#include "ioloop/internal/sim_memory.h"
#include "ioloop/listener.h"
#include "ioloop/mailbox.h"
#include "ioloop/stream.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"
#include "tests/ioloop/sim_test_util.h"

namespace ioloop {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SimKernelTest : public ::testing::Test {
 protected:
  SimKernelTest() : SimKernelTest(SimOptions()) {}
  explicit SimKernelTest(const SimOptions& options)
      : kernel_(options), loop_(MakeSimLoop(&kernel_, SmallLoop())) {}

  Completion Await(const Request& request) {
    return loop_->RunUntilDone(AwaitRequest(loop_.get(), request));
  }
  static Task<Completion> AwaitRequest(Loop* loop, Request request) {
    co_return co_await RequestAwaiter(loop, request);
  }

  SimKernel kernel_;
  std::unique_ptr<Loop> loop_;
};

Task<void> SleepAndNote(Loop* loop, absl::Duration duration, int id,
                        std::vector<int>* order) {
  co_await SleepFor(loop, duration);
  order->push_back(id);
}

TEST_F(SimKernelTest, TimeJumpsToTheNextTimer) {
  std::vector<int> order;
  TaskGroup group;
  const absl::Time start = loop_->now();
  group.Spawn(SleepAndNote(loop_.get(), absl::Hours(24 * 30), 2, &order));
  group.Spawn(SleepAndNote(loop_.get(), absl::Minutes(1), 1, &order));
  auto other = MakeSimLoop(&kernel_, SmallLoop());
  group.Spawn(SleepAndNote(other.get(), absl::Hours(1), 3, &order));
  absl::Status status = kernel_.RunUntil([&] { return group.running() == 0; });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(order, ElementsAre(1, 3, 2));
  EXPECT_GE(loop_->now() - start, absl::Hours(24 * 30));
  EXPECT_LT(loop_->now() - start, absl::Hours(24 * 30) + absl::Seconds(1));
}

// A loop that waits for what will never come is an error, not a hang.
TEST_F(SimKernelTest, ASleepWithoutEndIsReported) {
  const auto [near, far] = kernel_.OpenPair();
  Stream stream = Stream::Adopt(loop_.get(), near);
  std::string got;
  absl::Status received;
  TaskGroup group;
  group.Spawn(ReceiveAll(&stream, &got, &received));
  absl::Status status = kernel_.RunUntil([&] { return group.running() == 0; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.ToString(), HasSubstr("sleeps"));
  loop_->sockets().Close(far);
  ASSERT_TRUE(kernel_.RunUntil([&] { return group.running() == 0; }).ok());
  loop_->RunUntilDone(stream.Close());
  EXPECT_EQ(kernel_.descriptors(), 0u);
}

// Nobody awaits a turn that sent silently: it must not wake by itself, or the
// loop's care for those who do wait would never be tested.
TEST_F(SimKernelTest, ASilentSendEndsNoSleep) {
  const auto [near, far] = kernel_.OpenPair();
  struct Silent : Operation {
    Silent() : Operation(&Done) {}
    static void Done(Operation* op, Completion) {
      static_cast<Silent*>(op)->done = true;
    }
    bool done = false;
  } silent;
  Request request;
  request.kind = OpKind::kSend;
  request.fd = near;
  request.address = "hello";
  request.length = 5;
  loop_->Submit(&silent, request);
  EXPECT_FALSE(loop_->RunOnce(absl::InfiniteDuration()).ok());
  EXPECT_FALSE(silent.done);
  EXPECT_TRUE(loop_->RunOnce(absl::ZeroDuration()).ok());
  EXPECT_TRUE(silent.done);
  loop_->sockets().Close(near);
  loop_->sockets().Close(far);
}

TEST_F(SimKernelTest, MailboxesWakeLoopsThatSleep) {
  auto other = MakeSimLoop(&kernel_, SmallLoop());
  struct Caller {
    static Task<void> Run(Loop* home, Loop* target, int* sum) {
      for (int i = 0; i < 50; ++i) {
        co_await SleepFor(home, absl::Hours(1));
        auto call = CallOn(home, target, [] { return 1; });
        *sum += co_await call;
      }
    }
  };
  int sum = 0;
  TaskGroup group;
  const absl::Time start = loop_->now();
  group.Spawn(Caller::Run(loop_.get(), other.get(), &sum));
  absl::Status status = kernel_.RunUntil([&] { return group.running() == 0; });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(sum, 50);
  // The calls themselves take no hours.
  EXPECT_LT(loop_->now() - start, absl::Hours(50) + absl::Seconds(1));
}

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
  if (stream.ok()) *into = *std::move(stream);
  co_return stream.status();
}

Task<absl::Status> SendOne(Stream* stream, std::string bytes) {
  co_return co_await stream->SendAll(bytes);
}

class SimStreamTest : public SimKernelTest {
 protected:
  explicit SimStreamTest(const SimOptions& options) : SimKernelTest(options) {}
  SimStreamTest() = default;
  ~SimStreamTest() override {
    near_ = Stream();
    far_ = Stream();
    listener_.reset();
    loop_.reset();
    EXPECT_EQ(kernel_.descriptors(), 0u);
  }
  void Listen(const SocketAddress& address, const Listener::Options& options) {
    auto listener = Listener::Bind(loop_.get(), address, options);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = std::make_unique<Listener>(*std::move(listener));
  }
  absl::Status Connect(absl::Duration timeout, const SocketAddress* source,
                       Stream* into) {
    return loop_->RunUntilDone(ConnectTo(
        loop_.get(), listener_->local_address(), timeout, source, into));
  }
  void MakePair(const SocketAddress& address) {
    Listen(address, Listener::Options());
    TaskGroup group;
    group.Spawn(AcceptOne(listener_.get(), &far_));
    absl::Status status = Connect(absl::Seconds(30), nullptr, &near_);
    ASSERT_TRUE(status.ok()) << status;
    status = kernel_.RunUntil([&] { return group.running() == 0; });
    ASSERT_TRUE(status.ok()) << status;
  }
  // What `stream` receives until its end.
  std::string All(Stream* stream, absl::Status* status) {
    std::string got;
    loop_->RunUntilDone(ReceiveAll(stream, &got, status));
    return got;
  }
  std::unique_ptr<Listener> listener_;
  Stream near_;
  Stream far_;
};

TEST_F(SimStreamTest, AddressesOfBothEndsAgree) {
  MakePair(SocketAddress::Any(0));
  EXPECT_EQ(near_.local_address(), far_.peer_address());
  EXPECT_EQ(near_.peer_address(), far_.local_address());
  EXPECT_NE(near_.local_address().port(), 0);
}

TEST_F(SimStreamTest, BytesArriveInOrderThenTheEnd) {
  MakePair(*SocketAddress::Parse("unix:@simulated"));
  near_.Queue(Pattern(300000));
  near_.ShutdownWrite();
  absl::Status status;
  EXPECT_TRUE(All(&far_, &status) == Pattern(300000));
  EXPECT_TRUE(status.ok()) << status;
  far_.Queue("and back");
  far_.ShutdownWrite();
  EXPECT_EQ(All(&near_, &status), "and back");
  EXPECT_GT(loop_->stats().short_sends, 0u);  // The buffers have bounds.
}

TEST_F(SimStreamTest, AbortAndUnreadBytesReset) {
  for (bool abort : {true, false}) {
    MakePair(SocketAddress::Loopback(0));
    absl::Status status;
    if (!abort) {
      // Closing with bytes unread resets too.
      near_.Queue("nobody reads this");
      ASSERT_TRUE(loop_->RunUntilDone(SendOne(&near_, ".")).ok());
      ASSERT_TRUE(loop_->RunOnce(absl::Milliseconds(5)).ok());
    }
    loop_->RunUntilDone(abort ? far_.Abort() : far_.Close());
    EXPECT_EQ(All(&near_, &status), "");
    EXPECT_THAT(status.ToString(), HasSubstr("reset"));
    near_ = Stream();
  }
}

TEST_F(SimStreamTest, ConnectIsRefusedWhereNobodyListens) {
  Listen(SocketAddress::Loopback(0), Listener::Options());
  const SocketAddress address = listener_->local_address();
  loop_->RunUntilDone(listener_->Close());
  absl::Status status = loop_->RunUntilDone(
      ConnectTo(loop_.get(), address, absl::Seconds(30), nullptr, &near_));
  EXPECT_THAT(status.ToString(), HasSubstr("refused"));
}

TEST_F(SimStreamTest, AFullBacklogSwallowsConnects) {
  Listener::Options options;
  options.backlog = 0;
  Listen(SocketAddress::Loopback(0), options);
  ASSERT_TRUE(Connect(absl::Seconds(30), nullptr, &near_).ok());
  EXPECT_EQ(Connect(absl::Seconds(30), nullptr, &far_).code(),
            absl::StatusCode::kDeadlineExceeded);
  // Without a deadline of ours the kernel gives up.
  absl::Status status = Connect(absl::Hours(1), nullptr, &far_);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("timed out"));
}

TEST_F(SimStreamTest, PortsAreTakenOncePerPeer) {
  Listen(SocketAddress::Loopback(0), Listener::Options());
  auto second = Listener::Bind(loop_.get(), listener_->local_address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  const SocketAddress source = SocketAddress::Loopback(4321);
  ASSERT_TRUE(Connect(absl::Seconds(30), &source, &near_).ok());
  EXPECT_EQ(near_.local_address(), source);
  EXPECT_EQ(Connect(absl::Seconds(30), &source, &far_).code(),
            absl::StatusCode::kAlreadyExists);
  const SocketAddress any_port = SocketAddress::Loopback(0);
  ASSERT_TRUE(Connect(absl::Seconds(30), &any_port, &far_).ok());
}

class FewDescriptorsTest : public SimStreamTest {
 protected:
  static SimOptions Few() {
    SimOptions options;
    options.descriptors_max = 3;
    return options;
  }
  FewDescriptorsTest() : SimStreamTest(Few()) {}
};

TEST_F(FewDescriptorsTest, AcceptPausesUntilADescriptorIsFree) {
  Listen(SocketAddress::Loopback(0), Listener::Options());
  Stream other;
  ASSERT_TRUE(Connect(absl::Seconds(30), nullptr, &near_).ok());
  ASSERT_TRUE(Connect(absl::Seconds(30), nullptr, &other).ok());
  TaskGroup group;
  group.Spawn(AcceptOne(listener_.get(), &far_));
  while (loop_->stats().accept_pauses < 3) {
    ASSERT_TRUE(loop_->RunOnce(absl::InfiniteDuration()).ok());
  }
  loop_->RunUntilDone(other.Close());
  absl::Status status = kernel_.RunUntil([&] { return group.running() == 0; });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(far_.valid());
}

TEST_F(SimKernelTest, PollTellsWhatASocketIsReadyFor) {
  const auto [near, far] = kernel_.OpenPair();
  Request request;
  request.kind = OpKind::kPoll;
  request.fd = near;
  request.flags = POLLIN | POLLOUT;
  EXPECT_EQ(Await(request).result, POLLOUT);
  Request send;
  send.kind = OpKind::kSend;
  send.fd = far;
  send.address = "x";
  send.length = 1;
  send.flags = kSendWaits;
  EXPECT_EQ(Await(send).result, 1);
  request.flags = POLLIN;
  EXPECT_EQ(Await(request).result, POLLIN);
  loop_->sockets().Close(far);
  loop_->sockets().Close(near);
  EXPECT_EQ(Await(request).result, -EBADF);
}

TEST_F(SimKernelTest, FilesAreReadWrittenAndSynced) {
  const int fd = kernel_.OpenFile("0123456789");
  char memory[8] = {};
  FileSpan span;
  span.data = memory;
  span.length = sizeof(memory);
  span.offset = 6;
  Request request;
  request.fd = fd;
  request.address = &span;
  request.kind = OpKind::kReadAt;
  EXPECT_EQ(Await(request).result, 4);
  EXPECT_EQ(std::string(memory, 4), "6789");
  span.offset = 10;
  EXPECT_EQ(Await(request).result, 0);
  memcpy(memory, "abcdefgh", 8);
  span.offset = 12;
  request.kind = OpKind::kWriteAt;
  EXPECT_EQ(Await(request).result, 8);
  EXPECT_EQ(kernel_.FileBytes(fd),
            std::string_view("0123456789\0\0abcdefgh", 20));
  request.kind = OpKind::kSync;
  request.flags = kSyncData;
  EXPECT_EQ(Await(request).result, 0);
  request.kind = OpKind::kRead;
  request.address = memory;
  request.length = 4;
  EXPECT_EQ(Await(request).result, 4);
  EXPECT_EQ(Await(request).result, 4);
  EXPECT_EQ(std::string(memory, 4), "4567");
  loop_->sockets().Close(fd);
}

// Datagrams as io_uring delivers them.
struct DatagramReceiver : Operation {
  DatagramReceiver(Loop* owner, int fd) : Operation(&Done), loop(owner) {
    message.msg_namelen = sizeof(sockaddr_in);
    Request request;
    request.kind = OpKind::kReceiveMessage;
    request.fd = fd;
    request.address = &message;
    loop->Submit(this, request);
  }
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<DatagramReceiver*>(op);
    if ((completion.flags & kCompletionBuffer) == 0) {
      self->last = completion.result;
      return;
    }
    ReceivedBytes bytes(
        self->loop->buffers().Take(completion.flags >> kCompletionBufferShift,
                                   static_cast<uint32_t>(completion.result)));
    io_uring_recvmsg_out header;
    memcpy(&header, bytes.data(), sizeof(header));
    EXPECT_EQ(header.namelen, sizeof(sockaddr_in));
    const char* name = bytes.data() + sizeof(header);
    self->from.push_back(SocketAddress::FromSockaddr(
        reinterpret_cast<const sockaddr*>(name), header.namelen));
    self->got.emplace_back(name + sizeof(sockaddr_in), header.payloadlen);
  }
  Loop* loop;
  msghdr message = {};
  std::vector<std::string> got;
  std::vector<SocketAddress> from;
  int32_t last = 0;
};

TEST_F(SimKernelTest, DatagramsArriveWholeWithTheirSender) {
  Sockets& sockets = loop_->sockets();
  const int taker = sockets.Open(AF_INET, SOCK_DGRAM);
  const int sender = sockets.Open(AF_INET, SOCK_DGRAM);
  const SocketAddress here = SocketAddress::Loopback(0);
  ASSERT_EQ(sockets.Bind(taker, here.data(), here.length()), 0);
  ASSERT_EQ(sockets.Bind(sender, here.data(), here.length()), 0);
  sockaddr_in to = {};
  socklen_t length = sizeof(to);
  sockets.LocalAddress(taker, reinterpret_cast<sockaddr*>(&to), &length);
  DatagramReceiver receiver(loop_.get(), taker);
  std::string first = "two ";
  std::string second = "pieces";
  iovec pieces[2] = {{first.data(), first.size()},
                     {second.data(), second.size()}};
  msghdr message = {};
  message.msg_name = &to;
  message.msg_namelen = length;
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  Request request;
  request.kind = OpKind::kSendMessage;
  request.fd = sender;
  request.address = &message;
  EXPECT_EQ(Await(request).result, 10);
  while (receiver.got.empty()) {
    ASSERT_TRUE(loop_->RunOnce(absl::InfiniteDuration()).ok());
  }
  EXPECT_THAT(receiver.got, ElementsAre("two pieces"));
  sockaddr_in from = {};
  length = sizeof(from);
  sockets.LocalAddress(sender, reinterpret_cast<sockaddr*>(&from), &length);
  EXPECT_EQ(receiver.from[0], SocketAddress::FromSockaddr(
                                  reinterpret_cast<sockaddr*>(&from), length));
  loop_->Cancel(&receiver);
  while (receiver.in_flight()) {
    ASSERT_TRUE(loop_->RunOnce(absl::InfiniteDuration()).ok());
  }
  EXPECT_EQ(receiver.last, -ECANCELED);
  sockets.Close(taker);
  sockets.Close(sender);
}

// close(2) does not cancel: the request keeps its file, whatever gets the
// number next.
TEST_F(SimKernelTest, ARequestKeepsItsFileWhenTheNumberIsReused) {
  const auto [near, far] = kernel_.OpenPair();
  struct Reader : Operation {
    Reader() : Operation(&Done) {}
    static void Done(Operation* op, Completion completion) {
      static_cast<Reader*>(op)->result = completion.result;
    }
    char memory[8] = {};
    int32_t result = 1000;
  } reader;
  Request request;
  request.kind = OpKind::kRead;
  request.fd = near;
  request.address = reader.memory;
  request.length = sizeof(reader.memory);
  loop_->Submit(&reader, request);
  ASSERT_TRUE(loop_->RunOnce(absl::ZeroDuration()).ok());
  loop_->sockets().Close(near);
  const auto [reused, other_far] = kernel_.OpenPair();
  ASSERT_EQ(reused, near);
  Request send;
  send.kind = OpKind::kSend;
  send.fd = far;
  send.address = "old";
  send.length = 3;
  send.flags = kSendWaits;
  EXPECT_EQ(Await(send).result, 3);
  while (reader.in_flight()) {
    ASSERT_TRUE(loop_->RunOnce(absl::InfiniteDuration()).ok());
  }
  EXPECT_EQ(reader.result, 3);
  EXPECT_EQ(std::string(reader.memory, 3), "old");
  for (int fd : {far, reused, other_far}) loop_->sockets().Close(fd);
}

// What a kernel relies on, and the simulated one checks.
class SimRulesDeathTest : public SimKernelTest {};

TEST_F(SimRulesDeathTest, MemoryOfASendMustNotChange) {
  const auto [near, far] = kernel_.OpenPair();
  EXPECT_DEATH(
      {
        std::string bytes = "hello";
        Request request;
        request.kind = OpKind::kSend;
        request.fd = near;
        request.address = bytes.data();
        request.length = 5;
        RequestAwaiter* op = new RequestAwaiter(loop_.get(), request);
        op->await_suspend(std::noop_coroutine());
        // Behind ASan's back, which would see it itself.
        internal::WriteToUser(bytes.data(), "j");
        static_cast<void>(loop_->RunOnce(absl::ZeroDuration()));
      },
      "memory changed in the kernel's hands");
  loop_->sockets().Close(near);
  loop_->sockets().Close(far);
}

TEST_F(SimRulesDeathTest, AReturnedBufferMustNotBeWritten) {
  const auto [near, far] = kernel_.OpenPair();
  EXPECT_DEATH(
      {
        internal::WriteToUser(loop_->buffers().buffer(0), "j");
        Stream stream = Stream::Adopt(loop_.get(), near);
        Stream other = Stream::Adopt(loop_.get(), far);
        std::string got;
        absl::Status status;
        other.Queue("x");
        other.ShutdownWrite();
        loop_->RunUntilDone(ReceiveAll(&stream, &got, &status));
      },
      "written to after it was given back");
  loop_->sockets().Close(near);
  loop_->sockets().Close(far);
}

TEST_F(SimRulesDeathTest, OneSendAtATimeOnASocket) {
  const auto [near, far] = kernel_.OpenPair();
  EXPECT_DEATH(
      {
        std::string bytes(1 << 20, 'x');
        Request request;
        request.kind = OpKind::kSend;
        request.fd = near;
        request.flags = kSendWaits;
        request.address = bytes.data();
        request.length = 1 << 20;
        for (int i = 0; i < 2; ++i) {
          RequestAwaiter* op = new RequestAwaiter(loop_.get(), request);
          op->await_suspend(std::noop_coroutine());
        }
        static_cast<void>(loop_->RunOnce(absl::ZeroDuration()));
      },
      "two sends at a time");
  loop_->sockets().Close(near);
  loop_->sockets().Close(far);
}

}  // namespace
}  // namespace ioloop
