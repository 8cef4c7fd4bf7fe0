// As many sockets as the limit of descriptors allows, on one loop: they
// connect, talk, half-close, reset and start again, at random. Every byte that
// arrives is the right one at its place, what was talked to the end is whole
// (by its hash), and in the end nothing is in flight, lent or open.
//
//   RINGPLANE_CHURN_SECONDS=600    for how long (3)
//   RINGPLANE_CHURN_SOCKETS=19900  how many descriptors (1000)
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ioloop/internal/asan.h"
#include "ioloop/internal/random.h"
#include "ioloop/listener.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using internal::Mix;
using internal::Random;

uint64_t FromEnvironment(const char* variable, uint64_t otherwise) {
  const char* value = getenv(variable);
  return value == nullptr ? otherwise : strtoull(value, nullptr, 10);
}

size_t OpenDescriptors() {
  size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

// Resident memory of this process.
size_t ResidentBytes() {
  unsigned long all = 0;
  unsigned long resident = 0;
  FILE* statm = fopen("/proc/self/statm", "r");
  EXPECT_EQ(fscanf(statm, "%lu %lu", &all, &resident), 2);
  fclose(statm);
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

uint64_t HashOf(uint64_t hash, std::string_view bytes) {
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  return hash;
}

// The first bytes of a conversation; its number decides those that follow.
struct Greeting {
  uint64_t conversation;
  uint64_t bytes;
};

char ByteAt(uint64_t conversation, uint64_t place) {
  return static_cast<char>(
      Mix(conversation * 0x9e3779b97f4a7c15u + place / 8) >> (place % 8 * 8));
}

enum class Ending {
  kWhole,   // Half-closes, hears the echo to its end, then closes.
  kClose,   // Closes in the middle.
  kReset,   // Resets in the middle.
  kVanish,  // Is destroyed open in the middle.
};

struct Tally {
  uint64_t whole = 0;
  uint64_t broken_off = 0;
  uint64_t pauses = 0;  // For want of descriptors.
  uint64_t bytes = 0;
};

class Churn {
 public:
  Churn(Loop* loop, absl::Time until) : loop_(loop), until_(until) {}

  Task<void> Serve(Listener* listener) {
    for (;;) {
      absl::StatusOr<Stream> stream = co_await listener->Accept();
      if (!stream.ok()) co_return;
      echoes_.Spawn(Echo(*std::move(stream)));
    }
  }

  // One conversation after another, until the time is over.
  Task<void> Client(SocketAddress server, uint64_t number) {
    Random random(number);
    // Ports of ended connections rest for a while: many addresses have enough.
    const SocketAddress source =
        *SocketAddress::FromIp(absl::StrCat("127.0.0.", 1 + number % 100), 0);
    // Not all at once.
    co_await SleepFor(loop_, absl::Milliseconds(random.Below(1000)));
    while (loop_->now() < until_) {
      absl::StatusOr<Stream> stream =
          co_await Stream::Connect(loop_, server, absl::Seconds(60), &source);
      if (absl::IsResourceExhausted(stream.status())) {
        // Echoes of ended conversations still have the last descriptors.
        ++tally_.pauses;
        co_await SleepFor(loop_, absl::Milliseconds(random.Below(100)));
        continue;
      }
      EXPECT_TRUE(stream.ok()) << stream.status();
      if (!stream.ok()) co_return;
      co_await Talk(&*stream, random.Next(), &random);
    }
  }

  TaskGroup* echoes() { return &echoes_; }
  const Tally& tally() const { return tally_; }

 private:
  Task<void> Echo(Stream stream) {
    for (;;) {
      absl::StatusOr<ReceivedBytes> bytes = co_await stream.Receive();
      if (!bytes.ok() || bytes->empty()) break;
      const absl::Status sent = co_await stream.SendAll(*bytes);
      if (!sent.ok()) break;
    }
    co_await stream.Close();
  }

  // Says what `conversation` decides and hears it back, in bursts.
  Task<void> Talk(Stream* stream, uint64_t conversation, Random* random) {
    const uint64_t bytes =
        1 + random->Below(random->Below(50) == 0 ? 200000 : 3000);
    const auto ending = random->Below(4) == 0
                            ? static_cast<Ending>(1 + random->Below(3))
                            : Ending::kWhole;
    const uint64_t leaves_at =
        ending == Ending::kWhole ? bytes : random->Below(bytes);
    uint64_t said = 0;
    uint64_t heard = 0;
    uint64_t said_hash = 0;
    uint64_t heard_hash = 0;
    while (heard < leaves_at) {
      if (said < bytes) {
        const uint64_t burst =
            std::min<uint64_t>(bytes - said, 1 + random->Below(4000));
        const std::span<char> room = stream->Reserve(burst);
        for (uint64_t i = 0; i < burst; ++i) {
          room[i] = ByteAt(conversation, said + i);
        }
        said_hash = HashOf(said_hash, {room.data(), burst});
        stream->Commit(burst);
        said += burst;
        if (said == bytes && ending == Ending::kWhole) stream->ShutdownWrite();
      }
      // Some think for a while, as most connections of a server do.
      if (random->Below(4) == 0) {
        co_await SleepFor(loop_, absl::Milliseconds(random->Below(200)));
      }
      absl::StatusOr<ReceivedBytes> got = co_await stream->Receive();
      EXPECT_TRUE(got.ok()) << got.status();
      if (!got.ok() || got->empty()) break;
      bool right = heard + got->size() <= said;
      for (size_t i = 0; right && i < got->size(); ++i) {
        right = got->data()[i] == ByteAt(conversation, heard + i);
      }
      EXPECT_TRUE(right) << "conversation " << conversation << " at " << heard;
      heard_hash = HashOf(heard_hash, got->view());
      heard += got->size();
    }
    tally_.bytes += heard;
    switch (ending) {
      case Ending::kWhole:
        EXPECT_EQ(heard, bytes);
        EXPECT_EQ(heard_hash, said_hash);
        co_await HearTheEnd(stream);
        ++tally_.whole;
        break;
      case Ending::kReset:
        ++tally_.broken_off;
        co_await stream->Abort();
        co_return;
      case Ending::kVanish:
        ++tally_.broken_off;
        co_return;
      case Ending::kClose:
        ++tally_.broken_off;
        break;
    }
    co_await stream->Close();
  }

  static Task<void> HearTheEnd(Stream* stream) {
    absl::StatusOr<ReceivedBytes> end = co_await stream->Receive();
    EXPECT_TRUE(end.ok()) << end.status();
    EXPECT_TRUE(!end.ok() || end->empty());
  }

  Loop* const loop_;
  const absl::Time until_;
  TaskGroup echoes_;
  Tally tally_;
};

Task<void> WatchMemory(Loop* loop, absl::Duration after, size_t* resident) {
  co_await SleepFor(loop, after);
  *resident = ResidentBytes();
}

// With and without buffers that receives share.
class ChurnTest : public ::testing::TestWithParam<bool> {};

TEST_P(ChurnTest, NothingIsLostOrLeftBehind) {
  const absl::Duration time =
      absl::Seconds(FromEnvironment("RINGPLANE_CHURN_SECONDS", 3));
  const size_t sockets = FromEnvironment("RINGPLANE_CHURN_SOCKETS", 1000);
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < sockets + 100) {
    GTEST_SKIP() << sockets << " sockets are more than the limit of "
                 << limit.rlim_cur << " descriptors";
  }
  const size_t descriptors = OpenDescriptors();
  size_t resident_halfway = 0;
  {
    Loop::Options options;
    options.incremental_buffers = GetParam();
    // Few, to be competed for, and to weigh nothing in the resident memory.
    options.buffer_count = 256;
    // The backtrace of a stall leaves the program's files open.
    options.stall_threshold = absl::ZeroDuration();
    std::unique_ptr<Loop> loop = MakeLoop(options);
    if (GetParam() && !loop->buffers().incremental()) {
      GTEST_SKIP() << "this kernel or backend has no incremental buffers";
    }
    auto listener = Listener::Bind(loop.get(), 0);
    ASSERT_TRUE(listener.ok()) << listener.status();
    const auto run = [&](TaskGroup* group) {
      while (group->running() > 0) {
        ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
      }
    };
    Churn churn(loop.get(), loop->now() + time);
    TaskGroup server;
    server.Spawn(churn.Serve(&*listener));
    TaskGroup clients;
    clients.Spawn(WatchMemory(loop.get(), time / 2, &resident_halfway));
    // A client and its echo are two sockets.
    for (size_t i = 0; i < sockets / 2; ++i) {
      clients.Spawn(churn.Client(listener->local_address(), i));
    }
    run(&clients);
    const size_t resident = ResidentBytes();
    run(churn.echoes());
    listener->CancelAccept();
    run(&server);
    loop->RunUntilDone(listener->Close());
    // Those that vanished close in the background.
    while (loop->in_flight() > 0) {
      ASSERT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
    }
    EXPECT_EQ(loop->buffers().lent(), 0u);
    EXPECT_EQ(loop->buffers().copies(), 0u);
    for (const StatCounter& kind : loop->stats().in_flight) {
      // The loop's own wake-up.
      EXPECT_LE(
          kind,
          &kind == &loop->stats().in_flight[static_cast<size_t>(OpKind::kRead)]
              ? 1u
              : 0u);
    }
    const Tally& tally = churn.tally();
    EXPECT_GT(tally.whole, 0u);
    EXPECT_GT(tally.broken_off, 0u);
    printf(
        "%zu sockets: %llu conversations whole, %llu broken off, %llu pauses, "
        "%llu MB, "
        "resident %zu MB halfway and %zu MB at the end\n",
        sockets, static_cast<unsigned long long>(tally.whole),
        static_cast<unsigned long long>(tally.broken_off),
        static_cast<unsigned long long>(tally.pauses),
        static_cast<unsigned long long>(tally.bytes >> 20),
        resident_halfway >> 20, resident >> 20);
#ifndef RINGPLANE_ASAN  // Which keeps what was freed.
    EXPECT_LT(resident, resident_halfway + resident_halfway / 20 + (4 << 20));
#endif
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

INSTANTIATE_TEST_SUITE_P(IncrementalBuffers, ChurnTest, ::testing::Bool());

}  // namespace
}  // namespace ioloop
