#include "cql/protocol/request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

using ::testing::ElementsAre;

const std::vector<ColumnSpec> kColumns = {{"ks", "t", "id", TypeId::kInt},
                                          {"ks", "t", "name", TypeId::kText}};

QueryParameters AllParameters() {
  QueryParameters parameters;
  parameters.consistency = Consistency::kLocalQuorum;
  parameters.skip_metadata = true;
  parameters.page_size = 100;
  parameters.paging_state = "ps";
  parameters.serial_consistency = Consistency::kLocalSerial;
  parameters.default_timestamp_us = 258;
  return parameters;
}

constexpr char kAllParametersHead[] = "0006 3f 0003";
constexpr char kAllParametersTail[] =
    "00000064 00000002 'ps' 0009 0000000000000102";

void WriteParameters(Writer* writer) {
  BeginQueryParameters(writer, AllParameters(), 3);
  EXPECT_TRUE(EncodeValues(writer, kColumns, 1, "x").ok());
  EXPECT_TRUE(EncodeValue(writer, TypeId::kInt, Unset{}).ok());
  EndQueryParameters(writer, AllParameters());
}

std::string GoldenParameters() {
  return Bytes(std::string(kAllParametersHead) +
               "00000004 00000001 00000001 'x' fffffffe" + kAllParametersTail);
}

void ExpectAllParameters(const QueryParameters& parameters,
                         const RequestValues& bound) {
  EXPECT_EQ(parameters.consistency, Consistency::kLocalQuorum);
  EXPECT_TRUE(parameters.skip_metadata);
  EXPECT_EQ(parameters.page_size, 100);
  EXPECT_EQ(parameters.paging_state, "ps");
  EXPECT_EQ(parameters.serial_consistency, Consistency::kLocalSerial);
  EXPECT_EQ(parameters.default_timestamp_us, 258);
  ASSERT_EQ(bound.values.size(), 3u);
  EXPECT_EQ(bound.values[0].bytes, Bytes("00000001"));
  EXPECT_EQ(bound.values[1].bytes, "x");
  EXPECT_EQ(bound.values[2].kind, BoundValue::Kind::kUnset);
  EXPECT_TRUE(bound.names.empty());
}

// Every proper prefix must be refused by `decode`.
template <typename Decode>
void ExpectTruncationsRefused(const std::string& body, Decode&& decode) {
  for (size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(body).substr(0, size)).ok())
        << "cut at " << size;
  }
  EXPECT_FALSE(decode(body + "x").ok());
}

TEST(RequestTest, StartupHasTheBytesOfTheSpecification) {
  const std::string body = Written([](Writer* writer) {
    EncodeStartup(writer, {{"CQL_VERSION", "3.0.0"}, {"COMPRESSION", "lz4"}});
  });
  EXPECT_EQ(body, Bytes("0002 000b 'CQL_VERSION' 0005 '3.0.0' 000b "
                        "'COMPRESSION' 0003 'lz4'"));
  StartupRequest startup;
  ASSERT_TRUE(DecodeStartup(body, &startup).ok());
  EXPECT_EQ(startup.Find("COMPRESSION"), "lz4");
  EXPECT_EQ(startup.Find("OTHER"), std::nullopt);
  ExpectTruncationsRefused(
      body, [&](std::string_view cut) { return DecodeStartup(cut, &startup); });
}

TEST(RequestTest, QueryCarriesEveryParameter) {
  const std::string body = Written([](Writer* writer) {
    EncodeQueryText(writer, "SELECT 1");
    WriteParameters(writer);
  });
  EXPECT_EQ(body, Bytes("00000008 'SELECT 1'") + GoldenParameters());
  QueryRequest query;
  // Used twice: what the first left behind must not show.
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = DecodeQuery(body, &query);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(query.text, "SELECT 1");
    ExpectAllParameters(query.parameters, query.bound);
  }
  ExpectTruncationsRefused(
      body, [&](std::string_view cut) { return DecodeQuery(cut, &query); });

  const std::string plain = Bytes("00000001 'x' 0001 00");
  ASSERT_TRUE(DecodeQuery(plain, &query).ok());
  EXPECT_TRUE(query.bound.values.empty());
  EXPECT_EQ(query.parameters.page_size, 0);
  EXPECT_EQ(query.parameters.default_timestamp_us, std::nullopt);
  EXPECT_EQ(Written([](Writer* writer) {
              EncodeQueryText(writer, "x");
              BeginQueryParameters(writer, {}, 0);
              EndQueryParameters(writer, {});
            }),
            plain);
}

TEST(RequestTest, QueryTakesNamedValues) {
  QueryRequest query;
  const std::string body = Bytes(
      "00000001 'x' 0001 41 0002 0001 'a' 00000001 '1' 0001 'b' ffffffff");
  ASSERT_TRUE(DecodeQuery(body, &query).ok());
  EXPECT_THAT(query.bound.names, ElementsAre("a", "b"));
  EXPECT_EQ(query.bound.values[0].bytes, "1");
  EXPECT_EQ(query.bound.values[1].kind, BoundValue::Kind::kNull);
  ExpectTruncationsRefused(
      body, [&](std::string_view cut) { return DecodeQuery(cut, &query); });
}

TEST(RequestTest, ExecuteHasTheMetadataIdExactlyIfNegotiated) {
  for (const bool with_id : {false, true}) {
    const std::string body = Written([&](Writer* writer) {
      EncodeExecuteId(
          writer, "id",
          with_id ? std::optional<std::string_view>("meta") : std::nullopt);
      WriteParameters(writer);
    });
    EXPECT_EQ(body, Bytes(with_id ? "0002 'id' 0004 'meta'" : "0002 'id'") +
                        GoldenParameters());
    ExecuteRequest execute;
    ASSERT_TRUE(DecodeExecute(body, with_id, &execute).ok());
    EXPECT_EQ(execute.statement_id, "id");
    EXPECT_EQ(execute.metadata_id, with_id ? "meta" : "");
    ExpectAllParameters(execute.parameters, execute.bound);
    ExpectTruncationsRefused(body, [&](std::string_view cut) {
      return DecodeExecute(cut, with_id, &execute);
    });
  }
}

TEST(RequestTest, BatchMixesTextAndPrepared) {
  QueryParameters parameters;
  parameters.consistency = Consistency::kQuorum;
  parameters.serial_consistency = Consistency::kSerial;
  parameters.default_timestamp_us = 1;
  const std::string body = Written([&](Writer* writer) {
    BeginBatch(writer, BatchType::kUnlogged, 2);
    EncodeBatchText(writer, "INSERT", 0);
    EncodeBatchPrepared(writer, "id", 2);
    EXPECT_TRUE(EncodeValues(writer, kColumns, 5, Null{}).ok());
    EndBatch(writer, parameters);
  });
  EXPECT_EQ(body,
            Bytes("01 0002 00 00000006 'INSERT' 0000 01 0002 'id' 0002 "
                  "00000004 00000005 ffffffff 0004 30 0008 0000000000000001"));
  BatchRequest batch;
  ASSERT_TRUE(DecodeBatch(body, &batch).ok());
  EXPECT_EQ(batch.type, BatchType::kUnlogged);
  ASSERT_EQ(batch.entries.size(), 2u);
  EXPECT_FALSE(batch.entries[0].prepared);
  EXPECT_EQ(batch.entries[0].text_or_id, "INSERT");
  EXPECT_EQ(batch.entries[1].text_or_id, "id");
  EXPECT_EQ(batch.entries[1].first_value, 0u);
  EXPECT_EQ(batch.entries[1].value_count, 2u);
  EXPECT_EQ(batch.values[0].bytes, Bytes("00000005"));
  EXPECT_EQ(batch.parameters.serial_consistency, Consistency::kSerial);
  ExpectTruncationsRefused(
      body, [&](std::string_view cut) { return DecodeBatch(cut, &batch); });
  for (const char* bad : {"03 0000 0001 00", "00 0001 02 0001 'x' 0000 0001 00",
                          "00 0000 0001 40", "00 ffff 0001 00"}) {
    EXPECT_FALSE(DecodeBatch(Bytes(bad), &batch).ok()) << bad;
  }
}

TEST(RequestTest, SmallOnesHaveTheBytesOfTheSpecification) {
  const std::string prepare =
      Written([](Writer* writer) { EncodePrepare(writer, "SELECT"); });
  EXPECT_EQ(prepare, Bytes("00000006 'SELECT'"));
  EXPECT_EQ(*DecodePrepare(prepare), "SELECT");
  ExpectTruncationsRefused(prepare, [](std::string_view cut) {
    return DecodePrepare(cut).status();
  });

  const std::vector<std::string_view> events = {"STATUS_CHANGE", "X"};
  const std::string reg =
      Written([&](Writer* writer) { EncodeRegister(writer, events); });
  EXPECT_EQ(reg, Bytes("0002 000d 'STATUS_CHANGE' 0001 'X'"));
  std::vector<std::string_view> decoded;
  ASSERT_TRUE(DecodeRegister(reg, &decoded).ok());
  EXPECT_EQ(decoded, events);
  ExpectTruncationsRefused(
      reg, [&](std::string_view cut) { return DecodeRegister(cut, &decoded); });

  const std::string token = PlainToken("user", "pass");
  EXPECT_EQ(token, Bytes("00 'user' 00 'pass'"));
  const std::string auth =
      Written([&](Writer* writer) { EncodeAuthResponse(writer, token); });
  EXPECT_EQ(auth, Bytes("0000000a 00 'user' 00 'pass'"));
  const absl::StatusOr<PlainCredentials> credentials =
      ParsePlainToken(*DecodeAuthResponse(auth));
  ASSERT_TRUE(credentials.ok());
  EXPECT_EQ(credentials->username, "user");
  EXPECT_EQ(credentials->password, "pass");
  EXPECT_FALSE(ParsePlainToken("user").ok());
  EXPECT_FALSE(ParsePlainToken(std::string_view("\0user", 5)).ok());
}

TEST(RequestTest, ValuesNameTheColumnThatDoesNotFit) {
  std::string out;
  Writer writer(&out);
  EXPECT_EQ(EncodeValues(&writer, kColumns, 1, 2).message(),
            "value 1 (column 'name'): a C++ integer does not fit CQL type "
            "text");
  EXPECT_EQ(EncodeValues(&writer, kColumns, 1).message(),
            "1 values for a statement with 2 bind markers");
}

TEST(RequestTest, CustomPayloadIsPassedOver) {
  FrameHeader header;
  const std::string body =
      Bytes("0002 0001 'a' 00000001 'b' 0001 'c' ffffffff") + "rest";
  std::string_view view = body;
  ASSERT_TRUE(SkipRequestPayload(header, &view).ok());
  EXPECT_EQ(view, body);
  header.flags = kFlagCustomPayload;
  ASSERT_TRUE(SkipRequestPayload(header, &view).ok());
  EXPECT_EQ(view, "rest");
  std::string_view cut = std::string_view(body).substr(0, 12);
  EXPECT_FALSE(SkipRequestPayload(header, &cut).ok());
}

// Straight into memory that is there, in one pass.
TEST(RequestTest, IsEncodedIntoASpanOfTheSizeItMeasured) {
  const auto encode = [](Writer* writer) {
    FrameHeader header;
    header.opcode = Opcode::kExecute;
    const size_t mark = BeginFrame(writer, header);
    EncodeExecuteId(writer, "id", std::nullopt);
    WriteParameters(writer);
    EndFrame(writer, mark);
  };
  Writer measure{std::span<char>()};
  encode(&measure);
  std::string room(measure.size(), '\0');
  Writer writer{std::span<char>(room)};
  encode(&writer);
  EXPECT_FALSE(writer.overflowed());
  EXPECT_EQ(room, Written(encode));
}

}  // namespace
}  // namespace cql::protocol
