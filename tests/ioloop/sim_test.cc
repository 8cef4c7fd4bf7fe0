// A client and a server on a simulated kernel, for many seeds: connections that
// open, pipeline, half-close, stall, cancel, time out, reset, and vanish, in
// every mixture of a kernel's and a network's trouble.
//
// For every seed: each byte that arrives is the right one at its place; a
// conversation that nobody broke off is complete at both ends; everything that
// was begun ends, and leaves no request in flight, no buffer lent, no
// descriptor open; timers fire in order; and the same seed does the same again.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ioloop/event.h"
#include "ioloop/internal/random.h"
#include "ioloop/listener.h"
#include "ioloop/mailbox.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"
#include "tests/ioloop/sim_test_util.h"

namespace ioloop {
namespace {

using internal::Mix;
using internal::Random;

// The byte at each place of a conversation's stream.
char ByteAt(uint64_t conversation, uint64_t place) {
  return static_cast<char>(
      Mix(conversation * 0x9e3779b97f4a7c15u + place / 8) >> (place % 8 * 8));
}

// What a conversation begins with: who speaks, and how much follows.
struct Header {
  uint64_t conversation;
  uint64_t bytes;
};

// How an end of a conversation ends it.
enum class Ending {
  kWhole,      // Says all, hears all, then closes.
  kClose,      // Close() at some moment, whoever waits.
  kAbort,      // The same with a reset.
  kVanish,     // The stream is destroyed open, with what is queued.
  kImpatient,  // A deadline: CancelReceive(), then Close().
};

Ending AnyEnding(Random* random) {
  switch (random->Below(12)) {
    case 0:
      return Ending::kClose;
    case 1:
      return Ending::kAbort;
    case 2:
      return Ending::kVanish;
    case 3:
      return Ending::kImpatient;
    default:
      return Ending::kWhole;
  }
}

// Pauses: mostly none, sometimes a little, seldom longer than a stall.
absl::Duration AnyPause(Random* random) {
  switch (random->Below(8)) {
    case 0:
      return absl::Microseconds(random->Below(300));
    case 1:
      return absl::Milliseconds(random->Below(20));
    case 2:
      return random->Below(20) == 0 ? absl::Seconds(random->Below(20))
                                    : absl::ZeroDuration();
    default:
      return absl::ZeroDuration();
  }
}

// Timers at random, each fire checked against all that were armed.
class TimerCheck {
 public:
  TimerCheck(Loop* loop, Random* random, size_t timers) : random_(random) {
    for (size_t i = 0; i < timers; ++i) {
      timers_.push_back(std::make_unique<Checked>(loop, this));
    }
  }
  void ArmSome() {
    for (auto& timer : timers_) {
      if (random_->Below(3) == 0) Arm(timer.get());
      if (random_->Below(10) == 0) timer->Forget();
    }
  }
  void Stop() {
    stopped_ = true;
    for (auto& timer : timers_) timer->Forget();
  }

 private:
  struct Checked : Timer {
    Checked(Loop* owner, TimerCheck* check) : Timer(owner, &Fire), all(check) {}
    void Forget() {
      Disarm();
      all->due_.erase({deadline, order});
    }
    static void Fire(Timer* timer) {
      auto* self = static_cast<Checked*>(timer);
      TimerCheck* all = self->all;
      EXPECT_GE(self->loop()->now(), self->deadline);
      // Armed in this very turn: fires in the next one, whatever it was.
      EXPECT_EQ(*all->due_.begin(), std::pair(self->deadline, self->order));
      all->due_.erase({self->deadline, self->order});
    }
    TimerCheck* all;
    absl::Time deadline;
    uint64_t order = 0;
  };
  void Arm(Checked* timer) {
    timer->Forget();
    // Microseconds, so that some fall on the same one.
    const int64_t now_us = absl::ToUnixMicros(timer->loop()->now());
    timer->deadline = absl::FromUnixMicros(
        now_us + 1 + static_cast<int64_t>(random_->Below(500)));
    timer->order = ++armed_;
    due_.insert({timer->deadline, timer->order});
    timer->Arm(timer->deadline);
  }
  Random* random_;
  std::vector<std::unique_ptr<Checked>> timers_;
  std::set<std::pair<absl::Time, uint64_t>> due_;
  uint64_t armed_ = 0;
  bool stopped_ = false;
};

// One conversation, as both ends see it.
struct Conversation {
  uint64_t number = 0;
  uint64_t bytes = 0;
  uint64_t client_leaves_at = 0;  // If it vanishes.
  Ending client = Ending::kWhole;
  Ending server = Ending::kWhole;
  bool connected = false;
  bool served = false;       // The server knows who it is.
  uint64_t heard_there = 0;  // By the server.
  uint64_t heard_back = 0;   // By the client.
  absl::Status client_status;
  absl::Status server_status;
  bool client_saw_end = false;
  bool server_saw_end = false;
};

struct Worlds {
  SimKernel* kernel = nullptr;
  Random* random = nullptr;
  bool loss = false;  // The network may break connections.
  std::vector<Conversation> conversations;
  Stream::Options stream;
  std::vector<SocketAddress> addresses;
  uint64_t served = 0;
};

// An end that is waited for, disturbed, and finally closed.
struct End {
  explicit End(Loop* owner) : loop(owner), quit(owner) {}
  Loop* loop;
  Stream stream;
  Event quit;  // Talking and hearing are over.
  bool closed = false;
  int running = 0;
};

void Leave(End* end) {
  if (--end->running == 0) end->quit.Set();
}

// Ends that do not stay to the end.
Task<void> Disturb(Worlds* worlds, End* end, Ending ending) {
  Random* random = worlds->random;
  if (ending == Ending::kWhole || ending == Ending::kVanish) {
    // Somebody else's deadline cancels receives now and then.
    while (!end->quit.is_set() && random->Below(4) != 0) {
      const absl::Time later = end->loop->now() + AnyPause(random) +
                               absl::Microseconds(random->Below(1000));
      co_await end->quit.WaitUntil(later);
      if (!end->quit.is_set()) end->stream.CancelReceive();
    }
    co_return;
  }
  const absl::Time moment =
      end->loop->now() + absl::Microseconds(random->Below(30000));
  co_await end->quit.WaitUntil(moment);
  end->closed = true;
  if (ending == Ending::kAbort) {
    co_await end->stream.Abort();
  } else {
    if (ending == Ending::kImpatient) end->stream.CancelReceive();
    co_await end->stream.Close();
  }
}

// The next bytes, through cancelled receives; nothing when the end is over.
Task<absl::StatusOr<ReceivedBytes>> Hear(End* end) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await end->stream.Receive();
    if (!bytes.ok() && absl::IsCancelled(bytes.status()) && !end->closed) {
      continue;
    }
    co_return bytes;
  }
}

void CheckBytes(uint64_t conversation, uint64_t place, std::string_view bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != ByteAt(conversation, place + i)) {
      ADD_FAILURE() << "conversation " << conversation << ": byte " << place + i
                    << " is wrong";
      return;
    }
  }
}

// Says `bytes` from `place` on, by whichever call.
Task<absl::Status> Say(Worlds* worlds, End* end, std::string bytes) {
  Stream& stream = end->stream;
  Random* random = worlds->random;
  switch (random->Below(4)) {
    case 0: {
      std::span<char> room = stream.Reserve(bytes.size());
      std::copy(bytes.begin(), bytes.end(), room.begin());
      stream.Commit(bytes.size());
      break;
    }
    case 1:
      co_return co_await stream.SendAll(bytes);
    case 2:
      stream.Queue(bytes);
      co_return co_await stream.Drained(random->Below(bytes.size() + 1));
    default:
      stream.Queue(bytes);
  }
  co_return stream.status();
}

Task<void> TalkAsClient(Worlds* worlds, End* end, Conversation* talk) {
  Random* random = worlds->random;
  const Header header = {talk->number, talk->bytes};
  end->stream.Queue({reinterpret_cast<const char*>(&header), sizeof(header)});
  uint64_t said = 0;
  const uint64_t enough =
      talk->client == Ending::kVanish ? talk->client_leaves_at : talk->bytes;
  while (said < enough && !end->closed) {
    const uint64_t piece =
        std::min(enough - said, 1 + random->Below(1 + random->Below(5000)));
    std::string bytes(piece, '\0');
    for (uint64_t i = 0; i < piece; ++i) {
      bytes[i] = ByteAt(talk->number, said + i);
    }
    said += piece;
    if (talk->client == Ending::kVanish) {
      end->stream.Queue(bytes);  // Who hears no more must not wait for room.
    } else {
      Task<absl::Status> saying = Say(worlds, end, std::move(bytes));
      absl::Status status = co_await saying;
      if (!status.ok()) break;
    }
    const absl::Duration pause = AnyPause(random);
    if (pause > absl::ZeroDuration()) co_await SleepFor(end->loop, pause);
  }
  if (talk->client != Ending::kVanish && !end->closed) {
    end->stream.ShutdownWrite();
  }
  Leave(end);
}

Task<void> HearAsClient(Worlds* worlds, End* end, Conversation* talk) {
  Random* random = worlds->random;
  const uint64_t enough = talk->client == Ending::kVanish
                              ? random->Below(talk->client_leaves_at + 1)
                              : UINT64_MAX;
  while (talk->heard_back < enough) {
    absl::StatusOr<ReceivedBytes> bytes = co_await Hear(end);
    if (!bytes.ok()) {
      talk->client_status = bytes.status();
      break;
    }
    if (bytes->empty()) {
      talk->client_saw_end = true;
      break;
    }
    CheckBytes(talk->number, talk->heard_back, *bytes);
    talk->heard_back += bytes->size();
    // Sometimes the bytes are kept for a while.
    const absl::Duration pause = AnyPause(random);
    if (pause > absl::ZeroDuration()) co_await SleepFor(end->loop, pause);
  }
  Leave(end);
}

Task<bool> ConnectAs(Worlds* worlds, End* end, Conversation* talk) {
  Random* random = worlds->random;
  for (int i = 0; i < 500; ++i) {
    const SocketAddress& address =
        worlds->addresses[random->Below(worlds->addresses.size())];
    const absl::Duration timeout = random->Below(4) == 0
                                       ? absl::Microseconds(random->Below(3000))
                                       : absl::Seconds(600);
    absl::StatusOr<Stream> stream = co_await Stream::Connect(
        end->loop, address, timeout, nullptr, worlds->stream);
    if (stream.ok()) {
      end->stream = *std::move(stream);
      talk->connected = true;
      co_return true;
    }
    EXPECT_TRUE(absl::IsDeadlineExceeded(stream.status()) ||
                absl::IsUnavailable(stream.status()) ||
                absl::IsResourceExhausted(stream.status()))
        << stream.status();
    co_await SleepFor(end->loop, absl::Milliseconds(1 + i));
  }
  co_return false;
}

Task<void> RunClient(Worlds* worlds, Loop* loop, Conversation* talk) {
  End end(loop);
  co_await SleepFor(loop, AnyPause(worlds->random));
  Task<bool> connecting = ConnectAs(worlds, &end, talk);
  if (!co_await connecting) co_return;
  TaskGroup group;
  end.running = 2;
  group.Spawn(HearAsClient(worlds, &end, talk));
  group.Spawn(TalkAsClient(worlds, &end, talk));
  group.Spawn(Disturb(worlds, &end, talk->client));
  co_await group.Join();
  if (talk->client == Ending::kWhole) co_await end.stream.Close();
}

// Reads who speaks; nullptr if the conversation ends before.
Task<Conversation*> Greet(Worlds* worlds, End* end, std::string* rest) {
  while (rest->size() < sizeof(Header)) {
    absl::StatusOr<ReceivedBytes> bytes = co_await Hear(end);
    if (!bytes.ok() || bytes->empty()) co_return nullptr;
    rest->append(*bytes);
  }
  Header header;
  memcpy(&header, rest->data(), sizeof(header));
  rest->erase(0, sizeof(header));
  if (header.conversation >= worlds->conversations.size()) {
    ADD_FAILURE() << "no such conversation: " << header.conversation;
    co_return nullptr;
  }
  Conversation* talk = &worlds->conversations[header.conversation];
  EXPECT_FALSE(talk->served) << header.conversation << " was served twice";
  EXPECT_EQ(header.bytes, talk->bytes);
  talk->served = true;
  co_return talk;
}

Task<void> EchoAsServer(Worlds* worlds, End* end, Conversation* talk,
                        std::string first) {
  Random* random = worlds->random;
  const uint64_t enough = talk->server == Ending::kVanish
                              ? random->Below(talk->bytes + 1)
                              : UINT64_MAX;
  CheckBytes(talk->number, 0, first);
  talk->heard_there = first.size();
  if (!first.empty()) end->stream.Queue(first);
  while (talk->heard_there < enough) {
    absl::StatusOr<ReceivedBytes> bytes = co_await Hear(end);
    if (!bytes.ok()) {
      talk->server_status = bytes.status();
      break;
    }
    if (bytes->empty()) {
      talk->server_saw_end = true;
      break;
    }
    CheckBytes(talk->number, talk->heard_there, *bytes);
    talk->heard_there += bytes->size();
    const absl::Duration pause = AnyPause(random);
    if (pause > absl::ZeroDuration()) co_await SleepFor(end->loop, pause);
    if (end->closed) break;
    Task<absl::Status> saying = Say(worlds, end, std::string(bytes->view()));
    absl::Status status = co_await saying;
    if (!status.ok()) {
      talk->server_status = status;
      break;
    }
  }
  if (talk->server == Ending::kWhole && talk->server_saw_end) {
    absl::Status status = co_await end->stream.Drained();
    if (!status.ok()) talk->server_status = status;
    end->stream.ShutdownWrite();
  }
  Leave(end);
}

Task<void> ServeOne(Worlds* worlds, Loop* loop, Stream stream) {
  End end(loop);
  end.stream = std::move(stream);
  std::string rest;
  Task<Conversation*> greeting = Greet(worlds, &end, &rest);
  Conversation* talk = co_await greeting;
  if (talk == nullptr) {
    co_await end.stream.Close();
    co_return;
  }
  TaskGroup group;
  end.running = 1;
  group.Spawn(EchoAsServer(worlds, &end, talk, std::move(rest)));
  group.Spawn(Disturb(worlds, &end, talk->server));
  co_await group.Join();
  if (talk->server == Ending::kWhole) co_await end.stream.Close();
}

Task<void> Serve(Worlds* worlds, Loop* loop, Listener* listener) {
  TaskGroup group;
  for (;;) {
    absl::StatusOr<Stream> stream = co_await listener->Accept();
    if (!stream.ok()) {
      EXPECT_TRUE(absl::IsCancelled(stream.status())) << stream.status();
      break;
    }
    ++worlds->served;
    group.Spawn(ServeOne(worlds, loop, *std::move(stream)));
    // Sometimes nobody asks for a while.
    const absl::Duration pause = AnyPause(worlds->random);
    if (pause > absl::ZeroDuration()) co_await SleepFor(loop, pause);
  }
  co_await group.Join();
}

Task<void> CallEachOther(Loop* home, Loop* target, int rounds, int* calls) {
  for (int i = 0; i < rounds; ++i) {
    co_await SleepFor(home, absl::Microseconds(700));
    auto call = CallOn(home, target, [target] {
      EXPECT_EQ(Loop::Current(), target);
      return 1;
    });
    *calls += co_await call;
  }
}

// Everything, then the end of everything.
Task<void> RunAll(Worlds* worlds, Loop* loop, Loop* server, Listener* listener,
                  TaskGroup* servers, TimerCheck* timers) {
  TaskGroup clients;
  for (Conversation& talk : worlds->conversations) {
    clients.Spawn(RunClient(worlds, loop, &talk));
    if (worlds->random->Below(2) == 0) timers->ArmSome();
    co_await SleepFor(loop, AnyPause(worlds->random));
  }
  co_await clients.Join();
  timers->ArmSome();
  co_await SleepFor(loop, absl::Milliseconds(1));
  timers->Stop();
  // The listener belongs to the server's loop.
  server->Post([listener, servers] { servers->Spawn(listener->Close()); });
}

Loop::Options AnyLoop(Random* random) {
  Loop::Options options;
  options.sq_entries = 1u << random->Below(7);
  options.cq_entries = 2u << random->Below(8);
  options.buffer_count = 4u << random->Below(5);
  options.buffer_bytes = static_cast<uint32_t>(64 + random->Below(1000));
  return options;
}

// What a run did.
struct Outcome {
  uint64_t hash = 0;
  SimCounts counts;
  uint64_t whole = 0;  // Conversations that both ends completed.
  uint64_t unfinished = 0;
};

void CheckConversation(const Worlds& worlds, const SimCounts& counts,
                       const Conversation& talk, Outcome* outcome) {
  EXPECT_LE(talk.heard_there, talk.bytes);
  EXPECT_LE(talk.heard_back, talk.heard_there);
  for (const absl::Status& status : {talk.client_status, talk.server_status}) {
    EXPECT_TRUE(status.ok() || absl::IsUnavailable(status) ||
                absl::IsCancelled(status))
        << status;
  }
  if (talk.heard_there == talk.bytes && talk.heard_back == talk.bytes &&
      talk.client_saw_end) {
    ++outcome->whole;
  } else {
    ++outcome->unfinished;
  }
  if (talk.client != Ending::kWhole || talk.server != Ending::kWhole) return;
  if (counts.resets > 0) return;  // This one may be the victim.
  if (!talk.connected) {
    EXPECT_TRUE(worlds.loss) << talk.number << " never connected";
    return;
  }
  // Nobody broke this one off.
  EXPECT_TRUE(talk.served) << talk.number;
  EXPECT_TRUE(talk.client_status.ok()) << talk.client_status;
  EXPECT_TRUE(talk.server_status.ok()) << talk.server_status;
  EXPECT_EQ(talk.heard_there, talk.bytes) << talk.number;
  EXPECT_EQ(talk.heard_back, talk.bytes) << talk.number;
  EXPECT_TRUE(talk.server_saw_end) << talk.number;
  EXPECT_TRUE(talk.client_saw_end) << talk.number;
}

void CheckLoopIsClean(Loop* loop) {
  EXPECT_EQ(loop->in_flight(), 0u);
  EXPECT_EQ(loop->buffers().lent(), 0u);
  EXPECT_EQ(loop->buffers().copies(), 0u);
  EXPECT_EQ(loop->timers().size(), 0u);
}

Outcome RunSeed(uint64_t seed) {
  Random random(seed);
  Worlds worlds;
  worlds.random = &random;
  worlds.loss = random.Below(2) == 0;
  SimOptions options;
  options.seed = seed;
  options.trouble = SimTrouble::ForSeed(seed);
  if (worlds.loss) options.trouble = options.trouble.WithLoss(seed);
  options.send_buffer_bytes = 100 + random.Below(20000);
  options.receive_buffer_bytes = 100 + random.Below(20000);
  options.descriptors_max = random.Below(4) == 0 ? 16 : 4096;
  options.turns_max = 2'000'000;
  SimKernel kernel(options);
  worlds.kernel = &kernel;
  worlds.stream.receive_queue_max = static_cast<uint32_t>(1 + random.Below(8));

  const size_t conversations = 1 + random.Below(12);
  const uint64_t most_bytes = random.Below(4) == 0 ? 60000 : 5000;
  for (size_t i = 0; i < conversations; ++i) {
    Conversation talk;
    talk.number = i;
    talk.bytes = random.Below(most_bytes);
    talk.client_leaves_at = random.Below(talk.bytes + 1);
    talk.client = AnyEnding(&random);
    talk.server = AnyEnding(&random);
    worlds.conversations.push_back(std::move(talk));
  }

  Outcome outcome;
  {
    std::unique_ptr<Loop> client = MakeSimLoop(&kernel, AnyLoop(&random));
    std::unique_ptr<Loop> own;
    Loop* server = client.get();
    if (random.Below(3) != 0) {
      own = MakeSimLoop(&kernel, AnyLoop(&random));
      server = own.get();
    }
    Listener::Options listening;
    listening.backlog = static_cast<int>(random.Below(6));
    listening.pending_max = static_cast<uint32_t>(1 + random.Below(4));
    listening.pause = absl::Milliseconds(1 + random.Below(50));
    listening.stream = worlds.stream;
    const SocketAddress address =
        random.Below(2) == 0 ? SocketAddress::Loopback(0)
                             : *SocketAddress::Parse("unix:@simulated");
    auto listener = Listener::Bind(server, address, listening);
    if (!listener.ok()) {
      ADD_FAILURE() << listener.status();
      return outcome;
    }
    worlds.addresses.push_back(listener->local_address());
    TimerCheck timers(client.get(), &random, 20);
    int calls = 0;
    const int rounds = static_cast<int>(random.Below(20));
    TaskGroup group;
    TaskGroup closing;
    group.Spawn(Serve(&worlds, server, &*listener));
    group.Spawn(
        RunAll(&worlds, client.get(), server, &*listener, &closing, &timers));
    group.Spawn(CallEachOther(client.get(), server, rounds, &calls));
    absl::Status status = kernel.RunUntil(
        [&] { return group.running() == 0 && closing.running() == 0; });
    if (!status.ok()) {
      // Coroutines that never end cannot be torn down.
      printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
             status.ToString().c_str());
      fflush(stdout);
      abort();
    }
    EXPECT_EQ(calls, rounds);
    // What vanished may still be in the kernel's hands until the loops go.
    for (auto* loop : {client.get(), server}) {
      EXPECT_EQ(loop->buffers().lent(), 0u);
      EXPECT_EQ(loop->buffers().copies(), 0u);
    }
    status = kernel.RunUntil(
        [&] { return client->in_flight() == 0 && server->in_flight() == 0; });
    EXPECT_TRUE(status.ok()) << status;
    CheckLoopIsClean(client.get());
    CheckLoopIsClean(server);
  }
  EXPECT_EQ(kernel.descriptors(), 0u);
  EXPECT_EQ(kernel.counts().submitted, kernel.counts().ended);
  outcome.hash = kernel.trace_hash();
  outcome.counts = kernel.counts();
  for (const Conversation& talk : worlds.conversations) {
    CheckConversation(worlds, outcome.counts, talk, &outcome);
  }
  return outcome;
}

TEST(SimTest, ConversationsSurviveEverySeed) {
  uint64_t whole = 0;
  uint64_t unfinished = 0;
  SimCounts counts;
  ForEachSeed(600, [&](uint64_t seed) {
    const Outcome outcome = RunSeed(seed);
    whole += outcome.whole;
    unfinished += outcome.unfinished;
  });
  printf("%llu conversations were whole, %llu were broken off\n",
         static_cast<unsigned long long>(whole),
         static_cast<unsigned long long>(unfinished));
}

TEST(SimTest, OneSeedDoesTheSameEachTime) {
  std::set<uint64_t> hashes;
  uint64_t seeds = 0;
  ForEachSeed(30, [&](uint64_t seed) {
    const Outcome first = RunSeed(seed);
    const Outcome again = RunSeed(seed);
    EXPECT_EQ(first.hash, again.hash);
    EXPECT_EQ(first.counts.turns, again.counts.turns);
    hashes.insert(first.hash);
    ++seeds;
  });
  EXPECT_EQ(hashes.size(), seeds);
}

}  // namespace
}  // namespace ioloop
