#include "cql/protocol/response.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

const ColumnSpecs kColumns = {{"ks", "t", "a", TypeId::kInt},
                              {"ks", "t", "b", TypeId::kText}};

template <typename Decode>
void ExpectTruncationsRefused(const std::string& body, Decode&& decode) {
  for (size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(body).substr(0, size)).ok())
        << "cut at " << size;
  }
}

TEST(ResponseTest, SupportedIsAMultimap) {
  const Supported supported = {
      {{"COMPRESSION", {"lz4", "snappy"}}, {"SCYLLA_SHARD", {"3"}}, {"X", {}}}};
  const std::string body =
      Written([&](Writer* writer) { EncodeSupported(writer, supported); });
  EXPECT_EQ(body, Bytes("0003 000b 'COMPRESSION' 0002 0003 'lz4' 0006 'snappy' "
                        "000c 'SCYLLA_SHARD' 0001 0001 '3' 0001 'X' 0000"));
  const absl::StatusOr<Supported> decoded = DecodeSupported(body);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->Find("SCYLLA_SHARD"), "3");
  EXPECT_EQ(decoded->Find("X"), "");
  EXPECT_EQ(decoded->Find("Y"), std::nullopt);
  EXPECT_TRUE(decoded->Has("COMPRESSION", "snappy"));
  EXPECT_FALSE(decoded->Has("COMPRESSION", "zstd"));
  ExpectTruncationsRefused(body, DecodeSupported);
  EXPECT_FALSE(DecodeSupported(Bytes("ffff 0000")).ok());
}

TEST(ResponseTest, AuthenticationTokensMayBeNull) {
  const std::string name = Written(
      [](Writer* writer) { EncodeAuthenticate(writer, "org.example.Auth"); });
  EXPECT_EQ(*DecodeAuthenticate(name), "org.example.Auth");
  ExpectTruncationsRefused(name, DecodeAuthenticate);
  EXPECT_TRUE(DecodeAuthToken(Bytes("ffffffff"))->null());
  const std::string token =
      Written([](Writer* writer) { EncodeAuthToken(writer, "t"); });
  EXPECT_EQ(DecodeAuthToken(token)->bytes(), "t");
  ExpectTruncationsRefused(token, DecodeAuthToken);
}

TEST(ResponseTest, EventsComeBackAsTheyWereWritten) {
  Event status;
  status.kind = Event::Kind::kStatusChange;
  status.change = "UP";
  status.address = *Inet::Parse("127.0.0.1");
  status.port = 9042;
  std::string body =
      Written([&](Writer* writer) { EncodeEvent(writer, status); });
  EXPECT_EQ(body, Bytes("000d 'STATUS_CHANGE' 0002 'UP' 04 7f000001 00002352"));
  absl::StatusOr<Event> decoded = DecodeEvent(body);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->kind, Event::Kind::kStatusChange);
  EXPECT_EQ(decoded->change, "UP");
  EXPECT_EQ(decoded->address, status.address);
  EXPECT_EQ(decoded->port, 9042);
  ExpectTruncationsRefused(body, DecodeEvent);

  Event schema;
  schema.kind = Event::Kind::kSchemaChange;
  schema.schema = {"CREATED", "TABLE", "ks", "t", {}};
  body = Written([&](Writer* writer) { EncodeEvent(writer, schema); });
  EXPECT_EQ(body, Bytes("000d 'SCHEMA_CHANGE' 0007 'CREATED' 0005 'TABLE' 0002 "
                        "'ks' 0001 't'"));
  EXPECT_EQ(DecodeEvent(body)->schema, schema.schema);
  ExpectTruncationsRefused(body, DecodeEvent);

  EXPECT_EQ(DecodeEvent(Bytes("0001 'Z' 0102"))->kind, Event::Kind::kOther);
  EXPECT_FALSE(
      DecodeEvent(Bytes("000d 'STATUS_CHANGE' 0002 'UP' 03 7f0000 00002352"))
          .ok());
}

TEST(ResponseTest, SchemaChangesNameWhatTheyChange) {
  for (const SchemaChange& change : std::vector<SchemaChange>{
           {"DROPPED", "KEYSPACE", "ks", "", {}},
           {"UPDATED", "TYPE", "ks", "u", {}},
           {"CREATED", "FUNCTION", "ks", "f", {"int", "text"}}}) {
    const std::string body = Written(
        [&](Writer* writer) { EncodeSchemaChangeResult(writer, change); });
    const absl::StatusOr<ResultView> result = DecodeResult(body);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->kind, ResultKind::kSchemaChange);
    EXPECT_EQ(*DecodeSchemaChange(result->content), change);
    ExpectTruncationsRefused(std::string(result->content), DecodeSchemaChange);
  }
}

TEST(ResponseTest, RowsHaveTheBytesOfTheSpecification) {
  RowsMetadata metadata;
  metadata.columns = kColumns;
  metadata.paging_state = "ps";
  const std::string body = Written([&](Writer* writer) {
    EncodeRowsHeader(writer, metadata, 1);
    writer->Bytes(Bytes("00000007"));
    writer->NullBytes();
  });
  EXPECT_EQ(body,
            Bytes("00000002 00000003 00000002 00000002 'ps' 0002 'ks' 0001 't' "
                  "0001 'a' 0009 0001 'b' 000d 00000001 00000004 00000007 "
                  "ffffffff"));
  const absl::StatusOr<ResultView> result = DecodeResult(body);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->kind, ResultKind::kRows);
  EXPECT_EQ(result->row_count, 1u);
  EXPECT_EQ(result->metadata.paging_state.bytes(), "ps");
  EXPECT_EQ(*result->metadata.Columns(), kColumns);
  EXPECT_EQ(result->rows, Bytes("00000004 00000007 ffffffff"));
  for (size_t size = 0; size < body.size(); ++size) {
    absl::StatusOr<ResultView> cut =
        DecodeResult(std::string_view(body).substr(0, size));
    if (!cut.ok()) continue;
    EXPECT_FALSE(RowsView::Create(kColumns, cut->row_count, cut->rows).ok());
  }
}

TEST(ResponseTest, RowsOfSeveralTablesNameThemEach) {
  ColumnSpecs columns = kColumns;
  columns[1].table = "other";
  RowsMetadata metadata;
  metadata.columns = columns;
  const std::string body =
      Written([&](Writer* writer) { EncodeRowsHeader(writer, metadata, 0); });
  const absl::StatusOr<ResultView> result = DecodeResult(body);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->metadata.flags, 0u);
  EXPECT_EQ(*result->metadata.Columns(), columns);
  EXPECT_TRUE(result->metadata.paging_state.null());
}

TEST(ResponseTest, RowsMayLeaveMetadataOut) {
  RowsMetadata metadata;
  metadata.columns = kColumns;
  metadata.skip_columns = true;
  const std::string body =
      Written([&](Writer* writer) { EncodeRowsHeader(writer, metadata, 0); });
  EXPECT_EQ(body, Bytes("00000002 00000004 00000002 00000000"));
  const absl::StatusOr<ResultView> result = DecodeResult(body);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->metadata.has_columns());
  EXPECT_EQ(result->metadata.column_count, 2u);
}

// The columns changed since the client prepared: they are sent even though it
// asked to skip them, with a new id.
TEST(ResponseTest, ChangedMetadataIsSentWithItsId) {
  RowsMetadata metadata;
  metadata.columns = kColumns;
  metadata.skip_columns = true;
  metadata.new_metadata_id = "new";
  const std::string body =
      Written([&](Writer* writer) { EncodeRowsHeader(writer, metadata, 0); });
  EXPECT_EQ(body, Bytes("00000002 00000009 00000002 0003 'new' 0002 'ks' 0001 "
                        "'t' 0001 'a' 0009 0001 'b' 000d 00000000"));
  const absl::StatusOr<ResultView> result = DecodeResult(body);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->metadata.new_metadata_id, "new");
  EXPECT_EQ(*result->metadata.Columns(), kColumns);
}

TEST(ResponseTest, PreparedCarriesKeyIndexesMarkAndMetadataId) {
  const std::vector<uint16_t> key = {1, 0};
  for (const bool with_id : {false, true}) {
    Prepared prepared;
    prepared.id = "id";
    if (with_id) prepared.metadata_id = "meta";
    prepared.extra_flags = 0x80000000;
    prepared.bind_markers = kColumns;
    prepared.partition_key_indexes = key;
    prepared.has_result = true;
    prepared.result_columns = kColumns;
    const std::string body =
        Written([&](Writer* writer) { EncodePrepared(writer, prepared); });
    const std::string columns =
        "0002 'ks' 0001 't' 0001 'a' 0009 0001 'b' 000d";
    EXPECT_EQ(body, Bytes(std::string("00000004 0002 'id' ") +
                          (with_id ? "0004 'meta'" : "") +
                          "80000001 00000002 00000002 0001 0000" + columns +
                          "00000001 00000002" + columns));
    const absl::StatusOr<ResultView> result = DecodeResult(body);
    ASSERT_TRUE(result.ok());
    const absl::StatusOr<PreparedView> decoded =
        DecodePrepared(result->content, with_id);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->id, "id");
    EXPECT_EQ(decoded->metadata_id, with_id ? "meta" : "");
    EXPECT_EQ(decoded->flags & 0x80000000, 0x80000000);
    EXPECT_EQ(decoded->bind_markers, kColumns);
    EXPECT_EQ(decoded->partition_key_indexes, key);
    EXPECT_EQ(*decoded->result.Columns(), kColumns);
    ExpectTruncationsRefused(
        std::string(result->content),
        [&](std::string_view cut) { return DecodePrepared(cut, with_id); });
  }
}

TEST(ResponseTest, PreparedWithoutResultHasNoMetadata) {
  Prepared prepared;
  prepared.id = "i";
  const std::string body =
      Written([&](Writer* writer) { EncodePrepared(writer, prepared); });
  EXPECT_EQ(body, Bytes("00000004 0001 'i' 00000000 00000000 00000000 00000004 "
                        "00000000"));
}

TEST(ResponseTest, SmallResults) {
  EXPECT_EQ(Written(EncodeVoid), Bytes("00000001"));
  EXPECT_EQ(DecodeResult(Bytes("00000001"))->kind, ResultKind::kVoid);
  const std::string use =
      Written([](Writer* writer) { EncodeSetKeyspace(writer, "ks"); });
  EXPECT_EQ(use, Bytes("00000003 0002 'ks'"));
  EXPECT_EQ(DecodeResult(use)->content, "ks");
  ExpectTruncationsRefused(use, DecodeResult);
  EXPECT_FALSE(DecodeResult(Bytes("00000009")).ok());
  EXPECT_FALSE(DecodeResult(Bytes("ffffffff")).ok());
}

TEST(ResponseTest, CountsThatLieAreRefused) {
  for (const char* body :
       {"00000002 00000000 7fffffff 00000000",  // columns
        "00000002 00000004 ffffffff 00000000",  // columns, none sent
        "00000002 00000004 00000001 ffffffff",  // rows
        "00000004 0001 'i' 00000000 7fffffff 00000000 00000000 00000000"}) {
    const std::string bytes = Bytes(body);
    const absl::StatusOr<ResultView> result = DecodeResult(bytes);
    if (!result.ok()) continue;
    EXPECT_FALSE(DecodePrepared(result->content, false).ok()) << body;
  }
  // A key index that names no bind marker.
  EXPECT_FALSE(DecodePrepared(Bytes("0001 'i' 00000001 00000001 00000001 0001 "
                                    "0001 'k' 0001 't' 0001 'a' 0009 00000004 "
                                    "00000000"),
                              false)
                   .ok());
}

TEST(ResponseTest, PrefixStandsInTheOrderOfTheSpecification) {
  ResponsePrefix prefix;
  prefix.tracing_id = Uuid::Parse("123e4567-e89b-12d3-a456-426614174000");
  prefix.warnings = {"w1", "w2"};
  prefix.custom_payload = {{"tablets-routing-v1", "v"}};
  FrameHeader header;
  const std::string body = Written([&](Writer* writer) {
    header.flags = EncodePrefix(writer, prefix);
    writer->Raw("rest");
  });
  EXPECT_EQ(header.flags, kFlagTracing | kFlagWarnings | kFlagCustomPayload);
  EXPECT_EQ(body,
            Bytes("123e4567e89b12d3a456426614174000 0002 0002 'w1' 0002 'w2' "
                  "0001 0012 'tablets-routing-v1' 00000001 'v' 'rest'"));
  std::string_view view = body;
  ResponsePrefix decoded;
  ASSERT_TRUE(DecodePrefix(header, &view, &decoded).ok());
  EXPECT_EQ(view, "rest");
  EXPECT_EQ(decoded.tracing_id, prefix.tracing_id);
  EXPECT_THAT(decoded.warnings, ElementsAre("w1", "w2"));
  EXPECT_THAT(decoded.custom_payload,
              ElementsAre(Pair("tablets-routing-v1", "v")));
  EXPECT_EQ(decoded.FindPayload("tablets-routing-v1"), "v");
  view = body;
  ASSERT_TRUE(DecodePrefix(header, &view, nullptr).ok());
  EXPECT_EQ(view, "rest");
  for (size_t size = 0; size < body.size() - 4; ++size) {
    view = std::string_view(body).substr(0, size);
    EXPECT_FALSE(DecodePrefix(header, &view, &decoded).ok());
  }
}

}  // namespace
}  // namespace cql::protocol
