// What the node answers to requests.
#include <set>

#include "cql/node/server.h"
#include "cql/protocol/compression.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/node/server_fixture.h"
#include "tests/cql/node/testing.h"

namespace cql::node {
namespace {

using protocol::Opcode;
using protocol::ResultView;
using protocol::Writer;
using ::testing::HasSubstr;

constexpr int32_t kProtocolError = 0x000A;
constexpr int32_t kInvalid = 0x2200;

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

}  // namespace
}  // namespace cql::node
