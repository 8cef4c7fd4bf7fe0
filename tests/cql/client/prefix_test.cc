// What a server puts before the body of an answer: Cassandra warns with the
// answer to a PREPARE, of all things, and nothing after it may shift.
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;

constexpr StatementOptions kRead{.idempotent = true};

protocol::ResponsePrefix EveryPrefix() {
  protocol::ResponsePrefix prefix;
  prefix.tracing_id.emplace();
  prefix.warnings = {"`USE <keyspace>` with prepared statements", ""};
  prefix.custom_payload = {{"tablets-routing-v1", "\x01\x02"}};
  return prefix;
}

class PrefixTest : public ClientTest {
 protected:
  FakeNode* AddWarningNode(FakeNode::Options options = {}) {
    options.prefix = EveryPrefix();
    return AddNode(std::move(options));
  }
};

TEST_F(PrefixTest, EveryStepOfASessionReadsPastIt) {
  FakeNode* node = AddWarningNode({.shards = 2, .metadata_id = true});
  AddWarningNode({.tokens = {100}});
  SessionOptions options = Options();
  options.keyspace = "ks";
  Run(std::move(options), [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    // Reading and writing, to two shards and to a node without; and control.
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    node->ForgetPrepared();
    for (int64_t key = 0; key < 20; ++key) {
      Query query = session->Execute(**select, key);
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), key);
      EXPECT_EQ((*rows->begin()).Get<std::string>(1).value(),
                absl::StrCat("v", key));
    }
    EXPECT_EQ(session->stats().counters.malformed, 0u);

    const int reads = node->peers_reads;
    protocol::Event event;
    event.kind = protocol::Event::Kind::kTopologyChange;
    event.change = "NEW_NODE";
    node->SendEvent(event);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return node->peers_reads > reads; }));
  });
}

TEST_F(PrefixTest, LargeRowsComeWhole) {
  FakeNode* node = AddWarningNode();
  std::string value(3 << 20, 'x');
  for (size_t i = 0; i < value.size(); ++i) {
    value[i] = static_cast<char>(i * 7 / 3);
  }
  node->on_execute = [&](const FakeRequest& request) {
    request.ReplyRows({{Bigint(request.key()), value}});
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    CO_ASSERT_OK(rows);
    EXPECT_TRUE((*rows->begin()).Get<std::string_view>(1).value() == value);
  });
}

TEST_F(PrefixTest, AnErrorKeepsItsCodeAndMessage) {
  FakeNode* node = AddWarningNode();
  node->on_execute = [](const FakeRequest& request) {
    request.connection->ReplyError(request.stream, ServerCode::kReadTimeout,
                                   "too slow");
    return true;
  };
  Run([](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kReadTimeout);
    EXPECT_THAT(StatusOf(rows), HasSubstr("too slow"));
  });
}

TEST_F(PrefixTest, APasswordIsTakenByAServerThatWarns) {
  AddWarningNode(
      {.authenticator = "org.apache.cassandra.auth.PasswordAuthenticator"});
  SessionOptions options = Options();
  options.username = "user";
  options.password = "secret";
  Run(std::move(options), [](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    EXPECT_TRUE(select.ok()) << select.status();
    co_return;
  });
}

}  // namespace
}  // namespace cql::testing
