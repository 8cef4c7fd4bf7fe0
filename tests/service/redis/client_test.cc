#include "service/redis/client.h"

#include <signal.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "tests/service/redis/redis_server.h"

namespace redis {
namespace {

using absl::StatusCode;

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    ioloop::Loop::Options options;
    auto loop = ioloop::Loop::Create(options);
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
  }

  void TearDown() override {
    if (client_ != nullptr) {
      loop_->RunUntilDone(client_->Close());
      client_.reset();
    }
    if (listener_ != nullptr) {
      listener_->CancelAccept();
      WaitFor([this] { return peers_.running() == 0; });
      loop_->RunUntilDone(listener_->Close());
      listener_.reset();
    }
  }

  void Connect(std::string_view address, Client::Options options) {
    auto parsed = ioloop::SocketAddress::Parse(address);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    options.address = *parsed;
    options.reconnect_min = absl::Milliseconds(5);
    client_ = Client::Create(loop_.get(), std::move(options));
  }

  // Runs turns until `condition` holds; a failure after a long while.
  bool WaitFor(const std::function<bool()>& condition) {
    const absl::Time limit = absl::Now() + absl::Seconds(30);
    while (!condition()) {
      if (absl::Now() > limit || !loop_->RunOnce(absl::Milliseconds(5)).ok()) {
        return false;
      }
    }
    return true;
  }

  ioloop::Task<absl::StatusOr<Reply>> Ask(std::vector<std::string> words) {
    std::vector<std::string_view> arguments(words.begin(), words.end());
    Call call = client_->Start(arguments);
    absl::StatusOr<Reply> reply = co_await call;
    co_return reply;
  }
  absl::StatusOr<Reply> Run(std::vector<std::string> words) {
    return loop_->RunUntilDone(Ask(std::move(words)));
  }

  // A fake that answers the first bytes of every connection with `first`, and
  // whatever comes later with `later`; nothing where a text is empty.
  void Fake(std::string first, std::string later) {
    auto listener = ioloop::Listener::Bind(loop_.get(), 0);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = std::make_unique<ioloop::Listener>(*std::move(listener));
    peers_.Spawn(AcceptAll(std::move(first), std::move(later)));
  }
  ioloop::Task<void> AcceptAll(std::string first, std::string later) {
    for (;;) {
      absl::StatusOr<ioloop::Stream> stream = co_await listener_->Accept();
      if (!stream.ok()) co_return;
      peers_.Spawn(ServeFake(*std::move(stream), first, later));
    }
  }
  static ioloop::Task<void> ServeFake(ioloop::Stream stream, std::string first,
                                      std::string later) {
    bool handshake = true;
    for (;;) {
      absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream.Receive();
      if (!bytes.ok() || bytes->empty()) break;
      stream.Queue(std::exchange(handshake, false) ? first : later);
    }
    co_await stream.Close();
  }

  std::unique_ptr<ioloop::Loop> loop_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<ioloop::Listener> listener_;
  ioloop::TaskGroup peers_;
};

// Slow machines must not make these time out; what is late on purpose says so.
Client::Options Patient() {
  Client::Options options;
  options.call_timeout = absl::Seconds(20);
  options.connect_timeout = absl::Seconds(20);
  return options;
}

class RealRedisTest : public ClientTest {
 protected:
  RedisServer server_;
};

TEST_F(RealRedisTest, AnswersComeInTheOrderOfTheCalls) {
  Connect(server_.address(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  const std::array<std::string_view, 3> set = {"SET", "a", "1"};
  const std::array<std::string_view, 2> get = {"GET", "a"};
  const std::array<std::string_view, 3> many = {"MGET", "a", "none"};
  Call first = client_->Start(set);
  Call second = client_->Start(get);
  Call third = client_->Start(many);
  struct Waiter {
    static ioloop::Task<absl::StatusOr<Reply>> For(Call* call) {
      absl::StatusOr<Reply> reply = co_await *call;
      co_return reply;
    }
  };
  absl::StatusOr<Reply> reply = loop_->RunUntilDone(Waiter::For(&third));
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->elements.size(), 2u);
  EXPECT_EQ(reply->elements[0].text, "1");
  EXPECT_EQ(reply->elements[1].type, Reply::Type::kNil);
  reply = loop_->RunUntilDone(Waiter::For(&second));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text, "1");
  reply = loop_->RunUntilDone(Waiter::For(&first));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text, "OK");
}

TEST_F(RealRedisTest, ValuesMayHoldAnyBytes) {
  Connect(server_.address(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  std::string value;
  for (int i = 0; i < 100'000; ++i) value.push_back(static_cast<char>(i * 7));
  ASSERT_TRUE(Run({"SET", "binary", value}).ok());
  absl::StatusOr<Reply> reply = Run({"GET", "binary"});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text, value);
}

TEST_F(RealRedisTest, AnErrorOfRedisIsAReplyAndHarmsNothing) {
  Connect(server_.address(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  absl::StatusOr<Reply> reply = Run({"NOSUCHCOMMAND"});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->type, Reply::Type::kError);
  EXPECT_TRUE(Run({"PING"}).ok());
}

TEST_F(RealRedisTest, ComesBackAfterRedisWasKilled) {
  Connect(server_.address(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  server_.Stop();
  ASSERT_TRUE(WaitFor([&] { return !client_->usable(); }));
  EXPECT_EQ(Run({"PING"}).status().code(), StatusCode::kUnavailable);
  server_.Start();
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  EXPECT_TRUE(Run({"PING"}).ok());
  EXPECT_EQ(client_->stats().disconnects, 1u);
}

// The first call pays its time; once the connection is given up for slow, the
// others are not even sent.
TEST_F(RealRedisTest, AFrozenRedisIsSkippedAfterAFewTimeouts) {
  Client::Options options = Patient();
  options.call_timeout = absl::Milliseconds(10);
  options.timeouts_max = 2;
  Connect(server_.address(), options);
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  server_.Signal(SIGSTOP);
  absl::Status status;
  for (int i = 0; i < 10 && status.code() != StatusCode::kUnavailable; ++i) {
    status = Run({"PING"}).status();
    ASSERT_FALSE(status.ok());
  }
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_FALSE(client_->usable());
  EXPECT_LE(client_->stats().timeouts, 3u);
  server_.Signal(SIGCONT);
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
}

TEST_F(RealRedisTest, CallsPastTheBoundAreNotSent) {
  Client::Options options = Patient();
  options.in_flight_max = 2;
  Connect(server_.address(), options);
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  const std::array<std::string_view, 1> ping = {"PING"};
  EXPECT_TRUE(client_->Post(ping));
  EXPECT_TRUE(client_->Post(ping));
  EXPECT_FALSE(client_->Post(ping));
  EXPECT_EQ(client_->stats().skipped, 1u);
}

TEST_F(RealRedisTest, ACallMayBeForgotten) {
  Connect(server_.address(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  {
    const std::array<std::string_view, 2> get = {"GET", "a"};
    Call forgotten = client_->Start(get);
  }
  absl::StatusOr<Reply> reply = Run({"PING"});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text, "PONG");
}

TEST_F(ClientTest, WithoutAServerCallsFailAtOnce) {
  Connect("unix:/nonexistent/redis.sock", Patient());
  EXPECT_FALSE(client_->usable());
  EXPECT_EQ(Run({"PING"}).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(client_->stats().calls, 0u);
}

TEST_F(ClientTest, APeerThatIsNotRedisIsNeverUsable) {
  Fake("HTTP/1.1 400 Bad Request\r\n\r\n", "");
  Connect(listener_->local_address().ToString(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->stats().nonsense >= 2; }));
  EXPECT_FALSE(client_->usable());
}

TEST_F(ClientTest, NonsenseInTheMiddleFailsTheCallsAndTheConnection) {
  Fake("+PONG\r\n", "*1999999999\r\n");
  Connect(listener_->local_address().ToString(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  EXPECT_EQ(Run({"GET", "a"}).status().code(), StatusCode::kUnavailable);
}

TEST_F(ClientTest, AnswersNobodyAskedForEndTheConnection) {
  Fake("+PONG\r\n+PONG\r\n", "");
  Connect(listener_->local_address().ToString(), Patient());
  EXPECT_TRUE(WaitFor([&] { return client_->stats().nonsense >= 1; }));
}

TEST_F(ClientTest, ARefusedHandshakeKeepsItUnusable) {
  Fake("-NOAUTH Authentication required.\r\n", "");
  Connect(listener_->local_address().ToString(), Patient());
  EXPECT_TRUE(WaitFor([&] { return client_->stats().nonsense >= 1; }));
  EXPECT_FALSE(client_->usable());
}

TEST_F(ClientTest, CloseFailsWhatIsInFlight) {
  Fake("+PONG\r\n", "");
  Connect(listener_->local_address().ToString(), Patient());
  ASSERT_TRUE(WaitFor([&] { return client_->usable(); }));
  ioloop::TaskGroup calls;
  absl::Status seen;
  struct Asker {
    static ioloop::Task<void> Run(Client* client, absl::Status* status) {
      const std::array<std::string_view, 1> ping = {"PING"};
      Call call = client->Start(ping);
      absl::StatusOr<Reply> reply = co_await call;
      *status = reply.status();
    }
  };
  calls.Spawn(Asker::Run(client_.get(), &seen));
  loop_->RunUntilDone(client_->Close());
  ASSERT_TRUE(WaitFor([&] { return calls.running() == 0; }));
  EXPECT_EQ(seen.code(), StatusCode::kCancelled);
  client_.reset();
}

}  // namespace
}  // namespace redis
