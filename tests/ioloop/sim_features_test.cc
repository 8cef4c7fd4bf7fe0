// Deadlines, stops, datagrams and files over the simulated kernel: every seed
// has other trouble, and what is promised holds under all of it.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "ioloop/datagram.h"
#include "ioloop/file.h"
#include "ioloop/stop.h"
#include "ioloop/stream.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"
#include "tests/ioloop/sim_test_util.h"

namespace ioloop {
namespace {

SimOptions Options(uint64_t seed, bool loss) {
  SimOptions options;
  options.seed = seed;
  options.trouble = SimTrouble::ForSeed(seed);
  if (loss) options.trouble = options.trouble.WithLoss(seed);
  return options;
}

// Fewer seeds, as when one is replayed, may have no trouble of some kind.
constexpr uint64_t kEnoughSeeds = 50;

// One's next number in a sequence that a seed decides.
uint64_t Next(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

struct Impatience {
  uint64_t seeds = 0;
  int expired = 0;
  int stopped = 0;
};

// Receives with patience for next to nothing, stopped at every other chance.
Task<void> ReceiveImpatiently(Loop* loop, Stream* stream, uint64_t seed,
                              std::string* into, Impatience* impatience) {
  for (uint64_t state = seed;;) {
    StopSource source;
    const absl::Time now = loop->now();
    StopTimer stop(loop, &source, now + absl::Microseconds(Next(&state) % 400));
    const absl::Time deadline = now + absl::Microseconds(Next(&state) % 400);
    absl::StatusOr<ReceivedBytes> bytes = co_await WithDeadline(
        WithStop(stream->Receive(), source.token()), deadline);
    if (absl::IsDeadlineExceeded(bytes.status())) {
      ++impatience->expired;
    } else if (absl::IsCancelled(bytes.status())) {
      ++impatience->stopped;
    } else {
      EXPECT_TRUE(bytes.ok()) << bytes.status();
      if (!bytes.ok() || bytes->empty()) co_return;
      into->append(bytes->view());
    }
  }
}

// The same for the sender: what it gave up waiting for goes out all the same.
Task<void> SendImpatiently(Loop* loop, Stream* stream, uint64_t seed,
                           std::string_view bytes) {
  for (uint64_t state = seed; !bytes.empty();) {
    const size_t piece =
        std::min<size_t>(bytes.size(), 1 + Next(&state) % 5000);
    const absl::Time deadline =
        loop->now() + absl::Microseconds(Next(&state) % 300);
    const absl::Status sent = co_await WithDeadline(
        stream->SendAll(bytes.substr(0, piece)), deadline);
    EXPECT_TRUE(sent.ok() || absl::IsDeadlineExceeded(sent)) << sent;
    bytes.remove_prefix(piece);
  }
  stream->ShutdownWrite();
}

TEST(SimFeaturesTest, DeadlinesAndStopsLoseNoByte) {
  Impatience impatience;
  ForEachSeed(150, [&impatience](uint64_t seed) {
    ++impatience.seeds;
    SimKernel kernel(Options(seed, /*loss=*/false));
    std::unique_ptr<Loop> loop = MakeSimLoop(&kernel, SmallLoop());
    const auto [near, far] = kernel.OpenPair();
    Stream sender = Stream::Adopt(loop.get(), near);
    Stream receiver = Stream::Adopt(loop.get(), far);
    const std::string sent = Pattern(60000, seed);
    std::string got;
    TaskGroup group;
    group.Spawn(SendImpatiently(loop.get(), &sender, seed, sent));
    group.Spawn(
        ReceiveImpatiently(loop.get(), &receiver, seed, &got, &impatience));
    const auto idle = [&group] { return group.running() == 0; };
    ASSERT_TRUE(kernel.RunUntil(idle).ok());
    EXPECT_TRUE(got == sent) << got.size();
    group.Spawn(sender.Close());
    group.Spawn(receiver.Close());
    ASSERT_TRUE(kernel.RunUntil(idle).ok());
    EXPECT_EQ(loop->timers().size(), 0u);
  });
  if (impatience.seeds < kEnoughSeeds) return;
  EXPECT_GT(impatience.expired, 0);
  EXPECT_GT(impatience.stopped, 0);
}

constexpr int kQuestions = 40;

Task<void> AnswerQuestions(DatagramSocket* socket) {
  for (;;) {
    absl::StatusOr<Datagram> question = co_await socket->Receive();
    if (!question.ok()) co_return;
    EXPECT_FALSE(question->truncated);
    const std::string answer =
        absl::StrCat("answer to ", std::string(question->bytes.view()).c_str());
    EXPECT_TRUE(socket->QueueTo(question->from, answer));
  }
}

// Asks again until the answer comes, as one does over UDP.
Task<void> AskQuestions(Loop* loop, DatagramSocket* socket,
                        SocketAddress server, int* answered) {
  for (; *answered < kQuestions; ++*answered) {
    const std::string question =
        absl::StrCat("question ", *answered, " ",
                     std::string(static_cast<size_t>(*answered) * 50, 'x'));
    const std::string expected = absl::StrCat("answer to ", question);
    for (bool done = false; !done;) {
      const absl::Status sent = co_await socket->SendTo(server, question);
      EXPECT_TRUE(sent.ok()) << sent;
      const absl::Time deadline = loop->now() + absl::Milliseconds(5);
      for (;;) {
        absl::StatusOr<Datagram> answer =
            co_await WithDeadline(socket->Receive(), deadline);
        if (absl::IsDeadlineExceeded(answer.status())) break;
        EXPECT_TRUE(answer.ok()) << answer.status();
        if (!answer.ok()) co_return;
        EXPECT_EQ(answer->from, server);
        done = answer->bytes.view() == expected;
        if (done) break;  // Others are late answers to what was asked twice.
      }
    }
  }
}

TEST(SimFeaturesTest, DatagramsAreAnsweredThroughLoss) {
  uint64_t lost = 0;
  uint64_t seeds = 0;
  ForEachSeed(150, [&lost, &seeds](uint64_t seed) {
    ++seeds;
    SimKernel kernel(Options(seed, /*loss=*/true));
    std::unique_ptr<Loop> there = MakeSimLoop(&kernel, SmallLoop());
    std::unique_ptr<Loop> here = MakeSimLoop(&kernel, SmallLoop());
    auto server = DatagramSocket::Bind(there.get(), SocketAddress::Loopback(0));
    auto client = DatagramSocket::Bind(here.get(), SocketAddress::Loopback(0));
    ASSERT_TRUE(server.ok() && client.ok());
    int answered = 0;
    TaskGroup clients;
    TaskGroup servers;
    servers.Spawn(AnswerQuestions(&*server));
    clients.Spawn(
        AskQuestions(here.get(), &*client, server->local_address(), &answered));
    const auto asked = [&clients] { return clients.running() == 0; };
    const absl::Status ran = kernel.RunUntil(asked);
    ASSERT_TRUE(ran.ok()) << ran;
    EXPECT_EQ(answered, kQuestions);
    clients.Spawn(client->Close());
    servers.Spawn(server->Close());
    ASSERT_TRUE(kernel
                    .RunUntil([&] {
                      return clients.running() + servers.running() == 0;
                    })
                    .ok());
    EXPECT_EQ(there->buffers().lent() + here->buffers().lent(), 0u);
    lost += kernel.counts().lost_datagrams;
  });
  if (seeds < kEnoughSeeds) return;
  EXPECT_GT(lost, 0u);
}

Task<void> WriteThenRead(File* file, std::string_view bytes,
                         absl::Status* status, std::string* got) {
  *status = co_await file->WriteAt(0, bytes);
  if (status->ok()) *status = co_await file->Sync();
  while (status->ok()) {
    char piece[3000];
    auto read = file->ReadAt(got->size(), piece);
    absl::StatusOr<size_t> count = co_await read;
    *status = count.status();
    if (!count.ok() || *count == 0) co_return;
    got->append(piece, *count);
  }
}

// Short reads and writes are made up for, errors of the disk are told.
TEST(SimFeaturesTest, FilesAreWholeOrAnErrorSaysSo) {
  int whole = 0;
  int failed = 0;
  ForEachSeed(150, [&](uint64_t seed) {
    SimKernel kernel(Options(seed, /*loss=*/seed % 2 == 0));
    std::unique_ptr<Loop> loop = MakeSimLoop(&kernel, SmallLoop());
    const int fd = kernel.OpenFile("");
    const std::string bytes = Pattern(50000, seed);
    File file = File::Adopt(loop.get(), fd, "simulated");
    absl::Status status;
    std::string got;
    TaskGroup group;
    group.Spawn(WriteThenRead(&file, bytes, &status, &got));
    ASSERT_TRUE(kernel.RunUntil([&] { return group.running() == 0; }).ok());
    if (status.ok()) {
      EXPECT_TRUE(got == bytes);
      EXPECT_TRUE(kernel.FileBytes(fd) == bytes);
      ++whole;
    } else {
      EXPECT_GT(kernel.counts().file_errors, 0u) << status;
      ++failed;
    }
  });
  if (whole + failed < static_cast<int>(kEnoughSeeds)) return;
  EXPECT_GT(whole, 0);
  EXPECT_GT(failed, 0);
}

}  // namespace
}  // namespace ioloop
