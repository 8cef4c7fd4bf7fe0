// The ownership checker: in ASan builds, touching memory that is in the
// kernel's hands is reported where it happens. ASan alone is blind to it.
#include <sys/eventfd.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ioloop/internal/asan.h"
#include "ioloop/internal/stream_state.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

class OwnershipDeathTest : public LoopTest {};

Task<void> ReceiveInto(Stream* stream, std::vector<ReceivedBytes>* held) {
  absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
  if (bytes.ok()) held->push_back(*std::move(bytes));
}

#ifdef RINGPLANE_ASAN
TEST_F(OwnershipDeathTest, AReturnedReceiveBufferIsNotReadable) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  std::vector<ReceivedBytes> held;
  TaskGroup group;
  group.Spawn(ReceiveInto(&stream, &held));
  pair.WriteFar("hello");
  RunUntilIdle(&group);
  ASSERT_EQ(held.size(), 1u);
  const char* bytes = held[0].data();
  EXPECT_EQ(bytes[4], 'o');
  held.clear();
  EXPECT_DEATH(printf("%c", *const_cast<volatile const char*>(bytes)),
               "use-after-poison");
  loop_->RunUntilDone(stream.Close());
}

TEST_F(OwnershipDeathTest, ASendBufferInFlightIsNotWritable) {
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  std::span<char> room = stream.Reserve(1 << 20);
  std::fill(room.begin(), room.end(), 'x');
  stream.Commit(1 << 20);
  Turn();
  Turn();
  ASSERT_GT(stream.queued_bytes(), 0u);  // Waits in the kernel for room.
  EXPECT_DEATH(*const_cast<volatile char*>(room.data()) = 'y',
               "use-after-poison");
  loop_->RunUntilDone(stream.Close());
}

struct Waiting : Operation {
  Waiting() : Operation([](Operation*, Completion) {}) {}
};

class LentMemoryDeathTest : public OwnershipDeathTest {
 protected:
  LentMemoryDeathTest() : counter_(eventfd(0, EFD_CLOEXEC)) {}
  ~LentMemoryDeathTest() override { close(counter_); }

  void Read(void* into) {
    Request request;
    request.kind = OpKind::kRead;
    request.fd = counter_;
    request.address = into;
    request.length = kBytes;
    loop_->Submit(&read_, request);
    Turn();
  }
  void End(Operation* op) {
    loop_->Cancel(op);
    while (op->in_flight()) Turn(absl::InfiniteDuration());
  }

  static constexpr uint32_t kBytes = 64;
  int counter_;
  Waiting read_;
};

TEST_F(LentMemoryDeathTest, WhatTheKernelWritesIsNotReadable) {
  auto memory = std::make_unique<char[]>(kBytes);
  Read(memory.get());
  EXPECT_DEATH(printf("%c", const_cast<volatile char*>(memory.get())[3]),
               "use-after-poison");
  End(&read_);
  EXPECT_EQ(memory[3], 0);
}

TEST_F(LentMemoryDeathTest, WhatTheKernelWritesIsNotFreed) {
  auto memory = std::make_unique<char[]>(kBytes);
  Read(memory.get());
  EXPECT_DEATH(memory.reset(), "in the kernel's hands was freed");
  End(&read_);
}

TEST_F(LentMemoryDeathTest, WhatTheKernelWritesIsLentOnce) {
  auto memory = std::make_unique<char[]>(kBytes);
  Read(memory.get());
  Waiting second;
  Request request;
  request.kind = OpKind::kRead;
  request.fd = counter_;
  request.address = memory.get() + 32;
  request.length = 8;
  EXPECT_DEATH(loop_->Submit(&second, request), "not its own");
  End(&read_);
}

TEST_F(LentMemoryDeathTest, FreedMemoryIsNotLent) {
  auto memory = std::make_unique<char[]>(kBytes);
  char* freed = memory.get();
  memory.reset();
  EXPECT_DEATH(Read(freed), "not its own");
}

// Sent by hand, so that the memory is the test's own.
TEST_F(LentMemoryDeathTest, WhatTheKernelReadsIsNeitherWrittenNorFreed) {
  if (KernelIsBad()) GTEST_SKIP() << "the send must wait";
  // A forked child may not enter its parent's ring; such a one begins anew.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  constexpr uint32_t kMuch = 1 << 20;
  auto memory = std::make_unique<char[]>(kMuch);
  Waiting send;
  Request request;
  request.kind = OpKind::kSend;
  request.fd = pair.near;
  request.address = memory.get();
  request.length = kMuch;
  request.flags = kSendWaits;
  loop_->Submit(&send, request);
  Turn();
  EXPECT_EQ(memory[0], 0);  // Reading beside the kernel is fine.
  EXPECT_DEATH(memory.reset(), "in the kernel's hands was freed");
  EXPECT_DEATH(
      {
        memory[0] = 1;
        End(&send);
      },
      "in the kernel's hands was written");
  End(&send);
}
#endif

struct Lost : Operation {
  Lost() : Operation([](Operation*, Completion) {}) {}
};

TEST_F(OwnershipDeathTest, AnOperationMustOutliveItsCompletion) {
  SocketPair pair;
  EXPECT_DEATH(
      {
        Lost operation;
        Request request;
        request.kind = OpKind::kPoll;
        request.fd = pair.near;
        request.flags = 1;
        loop_->Submit(&operation, request);
      },
      "died in the kernel's hands");
}

TEST_F(OwnershipDeathTest, AStreamMustNotDieAwaited) {
  SocketPair pair;
  EXPECT_DEATH(
      {
        Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
        std::vector<ReceivedBytes> held;
        TaskGroup group;
        group.Spawn(ReceiveInto(&stream, &held));
        Stream other;
        stream = std::move(other);
      },
      "died awaited");
}

}  // namespace
}  // namespace ioloop
