// What the options of streams and listeners make of the sockets, read back
// from the kernel; and the ways in which a stream ends.
#include <netinet/tcp.h>

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "ioloop/listener.h"
#include "ioloop/stream.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;

int Get(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof(value);
  EXPECT_EQ(getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

Task<void> AcceptOne(Listener* listener, Stream* into) {
  absl::StatusOr<Stream> stream = co_await listener->Accept();
  EXPECT_TRUE(stream.ok()) << stream.status();
  if (stream.ok()) *into = *std::move(stream);
}

Task<absl::Status> ConnectTo(Loop* loop, SocketAddress address,
                             Stream::Options options, Stream* into) {
  absl::StatusOr<Stream> stream = co_await Stream::Connect(
      loop, address, absl::Seconds(30), nullptr, options);
  if (stream.ok()) *into = *std::move(stream);
  co_return stream.status();
}

class SocketOptionsTest : public LoopTest {
 protected:
  // A connection to `address` with `options` on both ends.
  void MakePair(const SocketAddress& address, const Listener::Options& options,
                Stream* near, Stream* far) {
    auto listener = Listener::Bind(loop_.get(), address, options);
    ASSERT_TRUE(listener.ok()) << listener.status();
    TaskGroup group;
    group.Spawn(AcceptOne(&*listener, far));
    absl::Status status = loop_->RunUntilDone(ConnectTo(
        loop_.get(), listener->local_address(), options.stream, near));
    ASSERT_TRUE(status.ok()) << status;
    RunUntilIdle(&group);
    loop_->RunUntilDone(listener->Close());
  }
};

TEST_F(SocketOptionsTest, BothEndsOfATcpConnectionGetThem) {
  Listener::Options options;
  options.stream.socket_send_bytes = 50000;
  options.stream.socket_receive_bytes = 60000;
  options.stream.keepalive_idle = absl::Milliseconds(41500);
  options.stream.keepalive_interval = absl::Seconds(7);
  options.stream.keepalive_probes = 4;
  options.stream.user_timeout = absl::Seconds(9);
  Stream near;
  Stream far;
  MakePair(SocketAddress::Loopback(0), options, &near, &far);
  for (const Stream* stream : {&near, &far}) {
    const int fd = stream->fd();
    EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(Get(fd, SOL_SOCKET, SO_SNDBUF), 100000);  // The kernel doubles.
    EXPECT_EQ(Get(fd, SOL_SOCKET, SO_RCVBUF), 120000);
    EXPECT_EQ(Get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 42);
    EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
    EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 9000);
  }
}

TEST_F(SocketOptionsTest, DefaultsLeaveTheSystemsOwn) {
  Listener::Options options;
  options.stream.no_delay = false;
  Stream near;
  Stream far;
  MakePair(SocketAddress::Loopback(0), options, &near, &far);
  for (const Stream* stream : {&near, &far}) {
    EXPECT_EQ(Get(stream->fd(), IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_EQ(Get(stream->fd(), SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(Get(stream->fd(), IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  }
}

TEST_F(SocketOptionsTest, UnixStreamsGetTheirBuffersOnBothEnds) {
  const std::string name =
      "unix:@ringplane-options-" + std::to_string(getpid());
  absl::StatusOr<SocketAddress> address = SocketAddress::Parse(name);
  ASSERT_TRUE(address.ok());
  Listener::Options options;
  options.stream.socket_send_bytes = 30000;
  options.stream.keepalive_idle = absl::Seconds(1);  // TCP's: skipped.
  Stream near;
  Stream far;
  MakePair(*address, options, &near, &far);
  EXPECT_EQ(Get(near.fd(), SOL_SOCKET, SO_SNDBUF), 60000);
  EXPECT_EQ(Get(far.fd(), SOL_SOCKET, SO_SNDBUF), 60000);
}

TEST_F(SocketOptionsTest, ARefusedOptionIsNamed) {
  Listener::Options options;
  options.stream.keepalive_idle = absl::Seconds(1);
  options.stream.keepalive_probes = 1000;
  auto listener =
      Listener::Bind(loop_.get(), SocketAddress::Loopback(0), options);
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(listener.status().ToString(), HasSubstr("TCP_KEEPCNT to 1000"));
  auto other = Listener::Bind(loop_.get(), 0);
  ASSERT_TRUE(other.ok());
  Stream stream;
  absl::Status status = loop_->RunUntilDone(
      ConnectTo(loop_.get(), other->local_address(), options.stream, &stream));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), HasSubstr("TCP_KEEPCNT"));
}

TEST_F(SocketOptionsTest, DualStackTakesIpv4Too) {
  absl::StatusOr<SocketAddress> any = SocketAddress::Parse("[::]:0");
  ASSERT_TRUE(any.ok());
  for (const bool dual_stack : {true, false}) {
    Listener::Options options;
    options.dual_stack = dual_stack;
    auto listener = Listener::Bind(loop_.get(), *any, options);
    ASSERT_TRUE(listener.ok()) << listener.status();
    const uint16_t port = listener->local_address().port();
    Stream near;
    absl::Status status = loop_->RunUntilDone(ConnectTo(
        loop_.get(), SocketAddress::Loopback(port), Stream::Options(), &near));
    EXPECT_EQ(status.ok(), dual_stack) << status;
    if (!dual_stack) continue;
    Stream far;
    TaskGroup group;
    group.Spawn(AcceptOne(&*listener, &far));
    RunUntilIdle(&group);
    EXPECT_THAT(far.peer_address().ToString(), HasSubstr("[::ffff:127.0.0.1]"));
  }
}

Task<void> CloseGracefully(Stream* stream, absl::Time deadline,
                           absl::Status* status) {
  *status = co_await stream->CloseGracefully(deadline);
}

// The peer still sends when we close: a plain close would reset, and what we
// sent last could be lost.
TEST_F(SocketOptionsTest, GracefulCloseDeliversAndWaitsForThePeer) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  const std::string sent = Pattern(1 << 20);
  stream.Queue(sent);
  absl::Status status = absl::UnknownError("");
  TaskGroup group;
  group.Spawn(CloseGracefully(&stream, absl::InfiniteFuture(), &status));
  pair.WriteFar("nobody reads this any more");
  std::string got;
  for (;;) {
    Turn();
    char buffer[65536];
    const ssize_t n = recv(pair.far, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n == 0) break;  // FIN, after everything.
    if (n > 0) got.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(group.running(), 1u);  // We are still there.
  pair.CloseFar();
  RunUntilIdle(&group);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(stream.fd(), -1);
}

TEST_F(SocketOptionsTest, GracefulCloseEndsAtItsDeadline) {
  SocketPair reading;
  SocketPair stalled;
  const int small = 4096;
  setsockopt(stalled.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  Stream first = Stream::Adopt(loop_.get(), reading.TakeNear());
  Stream second = Stream::Adopt(loop_.get(), stalled.TakeNear());
  second.Queue(Pattern(1 << 20));
  absl::Status never_ends;
  absl::Status never_reads;
  TaskGroup group;
  const absl::Time deadline = loop_->now() + absl::Milliseconds(5);
  group.Spawn(CloseGracefully(&first, deadline, &never_ends));
  group.Spawn(CloseGracefully(&second, deadline, &never_reads));
  RunUntilIdle(&group);
  EXPECT_EQ(never_ends.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(never_reads.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(first.fd(), -1);
  EXPECT_EQ(second.fd(), -1);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

}  // namespace
}  // namespace ioloop
