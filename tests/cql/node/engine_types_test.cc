#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class EngineTypesTest : public EngineFixture {
 protected:
  EngineTypesTest() { CreateKeyspace(); }
};

TEST_F(EngineTypesTest, LiteralsOfEveryType) {
  const struct {
    const char* type;
    const char* literal;
    const char* shown;
  } kCases[] = {
      {"ascii", "'abc'", "abc"},
      {"bigint", "-9223372036854775808", "-9223372036854775808"},
      {"blob", "0xCAfe", "0xcafe"},
      {"blob", "0x", "0x"},
      {"boolean", "TRUE", "true"},
      {"date", "'1970-01-02'", "2147483649"},
      {"date", "'1969-12-31'", "2147483647"},
      {"decimal", "-12.50", "-1250e-2"},
      {"decimal", "1e3", "1e--3"},
      {"double", "1.5e3", "1500"},
      {"double", "-Infinity", "-inf"},
      {"double", "3", "3"},
      {"duration", "1y2mo3d4h5m6s7ms8us9ns", "0x1c06fc1ac004a5c612"},
      {"float", "0.25", "0.25"},
      {"inet", "'127.0.0.1'", "0x7f000001"},
      {"inet", "'::1'", "0x00000000000000000000000000000001"},
      {"int", "-5", "-5"},
      {"smallint", "300", "300"},
      {"text", "'it''s'", "it's"},
      {"text", "$$it's$$", "it's"},
      {"text", "''", ""},
      {"time", "'08:12:54.123456789'", "29574123456789"},
      {"timestamp", "'2011-02-03 04:05:06.789+0100'", "1296702306789"},
      {"timestamp", "'2011-02-03T04:05:06Z'", "1296705906000"},
      {"timestamp", "'2011-02-03'", "1296691200000"},
      {"timestamp", "1234", "1234"},
      {"tinyint", "-128", "-128"},
      {"uuid", "12345678-1234-4abc-8def-1234567890ab",
       "0x1234567812344abc8def1234567890ab"},
      {"varint", "-123456789012345678901234567890",
       "-123456789012345678901234567890"},
      {"list<int>", "[2, 1, 2]", "[2 1 2]"},
      {"set<text>", "{'b', 'a'}", "{a b}"},
      {"map<text, frozen<list<int>>>", "{'a': [1], 'b': []}", "{a:[1] b:[]}"},
      {"frozen<map<int, text>>", "{2: 'b', 1: 'a'}", "{1:a 2:b}"},
      {"tuple<int, text, boolean>", "(1, null, false)", "(1 null false)"},
      {"tuple<int, tuple<int>>", "(1, (2))", "(1 (2))"},
  };
  int number = 0;
  for (const auto& test : kCases) {
    const std::string table = "t" + std::to_string(++number);
    Run("CREATE TABLE " + table + " (k int PRIMARY KEY, v " + test.type + ")");
    const std::string insert =
        "INSERT INTO " + table + " (k, v) VALUES (1, " + test.literal + ")";
    ASSERT_EQ(Error(insert), "no error") << insert;
    EXPECT_EQ(Rows("SELECT v FROM " + table), test.shown)
        << test.type << " " << test.literal;
  }
}

TEST_F(EngineTypesTest, RefusesLiteralsOfOtherTypes) {
  Run("CREATE TABLE t (k int PRIMARY KEY, i int, x text, b blob, u uuid, tu "
      "timeuuid, l list<int>, m map<text, int>, p tuple<int, int>, d date, ti "
      "time, f float, n inet)");
  const char* const kBad[] = {
      "i) VALUES (1, 1.5",
      "i) VALUES (1, true",
      "i) VALUES (1, 2147483648",
      "x) VALUES (1, 5",
      "b) VALUES (1, 'x'",
      "b) VALUES (1, 0x123",
      "u) VALUES (1, 'x'",
      "l) VALUES (1, {1}",
      "l) VALUES (1, ['x']",
      "m) VALUES (1, [1]",
      "m) VALUES (1, {1}",
      "m) VALUES (1, {'a': 'b'}",
      "p) VALUES (1, (1, 2, 3)",
      "tu) VALUES (1, 12345678-1234-4abc-8def-1234567890ab",
      "d) VALUES (1, '2011-99-01'",
      "ti) VALUES (1, '25:00:00'",
      "f) VALUES (1, 'x'",
      "n) VALUES (1, '1.2.3'",
      "i) VALUES (1, now()",
      "x) VALUES (1, nope()"};
  for (const char* bad : kBad) {
    EXPECT_THAT(Error(std::string("INSERT INTO t (k, ") + bad + ")"),
                StartsWith("2200: "))
        << bad;
  }
}

TEST_F(EngineTypesTest, ChecksBoundCollections) {
  Run("CREATE TABLE t (k int PRIMARY KEY, l list<int>, p tuple<int, text>)");
  EXPECT_EQ(Error("INSERT INTO t (k, l, p) VALUES (1, ?, ?)",
                  {Collection({Int(1), Int(2)}), Tuple({Int(1), "a"})}),
            "no error");
  EXPECT_EQ(Rows("SELECT l, p FROM t"), "[1 2],(1 a)");
  const std::string good = Collection({Int(1), Int(2)});
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(
        Error("INSERT INTO t (k, l) VALUES (1, ?)", {good.substr(0, size)}),
        HasSubstr("Malformed list<int>"))
        << size;
  }
  EXPECT_THAT(Error("INSERT INTO t (k, l) VALUES (1, ?)", {good + "x"}),
              HasSubstr("Unexpected bytes after"));
  EXPECT_THAT(Error("INSERT INTO t (k, l) VALUES (1, ?)",
                    {std::string("\x7f\xff\xff\xff", 4)}),
              HasSubstr("Malformed"));
  EXPECT_THAT(Error("INSERT INTO t (k, p) VALUES (1, ?)",
                    {Tuple({Int(1), "a", "more"})}),
              HasSubstr("More components"));
}

TEST_F(EngineTypesTest, FunctionsOfTime) {
  Run("CREATE TABLE t (k int PRIMARY KEY, u timeuuid, w timestamp, d date)");
  Run("INSERT INTO t (k, u, w, d) VALUES (1, now(), currentTimestamp(), "
      "currentDate())");
  EXPECT_EQ(Rows("SELECT toTimestamp(u), w, toUnixTimestamp(u), dateOf(u) FROM "
                 "t"),
            "1790000000000,1790000000000,1790000000000,1790000000000");
  EXPECT_EQ(Rows("SELECT toDate(u), d, toTimestamp(d) FROM t"),
            "2147504365,2147504365,1789948800000");
  Run("INSERT INTO t (k, w) VALUES (2, toTimestamp(now()))");
  EXPECT_EQ(Rows("SELECT w FROM t WHERE k = 2"), "1790000000000");
  EXPECT_EQ(Rows("SELECT k FROM t WHERE u > minTimeuuid(?) AND u < "
                 "maxTimeuuid('2030-01-01') ALLOW FILTERING",
                 {BigInt(1789999999999)}),
            "1");
  EXPECT_THAT(Error("SELECT toTimestamp(k) FROM t"),
              HasSubstr("Invalid call to function totimestamp"));
}

TEST_F(EngineTypesTest, EveryTypeCanBeAClusteringKey) {
  const struct {
    const char* type;
    std::vector<const char*> ascending;
  } kCases[] = {
      {"ascii", {"'a'", "'b'"}},
      {"bigint", {"-1", "0", "5"}},
      {"blob", {"0x", "0x00", "0xff"}},
      {"boolean", {"false", "true"}},
      {"date", {"'1969-12-31'", "'2020-01-01'"}},
      {"decimal", {"-1.5", "0", "0.1", "10", "10.5"}},
      {"double", {"-2.5", "0.0", "3e10"}},
      {"float", {"-2.5", "0.0", "3e10"}},
      {"inet", {"'10.0.0.1'", "'127.0.0.1'"}},
      {"int", {"-70000", "0", "70000"}},
      {"smallint", {"-300", "0"}},
      {"text", {"''", "'a'", "'aa'", "'b'"}},
      {"time", {"'00:00:01'", "'01:00:00'"}},
      {"timestamp", {"-5", "0", "'2020-01-01'"}},
      {"tinyint", {"-1", "1"}},
      {"uuid",
       {"00000001-0000-1000-8000-000000000000",
        "00000000-0000-4000-8000-000000000000"}},
      {"varint", {"-99999999999999999999", "-1", "0", "99999999999999999999"}},
      {"frozen<list<int>>", {"[]", "[1]", "[1, 2]", "[2]"}},
      {"frozen<set<text>>", {"{'a'}", "{'a', 'b'}"}},
      {"frozen<map<int, text>>", {"{1: 'a'}", "{1: 'b'}"}},
      {"tuple<int, text>", {"(1, 'a')", "(1, 'b')", "(2, 'a')"}},
  };
  int number = 0;
  for (const auto& test : kCases) {
    for (const char* order : {"ASC", "DESC"}) {
      const std::string table = "c" + std::to_string(++number);
      Run("CREATE TABLE " + table + " (k int, c " + test.type +
          ", n int, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c " + order +
          ")");
      std::string expected;
      const int count = static_cast<int>(test.ascending.size());
      for (int i = 0; i < count; ++i) {
        Run("INSERT INTO " + table + " (k, c, n) VALUES (1, " +
            test.ascending[i] + ", " + std::to_string(i) + ")");
        const int shown = std::string(order) == "ASC" ? i : count - 1 - i;
        expected += (i > 0 ? "|" : "") + std::to_string(shown);
      }
      EXPECT_EQ(Rows("SELECT n FROM " + table + " WHERE k = 1"), expected)
          << test.type << " " << order;
      // Found by its own value, and nothing before the first.
      const std::string found =
          Rows("SELECT n FROM " + table +
               " WHERE k = 1 AND c = " + test.ascending[1]);
      EXPECT_EQ(found, "1") << test.type;
      EXPECT_EQ(Rows("SELECT count(*) FROM " + table + " WHERE k = 1 AND c > " +
                     test.ascending[0]),
                std::to_string(count - 1))
          << test.type;
    }
  }
}

}  // namespace
}  // namespace cql::node
