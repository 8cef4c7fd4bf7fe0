#include "cql/node/server.h"

#include <set>

#include "cql/protocol/compression.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "cql/protocol/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/node/testing.h"

namespace cql::node {
namespace {

using protocol::Opcode;
using protocol::ResultView;
using protocol::Supported;
using protocol::Writer;
using ::testing::HasSubstr;

constexpr int32_t kProtocolError = 0x000A;
constexpr int32_t kInvalid = 0x2200;

class ServerTest : public ::testing::Test {
 protected:
  void StartNode(NodeOptions options = {}) {
    options.execute_log_max = 1000;
    node_ = std::make_unique<TestNode>(std::move(options));
    ASSERT_TRUE(node_->status().ok()) << node_->status();
  }

  // A client past STARTUP, with table ks.t (k int, v text) made by the first.
  std::unique_ptr<RawClient> Ready(
      const std::vector<std::pair<std::string, std::string>>& startup = {}) {
    auto client = std::make_unique<RawClient>(node_->port());
    EXPECT_TRUE(client->Startup(startup).is(Opcode::kReady));
    if (!made_) {
      made_ = true;
      EXPECT_EQ(client
                    ->Query("CREATE KEYSPACE ks WITH replication = {'class': "
                            "'SimpleStrategy', 'replication_factor': 1}")
                    .result_kind(),
                5);
      EXPECT_EQ(client->Query("CREATE TABLE ks.t (k int PRIMARY KEY, v text)")
                    .result_kind(),
                5);
    }
    return client;
  }

  // The cells of a RESULT Rows, row by row.
  static std::vector<std::vector<std::string>> Rows(const Reply& reply) {
    std::vector<std::vector<std::string>> rows;
    const absl::StatusOr<ResultView> result =
        protocol::DecodeResult(reply.body);
    EXPECT_TRUE(result.ok() && result->kind == protocol::ResultKind::kRows)
        << reply.error_message();
    if (!result.ok()) return rows;
    protocol::Reader reader(result->rows);
    for (uint32_t i = 0; i < result->row_count; ++i) {
      std::vector<std::string>& row = rows.emplace_back();
      for (uint32_t j = 0; j < result->metadata.column_count; ++j) {
        row.emplace_back(reader.Bytes().bytes());
      }
    }
    return rows;
  }

  static Supported Options(RawClient* client) {
    const Reply reply = client->Call(Opcode::kOptions, "");
    EXPECT_TRUE(reply.is(Opcode::kSupported));
    absl::StatusOr<Supported> supported = protocol::DecodeSupported(reply.body);
    return supported.ok() ? *supported : Supported();
  }

  std::unique_ptr<TestNode> node_;
  bool made_ = false;
};

// --- Start-up ---------------------------------------------------------------

TEST_F(ServerTest, TellsWhatItSupportsBeforeAndAfterStartup) {
  NodeOptions options;
  options.shards = 3;
  StartNode(options);
  RawClient client(node_->port());
  for (int i = 0; i < 2; ++i) {
    const Supported supported = Options(&client);
    EXPECT_TRUE(supported.Has("COMPRESSION", "lz4"));
    EXPECT_EQ(supported.Find("SCYLLA_NR_SHARDS"), "3");
    EXPECT_EQ(supported.Find("SCYLLA_SHARDING_IGNORE_MSB"), "12");
    EXPECT_EQ(supported.Find("SCYLLA_SHARDING_ALGORITHM"),
              "biased-token-round-robin");
    EXPECT_EQ(supported.Find("SCYLLA_SHARD_AWARE_PORT"),
              std::to_string(node_->shard_aware_port()));
    EXPECT_EQ(supported.Find("SCYLLA_LWT_ADD_METADATA_MARK"),
              "LWT_OPTIMIZATION_META_BIT_MASK=2147483648");
    EXPECT_EQ(supported.Find("SCYLLA_RATE_LIMIT_ERROR"), "ERROR_CODE=61440");
    EXPECT_EQ(supported.Find("PROTOCOL_VERSIONS"), std::nullopt);
    if (i == 0) {
      EXPECT_TRUE(client.Startup().is(Opcode::kReady));
    }
  }
}

TEST_F(ServerTest, CanLeaveGroupsOfExtensionsOut) {
  NodeOptions options;
  options.announce_sharding = false;
  options.announce_extensions = false;
  options.shard_aware_port = std::nullopt;
  StartNode(options);
  RawClient client(node_->port());
  for (const auto& [key, values] : Options(&client).options) {
    EXPECT_NE(key.substr(0, 6), "SCYLLA") << key;
  }
}

TEST_F(ServerTest, RefusesOtherProtocolVersionsInAVersion4Frame) {
  StartNode();
  for (const char version : {'\x05', '\x03', '\x42'}) {
    RawClient client(node_->port());
    std::string frame(9, '\0');
    frame[0] = version;
    frame[3] = 9;
    frame[4] = 5;
    client.SendBytes(frame);
    const Reply reply = client.Receive();
    EXPECT_EQ(reply.error_code(), kProtocolError);
    EXPECT_EQ(reply.header.version, 0x84);
    EXPECT_EQ(reply.header.stream, 9);
    EXPECT_THAT(reply.error_message(),
                HasSubstr("Invalid or unsupported protocol version"));
    const Reply end = client.Receive();
    EXPECT_FALSE(end.arrived || end.timed_out);
  }
}

TEST_F(ServerTest, WantsStartupFirstAndOnce) {
  StartNode();
  RawClient client(node_->port());
  EXPECT_EQ(client.Query("SELECT * FROM system.local").error_code(),
            kProtocolError);
  EXPECT_EQ(client.Startup({{"COMPRESSION", "zip"}}).error_code(),
            kProtocolError);
  EXPECT_TRUE(client.Startup().is(Opcode::kReady));
  EXPECT_EQ(client.Startup().error_code(), kProtocolError);
  EXPECT_EQ(client.Query("SELECT key FROM system.local").result_kind(), 2);
}

TEST_F(ServerTest, AsksForTheOnePassword) {
  NodeOptions options;
  options.username = "ann";
  options.password = "secret";
  StartNode(options);
  const auto authenticate = [&](std::string_view user,
                                std::string_view password) {
    RawClient client(node_->port());
    const Reply reply = client.Startup();
    EXPECT_TRUE(reply.is(Opcode::kAuthenticate));
    EXPECT_EQ(*protocol::DecodeAuthenticate(reply.body),
              "org.apache.cassandra.auth.PasswordAuthenticator");
    EXPECT_EQ(client.Query("SELECT key FROM system.local").error_code(),
              kProtocolError);
    std::string token;
    Writer writer(&token);
    protocol::EncodeAuthResponse(&writer, protocol::PlainToken(user, password));
    writer.Finish();
    const Reply answer = client.Call(Opcode::kAuthResponse, token);
    if (answer.is(Opcode::kAuthSuccess)) {
      EXPECT_EQ(client.Query("SELECT key FROM system.local").result_kind(), 2);
    } else {
      // Refused, and gone.
      EXPECT_FALSE(client.Receive().arrived);
    }
    return answer;
  };
  EXPECT_TRUE(authenticate("ann", "secret").is(Opcode::kAuthSuccess));
  for (const auto& [user, password] :
       std::vector<std::pair<std::string, std::string>>{{"ann", "secre"},
                                                        {"ann", "secrets"},
                                                        {"bob", "secret"},
                                                        {"", ""},
                                                        {"ann", ""}}) {
    EXPECT_EQ(authenticate(user, password).error_code(), 0x0100);
  }
}

TEST_F(ServerTest, TakesNoLargeFrameFromStrangers) {
  StartNode();
  RawClient client(node_->port());
  client.Send(Opcode::kStartup, std::string(100'001, 'x'));
  EXPECT_EQ(client.Receive().error_code(), kInvalid);
  EXPECT_FALSE(client.Receive().arrived);

  RawClient known(node_->port());
  ASSERT_TRUE(known.Startup().is(Opcode::kReady));
  const std::string text =
      "SELECT key FROM system.local -- " + std::string(200'000, 'x');
  EXPECT_EQ(known.Query(text).result_kind(), 2);
  // The header alone is enough to be refused.
  protocol::FrameHeader header;
  header.opcode = Opcode::kQuery;
  header.length = 0x7fffffff;
  std::string frame(9, '\0');
  protocol::EncodeHeader(header, frame.data());
  known.SendBytes(frame);
  EXPECT_EQ(known.Receive().error_code(), kInvalid);
}

TEST_F(ServerTest, RefusesConnectionsAboveItsBound) {
  NodeOptions options;
  options.connections_max = 2;
  StartNode(options);
  auto first = Ready();
  auto second = Ready();
  RawClient third(node_->port());
  EXPECT_FALSE(third.Startup().arrived);
  EXPECT_EQ(node_->OnLoop(
                [](Node* node) { return node->stats().connections_refused; }),
            1u);
  EXPECT_EQ(first->Query("SELECT k FROM ks.t").result_kind(), 2);
}

// --- Requests ---------------------------------------------------------------

TEST_F(ServerTest, WritesAndReads) {
  StartNode();
  auto client = Ready();
  EXPECT_EQ(client->Query("USE ks").result_kind(), 3);
  EXPECT_EQ(
      client->Query("INSERT INTO t (k, v) VALUES (1, 'one')").result_kind(), 1);
  const Reply reply = client->Query("SELECT k, v FROM t WHERE k = 1");
  EXPECT_EQ(Rows(reply),
            (std::vector<std::vector<std::string>>{{Int(1), "one"}}));
  // Another connection chose no keyspace.
  auto other = Ready();
  EXPECT_EQ(other->Query("SELECT k FROM t").error_code(), kInvalid);
  EXPECT_EQ(Rows(other->Query("SELECT v FROM ks.t")).size(), 1u);
}

TEST_F(ServerTest, AnswersErrorsWithTheirOwnCodes) {
  StartNode();
  auto client = Ready();
  EXPECT_EQ(client->Query("SELEC 1").error_code(), 0x2000);
  EXPECT_EQ(client->Query("SELECT * FROM ks.nope").error_code(), kInvalid);
  const Reply exists =
      client->Query("CREATE TABLE ks.t (k int PRIMARY KEY, v text)");
  EXPECT_EQ(exists.error_code(), 0x2400);
  const absl::StatusOr<ServerError> error =
      protocol::DecodeServerError(exists.body);
  ASSERT_TRUE(error.ok());
  EXPECT_EQ(error->keyspace, "ks");
  EXPECT_EQ(error->table, "t");
  // What makes drivers of Cassandra leave a proxy's side is not there.
  const Reply peers = client->Query("SELECT * FROM system.peers_v2");
  EXPECT_EQ(peers.error_code(), kInvalid);
  EXPECT_THAT(peers.error_message(), HasSubstr("unconfigured table peers_v2"));
  EXPECT_EQ(client->Query("SELECT * FROM system.peers USING TIMEOUT 2000ms")
                .result_kind(),
            2);
}

TEST_F(ServerTest, PreparesAndExecutes) {
  StartNode();
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  ASSERT_EQ(insert.size(), 16u);
  EXPECT_EQ(client
                ->Call(Opcode::kExecute,
                       RawClient::ExecuteBody(insert, {Int(5), "five"}))
                .result_kind(),
            1);
  // An id is good on every connection.
  auto other = Ready();
  EXPECT_EQ(other
                ->Call(Opcode::kExecute,
                       RawClient::ExecuteBody(insert, {Int(6), "six"}))
                .result_kind(),
            1);
  const std::string select = client->Prepare("SELECT v FROM ks.t WHERE k = ?");
  EXPECT_EQ(Rows(client->Call(Opcode::kExecute,
                              RawClient::ExecuteBody(select, {Int(6)}))),
            (std::vector<std::vector<std::string>>{{"six"}}));
  // Too few values, and a value of the wrong size.
  EXPECT_EQ(client->Call(Opcode::kExecute, RawClient::ExecuteBody(select, {}))
                .error_code(),
            kInvalid);
  EXPECT_EQ(
      client->Call(Opcode::kExecute, RawClient::ExecuteBody(select, {"x"}))
          .error_code(),
      kInvalid);
}

TEST_F(ServerTest, BindsValuesByName) {
  StartNode();
  auto client = Ready();
  std::string body;
  Writer writer(&body);
  protocol::EncodeQueryText(&writer, "INSERT INTO ks.t (k, v) VALUES (:a, :b)");
  writer.Short(1);
  writer.Byte(0x41);
  writer.Short(2);
  writer.String("b");
  writer.Bytes("named");
  writer.String("a");
  writer.Bytes(Int(3));
  writer.Finish();
  EXPECT_EQ(client->Call(Opcode::kQuery, body).result_kind(), 1);
  EXPECT_EQ(Rows(client->Query("SELECT v FROM ks.t WHERE k = 3")),
            (std::vector<std::vector<std::string>>{{"named"}}));
}

TEST_F(ServerTest, AsksToPrepareWhatItDoesNotKnow) {
  StartNode();
  auto client = Ready();
  const Reply unknown = client->Call(
      Opcode::kExecute, RawClient::ExecuteBody("0123456789abcdef", {}));
  EXPECT_EQ(unknown.error_code(), 0x2500);
  EXPECT_EQ(protocol::DecodeServerError(unknown.body)->statement_id,
            "0123456789abcdef");

  const std::string select = client->Prepare("SELECT v FROM ks.t");
  node_->OnLoop([](Node* node) { node->ForgetPrepared(); });
  const std::string execute = RawClient::ExecuteBody(select, {});
  EXPECT_EQ(client->Call(Opcode::kExecute, execute).error_code(), 0x2500);
  EXPECT_EQ(client->Prepare("SELECT v FROM ks.t"), select);
  EXPECT_EQ(client->Call(Opcode::kExecute, execute).result_kind(), 2);
}

TEST_F(ServerTest, PreparedSaysWhichMarkersAreThePartitionKey) {
  StartNode();
  auto client = Ready();
  ASSERT_EQ(client
                ->Query("CREATE TABLE ks.two (a int, b text, c int, v int, "
                        "PRIMARY KEY ((a, b), c))")
                .result_kind(),
            5);
  std::string body;
  Writer writer(&body);
  protocol::EncodePrepare(
      &writer, "INSERT INTO ks.two (v, b, c, a) VALUES (?, ?, ?, ?)");
  writer.Finish();
  const Reply reply = client->Call(Opcode::kPrepare, body);
  const absl::StatusOr<ResultView> result = protocol::DecodeResult(reply.body);
  ASSERT_TRUE(result.ok());
  const absl::StatusOr<protocol::PreparedView> prepared =
      protocol::DecodePrepared(result->content, false);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->partition_key_indexes, (std::vector<uint16_t>{3, 1}));
  EXPECT_EQ(prepared->bind_markers[1].name, "b");
  EXPECT_EQ(prepared->bind_markers[1].keyspace, "ks");
  EXPECT_EQ(prepared->bind_markers[1].type.id, protocol::TypeId::kText);
}

TEST_F(ServerTest, MarksConditionalStatementsForThoseWhoAsked) {
  StartNode();
  for (const bool asked : {false, true}) {
    auto client =
        asked ? Ready({{"SCYLLA_LWT_ADD_METADATA_MARK", "x"}}) : Ready();
    for (const bool conditional : {false, true}) {
      std::string body;
      Writer writer(&body);
      protocol::EncodePrepare(
          &writer, conditional
                       ? "INSERT INTO ks.t (k, v) VALUES (?, ?) IF NOT EXISTS"
                       : "INSERT INTO ks.t (k, v) VALUES (?, ?)");
      writer.Finish();
      const Reply reply = client->Call(Opcode::kPrepare, body);
      const absl::StatusOr<ResultView> result =
          protocol::DecodeResult(reply.body);
      ASSERT_TRUE(result.ok());
      EXPECT_EQ((protocol::DecodePrepared(result->content, false)->flags &
                 0x80000000) != 0,
                asked && conditional);
    }
  }
}

std::string PagedExecute(std::string_view id, int32_t page_size,
                         std::string_view paging_state, bool skip_metadata,
                         std::optional<std::string_view> metadata_id = {}) {
  std::string body;
  Writer writer(&body);
  protocol::QueryParameters parameters;
  parameters.page_size = page_size;
  parameters.paging_state = paging_state;
  parameters.skip_metadata = skip_metadata;
  protocol::EncodeExecuteId(&writer, id, metadata_id);
  protocol::BeginQueryParameters(&writer, parameters, 0);
  protocol::EndQueryParameters(&writer, parameters);
  writer.Finish();
  return body;
}

TEST_F(ServerTest, GivesRowsPageByPageWithoutMetadataIfAsked) {
  StartNode();
  auto client = Ready();
  for (int i = 0; i < 25; ++i) {
    ASSERT_EQ(client
                  ->Query("INSERT INTO ks.t (k, v) VALUES (" +
                          std::to_string(i) + ", 'x')")
                  .result_kind(),
              1);
  }
  const std::string select = client->Prepare("SELECT k FROM ks.t");
  std::set<std::string> seen;
  std::string state;
  int pages = 0;
  do {
    const Reply reply =
        client->Call(Opcode::kExecute, PagedExecute(select, 10, state, true));
    const absl::StatusOr<ResultView> result =
        protocol::DecodeResult(reply.body);
    ASSERT_TRUE(result.ok());
    EXPECT_FALSE(result->metadata.has_columns());
    for (const auto& row : Rows(reply)) seen.insert(row[0]);
    state = std::string(result->metadata.paging_state.bytes());
    ASSERT_LT(++pages, 10);
  } while (!state.empty());
  EXPECT_EQ(seen.size(), 25u);
  EXPECT_GE(pages, 3);
  EXPECT_TRUE(
      client->Call(Opcode::kExecute, PagedExecute(select, 10, "nonsense", true))
          .is(Opcode::kError));
}

// Skipping metadata is safe with ids: columns that changed since PREPARE are
// sent with a new one.
TEST_F(ServerTest, TellsOfChangedColumnsByMetadataId) {
  StartNode();
  auto client = Ready({{"SCYLLA_USE_METADATA_ID", ""}});
  ASSERT_EQ(
      client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'x')").result_kind(),
      1);
  std::string prepare;
  Writer writer(&prepare);
  protocol::EncodePrepare(&writer, "SELECT * FROM ks.t");
  writer.Finish();
  const Reply reply = client->Call(Opcode::kPrepare, prepare);
  const absl::StatusOr<ResultView> result = protocol::DecodeResult(reply.body);
  ASSERT_TRUE(result.ok());
  const absl::StatusOr<protocol::PreparedView> prepared =
      protocol::DecodePrepared(result->content, true);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->metadata_id.size(), 16u);
  const std::string id(prepared->id);
  const std::string metadata_id(prepared->metadata_id);

  const Reply same = client->Call(Opcode::kExecute,
                                  PagedExecute(id, 0, "", true, metadata_id));
  EXPECT_FALSE(protocol::DecodeResult(same.body)->metadata.has_columns());

  const Reply stale =
      client->Call(Opcode::kExecute, PagedExecute(id, 0, "", true, "stale"));
  const absl::StatusOr<ResultView> changed = protocol::DecodeResult(stale.body);
  ASSERT_TRUE(changed.ok());
  EXPECT_TRUE(changed->metadata.has_columns());
  EXPECT_EQ(changed->metadata.new_metadata_id, metadata_id);
  EXPECT_EQ(changed->metadata.Columns()->size(), 2u);
}

TEST_F(ServerTest, RunsBatchesOfTextAndPrepared) {
  StartNode();
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  const auto batch = [&](std::string_view id) {
    std::string body;
    Writer writer(&body);
    protocol::BeginBatch(&writer, protocol::BatchType::kLogged, 2);
    protocol::EncodeBatchText(&writer,
                              "INSERT INTO ks.t (k, v) VALUES (10, 'a')", 0);
    protocol::EncodeBatchPrepared(&writer, id, 2);
    writer.Bytes(Int(11));
    writer.Bytes("b");
    protocol::EndBatch(&writer, {});
    writer.Finish();
    return body;
  };
  EXPECT_EQ(client->Call(Opcode::kBatch, batch(insert)).result_kind(), 1);
  EXPECT_EQ(
      Rows(client->Query("SELECT v FROM ks.t WHERE k IN (10, 11)")).size(), 2u);
  EXPECT_EQ(client->Call(Opcode::kBatch, batch("unknown")).error_code(),
            0x2500);
}

TEST_F(ServerTest, AnswersInOrderWhateverTheStreamAndHoweverCut) {
  StartNode();
  auto client = Ready();
  std::string bytes;
  const std::string body = RawClient::QueryBody("SELECT k FROM ks.t");
  for (int16_t stream = 0; stream < 20; ++stream) {
    protocol::FrameHeader header;
    header.stream = static_cast<int16_t>(stream * 1000);
    header.opcode = Opcode::kQuery;
    header.length = static_cast<uint32_t>(body.size());
    std::string frame(9, '\0');
    protocol::EncodeHeader(header, frame.data());
    bytes += frame + body;
  }
  for (const char byte : bytes) client->SendBytes({&byte, 1});
  for (int16_t stream = 0; stream < 20; ++stream) {
    const Reply reply = client->Receive();
    EXPECT_EQ(reply.result_kind(), 2);
    EXPECT_EQ(reply.header.stream, stream * 1000);
  }
}

TEST_F(ServerTest, SurvivesBodiesThatMakeNoSense) {
  StartNode();
  auto client = Ready();
  for (const Opcode opcode :
       {Opcode::kQuery, Opcode::kPrepare, Opcode::kExecute, Opcode::kBatch,
        Opcode::kRegister}) {
    for (const size_t size : {0, 1, 2, 3, 7, 50}) {
      for (const char fill : {'\0', '\x7f', '\xff'}) {
        const Reply reply = client->Call(opcode, std::string(size, fill));
        EXPECT_TRUE(reply.arrived);
      }
    }
  }
  // A compressed frame where none was negotiated.
  client->Send(Opcode::kQuery, "abc", 1, protocol::kFlagCompression);
  EXPECT_EQ(client->Receive().error_code(), kProtocolError);
  EXPECT_EQ(client->Query("SELECT k FROM ks.t").result_kind(), 2);
  // A frame that only servers send ends the connection.
  client->Send(Opcode::kResult, "");
  EXPECT_EQ(client->Receive().error_code(), kProtocolError);
  EXPECT_FALSE(client->Receive().arrived);
}

TEST_F(ServerTest, SpeaksCompressed) {
  StartNode();
  const std::string large(5000, 'y');
  Ready()->Query("INSERT INTO ks.t (k, v) VALUES (1, '" + large + "')");
  for (const auto compression :
       {protocol::Compression::kLz4, protocol::Compression::kSnappy}) {
    auto client = Ready(
        {{"COMPRESSION", std::string(protocol::CompressionName(compression))}});
    const std::string plain =
        RawClient::QueryBody("SELECT v FROM ks.t WHERE k = 1");
    std::string body(protocol::CompressBound(compression, plain.size()), '\0');
    body.resize(protocol::Compress(compression, plain, body));
    client->Send(Opcode::kQuery, body, 1, protocol::kFlagCompression);
    Reply reply = client->Receive();
    ASSERT_TRUE(reply.is(Opcode::kResult));
    EXPECT_EQ(reply.header.flags, protocol::kFlagCompression);
    EXPECT_LT(reply.body.size(), 1000u);
    std::string result(
        *protocol::DecompressedSize(compression, reply.body, 1 << 20), '\0');
    ASSERT_TRUE(protocol::Decompress(compression, reply.body, result).ok());
    reply.body = result;
    EXPECT_EQ(Rows(reply), (std::vector<std::vector<std::string>>{{large}}));
    // Either side may leave a frame plain.
    EXPECT_EQ(client->Query("SELECT k FROM ks.t WHERE k = 2").result_kind(), 2);
  }
}

TEST_F(ServerTest, TellsRegisteredClientsOfSchemaChanges) {
  StartNode();
  auto watcher = Ready();
  std::string body;
  Writer writer(&body);
  const std::vector<std::string_view> events = {
      "TOPOLOGY_CHANGE", "STATUS_CHANGE", "SCHEMA_CHANGE"};
  protocol::EncodeRegister(&writer, events);
  writer.Finish();
  ASSERT_TRUE(watcher->Call(Opcode::kRegister, body).is(Opcode::kReady));
  auto other = Ready();
  ASSERT_EQ(
      other->Query("CREATE TABLE ks.new (k int PRIMARY KEY)").result_kind(), 5);
  const Reply reply = watcher->Receive();
  ASSERT_TRUE(reply.is(Opcode::kEvent));
  EXPECT_EQ(reply.header.stream, -1);
  const absl::StatusOr<protocol::Event> event =
      protocol::DecodeEvent(reply.body);
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->schema.change, "CREATED");
  EXPECT_EQ(event->schema.target, "TABLE");
  EXPECT_EQ(event->schema.name, "new");
  std::string unknown;
  Writer more(&unknown);
  const std::vector<std::string_view> odd = {"ODD"};
  protocol::EncodeRegister(&more, odd);
  more.Finish();
  EXPECT_EQ(watcher->Call(Opcode::kRegister, unknown).error_code(),
            kProtocolError);
}

// --- Shards -----------------------------------------------------------------

TEST_F(ServerTest, GivesTheShardThatTheSourcePortSays) {
  NodeOptions options;
  options.shards = 5;
  StartNode(options);
  auto maker = Ready();
  int tried = 0;
  for (uint16_t port = 50'000; tried < 10 && port < 60'000; port += 7) {
    RawClient client(node_->shard_aware_port(), port);
    if (!client.connected()) continue;
    ++tried;
    EXPECT_EQ(Options(&client).Find("SCYLLA_SHARD"), std::to_string(port % 5));
  }
  EXPECT_EQ(tried, 10);
}

TEST_F(ServerTest, SpreadsConnectionsOfThePlainPortOverShards) {
  NodeOptions options;
  options.shards = 4;
  StartNode(options);
  std::vector<std::unique_ptr<RawClient>> clients;
  std::set<std::string> shards;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(node_->port()));
    const Supported supported = Options(clients.back().get());
    shards.emplace(*supported.Find("SCYLLA_SHARD"));
  }
  EXPECT_EQ(shards.size(), 4u);
}

TEST_F(ServerTest, RemembersOnWhichShardEachExecuteCame) {
  NodeOptions options;
  options.shards = 4;
  StartNode(options);
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(client
                  ->Call(Opcode::kExecute,
                         RawClient::ExecuteBody(insert, {Int(i), "x"}))
                  .result_kind(),
              1);
  }
  const auto log = node_->OnLoop([](Node* node) {
    return std::vector(node->executes().begin(), node->executes().end());
  });
  ASSERT_EQ(log.size(), 4u);
  EXPECT_EQ(log[0].token, -3485513579396041028);
  for (const ExecuteLogEntry& entry : log) {
    EXPECT_EQ(*entry.token_shard, ShardOf(*entry.token, 4, 12));
    EXPECT_FALSE(entry.shard_aware_port);
    EXPECT_EQ(entry.connection, log[0].connection);
  }
}

// --- Bounds and durability --------------------------------------------------

// A client that asks and never reads costs a bounded amount, and slows only
// itself; when it reads at last, every answer is there.
TEST_F(ServerTest, StopsReadingFromAClientThatDoesNotRead) {
  NodeOptions options;
  options.output_bytes_max = 1 << 20;
  StartNode(options);
  auto client = Ready();
  const std::string large(100'000, 'z');
  client->Query("INSERT INTO ks.t (k, v) VALUES (1, '" + large + "')");
  constexpr int kRequests = 400;  // Forty megabytes of answers.
  const std::string body =
      RawClient::QueryBody("SELECT v FROM ks.t WHERE k = 1");
  for (int i = 0; i < kRequests; ++i) {
    client->Send(Opcode::kQuery, body, static_cast<int16_t>(i));
  }
  auto other = Ready();
  while (node_->OnLoop(
             [](Node* node) { return node->stats().output_stalls; }) == 0) {
    ASSERT_EQ(other->Query("SELECT k FROM ks.t WHERE k = 2").result_kind(), 2);
  }
  const uint64_t requests =
      node_->OnLoop([](Node* node) { return node->stats().requests; });
  EXPECT_LT(requests, uint64_t{kRequests});
  for (int i = 0; i < kRequests; ++i) {
    const Reply reply = client->Receive();
    ASSERT_TRUE(reply.is(Opcode::kResult)) << i;
    EXPECT_EQ(reply.header.stream, i);
    EXPECT_GT(reply.body.size(), large.size());
  }
}

TEST_F(ServerTest, SharesOneSyncAmongManyWrites) {
  StartNode();
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  const uint64_t before =
      node_->OnLoop([](Node* node) { return node->stats().syncs; });
  constexpr int kWrites = 2000;
  std::string bytes;
  for (int i = 0; i < kWrites; ++i) {
    const std::string body = RawClient::ExecuteBody(insert, {Int(i), "v"});
    protocol::FrameHeader header;
    header.stream = static_cast<int16_t>(i);
    header.opcode = Opcode::kExecute;
    header.length = static_cast<uint32_t>(body.size());
    std::string frame(9, '\0');
    protocol::EncodeHeader(header, frame.data());
    bytes += frame + body;
  }
  client->SendBytes(bytes);
  std::set<int16_t> answered;
  for (int i = 0; i < kWrites; ++i) {
    const Reply reply = client->Receive();
    ASSERT_EQ(reply.result_kind(), 1);
    answered.insert(reply.header.stream);
  }
  EXPECT_EQ(answered.size(), size_t{kWrites});
  const uint64_t syncs =
      node_->OnLoop([](Node* node) { return node->stats().syncs; }) - before;
  EXPECT_LT(syncs, uint64_t{kWrites} / 2);
  EXPECT_GE(syncs, 1u);
}

TEST_F(ServerTest, KeepsDataAndIdentityOverARestart) {
  TempDir dir;
  NodeOptions options;
  options.data_dir = dir.path() + "/data";
  StartNode(options);
  Ready()->Query("INSERT INTO ks.t (k, v) VALUES (1, 'kept')");
  const std::string identity =
      Rows(Ready()->Query("SELECT host_id FROM system.local"))[0][0];
  node_->Stop();
  StartNode(options);
  auto client = Ready();
  EXPECT_EQ(Rows(client->Query("SELECT v FROM ks.t WHERE k = 1")),
            (std::vector<std::vector<std::string>>{{"kept"}}));
  EXPECT_EQ(Rows(client->Query("SELECT host_id FROM system.local"))[0][0],
            identity);
}

TEST_F(ServerTest, SaysWhyItDoesNotStart) {
  StartNode();
  NodeOptions none;
  none.shards = 0;
  TestNode shards(none);
  EXPECT_THAT(std::string(shards.status().message()), HasSubstr("shards"));
  TempDir dir;
  NodeOptions same;
  same.data_dir = dir.path() + "/data";
  TestNode first(same);
  ASSERT_TRUE(first.status().ok()) << first.status();
  TestNode second(same);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(same.data_dir));
}

TEST_F(ServerTest, StopsWithClientsInEveryState) {
  StartNode();
  auto ready = Ready();
  RawClient silent(node_->port());
  RawClient half(node_->port());
  half.SendBytes("\x04\x00");
  auto busy = Ready();
  for (int16_t i = 0; i < 100; ++i) {
    busy->Send(Opcode::kQuery,
               RawClient::QueryBody("INSERT INTO ks.t (k, v) VALUES (1, 'x')"),
               i);
  }
  Rule rule;
  rule.action = Rule::Action::kDelay;
  rule.delay = absl::Hours(1);
  node_->AddRule(rule);
  ready->Send(Opcode::kQuery, RawClient::QueryBody("SELECT k FROM ks.t"));
  static_cast<void>(busy->Receive());
  node_->Stop();
  EXPECT_FALSE(silent.Receive().timed_out);
}

// --- Rules ------------------------------------------------------------------

class ServerRulesTest : public ServerTest {
 protected:
  void SetUp() override { StartNode(); }
  const std::string select_ = RawClient::QueryBody("SELECT k FROM ks.t");
};

TEST_F(ServerRulesTest, AnswerWithAnErrorInsteadOfExecuting) {
  auto client = Ready();
  Rule rule;
  rule.contains = "INSERT";
  rule.error.code = ServerCode::kWriteTimeout;
  rule.error.message = "made up";
  rule.error.write_type = "SIMPLE";
  node_->AddRule(rule);
  const Reply reply =
      client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'never')");
  EXPECT_EQ(reply.error_code(), 0x1100);
  EXPECT_EQ(reply.error_message(), "made up");
  EXPECT_TRUE(Rows(client->Query("SELECT k FROM ks.t")).empty());
}

TEST_F(ServerRulesTest, SendRateLimitErrorsOnlyToThoseWhoOptedIn) {
  Rule rule;
  rule.contains = "SELECT";
  rule.times = 0;
  rule.error.code = ServerCode::kRateLimit;
  auto plain = Ready();
  auto opted = Ready({{"SCYLLA_RATE_LIMIT_ERROR", ""}});
  node_->AddRule(rule);
  EXPECT_EQ(plain->Query("SELECT k FROM ks.t").error_code(), 0x2300);
  EXPECT_EQ(opted->Query("SELECT k FROM ks.t").error_code(), 0xF000);
}

TEST_F(ServerRulesTest, FindPreparedStatementsByTheirText) {
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  Rule rule;
  rule.opcode = Opcode::kExecute;
  rule.contains = "INSERT INTO ks.t";
  rule.error.code = ServerCode::kOverloaded;
  node_->AddRule(rule);
  const std::string execute = RawClient::ExecuteBody(insert, {Int(1), "x"});
  EXPECT_EQ(client->Call(Opcode::kExecute, execute).error_code(), 0x1001);
  EXPECT_EQ(client->Call(Opcode::kExecute, execute).result_kind(), 1);
}

TEST_F(ServerRulesTest, DelayOneAnswerAndNotTheOthers) {
  auto client = Ready();
  Rule rule;
  rule.action = Rule::Action::kDelay;
  rule.delay = absl::Milliseconds(50);
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 1);
  client->Send(Opcode::kQuery, select_, 2);
  EXPECT_EQ(client->Receive().header.stream, 2);
  const Reply late = client->Receive();
  EXPECT_EQ(late.header.stream, 1);
  EXPECT_EQ(late.result_kind(), 2);
}

TEST_F(ServerRulesTest, CloseOrResetTheConnection) {
  auto maker = Ready();
  for (const auto action : {Rule::Action::kClose, Rule::Action::kReset}) {
    for (const bool execute : {false, true}) {
      auto client = Ready();
      Rule rule;
      rule.contains = "INSERT";
      rule.action = action;
      rule.execute = execute;
      node_->AddRule(rule);
      const Reply reply =
          client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'x')");
      EXPECT_FALSE(reply.arrived || reply.timed_out);
      EXPECT_EQ(Rows(maker->Query("SELECT k FROM ks.t")).size(),
                execute ? 1u : 0u);
      maker->Query("TRUNCATE ks.t");
      node_->ClearRules();
    }
  }
}

TEST_F(ServerRulesTest, DropAnAnswer) {
  auto client = Ready();
  Rule rule;
  rule.action = Rule::Action::kDrop;
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 1);
  client->Send(Opcode::kQuery, select_, 2);
  EXPECT_EQ(client->Receive().header.stream, 2);
  client->SetTimeout(50);
  EXPECT_TRUE(client->Receive().timed_out);
}

TEST_F(ServerRulesTest, SplitAnAnswerWithoutMixingItWithOthers) {
  auto client = Ready();
  client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'x')");
  Rule rule;
  rule.action = Rule::Action::kSplit;
  rule.split_bytes = 1;
  rule.delay = absl::Microseconds(100);
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 1);
  client->Send(Opcode::kQuery,
               RawClient::QueryBody("INSERT INTO ks.t (k, v) VALUES (2, 'y')"),
               2);
  for (int16_t stream = 1; stream <= 2; ++stream) {
    const Reply reply = client->Receive();
    EXPECT_TRUE(reply.is(Opcode::kResult));
    EXPECT_EQ(reply.header.stream, stream);
  }
}

TEST_F(ServerRulesTest, RepeatAnAnswer) {
  auto client = Ready();
  Rule rule;
  rule.action = Rule::Action::kRepeat;
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 5);
  const Reply first = client->Receive();
  const Reply second = client->Receive();
  EXPECT_EQ(first.header.stream, 5);
  EXPECT_EQ(second.header.stream, 5);
  EXPECT_EQ(first.body, second.body);
}

TEST_F(ServerRulesTest, GiveAConnectionTheWrongShardOrNone) {
  Rule wrong;
  wrong.on = Rule::On::kConnect;
  wrong.shard_aware_port = true;
  wrong.action = Rule::Action::kShard;
  wrong.wrong_shard = 77;
  node_->AddRule(wrong);
  RawClient client(node_->shard_aware_port());
  EXPECT_EQ(Options(&client).Find("SCYLLA_SHARD"), "77");

  Rule refuse;
  refuse.on = Rule::On::kConnect;
  refuse.action = Rule::Action::kReset;
  node_->AddRule(refuse);
  RawClient refused(node_->port());
  const Reply reply = refused.Call(Opcode::kOptions, "");
  EXPECT_FALSE(reply.arrived || reply.timed_out);
}

TEST_F(ServerRulesTest, EndAConnectionFromOutside) {
  auto client = Ready();
  const auto connections =
      node_->OnLoop([](Node* node) { return node->connections(); });
  ASSERT_EQ(connections.size(), 1u);
  EXPECT_TRUE(connections[0].ready);
  node_->OnLoop([&](Node* node) { node->ResetConnection(connections[0].id); });
  const Reply reply = client->Receive();
  EXPECT_FALSE(reply.arrived || reply.timed_out);
}

}  // namespace
}  // namespace cql::node
