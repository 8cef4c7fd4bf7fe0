#include "cql/protocol/wire.h"

#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

TEST(ReaderTest, ReadsEveryNotation) {
  const std::string bytes = Bytes(
      "01 0102 ffffffff 0000000000000102 0003 'abc' 0002 'xy' 00000001 'z' "
      "00000000 ffffffff");
  Reader reader(bytes);
  EXPECT_EQ(reader.Byte(), 1);
  EXPECT_EQ(reader.Short(), 0x0102);
  EXPECT_EQ(reader.Int(), -1);
  EXPECT_EQ(reader.Long(), 0x0102);
  EXPECT_EQ(reader.String(), "abc");
  EXPECT_EQ(reader.ShortBytes(), "xy");
  EXPECT_EQ(reader.LongString(), "z");
  const Cell empty = reader.Bytes();
  EXPECT_FALSE(empty.null());
  EXPECT_EQ(empty.bytes(), "");
  EXPECT_TRUE(reader.Bytes().null());
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ReaderTest, FailsForGoodAndSaysWhereAndWhat) {
  const std::string bytes = Bytes("00 0005 'ab'");
  Reader reader(bytes);
  reader.Byte();
  EXPECT_EQ(reader.String(), "");
  EXPECT_EQ(reader.Byte(), 0);
  EXPECT_EQ(reader.Long(), 0);
  EXPECT_TRUE(reader.Bytes().null());
  EXPECT_EQ(reader.status("QUERY").message(),
            "QUERY: [string] at byte 3 of 5 is wrong or cut off");
}

TEST(ReaderTest, RefusesNegativeLongStrings) {
  const std::string bytes = Bytes("ffffffff 00000000");
  Reader reader(bytes);
  EXPECT_EQ(reader.LongString(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(ReaderTest, RefusesCountsThatTheRestCannotHold) {
  const std::string bytes(40, '\0');
  Reader fits(bytes);
  EXPECT_EQ(fits.Count(10, 4, "count"), 10u);
  EXPECT_EQ(fits.Count(11, 4, "count"), 0u);
  EXPECT_FALSE(fits.ok());
  Reader negative(bytes);
  EXPECT_EQ(negative.Count(-1, 4, "count"), 0u);
  EXPECT_FALSE(negative.ok());
}

TEST(WriterTest, MeasuresWhatDoesNotFit) {
  char room[7];
  Writer writer{std::span<char>(room)};
  writer.Int(1);
  writer.String("abc");
  writer.Byte(9);
  EXPECT_TRUE(writer.overflowed());
  EXPECT_EQ(writer.size(), 10u);

  Writer measure{std::span<char>()};
  const size_t mark = measure.BeginInt();
  measure.Raw("abc");
  measure.FillLength(mark);
  EXPECT_EQ(measure.size(), 7u);
}

TEST(WriterTest, FillsLengthsInAnExactSpan) {
  char room[7];
  Writer writer{std::span<char>(room)};
  const size_t mark = writer.BeginInt();
  writer.Raw("abc");
  writer.FillLength(mark);
  EXPECT_FALSE(writer.overflowed());
  EXPECT_EQ(std::string_view(room, 7), Bytes("00000003 'abc'"));
}

TEST(WriterTest, AppendsToAStringThatGrows) {
  std::string out = "before";
  Writer writer(&out);
  const size_t mark = writer.BeginInt();
  for (int i = 0; i < 1000; ++i) writer.Long(i);
  writer.FillLength(mark);
  EXPECT_EQ(writer.size(), 8004u);
  writer.Finish();
  ASSERT_EQ(out.size(), 6 + 8004u);
  EXPECT_EQ(out.substr(0, 10), "before" + Bytes("00001f40"));
  EXPECT_EQ(out.substr(out.size() - 8), Bytes("00000000000003e7"));
}

}  // namespace
}  // namespace cql::protocol
