// One turn harvests all that is ready, up to as many sockets as a process may
// have.
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

// Socket pairs whose far ends another process has: more than one process has
// descriptors for both ends of.
class FarEnds {
 public:
  explicit FarEnds(size_t count) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control_), 0);
    child_ = fork();
    if (child_ == 0) {
      close(control_[0]);
      RunChild(control_[1], count);
    }
    close(control_[1]);
    for (size_t i = 0; i < count; ++i) near_.push_back(TakeDescriptor());
  }
  ~FarEnds() {
    close(control_[0]);
    waitpid(child_, nullptr, 0);
  }
  const std::vector<int>& near() const { return near_; }
  // Returns when every near end is readable.
  void WriteToEach() const {
    char done = 0;
    ASSERT_EQ(write(control_[0], "x", 1), 1);
    ASSERT_EQ(read(control_[0], &done, 1), 1);
  }

 private:
  struct Control {
    msghdr message = {};
    char byte = 'x';
    iovec data = {&byte, 1};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    Control() {
      message.msg_iov = &data;
      message.msg_iovlen = 1;
      message.msg_control = space;
      message.msg_controllen = sizeof(space);
    }
  };

  [[noreturn]] static void RunChild(int control, size_t count) {
    std::vector<int> far;
    for (size_t i = 0; i < count; ++i) {
      SocketPair pair;
      far.push_back(dup(pair.far));
      Control sent;
      cmsghdr* header = CMSG_FIRSTHDR(&sent.message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(header), &pair.near, sizeof(int));
      if (sendmsg(control, &sent.message, 0) != 1) _exit(EXIT_FAILURE);
    }
    char byte = 0;
    while (read(control, &byte, 1) == 1) {
      for (int fd : far) {
        if (write(fd, "x", 1) != 1) _exit(EXIT_FAILURE);
      }
      if (write(control, "x", 1) != 1) break;
    }
    _exit(EXIT_SUCCESS);
  }

  int TakeDescriptor() {
    Control got;
    EXPECT_EQ(recvmsg(control_[0], &got.message, MSG_CMSG_CLOEXEC), 1);
    int fd = -1;
    const cmsghdr* header = CMSG_FIRSTHDR(&got.message);
    if (header != nullptr) memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
  }

  int control_[2] = {-1, -1};
  pid_t child_ = -1;
  std::vector<int> near_;
};

Task<void> ReceiveOnce(Stream* stream, std::string* into) {
  absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
  if (bytes.ok()) *into = std::string(bytes->view());
}

Task<void> CloseEach(std::vector<Stream>* streams) {
  for (Stream& stream : *streams) co_await stream.Close();
}

// However many there are, and whether or not there is a buffer for each. Some
// seconds: descriptors pass between processes one by one.
class HarvestTest : public ::testing::TestWithParam<size_t> {};

TEST_P(HarvestTest, OneTurnHarvestsAllWithDefaultOptions) {
  if (!KernelIsGood()) GTEST_SKIP() << "counts what a good kernel does";
  const size_t sockets = GetParam();
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < sockets + 100) {
    GTEST_SKIP() << "needs " << sockets + 100 << " descriptors";
  }
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  FarEnds ends(sockets);
  std::unique_ptr<Loop> loop = MakeLoop(Loop::Options());
  std::vector<Stream> streams;
  std::vector<std::string> received(sockets);
  TaskGroup group;
  for (int fd : ends.near()) streams.push_back(Stream::Adopt(loop.get(), fd));
  for (size_t i = 0; i < sockets; ++i) {
    group.Spawn(ReceiveOnce(&streams[i], &received[i]));
  }
  ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  ASSERT_EQ(group.running(), sockets);
  ends.WriteToEach();

  const uint64_t enters = loop->stats().enters;
  ASSERT_TRUE(loop->RunOnce(absl::Seconds(10)).ok());
  EXPECT_EQ(group.running(), 0u);
  EXPECT_THAT(received, ::testing::Each("x"));
  EXPECT_EQ(loop->stats().buffers_copied, 0u);
  // A call that takes 20 at a time, as the kernel has it, needs 50 for 1,000.
  EXPECT_LE(loop->stats().enters - enters, 40u);
  loop->RunUntilDone(CloseEach(&streams));
}

INSTANTIATE_TEST_SUITE_P(ReadySockets, HarvestTest,
                         ::testing::Values(1000, 4000, 16000));

}  // namespace
}  // namespace ioloop
