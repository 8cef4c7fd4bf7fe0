// The ownership checker: in ASan builds, touching memory that is in the
// kernel's hands is reported where it happens. ASan alone is blind to it.
#include <algorithm>
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
