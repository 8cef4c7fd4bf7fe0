// Operations as the backend carries them out, below streams and listeners: the
// same answers on every backend. Runs on io_uring and on epoll.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include <algorithm>
#include <string>
#include <vector>

// liburing's own io_uring.h, for the layout of received messages.
#include <liburing.h>

#include "gmock/gmock.h"
#include "ioloop/await.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Whether a bad kernel has ended an operation for nothing.
bool IsPassing(int32_t result) {
  return result == -EINTR || result == -EAGAIN || result == -ECANCELED ||
         result == -ENOBUFS || result == -ECONNABORTED;
}

// Keeps every completion. On a bad kernel it asks again, as users do, for what
// was ended for nothing or moved only in part.
struct Noting : Operation {
  Noting() : Operation(&Done) {}

  void Submit(Loop* on, const Request& wanted) {
    loop = on;
    request = wanted;
    moved = 0;
    wanted_end = false;
    if (request.kind == OpKind::kReadAt || request.kind == OpKind::kWriteAt) {
      span = *static_cast<const FileSpan*>(request.address);
      request.address = &span;
    }
    loop->Submit(this, request);
  }
  void Cancel() {
    wanted_end = true;
    loop->Cancel(this);
  }
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<Noting*>(op);
    if (KernelIsBad() && !op->in_flight()) {
      const int32_t result = completion.result;
      if ((!self->wanted_end && IsPassing(result)) ||
          self->LeavesRest(result)) {
        self->loop->Submit(op, self->request);
        return;
      }
      if (result >= 0) completion.result += self->moved;
      if (self->wanted_end && IsPassing(result)) completion.result = -ECANCELED;
    }
    self->completions.push_back(completion);
  }
  // Goes on behind what was moved.
  bool LeavesRest(int32_t result) {
    if (result <= 0 || wanted_end) return false;
    const auto part = static_cast<uint32_t>(result);
    if (request.address == &span && part < span.length) {
      span = {static_cast<char*>(span.data) + part, span.length - part,
              span.offset + part};
    } else if (request.kind == OpKind::kSend && part < request.length) {
      request.address = static_cast<const char*>(request.address) + part;
      request.length -= part;
    } else {
      return false;
    }
    moved += result;
    return true;
  }
  int32_t last() const {
    return completions.empty() ? INT32_MIN : completions.back().result;
  }

  std::vector<Completion> completions;
  Loop* loop = nullptr;
  Request request;
  FileSpan span;
  int32_t moved = 0;
  bool wanted_end = false;
};

Request Make(OpKind kind, int fd, const void* address = nullptr,
             uint32_t length = 0, uint32_t flags = 0) {
  Request request;
  request.kind = kind;
  request.fd = fd;
  request.address = address;
  request.length = length;
  request.flags = flags;
  return request;
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) { EXPECT_GE(fd, 0) << strerror(errno); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Close(); }
  operator int() const { return fd_; }  // NOLINT
  int Release() { return std::exchange(fd_, -1); }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

class OperationsTest : public LoopTest {
 protected:
  void RunUntilEnded(const Noting& op) {
    while (op.in_flight()) Turn(absl::InfiniteDuration());
  }
  // Runs `request` to its end.
  int32_t Do(const Request& request) {
    Noting op;
    op.Submit(loop_.get(), request);
    RunUntilEnded(op);
    EXPECT_THAT(op.completions, SizeIs(1));
    return op.last();
  }
  // Whatever a request does in the turns after it was made is done.
  void Settle() {
    for (int i = 0; i < 3; ++i) Turn();
  }
  int32_t CancelAndEnd(Noting* op) {
    op->Cancel();
    RunUntilEnded(*op);
    return op->last();
  }
  // The bytes of a receive's completions, whose buffers go back.
  std::string TakeBytes(Noting* op) {
    std::string bytes;
    for (const Completion& completion : std::exchange(op->completions, {})) {
      if ((completion.flags & kCompletionBuffer) == 0) continue;
      const auto size = static_cast<uint32_t>(std::max(0, completion.result));
      internal::Chunk* chunk = loop_->buffers().Take(
          completion.flags >> kCompletionBufferShift, size);
      bytes.append(chunk->data, chunk->size);
      loop_->buffers().Return(chunk);
    }
    return bytes;
  }
};

TEST_F(OperationsTest, PollTellsWhatIsReadyNowAndLater) {
  SocketPair pair;
  EXPECT_EQ(Do(Make(OpKind::kPoll, pair.near, nullptr, 0, POLLIN | POLLOUT)),
            POLLOUT);
  Noting readable;
  readable.Submit(loop_.get(),
                  Make(OpKind::kPoll, pair.near, nullptr, 0, POLLIN));
  Settle();
  EXPECT_TRUE(readable.in_flight());
  pair.WriteFar("x");
  RunUntilEnded(readable);
  EXPECT_EQ(readable.last(), POLLIN);
  // Still unread: ready at once, though nothing new has come.
  EXPECT_EQ(Do(Make(OpKind::kPoll, pair.near, nullptr, 0, POLLIN)), POLLIN);
  pair.CloseFar();
  EXPECT_NE(Do(Make(OpKind::kPoll, pair.near, nullptr, 0, POLLIN)) & POLLHUP,
            0);
}

// Its completion ends the wait of the turn that brings it, also when the socket
// took everything at once.
TEST_F(OperationsTest, ASendThatWaitsWakesTheLoop) {
  SocketPair pair;
  EXPECT_EQ(Do(Make(OpKind::kSend, pair.near, "all", 3, kSendWaits)), 3);
  EXPECT_EQ(pair.ReadFar(), "all");
}

TEST_F(OperationsTest, SeveralMayPollOneDescriptor) {
  SocketPair pair;
  std::vector<Noting> ops(5);
  for (Noting& op : ops) {
    op.Submit(loop_.get(), Make(OpKind::kPoll, pair.near, nullptr, 0, POLLIN));
  }
  Settle();
  EXPECT_EQ(CancelAndEnd(&ops[2]), -ECANCELED);
  pair.WriteFar("x");
  for (size_t i : {0, 1, 3, 4}) {
    RunUntilEnded(ops[i]);
    EXPECT_EQ(ops[i].last(), POLLIN);
  }
  for (const Noting& op : ops) EXPECT_THAT(op.completions, SizeIs(1));
}

// Nobody has made these descriptors non-blocking, and nobody waits in them.
TEST_F(OperationsTest, ReadsWaitForPipesAndCounters) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fd out(ends[0]);
  Fd in(ends[1]);
  Fd counter(eventfd(0, EFD_CLOEXEC));
  char text[16] = {};
  uint64_t count = 0;
  Noting from_pipe;
  Noting from_counter;
  from_pipe.Submit(loop_.get(), Make(OpKind::kRead, out, text, sizeof(text)));
  from_counter.Submit(loop_.get(),
                      Make(OpKind::kRead, counter, &count, sizeof(count)));
  Settle();
  EXPECT_TRUE(from_pipe.in_flight());
  EXPECT_TRUE(from_counter.in_flight());
  ASSERT_EQ(write(in, "hello", 5), 5);
  RunUntilEnded(from_pipe);
  EXPECT_EQ(from_pipe.last(), 5);
  EXPECT_STREQ(text, "hello");
  ASSERT_EQ(eventfd_write(counter, 7), 0);
  RunUntilEnded(from_counter);
  EXPECT_EQ(from_counter.last(), 8);
  EXPECT_EQ(count, 7u);
  in.Close();
  EXPECT_EQ(Do(Make(OpKind::kRead, out, text, sizeof(text))), 0);
}

class FilesTest : public OperationsTest {
 protected:
  FilesTest()
      : file_(open(::testing::TempDir().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC,
                   0600)) {}
  Fd file_;
};

TEST_F(FilesTest, WritesSyncsAndReadsBack) {
  std::string text = Pattern(100000);
  FileSpan all = {text.data(), static_cast<uint32_t>(text.size()), 5};
  EXPECT_EQ(Do(Make(OpKind::kWriteAt, file_, &all)), 100000);
  EXPECT_EQ(Do(Make(OpKind::kSync, file_, nullptr, 0, kSyncData)), 0);
  EXPECT_EQ(Do(Make(OpKind::kSync, file_)), 0);
  std::string back(200000, '\0');
  FileSpan into = {back.data(), static_cast<uint32_t>(back.size()), 5};
  EXPECT_EQ(Do(Make(OpKind::kReadAt, file_, &into)), 100000);
  back.resize(100000);
  EXPECT_TRUE(back == text);
  // From the file's position, which positioned reads leave alone.
  char first[6];
  EXPECT_EQ(Do(Make(OpKind::kRead, file_, first, 6)), 6);
  EXPECT_EQ(first[5], text[0]);
  EXPECT_EQ(Do(Make(OpKind::kRead, file_, first, 1)), 1);
  EXPECT_EQ(first[0], text[1]);
  EXPECT_EQ(Do(Make(OpKind::kPoll, file_, nullptr, 0, POLLIN)), POLLIN);
}

TEST_F(FilesTest, ManyAtOnceEndEachOnce) {
  constexpr size_t kOps = 500;
  std::vector<Noting> ops(kOps);
  std::vector<std::string> texts;
  std::vector<FileSpan> spans(kOps);
  for (size_t i = 0; i < kOps; ++i) texts.push_back(Pattern(512, i));
  for (size_t i = 0; i < kOps; ++i) {
    spans[i] = {texts[i].data(), 512, i * 512};
    ops[i].Submit(loop_.get(), Make(OpKind::kWriteAt, file_, &spans[i]));
  }
  for (size_t i = 0; i < kOps; i += 3) ops[i].Cancel();
  for (size_t i = 0; i < kOps; ++i) {
    RunUntilEnded(ops[i]);
    ASSERT_THAT(ops[i].completions, SizeIs(1));
    if (ops[i].last() != 512) {
      ASSERT_EQ(i % 3, 0u) << ops[i].last();
      continue;
    }
    std::string back(512, '\0');
    ASSERT_EQ(pread(file_, back.data(), 512, static_cast<off_t>(i * 512)), 512);
    ASSERT_TRUE(back == texts[i]) << i;
  }
}

TEST_F(FilesTest, ErrorsAreResults) {
  char byte;
  FileSpan span = {&byte, 1, 0};
  EXPECT_EQ(Do(Make(OpKind::kReadAt, -1, &span)), -EBADF);
  EXPECT_EQ(Do(Make(OpKind::kReadAt, 1 << 30, &span)), -EBADF);
  Fd read_only(open(("/proc/self/fd/" + std::to_string(file_)).c_str(),
                    O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(Do(Make(OpKind::kWriteAt, read_only, &span)), -EBADF);
  EXPECT_EQ(Do(Make(OpKind::kReceive, file_)), -ENOTSOCK);
  EXPECT_EQ(Do(Make(OpKind::kSend, file_, "x", 1, kSendWaits)), -ENOTSOCK);
  EXPECT_EQ(Do(Make(OpKind::kSend, -1, "x", 1)), -EBADF);
}

struct Address {
  sockaddr_in in = {};
  socklen_t length = sizeof(in);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&in); }
};

Address Loopback() {
  Address address;
  address.in.sin_family = AF_INET;
  address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Address NameOf(int fd) {
  Address address;
  EXPECT_EQ(getsockname(fd, address.get(), &address.length), 0);
  return address;
}

Fd BoundDatagramSocket() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  Address any = Loopback();
  EXPECT_EQ(bind(fd, any.get(), any.length), 0);
  return Fd(fd);
}

// Sender, flags and payload stand where io_uring puts them.
TEST_F(OperationsTest, DatagramsArriveWithTheirSenders) {
  if (QueuesAreTiny()) GTEST_SKIP() << "keeps more buffers than four";
  Fd near = BoundDatagramSocket();
  Fd far = BoundDatagramSocket();
  Address near_name = NameOf(near);
  const Address far_name = NameOf(far);
  msghdr room = {};
  room.msg_namelen = sizeof(sockaddr_in);
  room.msg_controllen = 32;
  Noting op;
  op.Submit(loop_.get(), Make(OpKind::kReceiveMessage, near, &room));
  Settle();
  constexpr size_t kDatagrams = 40;
  for (size_t i = 0; i < kDatagrams; ++i) {
    const std::string text = "datagram " + std::to_string(i);
    ASSERT_EQ(sendto(far, text.data(), text.size(), 0, near_name.get(),
                     near_name.length),
              static_cast<ssize_t>(text.size()));
  }
  const std::string large = Pattern(5000);  // Longer than a buffer.
  ASSERT_EQ(sendto(far, large.data(), large.size(), 0, near_name.get(),
                   near_name.length),
            5000);
  while (op.completions.size() < kDatagrams + 1) {
    Turn(absl::InfiniteDuration());
  }
  for (size_t i = 0; i < op.completions.size(); ++i) {
    const Completion completion = op.completions[i];
    ASSERT_NE(completion.flags & kCompletionBuffer, 0u);
    ASSERT_NE(completion.flags & kCompletionMore, 0u);
    internal::Chunk* chunk =
        loop_->buffers().Take(completion.flags >> kCompletionBufferShift,
                              static_cast<uint32_t>(completion.result));
    io_uring_recvmsg_out header;
    memcpy(&header, chunk->data, sizeof(header));
    EXPECT_EQ(header.namelen, sizeof(sockaddr_in));
    EXPECT_EQ(header.controllen, 0u);
    EXPECT_EQ(
        memcmp(chunk->data + sizeof(header), &far_name.in, sizeof(far_name.in)),
        0);
    const size_t at = sizeof(header) + sizeof(sockaddr_in) + 32;
    const std::string payload(chunk->data + at, chunk->size - at);
    EXPECT_EQ(header.payloadlen, payload.size());
    if (i < kDatagrams) {
      EXPECT_EQ(payload, "datagram " + std::to_string(i));
      EXPECT_EQ(header.flags & MSG_TRUNC, 0u);
    } else {
      EXPECT_EQ(payload, large.substr(0, payload.size()));
      EXPECT_EQ(payload.size(), 4096 - at);
      EXPECT_NE(header.flags & MSG_TRUNC, 0u);
    }
    loop_->buffers().Return(chunk);
  }
  op.completions.clear();
  EXPECT_EQ(CancelAndEnd(&op), -ECANCELED);
  EXPECT_THAT(op.completions, SizeIs(1));
}

TEST_F(OperationsTest, MessagesAreSentWhole) {
  Fd near = BoundDatagramSocket();
  Fd far = BoundDatagramSocket();
  Address far_name = NameOf(far);
  char one[] = "one ";
  char two[] = "two";
  iovec pieces[2] = {{one, 4}, {two, 3}};
  msghdr message = {};
  message.msg_name = &far_name.in;
  message.msg_namelen = sizeof(far_name.in);
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  EXPECT_EQ(Do(Make(OpKind::kSendMessage, near, &message)), 7);
  char got[16] = {};
  EXPECT_EQ(recv(far, got, sizeof(got), 0), 7);
  EXPECT_STREQ(got, "one two");
}

// A message that finds no room waits for it.
TEST_F(OperationsTest, MessagesWaitForRoom) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
  Fd near(fds[0]);
  Fd far(fds[1]);
  while (send(near, "filler", 6, MSG_DONTWAIT) == 6) {
  }
  char text[] = "last";
  iovec piece = {text, 4};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  Noting op;
  op.Submit(loop_.get(), Make(OpKind::kSendMessage, near, &message));
  Settle();
  EXPECT_TRUE(op.in_flight());
  std::string last;
  char got[16];
  while (last != "last") {
    const ssize_t size = recv(far, got, sizeof(got), MSG_DONTWAIT);
    if (size > 0) last.assign(got, static_cast<size_t>(size));
    Turn();
  }
  RunUntilEnded(op);
  EXPECT_EQ(op.last(), 4);
}

bool Blocks(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

Fd Listening(int backlog) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Address any = Loopback();
  EXPECT_EQ(bind(fd, any.get(), any.length), 0);
  EXPECT_EQ(listen(fd, backlog), 0);
  return Fd(fd);
}

// Blocking descriptors are neither waited for nor left in another mode.
TEST_F(OperationsTest, AcceptsAndConnectsOnBlockingSockets) {
  Fd listener = Listening(64);
  Address address = NameOf(listener);
  Noting accept;
  accept.Submit(loop_.get(), Make(OpKind::kAccept, listener));
  Settle();
  EXPECT_TRUE(accept.in_flight());
  constexpr size_t kConnections = 50;
  for (size_t i = 0; i < kConnections; ++i) {
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(Do(Make(OpKind::kConnect, client, address.get(), address.length)),
              0);
    EXPECT_TRUE(Blocks(client));
  }
  while (accept.completions.size() < kConnections) {
    Turn(absl::InfiniteDuration());
  }
  for (const Completion& completion : accept.completions) {
    Fd accepted(completion.result);
    EXPECT_TRUE(Blocks(accepted));
    EXPECT_NE(fcntl(accepted, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(completion.flags & kCompletionMore, 0u);
  }
  accept.completions.clear();
  EXPECT_EQ(CancelAndEnd(&accept), -ECANCELED);
  EXPECT_TRUE(Blocks(listener));
}

TEST_F(OperationsTest, TwoMayAcceptOnOneListener) {
  Fd listener = Listening(64);
  Address address = NameOf(listener);
  Noting first;
  Noting second;
  first.Submit(loop_.get(), Make(OpKind::kAccept, listener));
  second.Submit(loop_.get(), Make(OpKind::kAccept, listener));
  Settle();
  EXPECT_EQ(CancelAndEnd(&first), -ECANCELED);
  for (size_t i = 1; i <= 3; ++i) {
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(client, address.get(), address.length), 0);
    while (second.completions.size() < i) Turn(absl::InfiniteDuration());
  }
  for (const Completion& completion : second.completions) {
    Fd accepted(completion.result);
  }
  EXPECT_EQ(CancelAndEnd(&second), -ECANCELED);
  EXPECT_TRUE(Blocks(listener));
}

TEST_F(OperationsTest, ConnectErrorsAreResults) {
  Fd listener = Listening(1);
  Address address = NameOf(listener);
  listener.Close();
  Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(Do(Make(OpKind::kConnect, client, address.get(), address.length)),
            -ECONNREFUSED);
  Fd again(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // Nobody answers there: a connect that is cancelled is over.
  Address nowhere = Loopback();
  Fd full = Listening(0);
  nowhere = NameOf(full);
  std::vector<int> fillers;
  for (int i = 0; i < 8; ++i) {
    fillers.push_back(
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    static_cast<void>(connect(fillers.back(), nowhere.get(), nowhere.length));
  }
  Noting op;
  op.Submit(loop_.get(),
            Make(OpKind::kConnect, again, nowhere.get(), nowhere.length));
  Settle();
  EXPECT_TRUE(op.in_flight());
  EXPECT_EQ(CancelAndEnd(&op), -ECANCELED);
  for (int fd : fillers) close(fd);
}

// The kernel tells nobody when a unix listener has room again.
TEST_F(OperationsTest, ConnectWaitsForAUnixListenerWithAFullQueue) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  const std::string path = "ringplane-full-" + std::to_string(getpid());
  path.copy(name.sun_path + 1, sizeof(name.sun_path) - 2);
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ASSERT_EQ(bind(listener, address, length), 0);
  ASSERT_EQ(listen(listener, 0), 0);
  std::vector<int> clients;
  int error = 0;
  while (error == 0) {
    clients.push_back(
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    error = connect(clients.back(), address, length) == 0 ? 0 : errno;
  }
  ASSERT_EQ(error, EAGAIN);
  Fd waiting(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Fd given_up(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Noting op;
  Noting cancelled;
  op.Submit(loop_.get(), Make(OpKind::kConnect, waiting, address, length));
  cancelled.Submit(loop_.get(),
                   Make(OpKind::kConnect, given_up, address, length));
  Settle();
  EXPECT_TRUE(op.in_flight());
  EXPECT_LT(CancelAndEnd(&cancelled), 0);
  for (size_t i = 0; i < clients.size(); ++i) {
    const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    if (accepted >= 0) close(accepted);
    if (!op.in_flight()) break;
    Turn(absl::Milliseconds(50));
  }
  RunUntilEnded(op);
  EXPECT_EQ(op.last(), 0);
  for (int fd : clients) close(fd);
}

// What was urgent splits what is read in two; nothing may be left behind.
TEST_F(OperationsTest, BytesBehindUrgentDataArriveByThemselves) {
  Fd listener = Listening(4);
  Address address = NameOf(listener);
  Fd far(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(far, address.get(), address.length), 0);
  Fd near(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(send(far, "before", 6, 0), 6);
  ASSERT_EQ(send(far, "!", 1, MSG_OOB), 1);
  ASSERT_EQ(send(far, "behind", 6, 0), 6);
  Noting op;
  op.Submit(loop_.get(), Make(OpKind::kReceive, near));
  std::string got;
  while (got.size() < 12) {
    Turn(absl::InfiniteDuration());
    got += TakeBytes(&op);
  }
  EXPECT_EQ(got, "beforebehind");
  EXPECT_EQ(CancelAndEnd(&op), -ECANCELED);
}

// Whoever keeps buffers loses the receive, not bytes: armed anew once there are
// buffers again, it goes on where it was.
TEST_F(OperationsTest, AReceiveEndsWhenNoBufferIsLeft) {
  if (KernelIsBad()) GTEST_SKIP() << "it ends for other reasons, too";
  Loop::Options options = SmallLoop();
  options.buffer_count = 2;
  loop_ = MakeLoop(options);
  SocketPair pair;
  const std::string sent = Pattern(5 * options.buffer_bytes);
  pair.WriteFar(sent);
  Noting op;
  op.Submit(loop_.get(), Make(OpKind::kReceive, pair.near));
  RunUntilEnded(op);
  EXPECT_EQ(op.last(), -ENOBUFS);
  std::string got = TakeBytes(&op);
  EXPECT_THAT(got, Not(IsEmpty()));
  while (got.size() < sent.size()) {
    if (!op.in_flight()) {
      op.Submit(loop_.get(), Make(OpKind::kReceive, pair.near));
    }
    Turn(absl::InfiniteDuration());
    got += TakeBytes(&op);
  }
  EXPECT_TRUE(got == sent);
  if (op.in_flight()) CancelAndEnd(&op);
}

// So do descriptors that come along on a unix socket.
TEST_F(OperationsTest, BytesBehindPassedDescriptorsArriveByThemselves) {
  SocketPair pair;
  Noting op;
  op.Submit(loop_.get(), Make(OpKind::kReceive, pair.near));
  Settle();
  char text[] = "passing";
  iovec piece = {text, 7};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &pair.far, sizeof(int));
  ASSERT_EQ(sendmsg(pair.far, &message, 0), 7);
  pair.WriteFar("behind");
  std::string got;
  while (got.size() < 13) {
    Turn(absl::InfiniteDuration());
    got += TakeBytes(&op);
  }
  EXPECT_EQ(got, "passingbehind");
  EXPECT_EQ(CancelAndEnd(&op), -ECANCELED);
}

TEST_F(OperationsTest, BytesAndEndTogetherAreBothSeen) {
  for (int i = 0; i < 200; ++i) {
    Fd listener = Listening(4);
    Address address = NameOf(listener);
    Fd far(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(far, address.get(), address.length), 0);
    Fd near(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    Noting op;
    op.Submit(loop_.get(), Make(OpKind::kReceive, near));
    if (i % 2 == 0) Turn();
    ASSERT_EQ(send(far, "bye", 3, 0), 3);
    far.Close();
    RunUntilEnded(op);
    ASSERT_EQ(op.last(), 0);
    ASSERT_EQ(TakeBytes(&op), "bye");
  }
}

// Whatever comes first, an operation ends once, and on its own file: numbers
// of closed descriptors are used again at once.
TEST_F(OperationsTest, OperationsOfClosedDescriptorsEndOnTheirOwnFile) {
  const int rounds = Rounds(5000);
  struct Round {
    SocketPair pair;
    Noting op;
    std::string own;
  };
  for (int i = 0; i < rounds; ++i) {
    Round old;
    Round next;
    old.own = "old " + std::to_string(i);
    next.own = "next " + std::to_string(i);
    const int fd = old.pair.TakeNear();
    old.op.Submit(loop_.get(), Make(OpKind::kReceive, fd));
    Turn();
    EXPECT_EQ(loop_->sockets().Close(fd), 0);
    old.op.wanted_end = true;  // The number is not its own any more.
    {
      SocketPair opened;  // Likely with the same number.
      std::swap(next.pair.near, opened.near);
      std::swap(next.pair.far, opened.far);
    }
    next.op.Submit(loop_.get(), Make(OpKind::kReceive, next.pair.near));
    Turn();
    if (i % 3 != 0) next.pair.WriteFar(next.own);
    if (i % 3 != 1) old.pair.WriteFar(old.own);
    Turn();
    old.op.Cancel();
    next.op.Cancel();
    RunUntilEnded(old.op);
    RunUntilEnded(next.op);
    const auto final_ones = [](const Noting& op) {
      return std::count_if(op.completions.begin(), op.completions.end(),
                           [](const Completion& completion) {
                             return (completion.flags & kCompletionMore) == 0;
                           });
    };
    ASSERT_EQ(final_ones(old.op), 1);
    ASSERT_EQ(final_ones(next.op), 1);
    const std::string old_bytes = TakeBytes(&old.op);
    // Ended for nothing, it has nobody to ask again for it.
    const bool may_miss = KernelIsBad() && old_bytes.empty();
    ASSERT_TRUE(may_miss ||
                (i % 3 == 1 ? old_bytes.empty() : old_bytes == old.own))
        << old_bytes;
    const std::string next_bytes = TakeBytes(&next.op);
    ASSERT_TRUE(next_bytes.empty() || next_bytes == next.own) << next_bytes;
    ASSERT_TRUE(i % 3 == 0 || next_bytes == next.own) << next_bytes;
  }
}

// One of each kind, cancelled after any number of turns or none.
TEST_F(OperationsTest, EveryKindEndsOnceWhenCancelled) {
  const int rounds = Rounds(3000);
  Fd file(
      open(::testing::TempDir().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  Fd listener = Listening(4);
  Fd counter(eventfd(0, EFD_CLOEXEC));
  Fd datagrams = BoundDatagramSocket();
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  uint64_t value = 0;
  std::string big(1 << 20, 'x');
  char in = 'x';
  char out = 'x';
  FileSpan into = {&in, 1, 0};
  FileSpan from = {&out, 1, 0};
  msghdr room = {};
  const std::vector<Request> requests = {
      Make(OpKind::kNop, -1),
      Make(OpKind::kAccept, listener),
      Make(OpKind::kReceive, pair.near),
      Make(OpKind::kSend, pair.near, big.data(),
           static_cast<uint32_t>(big.size()), kSendWaits),
      Make(OpKind::kPoll, pair.far, nullptr, 0, POLLPRI),
      Make(OpKind::kRead, counter, &value, sizeof(value)),
      Make(OpKind::kReadAt, file, &into),
      Make(OpKind::kWriteAt, file, &from),
      Make(OpKind::kSync, file),
      Make(OpKind::kReceiveMessage, datagrams, &room),
  };
  for (int i = 0; i < rounds; ++i) {
    std::vector<Noting> ops(requests.size());
    for (size_t k = 0; k < ops.size(); ++k) {
      ops[k].Submit(loop_.get(), requests[k]);
      if (i % 5 == 0) ops[k].Cancel();
    }
    for (int turn = 0; turn < i % 4; ++turn) Turn();
    for (Noting& op : ops) op.Cancel();
    for (Noting& op : ops) op.Cancel();
    for (const Noting& op : ops) {
      RunUntilEnded(op);
      ASSERT_THAT(op.completions, SizeIs(1));
    }
    static_cast<void>(pair.ReadFar());
  }
  EXPECT_EQ(loop_->in_flight(), 0u);
}

}  // namespace
}  // namespace ioloop
