#include "cql/protocol/codec.h"

#include <deque>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

using ::testing::HasSubstr;

template <typename T>
absl::StatusOr<std::string> Encoded(const ColumnType& type, const T& value) {
  absl::Status status;
  std::string bytes = Written(
      [&](Writer* writer) { status = EncodeValue(writer, type, value); });
  if (!status.ok()) return status;
  return bytes;
}

template <typename T>
absl::StatusOr<T> Decoded(const ColumnType& type, std::string_view value) {
  Reader reader(value);
  const Cell cell = reader.Bytes();
  T out{};
  absl::Status status = DecodeValue(type, cell, &out);
  if (!status.ok()) return status;
  return out;
}

// Encodes to `golden` and back again.
template <typename T>
void RoundTrip(const ColumnType& type, const T& value,
               std::string_view golden) {
  const absl::StatusOr<std::string> bytes = Encoded(type, value);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, Bytes(golden)) << type.ToString();
  const absl::StatusOr<T> back = Decoded<T>(type, *bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, value) << type.ToString();
  // No prefix of it crashes, or is a value of a fixed size.
  for (size_t size = 4; size < bytes->size(); ++size) {
    const Cell cell{bytes->data() + 4, static_cast<int32_t>(size - 4)};
    T out{};
    static_cast<void>(DecodeValue(type, cell, &out));
  }
}

TEST(CodecTest, HasTheBytesOfTheSpecification) {
  RoundTrip<bool>(TypeId::kBoolean, true, "00000001 01");
  RoundTrip<int8_t>(TypeId::kTinyint, -2, "00000001 fe");
  RoundTrip<int16_t>(TypeId::kSmallint, -2, "00000002 fffe");
  RoundTrip<int32_t>(TypeId::kInt, 1, "00000004 00000001");
  RoundTrip<int64_t>(TypeId::kBigint, -1, "00000008 ffffffffffffffff");
  RoundTrip<int64_t>(TypeId::kCounter, 258, "00000008 0000000000000102");
  RoundTrip<float>(TypeId::kFloat, 1.5f, "00000004 3fc00000");
  RoundTrip<double>(TypeId::kDouble, -1.5, "00000008 bff8000000000000");
  RoundTrip<std::string>(TypeId::kText, "h\xc3\xa9", "00000003 68c3a9");
  RoundTrip<std::string>(TypeId::kAscii, "", "00000000");
  RoundTrip<std::string>(TypeId::kBlob, std::string("\0\xff", 2),
                         "00000002 00ff");
  RoundTrip<absl::Time>(TypeId::kTimestamp, absl::FromUnixMillis(-1),
                        "00000008 ffffffffffffffff");
  const std::optional<Uuid> uuid =
      Uuid::Parse("123e4567-E89B-12d3-a456-426614174000");
  ASSERT_TRUE(uuid.has_value());
  for (const TypeId id : {TypeId::kUuid, TypeId::kTimeuuid}) {
    RoundTrip<Uuid>(id, *uuid, "00000010 123e4567e89b12d3a456426614174000");
  }
  RoundTrip<Inet>(TypeId::kInet, *Inet::Parse("127.0.0.1"),
                  "00000004 7f000001");
  RoundTrip<Inet>(TypeId::kInet, *Inet::Parse("::1"),
                  "00000010 00000000000000000000000000000001");
  RoundTrip<Date>(TypeId::kDate, Date{0}, "00000004 80000000");
  RoundTrip<Date>(TypeId::kDate, Date{-1}, "00000004 7fffffff");
  RoundTrip<Time>(TypeId::kTime, Time{258}, "00000008 0000000000000102");
  RoundTrip<Decimal>(TypeId::kDecimal, Decimal{2, Varint::FromInt64(-128)},
                     "00000005 00000002 80");
}

// The table of the specification.
TEST(CodecTest, WritesVarintsInTheFewestBytes) {
  const struct {
    int64_t value;
    const char* bytes;
  } kCases[] = {
      {0, "00000001 00"},
      {1, "00000001 01"},
      {127, "00000001 7f"},
      {128, "00000002 0080"},
      {129, "00000002 0081"},
      {-1, "00000001 ff"},
      {-128, "00000001 80"},
      {-129, "00000002 ff7f"},
      {std::numeric_limits<int64_t>::max(), "00000008 7fffffffffffffff"},
      {std::numeric_limits<int64_t>::min(), "00000008 8000000000000000"}};
  for (const auto& c : kCases) {
    RoundTrip<int64_t>(TypeId::kVarint, c.value, c.bytes);
    RoundTrip<Varint>(TypeId::kVarint, Varint::FromInt64(c.value), c.bytes);
    EXPECT_EQ(Varint::FromInt64(c.value).ToInt64(), c.value);
  }
  EXPECT_EQ(*Encoded(TypeId::kVarint, std::numeric_limits<uint64_t>::max()),
            Bytes("00000009 00ffffffffffffffff"));
  EXPECT_EQ(Varint{Bytes("010000000000000000")}.ToInt64(), std::nullopt);
  EXPECT_EQ(Varint{Bytes("00ffffffffffffffff")}.ToInt64(), std::nullopt);
  EXPECT_EQ(Varint{Bytes("ffffff")}.ToInt64(), -1);
}

TEST(CodecTest, WritesDurationsAsVariableLengthIntegers) {
  // 1mo2d3ns: each zigzagged.
  RoundTrip<Duration>(TypeId::kDuration, Duration{1, 2, 3},
                      "00000003 02 04 06");
  RoundTrip<Duration>(TypeId::kDuration, Duration{-1, -2, -3},
                      "00000003 01 03 05");
  RoundTrip<Duration>(TypeId::kDuration, Duration{0, 64, 1'000'000'000},
                      "00000008 00 8080 f077359400");
  for (const int64_t ns :
       {int64_t{1} << 62, std::numeric_limits<int64_t>::max(), int64_t{8191},
        int64_t{8192}, (int64_t{1} << 55) - 1, int64_t{1} << 55}) {
    const Duration duration{std::numeric_limits<int32_t>::max(), 1, ns};
    const auto bytes = Encoded(TypeId::kDuration, duration);
    EXPECT_EQ(*Decoded<Duration>(TypeId::kDuration, *bytes), duration);
  }
  EXPECT_FALSE(Encoded(TypeId::kDuration, Duration{1, -1, 0}).ok());
  EXPECT_FALSE(Decoded<Duration>(TypeId::kDuration, Bytes("00000001 ff")).ok());
}

TEST(CodecTest, NestsCollections) {
  const ColumnType list(TypeId::kList, {TypeId::kInt});
  RoundTrip<std::vector<int32_t>>(
      list, {1, 2}, "00000014 00000002 00000004 00000001 00000004 00000002");
  RoundTrip<std::vector<int32_t>>(list, {}, "00000004 00000000");
  RoundTrip<std::deque<int64_t>>(list, {7},
                                 "0000000c 00000001 00000004 00000007");
  RoundTrip<std::set<std::string>>(
      ColumnType(TypeId::kSet, {TypeId::kText}), {"a", "b"},
      "0000000e 00000002 00000001 'a' 00000001 'b'");
  const ColumnType map(TypeId::kMap, {TypeId::kText, list});
  RoundTrip<std::map<std::string, std::vector<int32_t>>>(
      map, {{"k", {5}}},
      "00000019 00000001 00000001 'k' 0000000c 00000001 00000004 00000005");
  RoundTrip<absl::flat_hash_map<std::string, std::vector<int32_t>>>(
      map, {{"k", {}}}, "00000011 00000001 00000001 'k' 00000004 00000000");
  RoundTrip<std::vector<std::optional<int32_t>>>(list, {std::nullopt},
                                                 "00000008 00000001 ffffffff");
  const int32_t raw[] = {1};
  EXPECT_TRUE(Encoded(list, std::span<const int32_t>(raw)).ok());
}

TEST(CodecTest, MapsTuplesAndUserTypes) {
  const ColumnType tuple(TypeId::kTuple, {TypeId::kInt, TypeId::kText});
  using T = std::tuple<int32_t, std::optional<std::string>>;
  RoundTrip<T>(tuple, T{1, "x"}, "0000000d 00000004 00000001 00000001 'x'");
  RoundTrip<T>(tuple, T{1, std::nullopt},
               "0000000c 00000004 00000001 ffffffff");
  ColumnType udt(TypeId::kUdt, {TypeId::kInt, TypeId::kText});
  udt.field_names = {"a", "b"};
  // Written before the second field was added.
  EXPECT_EQ(*Decoded<T>(udt, Bytes("00000008 00000004 00000009")),
            (T{9, std::nullopt}));
  EXPECT_FALSE(Encoded(tuple, std::tuple<int32_t>{1}).ok());
  EXPECT_FALSE(Decoded<std::tuple<int32_t>>(tuple, Bytes("00000000")).ok());
}

TEST(CodecTest, TellsNullFromUnsetFromEmpty) {
  EXPECT_EQ(*Encoded(TypeId::kInt, Null{}), Bytes("ffffffff"));
  EXPECT_EQ(*Encoded(TypeId::kInt, std::nullopt), Bytes("ffffffff"));
  EXPECT_EQ(*Encoded(TypeId::kInt, Unset{}), Bytes("fffffffe"));
  EXPECT_EQ(*Encoded(TypeId::kText, std::optional<std::string>()),
            Bytes("ffffffff"));
  EXPECT_EQ(*Encoded(TypeId::kText, std::optional<std::string>("")),
            Bytes("00000000"));
  EXPECT_EQ(*Decoded<std::optional<int32_t>>(TypeId::kInt, Bytes("ffffffff")),
            std::nullopt);
  EXPECT_EQ(*Decoded<std::optional<std::string_view>>(TypeId::kText,
                                                      Bytes("00000000")),
            "");
  EXPECT_THAT(
      std::string(
          Decoded<int32_t>(TypeId::kInt, Bytes("ffffffff")).status().message()),
      HasSubstr("null"));
}

TEST(CodecTest, TakesIntegersThatFitAndNoOthers) {
  EXPECT_EQ(*Encoded(TypeId::kBigint, 1), Bytes("00000008 0000000000000001"));
  EXPECT_EQ(*Encoded(TypeId::kTinyint, int64_t{-128}), Bytes("00000001 80"));
  EXPECT_FALSE(Encoded(TypeId::kTinyint, 128).ok());
  EXPECT_FALSE(Encoded(TypeId::kInt, int64_t{1} << 31).ok());
  EXPECT_EQ(Encoded(TypeId::kBigint, std::numeric_limits<uint64_t>::max())
                .status()
                .message(),
            "a value of CQL type bigint is out of range: 18446744073709551615");
  EXPECT_EQ(*Decoded<uint8_t>(TypeId::kInt, Bytes("00000004 000000ff")), 255);
  EXPECT_FALSE(Decoded<uint8_t>(TypeId::kInt, Bytes("00000004 00000100")).ok());
  EXPECT_FALSE(
      Decoded<uint32_t>(TypeId::kInt, Bytes("00000004 ffffffff")).ok());
  EXPECT_EQ(*Decoded<int64_t>(TypeId::kSmallint, Bytes("00000002 8000")),
            -32768);
}

TEST(CodecTest, RefusesTypesThatDoNotGoTogether) {
  EXPECT_EQ(Encoded(TypeId::kInt, "text").status().message(),
            "a C++ string does not fit CQL type int");
  EXPECT_FALSE(Encoded(TypeId::kText, 1).ok());
  EXPECT_FALSE(Encoded(TypeId::kFloat, 1.0).ok());
  EXPECT_TRUE(Encoded(TypeId::kDouble, 1.0f).ok());
  EXPECT_FALSE(Encoded(TypeId::kTimestamp, int64_t{1}).ok());
  EXPECT_FALSE(Encoded(TypeId::kBigint, absl::UnixEpoch()).ok());
  EXPECT_FALSE(Encoded(TypeId::kInt, true).ok());
  EXPECT_FALSE(Encoded(TypeId::kText, Uuid{}).ok());
  EXPECT_FALSE(Encoded(TypeId::kTime, Time{-1}).ok());
  EXPECT_FALSE(
      Encoded(ColumnType(TypeId::kList, {TypeId::kInt}), std::vector{"a"})
          .ok());
  EXPECT_FALSE(Encoded(TypeId::kInt, std::vector<int>{1}).ok());
  EXPECT_FALSE(Decoded<float>(TypeId::kDouble, Bytes("00000008 "
                                                     "bff8000000000000"))
                   .ok());
}

TEST(CodecTest, RefusesSizesThatAreNoValueOfTheType) {
  for (const TypeId id : {TypeId::kInt, TypeId::kBigint, TypeId::kSmallint,
                          TypeId::kTinyint, TypeId::kVarint}) {
    EXPECT_FALSE(Decoded<int64_t>(id, Bytes("00000000")).ok());
  }
  EXPECT_FALSE(Decoded<bool>(TypeId::kBoolean, Bytes("00000000")).ok());
  EXPECT_FALSE(Decoded<Inet>(TypeId::kInet, Bytes("00000003 010203")).ok());
  EXPECT_FALSE(Decoded<Uuid>(TypeId::kUuid, Bytes("00000001 00")).ok());
}

// The count of a collection is a lie of two billion: nothing is reserved.
TEST(CodecTest, RefusesCollectionsWhoseCountLies) {
  const ColumnType list(TypeId::kList, {TypeId::kInt});
  for (const char* bytes :
       {"00000004 7fffffff", "00000004 ffffffff", "00000002 0000",
        "00000008 00000002 00000000", "00000008 00000001 00000001"}) {
    EXPECT_FALSE(Decoded<std::vector<int32_t>>(list, Bytes(bytes)).ok())
        << bytes;
  }
  const ColumnType map(TypeId::kMap, {TypeId::kInt, TypeId::kInt});
  using Map = std::map<int32_t, int32_t>;
  EXPECT_FALSE(Decoded<Map>(map, Bytes("00000004 7fffffff")).ok());
}

TEST(ValueTypesTest, ReadAndWriteText) {
  EXPECT_EQ(Uuid::Parse("123e4567-e89b-12d3-a456-426614174000")->ToString(),
            "123e4567-e89b-12d3-a456-426614174000");
  for (const char* bad : {"", "123e4567-e89b-12d3-a456-42661417400",
                          "123e4567-e89b-12d3-a456-42661417400g",
                          "123e4567ae89b-12d3-a456-426614174000"}) {
    EXPECT_EQ(Uuid::Parse(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(Inet::Parse("::ffff:1.2.3.4")->size, 16);
  EXPECT_EQ(Inet::Parse("10.0.0.1")->ToString(), "10.0.0.1");
  EXPECT_EQ(Inet::Parse("10.0.0.256"), std::nullopt);
  EXPECT_EQ(Inet::Parse(std::string_view("10.0.0.1\0x", 10)), std::nullopt);
  EXPECT_EQ(Date::FromCivil(absl::CivilDay(2024, 2, 29)).days, 19782);
  EXPECT_EQ(Date{19782}.ToCivil(), absl::CivilDay(2024, 2, 29));
}

}  // namespace
}  // namespace cql::protocol
