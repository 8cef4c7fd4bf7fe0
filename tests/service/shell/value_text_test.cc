// What a table shows was compared with the formatting of cqlsh 6.2.
#include "service/shell/value_text.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "cql/protocol/codec.h"
#include "cql/protocol/value_types.h"

namespace shell {
namespace {

using cql::protocol::ColumnType;
using cql::protocol::TypeId;

template <typename T>
std::string Text(const ColumnType& type, const T& value,
                 Style style = Style::kTable) {
  std::string bytes;
  cql::protocol::Writer writer(&bytes);
  absl::Status status = cql::protocol::EncodeValue(&writer, type, value);
  writer.Finish();
  if (!status.ok()) return status.ToString();
  cql::protocol::Reader reader(bytes);
  std::string text;
  status = AppendValue(type, reader.Bytes(), style, &text);
  return status.ok() ? text : status.ToString();
}

std::string Raw(const ColumnType& type, std::string_view bytes, Style style) {
  std::string text;
  absl::Status status = AppendValue(
      type, {bytes.data(), static_cast<int32_t>(bytes.size())}, style, &text);
  return status.ok() ? text : status.ToString();
}

ColumnType List(ColumnType element) { return {TypeId::kList, {element}}; }

cql::Decimal Decimal(int64_t unscaled, int32_t scale) {
  return {scale, cql::Varint::FromInt64(unscaled)};
}

TEST(ValueTextTest, WholeNumbers) {
  EXPECT_EQ(Text(TypeId::kTinyint, -128), "-128");
  EXPECT_EQ(Text(TypeId::kSmallint, 32767), "32767");
  EXPECT_EQ(Text(TypeId::kInt, -1), "-1");
  EXPECT_EQ(Text(TypeId::kBigint, std::numeric_limits<int64_t>::min()),
            "-9223372036854775808");
  EXPECT_EQ(Raw(TypeId::kCounter, std::string(8, '\0'), Style::kTable), "0");
  EXPECT_EQ(Text(TypeId::kVarint, cql::Varint::FromInt64(-256)), "-256");
  // 2^128 and its negative.
  const std::string large = '\x01' + std::string(16, '\0');
  EXPECT_EQ(Text(TypeId::kVarint, cql::Varint{large}),
            "340282366920938463463374607431768211456");
  const std::string negative = '\xff' + std::string(16, '\0');
  EXPECT_EQ(Text(TypeId::kVarint, cql::Varint{negative}),
            "-340282366920938463463374607431768211456");
}

TEST(ValueTextTest, FloatingPointNumbers) {
  EXPECT_EQ(Text(TypeId::kFloat, 0.1f), "0.1");
  EXPECT_EQ(Text(TypeId::kFloat, 3.14159274f), "3.14159");
  EXPECT_EQ(Text(TypeId::kFloat, 123456.789f), "1.2346e+05");
  EXPECT_EQ(Text(TypeId::kFloat, 1e10f), "1e+10");
  EXPECT_EQ(Text(TypeId::kDouble, 1.0), "1");
  EXPECT_EQ(Text(TypeId::kDouble, 1.0 / 3), "0.3333333333333");
  EXPECT_EQ(Text(TypeId::kDouble, 12345678.5), "12345678.5");
  EXPECT_EQ(Text(TypeId::kDouble, 0.0), "0");
  EXPECT_EQ(Text(TypeId::kDouble, std::nan("")), "NaN");
  EXPECT_EQ(Text(TypeId::kDouble, -std::numeric_limits<double>::infinity()),
            "-Infinity");
  EXPECT_EQ(Text(TypeId::kDouble, 1.0 / 3, Style::kCsv), "0.3333333333333333");
  EXPECT_EQ(Text(TypeId::kFloat, 0.1f, Style::kJson), "0.1");
  EXPECT_EQ(Text(TypeId::kDouble, std::nan(""), Style::kJson), "\"NaN\"");
}

TEST(ValueTextTest, Decimals) {
  EXPECT_EQ(Text(TypeId::kDecimal, Decimal(1250, 2)), "12.50");
  EXPECT_EQ(Text(TypeId::kDecimal, Decimal(1, -9)), "1E+9");
  EXPECT_EQ(Text(TypeId::kDecimal, Decimal(-12, 8)), "-1.2E-7");
  EXPECT_EQ(Text(TypeId::kDecimal, Decimal(0, 8)), "0E-8");
  EXPECT_EQ(Text(TypeId::kDecimal, Decimal(5, 3)), "0.005");
  EXPECT_EQ(Text(TypeId::kDecimal, Decimal(-7, 0)), "-7");
}

TEST(ValueTextTest, TextIsOneLineInATableAndAsItIsInCsv) {
  constexpr char kText[] = "a\nb\\c\t'\x01\xc3\xa9";
  EXPECT_EQ(Text(TypeId::kText, kText), "a\\nb\\\\c\\t'\\x01\xc3\xa9");
  EXPECT_EQ(Text(TypeId::kText, kText, Style::kCsv), kText);
  EXPECT_EQ(Text(TypeId::kText, kText, Style::kJson),
            "\"a\\nb\\\\c\\t'\\u0001\xc3\xa9\"");
  EXPECT_EQ(Text(TypeId::kAscii, ""), "");
}

TEST(ValueTextTest, BytesBooleansAndIds) {
  EXPECT_EQ(Text(TypeId::kBlob, std::string_view("\x01\xab")), "0x01ab");
  EXPECT_EQ(Text(TypeId::kBlob, std::string_view("\x01\xab"), Style::kJson),
            "\"0x01ab\"");
  EXPECT_EQ(Text(TypeId::kBoolean, true), "True");
  EXPECT_EQ(Text(TypeId::kBoolean, false, Style::kJson), "false");
  const cql::Uuid uuid =
      *cql::Uuid::Parse("123e4567-e89b-12d3-a456-426614174000");
  EXPECT_EQ(Text(TypeId::kUuid, uuid), uuid.ToString());
  EXPECT_EQ(Text(List(TypeId::kTimeuuid), std::vector<cql::Uuid>{uuid}),
            "[" + uuid.ToString() + "]");
  const cql::Inet inet = *cql::Inet::Parse("::1");
  EXPECT_EQ(Text(TypeId::kInet, inet), "::1");
  EXPECT_EQ(Text(List(TypeId::kInet), std::vector<cql::Inet>{inet}), "['::1']");
}

TEST(ValueTextTest, DatesAndTimes) {
  const absl::Time time = absl::FromUnixMillis(1'700'000'000'123);
  EXPECT_EQ(Text(TypeId::kTimestamp, time), "2023-11-14 22:13:20.123000+0000");
  EXPECT_EQ(Text(TypeId::kTimestamp, time, Style::kJson),
            "\"2023-11-14 22:13:20.123Z\"");
  EXPECT_EQ(Text(List(TypeId::kTimestamp), std::vector<absl::Time>{time}),
            "['2023-11-14 22:13:20.123000+0000']");
  const cql::Date date = cql::Date::FromCivil(absl::CivilDay(2023, 11, 14));
  EXPECT_EQ(Text(TypeId::kDate, date), "2023-11-14");
  EXPECT_EQ(Text(List(TypeId::kDate), std::vector<cql::Date>{date}),
            "[2023-11-14]");
  EXPECT_EQ(Text(TypeId::kTime, cql::Time{36'930'123'456'789}),
            "10:15:30.123456789");
  EXPECT_EQ(Text(TypeId::kDuration, cql::Duration{14, 3, 3'723'004'005'006}),
            "1y2mo3d1h2m3s4ms5us6ns");
  EXPECT_EQ(Text(TypeId::kDuration, cql::Duration{-1, -2, -3}), "-1mo2d3ns");
  EXPECT_EQ(Text(TypeId::kDuration, cql::Duration{}, Style::kJson), "\"0s\"");
}

TEST(ValueTextTest, NullIsNothingInCsvOnly) {
  const std::optional<int32_t> null;
  EXPECT_EQ(Text(TypeId::kInt, null), "null");
  EXPECT_EQ(Text(TypeId::kInt, null, Style::kJson), "null");
  EXPECT_EQ(Text(TypeId::kInt, null, Style::kCsv), "");
  EXPECT_EQ(Raw(TypeId::kInt, "", Style::kTable), "");
}

TEST(ValueTextTest, Collections) {
  const std::vector<std::string> texts = {"a", "it's\n"};
  EXPECT_EQ(Text(List(TypeId::kText), texts), "['a', 'it''s\\n']");
  EXPECT_EQ(Text(List(TypeId::kText), texts, Style::kCsv), "['a', 'it''s\n']");
  EXPECT_EQ(Text(List(TypeId::kText), texts, Style::kJson),
            "[\"a\", \"it's\\n\"]");
  const ColumnType set(TypeId::kSet, {TypeId::kInt});
  EXPECT_EQ(Text(set, std::vector<int>{1, 2}), "{1, 2}");
  EXPECT_EQ(Text(set, std::vector<int>{1, 2}, Style::kJson), "[1, 2]");
  const ColumnType map(TypeId::kMap, {TypeId::kInt, List(TypeId::kText)});
  const std::map<int, std::vector<std::string>> value = {{7, {"x"}}, {8, {}}};
  EXPECT_EQ(Text(map, value), "{7: ['x'], 8: []}");
  EXPECT_EQ(Text(map, value, Style::kJson), "{\"7\": [\"x\"], \"8\": []}");
}

TEST(ValueTextTest, TuplesAndUserTypes) {
  const ColumnType tuple(TypeId::kTuple, {TypeId::kInt, TypeId::kText});
  const auto value = std::make_tuple(1, std::optional<std::string>());
  EXPECT_EQ(Text(tuple, value), "(1, null)");
  EXPECT_EQ(Text(tuple, value, Style::kJson), "[1, null]");
  ColumnType user(TypeId::kUdt, {TypeId::kText, TypeId::kInt});
  user.field_names = {"street", "number"};
  EXPECT_EQ(Text(user, std::make_tuple(std::string("High"), 5)),
            "{street: 'High', number: 5}");
  EXPECT_EQ(Text(user, std::make_tuple(std::string("High"), 5), Style::kJson),
            "{\"street\": \"High\", \"number\": 5}");
  // Written before the type had its second field.
  EXPECT_EQ(Raw(user, std::string_view("\0\0\0\1x", 5), Style::kTable),
            "{street: 'x', number: null}");
}

TEST(ValueTextTest, BrokenBytesAreAnError) {
  std::string text;
  const auto broken = [&](const ColumnType& type, std::string_view bytes) {
    return AppendValue(type, {bytes.data(), static_cast<int32_t>(bytes.size())},
                       Style::kTable, &text);
  };
  EXPECT_TRUE(absl::IsInvalidArgument(broken(TypeId::kInt, "abc")));
  EXPECT_TRUE(absl::IsInvalidArgument(
      broken(List(TypeId::kInt), std::string_view("\x7f\xff\xff\xff", 4))));
  EXPECT_TRUE(absl::IsInvalidArgument(
      broken(List(TypeId::kText), std::string_view("\0\0\0\1\0\0\0\5x", 9))));
}

}  // namespace
}  // namespace shell
