// Deadlines and stops on operations, and every race of the two with the
// operation itself: each await ends once, and no byte is lost.
#include "ioloop/stop.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "ioloop/await.h"
#include "ioloop/event.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::ElementsAre;

struct NotingCallback : StopCallback {
  NotingCallback(const StopToken& token, std::vector<int>* into, int number)
      : StopCallback(token, &Note), order(into), id(number) {}
  static void Note(StopCallback* callback) {
    auto* self = static_cast<NotingCallback*>(callback);
    self->order->push_back(self->id);
    if (self->then) self->then();
  }
  std::vector<int>* order;
  int id;
  std::function<void()> then;
};

TEST(StopSourceTest, AsksEachCallbackOnceInOrder) {
  StopSource source;
  std::vector<int> order;
  NotingCallback first(source.token(), &order, 1);
  NotingCallback second(source.token(), &order, 2);
  {
    NotingCallback gone(source.token(), &order, 3);
  }
  NotingCallback detached(source.token(), &order, 4);
  detached.Detach();
  const StopToken copy = source.token();
  NotingCallback of_copy(copy, &order, 5);
  source.RequestStop();
  source.RequestStop();
  EXPECT_THAT(order, ElementsAre(1, 2, 5));
  EXPECT_TRUE(copy.stop_requested());
  EXPECT_TRUE(source.token().stop_requested());
  // Too late: the callback is not called, the token says so.
  NotingCallback late(source.token(), &order, 6);
  EXPECT_TRUE(late.stop_requested());
  EXPECT_EQ(order.size(), 3u);
}

TEST(StopSourceTest, TokensOutliveTheirSource) {
  std::vector<int> order;
  StopToken never;
  EXPECT_FALSE(never.can_stop());
  auto source = std::make_unique<StopSource>();
  StopToken token = source->token();
  StopToken copy = token;
  NotingCallback callback(copy, &order, 1);
  EXPECT_TRUE(token.can_stop());
  source.reset();
  EXPECT_FALSE(token.can_stop());
  EXPECT_FALSE(token.stop_requested());
  EXPECT_TRUE(order.empty());

  StopSource other;
  copy = other.token();
  other.RequestStop();
  EXPECT_TRUE(copy.stop_requested());
  EXPECT_FALSE(token.stop_requested());
  token = copy;
  EXPECT_TRUE(token.stop_requested());
}

// A handler may destroy whatever it likes, and watch anew.
TEST(StopSourceTest, HandlersMayDestroyTheSourceAndEachOther) {
  auto source = std::make_unique<StopSource>();
  std::vector<int> order;
  NotingCallback first(source->token(), &order, 1);
  auto second = std::make_unique<NotingCallback>(source->token(), &order, 2);
  NotingCallback third(source->token(), &order, 3);
  StopToken late;
  first.then = [&] {
    late = source->token();
    second.reset();
    source.reset();
  };
  StopSource* raw = source.get();
  raw->RequestStop();
  EXPECT_THAT(order, ElementsAre(1, 3));
  EXPECT_TRUE(late.stop_requested());
}

class StopTest : public LoopTest {
 protected:
  absl::Time In(absl::Duration duration) { return loop_->now() + duration; }
};

Task<void> Receive(Stream* stream, StopToken stop, absl::Time deadline,
                   std::string* into, absl::Status* status) {
  absl::StatusOr<ReceivedBytes> bytes =
      co_await WithDeadline(WithStop(stream->Receive(), stop), deadline);
  *status = bytes.status();
  if (bytes.ok()) into->append(bytes->view());
}

TEST_F(StopTest, ReceiveEndsAtItsDeadlineAndLosesNothing) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  std::string got;
  absl::Status status;
  loop_->RunUntilDone(
      Receive(&stream, StopToken(), In(absl::Milliseconds(1)), &got, &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(loop_->timers().size(), 0u);
  pair.WriteFar("late");
  loop_->RunUntilDone(
      Receive(&stream, StopToken(), In(absl::Hours(1)), &got, &status));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(got, "late");
  EXPECT_EQ(loop_->timers().size(), 0u);
  loop_->RunUntilDone(stream.Close());
}

// A deadline that has passed looks once; it does not refuse what is there.
TEST_F(StopTest, DeadlineInThePastOnlyLooks) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  std::string got;
  absl::Status status;
  loop_->RunUntilDone(
      Receive(&stream, StopToken(), absl::InfinitePast(), &got, &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  pair.WriteFar("there");
  Turn(absl::Seconds(10));  // The receive is still armed.
  loop_->RunUntilDone(
      Receive(&stream, StopToken(), absl::InfinitePast(), &got, &status));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(got, "there");
  loop_->RunUntilDone(stream.Close());
}

// The data and the deadline come in one turn, in both orders: whichever wins,
// the await ends once and the byte is the next receiver's if not this one's.
TEST_F(StopTest, DeadlineInTheTurnOfTheData) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  int on_time = 0;
  int late = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string sent(1, static_cast<char>('a' + i % 26));
    std::string got;
    absl::Status status;
    TaskGroup group;
    // Due at once: it fires in the next turn, after that turn's completions.
    group.Spawn(Receive(&stream, StopToken(), loop_->now(), &got, &status));
    if (i % 2 == 0) pair.WriteFar(sent);
    RunUntilIdle(&group);
    if (i % 2 == 1) pair.WriteFar(sent);
    if (status.ok()) {
      ++on_time;
    } else {
      ASSERT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
      ++late;
      loop_->RunUntilDone(
          Receive(&stream, StopToken(), absl::InfiniteFuture(), &got, &status));
    }
    ASSERT_EQ(got, sent);
  }
  EXPECT_GT(on_time, 0);
  EXPECT_GT(late, 0);
  EXPECT_EQ(loop_->timers().size(), 0u);
  loop_->RunUntilDone(stream.Close());
}

TEST_F(StopTest, StopEndsAReceiveOnceAndLosesNothing) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  StopSource source;
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(
      Receive(&stream, source.token(), absl::InfiniteFuture(), &got, &status));
  Turn();
  source.RequestStop();
  source.RequestStop();            // Twice is once.
  EXPECT_EQ(group.running(), 1u);  // Never inside RequestStop().
  pair.WriteFar("kept");
  Turn();
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(got, "");
  group.Spawn(
      Receive(&stream, StopToken(), absl::InfiniteFuture(), &got, &status));
  RunUntilIdle(&group);
  EXPECT_EQ(got, "kept");
  loop_->RunUntilDone(stream.Close());
}

// A stop and a deadline hit the same await in one turn.
TEST_F(StopTest, StopAndDeadlineTogetherEndItOnce) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  for (int i = 0; i < 3; ++i) {
    StopSource source;
    std::string got;
    absl::Status status;
    TaskGroup group;
    group.Spawn(Receive(&stream, source.token(), loop_->now(), &got, &status));
    if (i == 0) source.RequestStop();
    if (i == 1) loop_->Post([&source] { source.RequestStop(); });
    RunUntilIdle(&group);
    if (i == 2) source.RequestStop();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(got, "");
  }
  loop_->RunUntilDone(stream.Close());
}

TEST_F(StopTest, StopBeforeTheAwaitStartsNothing) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  StopSource source;
  source.RequestStop();
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(
      Receive(&stream, source.token(), absl::InfiniteFuture(), &got, &status));
  EXPECT_EQ(group.running(), 0u);  // Did not even suspend.
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(StopTest, ASourceThatDiesFirstLeavesTheOperationAlone) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  auto source = std::make_unique<StopSource>();
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(
      Receive(&stream, source->token(), absl::InfiniteFuture(), &got, &status));
  Turn();
  source.reset();
  Turn();
  EXPECT_EQ(group.running(), 1u);
  pair.WriteFar("x");
  RunUntilIdle(&group);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(got, "x");
  loop_->RunUntilDone(stream.Close());
}

// Closing and stopping in one turn: the waiter goes on once.
TEST_F(StopTest, CloseAndStopInOneTurn) {
  SocketPair pair;
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  StopSource source;
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(
      Receive(&stream, source.token(), absl::InfiniteFuture(), &got, &status));
  Turn();
  group.Spawn(stream.Close());
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

Task<void> Send(Stream* stream, std::string bytes, StopToken stop,
                absl::Time deadline, absl::Status* status) {
  *status =
      co_await WithDeadline(WithStop(stream->SendAll(bytes), stop), deadline);
}

TEST_F(StopTest, SendAllEndsAtItsDeadlineAndTheBytesStillGo) {
  SocketPair pair;
  const int small = 4096;
  setsockopt(pair.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  Stream stream = Stream::Adopt(loop_.get(), pair.TakeNear());
  const std::string sent = Pattern(200000);
  absl::Status status;
  loop_->RunUntilDone(
      Send(&stream, sent, StopToken(), In(absl::Milliseconds(1)), &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GT(stream.queued_bytes(), 0u);

  StopSource source;
  TaskGroup group;
  group.Spawn(
      Send(&stream, "", source.token(), absl::InfiniteFuture(), &status));
  Turn();
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);

  std::string got;
  while (got.size() < sent.size()) {
    got += pair.ReadFar();
    Turn();
  }
  EXPECT_TRUE(got == sent);
  loop_->RunUntilDone(stream.Close());
}

Task<void> Accept(Listener* listener, StopToken stop, absl::Time deadline,
                  std::optional<Stream>* into, absl::Status* status) {
  absl::StatusOr<Stream> stream =
      co_await WithDeadline(WithStop(listener->Accept(), stop), deadline);
  *status = stream.status();
  if (stream.ok()) *into = *std::move(stream);
}

TEST_F(StopTest, AStoppedAcceptLosesNoConnection) {
  auto listener = Listener::Bind(loop_.get(), 0);
  ASSERT_TRUE(listener.ok());
  std::optional<Stream> accepted;
  absl::Status status;
  loop_->RunUntilDone(Accept(&*listener, StopToken(), In(absl::Milliseconds(1)),
                             &accepted, &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);

  StopSource source;
  TaskGroup group;
  group.Spawn(Accept(&*listener, source.token(), absl::InfiniteFuture(),
                     &accepted, &status));
  Turn();
  source.RequestStop();
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const SocketAddress address = listener->local_address();
  ASSERT_EQ(connect(client, address.data(), address.length()), 0);
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(accepted.has_value());
  loop_->RunUntilDone(
      Accept(&*listener, StopToken(), In(absl::Hours(1)), &accepted, &status));
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_TRUE(accepted.has_value());
  close(client);
  loop_->RunUntilDone(accepted->Close());
}

Task<void> Poll(Loop* loop, int fd, StopToken stop, absl::Time deadline,
                int32_t* result) {
  Request request;
  request.kind = OpKind::kPoll;
  request.fd = fd;
  request.flags = POLLIN;
  const Completion completion = co_await WithDeadline(
      WithStop(RequestAwaiter(loop, request), stop), deadline);
  *result = completion.result;
}

TEST_F(StopTest, RequestsEndByStopAndDeadline) {
  const int fd = eventfd(0, EFD_CLOEXEC);
  int32_t result = 0;
  loop_->RunUntilDone(
      Poll(loop_.get(), fd, StopToken(), In(absl::Milliseconds(1)), &result));
  EXPECT_EQ(result, -ETIME);
  StopSource source;
  TaskGroup group;
  group.Spawn(
      Poll(loop_.get(), fd, source.token(), absl::InfiniteFuture(), &result));
  Turn();
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(result, -ECANCELED);
  result = 0;
  group.Spawn(
      Poll(loop_.get(), fd, source.token(), absl::InfiniteFuture(), &result));
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(result, -ECANCELED);
  EXPECT_EQ(loop_->in_flight(), 0u);
  close(fd);
}

// A million races would say little more than these: the event, the stop and
// the deadline in every order, each await ends once with one of the three.
TEST_F(StopTest, RequestsRaceStopsAndDeadlines) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int ended[3] = {};
  for (int i = 0; i < 20000; ++i) {
    StopSource source;
    int32_t result = 0;
    TaskGroup group;
    const absl::Time deadline =
        i % 5 == 0 ? loop_->now() : absl::InfiniteFuture();
    group.Spawn(Poll(loop_.get(), fd, source.token(), deadline, &result));
    if (i % 2 == 0) Turn();
    if (i % 3 == 0) eventfd_write(fd, 1);
    if (i % 7 == 0) Turn();
    source.RequestStop();
    RunUntilIdle(&group);
    ASSERT_TRUE(result > 0 || result == -ECANCELED || result == -ETIME)
        << result;
    ++ended[result > 0 ? 0 : result == -ETIME ? 1 : 2];
    eventfd_t value;
    eventfd_read(fd, &value);
  }
  EXPECT_GT(ended[0], 0);
  EXPECT_GT(ended[1], 0);
  EXPECT_GT(ended[2], 0);
  EXPECT_EQ(loop_->in_flight(), 0u);
  EXPECT_EQ(loop_->timers().size(), 0u);
  close(fd);
}

Task<void> Sleep(Loop* loop, StopToken stop, absl::Time until, int* slept) {
  *slept = co_await WithStop(SleepUntil(loop, until), stop) ? 1 : 0;
}

TEST_F(StopTest, SleepsEndEarly) {
  for (const absl::Time until : {In(absl::Hours(1)), absl::InfiniteFuture()}) {
    StopSource source;
    int slept = -1;
    TaskGroup group;
    group.Spawn(Sleep(loop_.get(), source.token(), until, &slept));
    Turn();
    EXPECT_EQ(slept, -1);
    source.RequestStop();
    RunUntilIdle(&group);
    EXPECT_EQ(slept, 0);
    slept = -1;
    group.Spawn(Sleep(loop_.get(), source.token(), until, &slept));
    EXPECT_EQ(slept, 0);
  }
  int slept = -1;
  loop_->RunUntilDone(Sleep(loop_.get(), StopToken(), loop_->now(), &slept));
  EXPECT_EQ(slept, 1);
  EXPECT_EQ(loop_->timers().size(), 0u);
}

Task<void> WaitEvent(Event* event, StopToken stop, absl::Time deadline,
                     int* set) {
  *set = co_await WithDeadline(WithStop(event->Wait(), stop), deadline) ? 1 : 0;
}

TEST_F(StopTest, EventWaitsEndEarlyAndASetIsNotTakenBack) {
  Event event(loop_.get());
  int set = -1;
  loop_->RunUntilDone(
      WaitEvent(&event, StopToken(), In(absl::Milliseconds(1)), &set));
  EXPECT_EQ(set, 0);
  StopSource source;
  TaskGroup group;
  set = -1;
  group.Spawn(WaitEvent(&event, source.token(), absl::InfiniteFuture(), &set));
  event.Pulse();
  source.RequestStop();  // Behind the pulse.
  RunUntilIdle(&group);
  EXPECT_EQ(set, 1);
  StopSource other;
  set = -1;
  group.Spawn(WaitEvent(&event, other.token(), absl::InfiniteFuture(), &set));
  other.RequestStop();
  event.Pulse();  // Behind the stop: nobody waits any more.
  RunUntilIdle(&group);
  EXPECT_EQ(set, 0);
}

Task<void> JoinWithin(Loop* loop, TaskGroup* group, absl::Time deadline,
                      int* done) {
  *done = co_await WithDeadline(group->Join(loop), deadline) ? 1 : 0;
}

// The pattern of every shutdown: wait a while, then stop what is left.
TEST_F(StopTest, AGroupIsJoinedWithinATimeOrStopped) {
  StopSource source;
  TaskGroup workers;
  TaskGroup group;
  int slept = -1;
  int done = -1;
  workers.Spawn(
      Sleep(loop_.get(), source.token(), absl::InfiniteFuture(), &slept));
  group.Spawn(
      JoinWithin(loop_.get(), &workers, In(absl::Milliseconds(1)), &done));
  RunUntilIdle(&group);
  EXPECT_EQ(done, 0);
  source.RequestStop();
  group.Spawn(JoinWithin(loop_.get(), &workers, In(absl::Hours(1)), &done));
  RunUntilIdle(&group);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(slept, 0);
}

TEST_F(StopTest, AStopTimerIsADeadlineOverManyOperations) {
  StopSource source;
  int first = -1;
  int second = -1;
  TaskGroup group;
  {
    StopTimer gone(loop_.get(), &source, loop_->now());
  }
  StopTimer timer(loop_.get(), &source, In(absl::Milliseconds(1)));
  group.Spawn(
      Sleep(loop_.get(), source.token(), absl::InfiniteFuture(), &first));
  group.Spawn(
      Sleep(loop_.get(), source.token(), absl::InfiniteFuture(), &second));
  Turn();
  RunUntilIdle(&group);
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 0);
}

Task<void> Connect(Loop* loop, SocketAddress address, StopToken stop,
                   absl::Status* status) {
  absl::StatusOr<Stream> stream = co_await Stream::Connect(
      loop, address, absl::Hours(1), nullptr, Stream::Options(), stop);
  *status = stream.status();
  if (stream.ok()) co_await stream->Close();
}

// A listener that never accepts and has no room left swallows the SYN.
TEST_F(StopTest, ConnectEndsByStop) {
  Listener::Options options;
  options.backlog = 0;
  auto full = Listener::Bind(loop_.get(), SocketAddress::Loopback(0), options);
  ASSERT_TRUE(full.ok());
  const SocketAddress address = full->local_address();
  std::vector<int> fillers;
  for (int i = 0; i < 8; ++i) {
    const int fd =
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    static_cast<void>(connect(fd, address.data(), address.length()));
    fillers.push_back(fd);
  }
  StopSource source;
  absl::Status status;
  TaskGroup group;
  group.Spawn(Connect(loop_.get(), address, source.token(), &status));
  for (int i = 0; i < 5; ++i) Turn();
  ASSERT_EQ(group.running(), 1u);
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  for (int fd : fillers) close(fd);
}

}  // namespace
}  // namespace ioloop
