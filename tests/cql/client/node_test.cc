// The client against the embedded node: real statements, real rows, shards.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cql/node/server.h"
#include "cql/session.h"
#include "gtest/gtest.h"
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;

class NodeTest : public ::testing::Test {
 protected:
  NodeTest() {
    std::string pattern = ::testing::TempDir() + "cql_client_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    loop_ = *ioloop::Loop::Create({.buffer_count = 256});
  }
  ~NodeTest() override { std::filesystem::remove_all(directory_); }

  // Runs `body` with a session to a node of `shards` shards.
  void Run(uint32_t shards,
           std::function<Task<void>(node::Node*, Session*)> body) {
    node::NodeOptions options;
    options.data_dir = directory_ + "/data";
    options.sync = node::SyncMode::kProcess;
    options.port = 0;
    options.shard_aware_port = 0;
    options.shards = shards;
    options.username = "user";
    options.password = "secret";
    options.execute_log_max = 10000;
    auto started = node::Node::Start(loop_.get(), options);
    ASSERT_TRUE(started.ok()) << started.status();
    node_ = *std::move(started);
    loop_->RunUntilDone(RunBody(&body));
    node_.reset();
  }

 private:
  Task<void> RunBody(std::function<Task<void>(node::Node*, Session*)>* body) {
    SessionOptions options;
    options.contact_points = {node_->address().ToString()};
    options.username = "user";
    options.password = "secret";
    options.event_window = absl::Milliseconds(10);
    options.read_consistency = Consistency::kOne;
    options.write_consistency = Consistency::kOne;
    auto session = co_await Session::Connect(loop_.get(), options);
    if (session.ok()) {
      co_await (*body)(node_.get(), session->get());
      co_await (*session)->Close();
    } else {
      ADD_FAILURE() << session.status();
    }
    co_await node_->Stop();
  }

  std::string directory_;
  std::unique_ptr<ioloop::Loop> loop_;
  std::unique_ptr<node::Node> node_;
};

Task<absl::Status> Ddl(Session* session, std::string text) {
  Query query = session->ExecuteText({}, text);
  absl::StatusOr<Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  co_return co_await session->AwaitSchemaAgreement(absl::Seconds(10));
}

constexpr char kKeyspace[] =
    "CREATE KEYSPACE ks WITH replication = "
    "{'class': 'SimpleStrategy', 'replication_factor': 1}";
constexpr char kTable[] =
    "CREATE TABLE ks.t (a text, b bigint, c int, tags set<text>, "
    "counts map<text, int>, PRIMARY KEY ((a, b), c))";

TEST_F(NodeTest, WritesAreReadBackFromTheShardOfTheirKey) {
  Run(4, [](node::Node* node, Session* session) -> Task<void> {
    CO_ASSERT_OK(co_await Ddl(session, kKeyspace));
    CO_ASSERT_OK(co_await Ddl(session, kTable));
    auto insert = co_await session->Prepare(
        "INSERT INTO ks.t (a, b, c, tags, counts) VALUES (?, ?, ?, ?, ?)",
        {.access = Access::kWrite, .idempotent = true});
    auto select = co_await session->Prepare(
        "SELECT c, tags, counts FROM ks.t WHERE a = ? AND b = ?",
        {.idempotent = true});
    CO_ASSERT_OK(insert);
    CO_ASSERT_OK(select);
    while (session->connections() < 9) {
      co_await ioloop::SleepFor(ioloop::Loop::Current(), absl::Milliseconds(5));
    }
    node->ClearExecutes();
    const std::vector<std::string> tags = {"x", "y"};
    const std::map<std::string, int32_t> counts = {{"n", 7}};
    QuerySet writes(session, 64);
    for (int64_t key = 0; key < 300; ++key) {
      co_await writes.Room();
      writes.Add([&] {
        return session->Execute(**insert, absl::StrCat("a", key % 30), key % 10,
                                static_cast<int32_t>(key), tags, counts);
      });
    }
    for (size_t i = 0; i < writes.size(); ++i) {
      absl::StatusOr<Rows> written = co_await writes[i];
      CO_ASSERT_OK(written);
    }
    Query query = session->Execute(**select, "a7", int64_t{7});
    absl::StatusOr<Rows> rows = co_await query;
    CO_ASSERT_OK(rows);
    EXPECT_EQ(rows->size(), 10u);
    int32_t expected = 7;
    for (const Row& row : *rows) {
      EXPECT_EQ(row.Get<int32_t>(0).value(), expected);
      EXPECT_EQ(row.Get<std::vector<std::string>>(1).value(), tags);
      EXPECT_EQ((row.Get<std::map<std::string, int32_t>>(2).value()), counts);
      expected += 30;
    }
    EXPECT_GE(node->executes().size(), 301u);
    for (const node::ExecuteLogEntry& execute : node->executes()) {
      EXPECT_TRUE(execute.token_shard.has_value());
      EXPECT_EQ(execute.token_shard, execute.shard) << execute.statement;
    }
  });
}

TEST_F(NodeTest, PagesGoThroughAPartition) {
  Run(1, [](node::Node*, Session* session) -> Task<void> {
    CO_ASSERT_OK(co_await Ddl(session, kKeyspace));
    CO_ASSERT_OK(co_await Ddl(session, kTable));
    auto insert = co_await session->Prepare(
        "INSERT INTO ks.t (a, b, c) VALUES (?, ?, ?)",
        {.access = Access::kWrite, .idempotent = true});
    auto select =
        co_await session->Prepare("SELECT c FROM ks.t WHERE a = ? AND b = ?",
                                  {.idempotent = true, .page_size = 100});
    CO_ASSERT_OK(insert);
    CO_ASSERT_OK(select);
    Batch batch(BatchType::kUnlogged);
    for (int32_t c = 0; c < 1234; ++c) batch.Add(**insert, "a", int64_t{1}, c);
    Query write = session->ExecuteBatch({}, batch);
    CO_ASSERT_OK(co_await write);
    auto start = [&](const RequestOptions& page) {
      return session->Execute(page, **select, "a", int64_t{1});
    };
    Pages pages(RequestOptions{}, start);
    int32_t next = 0;
    int count = 0;
    while (pages.more()) {
      absl::StatusOr<Rows> rows = co_await pages.Next();
      CO_ASSERT_OK(rows);
      ++count;
      for (const Row& row : *rows) {
        EXPECT_EQ(row.Get<int32_t>(0).value(), next++);
      }
    }
    EXPECT_EQ(next, 1234);
    EXPECT_GE(count, 13);
  });
}

TEST_F(NodeTest, ConditionalWritesSayWhetherTheyApplied) {
  Run(2, [](node::Node*, Session* session) -> Task<void> {
    CO_ASSERT_OK(co_await Ddl(session, kKeyspace));
    CO_ASSERT_OK(co_await Ddl(session, kTable));
    auto insert = co_await session->Prepare(
        "INSERT INTO ks.t (a, b, c) VALUES (?, ?, ?) IF NOT EXISTS",
        {.access = Access::kWrite});
    CO_ASSERT_OK(insert);
    for (const bool applied : {true, false, false}) {
      Query query = session->Execute(**insert, "a", int64_t{1}, int32_t{1});
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      EXPECT_EQ(rows->Applied().value(), applied);
    }
  });
}

TEST_F(NodeTest, ARestartedNodeIsPreparedForAgain) {
  Run(2, [](node::Node* node, Session* session) -> Task<void> {
    CO_ASSERT_OK(co_await Ddl(session, kKeyspace));
    CO_ASSERT_OK(co_await Ddl(session, kTable));
    auto select = co_await session->Prepare(
        "SELECT * FROM ks.t WHERE a = ? AND b = ?", {.idempotent = true});
    CO_ASSERT_OK(select);
    node->ForgetPrepared();
    for (const node::ConnectionInfo& connection : node->connections()) {
      node->ResetConnection(connection.id);
    }
    while (session->stats().counters.connections_lost == 0 ||
           session->connections() < 5) {
      co_await ioloop::SleepFor(ioloop::Loop::Current(), absl::Milliseconds(5));
    }
    // The table grows: what `*` means must not be remembered wrongly.
    CO_ASSERT_OK(co_await Ddl(session, "ALTER TABLE ks.t ADD extra text"));
    Query write = session->ExecuteText(
        {}, "INSERT INTO ks.t (a, b, c, extra) VALUES ('a', 1, 2, 'e')");
    CO_ASSERT_OK(co_await write);
    for (int i = 0; i < 3; ++i) {
      Query query = session->Execute(**select, "a", int64_t{1});
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      const std::optional<size_t> extra = rows->Find("extra");
      CO_ASSERT_TRUE(extra.has_value());
      EXPECT_EQ((*rows->begin()).Get<std::string>(*extra).value(), "e");
    }
  });
}

}  // namespace
}  // namespace cql::testing
