// Cancellations and closes that race with what they end: every operation ends
// exactly once, on its own file, and no byte is lost or delivered twice.
//
//   RINGPLANE_RACES=1000000  runs as many races of each test
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "ioloop/internal/random.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using internal::Random;

uint64_t Races(uint64_t otherwise) {
  const char* value = getenv("RINGPLANE_RACES");
  return value == nullptr ? otherwise : strtoull(value, nullptr, 10);
}

// An operation that counts its ends and keeps what it brought.
struct Racer : Operation {
  explicit Racer(Loop* owner) : Operation(&Done), loop(owner) {}

  void Submit(OpKind kind, int fd, uint32_t flags, void* memory) {
    Request request;
    request.kind = kind;
    request.fd = fd;
    request.flags = flags;
    request.address = memory;
    request.length = memory == nullptr ? 0 : sizeof(uint64_t);
    ends = 0;
    ++begun;
    loop->Submit(this, request);
  }
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<Racer*>(op);
    EXPECT_EQ(self->ends, 0);
    self->result = completion.result;
    if ((completion.flags & kCompletionBuffer) != 0) {
      const uint32_t id = completion.flags >> kCompletionBufferShift;
      const auto size = static_cast<uint32_t>(std::max(0, completion.result));
      internal::Chunk* chunk = self->loop->buffers().Take(id, size);
      self->received.append(chunk->data, chunk->size);
      self->loop->buffers().Return(chunk);
    }
    if ((completion.flags & kCompletionMore) == 0) {
      ++self->ends;
      ++self->ended;
    }
  }

  Loop* loop;
  int ends = 0;
  uint64_t begun = 0;
  uint64_t ended = 0;
  int32_t result = 0;
  std::string received;
};

class RaceTest : public LoopTest {
 protected:
  void RunUntilEnded(const Racer& racer) {
    while (racer.in_flight()) {
      ASSERT_TRUE(loop_->RunOnce(absl::InfiniteDuration()).ok());
    }
  }
  void LookOnce() { ASSERT_TRUE(loop_->RunOnce(absl::ZeroDuration()).ok()); }
};

bool IsEarlyEnd(int32_t result) {
  return result == -ECANCELED || result == -EINTR || result == -EAGAIN ||
         result == -ENOBUFS;
}

// A counter that one operation reads, and what became of what was added.
struct Counter {
  explicit Counter(Loop* loop)
      : fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), racer(loop) {}
  void Account() {
    if (racer.result == sizeof(value)) {
      taken += value;
    } else {
      EXPECT_TRUE(IsEarlyEnd(racer.result)) << racer.result;
    }
  }
  int fd;
  Racer racer;
  uint64_t value = 0;
  uint64_t added = 0;
  uint64_t taken = 0;
};

// A stream that one multishot operation receives.
struct Receiver {
  explicit Receiver(Loop* loop) : racer(loop) {}
  // The next bytes have come, each once.
  void Check() {
    for (const char byte : racer.received) {
      ASSERT_EQ(static_cast<unsigned char>(byte), heard++ % 251);
    }
    racer.received.clear();
  }
  void Say(uint64_t bytes) {
    for (; bytes > 0; --bytes) {
      const auto byte = static_cast<unsigned char>(said % 251);
      if (send(pair.far, &byte, 1, MSG_DONTWAIT) == 1) ++said;
    }
  }
  SocketPair pair;
  Racer racer;
  uint64_t said = 0;
  uint64_t heard = 0;
};

// A connection that one operation polls.
struct Poller {
  explicit Poller(Loop* loop) : racer(loop) {}
  SocketPair pair;
  Racer racer;
};

TEST_F(RaceTest, ACancelledOperationEndsOnceAndLosesNothing) {
  const uint64_t races = Races(30000);
  constexpr size_t kEach = 16;
  std::vector<std::unique_ptr<Counter>> counters;
  std::vector<std::unique_ptr<Receiver>> receivers;
  std::vector<std::unique_ptr<Poller>> pollers;
  for (size_t i = 0; i < kEach; ++i) {
    counters.push_back(std::make_unique<Counter>(loop_.get()));
    receivers.push_back(std::make_unique<Receiver>(loop_.get()));
    pollers.push_back(std::make_unique<Poller>(loop_.get()));
  }
  Random random(1);
  uint64_t cancelled = 0;
  uint64_t begun = 0;
  while (begun < races && !HasFailure()) {
    const size_t i = random.Below(kEach);
    Counter& counter = *counters[i];
    Receiver& receiver = *receivers[i];
    Poller& poller = *pollers[i];
    // What the operations wait for comes before them, ...
    const uint64_t when = random.Below(4);
    const auto happen = [&] {
      const uint64_t count = 1 + random.Below(3);
      ASSERT_EQ(eventfd_write(counter.fd, count), 0);
      counter.added += count;
      receiver.Say(count);
      poller.pair.WriteFar("x");
    };
    if (when == 0) happen();
    counter.racer.Submit(OpKind::kRead, counter.fd, 0, &counter.value);
    receiver.racer.Submit(OpKind::kReceive, receiver.pair.near, 0, nullptr);
    poller.racer.Submit(OpKind::kPoll, poller.pair.near, POLLIN, nullptr);
    begun += 3;
    // ... while they wait or not yet, or after their end was asked for.
    if (random.Below(2) == 0) LookOnce();
    if (when == 1) happen();
    if (random.Below(4) == 0) LookOnce();
    for (Racer* racer : {&counter.racer, &receiver.racer, &poller.racer}) {
      loop_->Cancel(racer);
      if (random.Below(8) == 0) loop_->Cancel(racer);
    }
    if (when == 2) happen();
    for (Racer* racer : {&counter.racer, &receiver.racer, &poller.racer}) {
      RunUntilEnded(*racer);
      ASSERT_EQ(racer->ends, 1);
      if (racer->result == -ECANCELED) ++cancelled;
    }
    counter.Account();
    receiver.Check();
    EXPECT_TRUE(poller.racer.result == POLLIN ||
                poller.racer.result == -ECANCELED);
    char rest[16];
    while (recv(poller.pair.near, rest, sizeof(rest), MSG_DONTWAIT) > 0) {
    }
  }
  for (int i = 0; i < 3; ++i) Turn();
  for (size_t i = 0; i < kEach; ++i) {
    Counter& counter = *counters[i];
    uint64_t left = 0;
    static_cast<void>(!eventfd_read(counter.fd, &left));
    EXPECT_EQ(counter.taken + left, counter.added);
    close(counter.fd);
    Receiver& receiver = *receivers[i];
    char byte;
    while (recv(receiver.pair.near, &byte, 1, MSG_DONTWAIT) == 1) {
      receiver.racer.received += byte;
    }
    receiver.Check();
    EXPECT_EQ(receiver.heard, receiver.said);
    for (const Racer* racer :
         {&counter.racer, &receiver.racer, &pollers[i]->racer}) {
      EXPECT_EQ(racer->ended, racer->begun);
    }
  }
  EXPECT_EQ(loop_->in_flight(), 0u);
  // Both outcomes have been seen.
  EXPECT_GT(cancelled, 0u);
  EXPECT_LT(cancelled, begun);
}

// A file behind a number that will soon be another's, with an operation that
// waits for it.
struct Reused {
  explicit Reused(Loop* loop) : receive(loop), poll(loop) {}
  SocketPair pair;
  uint64_t file = 0;
  Racer receive;
  Racer poll;
};

// The loop's own way to close leaves every operation on its own file, also
// when the number is used again at once.
TEST_F(RaceTest, OperationsOfAClosedFileEndOnItAndNotOnItsSuccessor) {
  const uint64_t races = Races(10000);
  constexpr size_t kSlots = 8;
  std::vector<std::unique_ptr<Reused>> slots(kSlots);
  Random random(2);
  uint64_t files = 0;
  uint64_t reused = 0;
  uint64_t delivered = 0;
  int last_closed = -1;
  const auto end = [&](Reused* slot) {
    for (Racer* racer : {&slot->receive, &slot->poll}) loop_->Cancel(racer);
    for (Racer* racer : {&slot->receive, &slot->poll}) {
      RunUntilEnded(*racer);
      ASSERT_EQ(racer->ends, 1);
      ASSERT_EQ(racer->ended, racer->begun);
    }
    // Nothing, or this file's own eight bytes.
    const std::string& got = slot->receive.received;
    if (!got.empty()) {
      ASSERT_EQ(got, std::string(reinterpret_cast<const char*>(&slot->file),
                                 sizeof(slot->file)));
      ++delivered;
    }
  };
  while (files < races && !HasFailure()) {
    std::unique_ptr<Reused>& slot = slots[random.Below(kSlots)];
    if (slot != nullptr) {
      if (slot->pair.near >= 0) {
        // Handed over, its operations wait: before, they would be of whatever
        // the number stands for then.
        Turn();
        last_closed = slot->pair.TakeNear();
        if (random.Below(4) == 0) {
          close(last_closed);
        } else {
          EXPECT_EQ(loop_->sockets().Close(last_closed), 0);
        }
        if (random.Below(2) == 0) continue;  // The number is free meanwhile.
      }
      end(slot.get());
    }
    slot = std::make_unique<Reused>(loop_.get());
    slot->file = ++files;
    if (slot->pair.near == last_closed || slot->pair.far == last_closed) {
      ++reused;
    }
    slot->receive.Submit(OpKind::kReceive, slot->pair.near, 0, nullptr);
    slot->poll.Submit(OpKind::kPoll, slot->pair.near, POLLIN, nullptr);
    if (random.Below(2) == 0) LookOnce();
    if (random.Below(2) == 0) {
      ASSERT_EQ(write(slot->pair.far, &slot->file, sizeof(slot->file)),
                static_cast<ssize_t>(sizeof(slot->file)));
    }
    if (random.Below(4) == 0) LookOnce();
  }
  for (std::unique_ptr<Reused>& slot : slots) {
    if (slot != nullptr) end(slot.get());
  }
  for (int i = 0; i < 3; ++i) Turn();
  EXPECT_EQ(loop_->in_flight(), 0u);
  EXPECT_GT(reused, 0u);
  EXPECT_GT(delivered, 0u);
}

}  // namespace
}  // namespace ioloop
