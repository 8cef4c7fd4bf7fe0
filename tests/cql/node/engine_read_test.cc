#include <algorithm>
#include <map>

#include "cql/protocol/token.h"
#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;

class EngineReadTest : public EngineFixture {
 protected:
  EngineReadTest() {
    CreateKeyspace();
    Run("CREATE TABLE t (k int, a int, b text, v int, PRIMARY KEY (k, a, b)) "
        "WITH CLUSTERING ORDER BY (a DESC, b ASC)");
    for (int k : {1, 2}) {
      for (int a = 1; a <= 3; ++a) {
        for (const char* b : {"x", "y", "z"}) {
          Bind("INSERT INTO t (k, a, b, v) VALUES (?, ?, ?, ?)",
               {Int(k), Int(a), b, Int(k * 100 + a)});
        }
      }
    }
  }
};

TEST_F(EngineReadTest, RowsComeInClusteringOrder) {
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 1"),
            "3,x|3,y|3,z|2,x|2,y|2,z|1,x|1,y|1,z");
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 1 ORDER BY a ASC, b DESC"),
            "1,z|1,y|1,x|2,z|2,y|2,x|3,z|3,y|3,x");
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 1 ORDER BY a ASC LIMIT 2"),
            "1,z|1,y");
  EXPECT_EQ(Rows("SELECT b FROM t WHERE k = 1 AND a = 2 ORDER BY b DESC"),
            "z|y|x");
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 9"), "");
}

TEST_F(EngineReadTest, ClusteringRestrictionsFindTheirRows) {
  const struct {
    const char* where;
    const char* rows;
  } kCases[] = {
      {"a = 2", "2,x|2,y|2,z"},
      {"a = 2 AND b = 'y'", "2,y"},
      {"a = 2 AND b > 'x'", "2,y|2,z"},
      {"a = 2 AND b >= 'y' AND b < 'z'", "2,y"},
      {"a = 2 AND b IN ('z', 'x', 'x')", "2,x|2,z"},
      {"a > 1", "3,x|3,y|3,z|2,x|2,y|2,z"},
      {"a >= 2 AND a < 3", "2,x|2,y|2,z"},
      {"a < 2", "1,x|1,y|1,z"},
      {"a <= 1", "1,x|1,y|1,z"},
      {"a IN (1, 3) AND b = 'x'", "3,x|1,x"},
      {"a IN (1, 3)", "3,x|3,y|3,z|1,x|1,y|1,z"},
      {"a IN ()", ""},
      {"a > 5", ""},
      {"a > 2 AND a < 2", ""},
      // Columns that sort in different directions.
      {"(a, b) > (2, 'y')", "3,x|3,y|3,z|2,z"},
      {"(a, b) >= (2, 'y')", "3,x|3,y|3,z|2,y|2,z"},
      {"(a, b) < (2, 'y')", "2,x|1,x|1,y|1,z"},
      {"(a, b) <= (2, 'y') AND (a, b) > (1, 'y')", "2,x|2,y|1,z"},
      {"(a) >= (2) AND (a, b) < (3, 'y')", "3,x|2,x|2,y|2,z"},
      {"(a, b) = (2, 'z')", "2,z"},
      {"(a, b) IN ((1, 'z'), (3, 'x'))", "3,x|1,z"},
      {"a = 3 AND (b) > ('x')", "3,y|3,z"},
  };
  for (const auto& test : kCases) {
    const std::string select =
        std::string("SELECT a, b FROM t WHERE k = 1 AND ") + test.where;
    EXPECT_EQ(Rows(select), test.rows) << test.where;
    // Backwards, the same rows the other way.
    std::vector<std::string> rows;
    std::string expected = test.rows;
    for (size_t at = 0; !expected.empty() && at <= expected.size();) {
      const size_t bar = std::min(expected.find('|', at), expected.size());
      rows.insert(rows.begin(), expected.substr(at, bar - at));
      at = bar + 1;
    }
    std::string reversed;
    for (const std::string& row : rows) {
      reversed += (reversed.empty() ? "" : "|") + row;
    }
    EXPECT_EQ(Rows(select + " ORDER BY a ASC"), reversed) << test.where;
  }
}

TEST_F(EngineReadTest, MarkersStandForValuesAndLists) {
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = ? AND (a, b) > (?, ?) LIMIT ?",
                 {Int(1), Int(2), "y", Int(2)}),
            "3,x|3,y");
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 1 AND (a, b) <= ?",
                 {Tuple({Int(1), "y"})}),
            "1,x|1,y");
  EXPECT_EQ(Rows("SELECT k, a FROM t WHERE k IN ? AND a IN ? AND b = 'x'",
                 {Collection({Int(2), Int(1)}), Collection({Int(1), Int(2)})}),
            "1,2|1,1|2,2|2,1");
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 1 AND (a, b) IN ?",
                 {Collection({Tuple({Int(1), "z"}), Tuple({Int(3), "y"})})}),
            "3,y|1,z");
  EXPECT_EQ(Rows("SELECT a FROM t WHERE k IN ?", {Collection({})}), "");
  EXPECT_THAT(Error("SELECT a FROM t WHERE k IN ?", {std::nullopt}),
              HasSubstr("Invalid null value for in(k)"));
  EXPECT_THAT(Error("SELECT a FROM t WHERE k = ? LIMIT ?", {Int(1), Int(0)}),
              HasSubstr("LIMIT must be strictly positive"));
  EXPECT_THAT(Error("SELECT a FROM t WHERE k = ?", {std::nullopt}),
              HasSubstr("Invalid null value in condition for column k"));
}

TEST_F(EngineReadTest, LimitsCountRowsAndRowsOfPartitions) {
  EXPECT_EQ(Rows("SELECT k, a, b FROM t WHERE k IN (1, 2) PER PARTITION LIMIT "
                 "2"),
            "1,3,x|1,3,y|2,3,x|2,3,y");
  EXPECT_EQ(Rows("SELECT k, a, b FROM t WHERE k IN (1, 2) PER PARTITION LIMIT "
                 "2 LIMIT 3"),
            "1,3,x|1,3,y|2,3,x");
  EXPECT_EQ(Rows("SELECT count(*) FROM t PER PARTITION LIMIT 2"), "4");
  EXPECT_EQ(Rows("SELECT count(*) FROM t LIMIT 1"), "18");
}

TEST_F(EngineReadTest, SeveralPartitionsInOneOrder) {
  EXPECT_EQ(Rows("SELECT k, a FROM t WHERE k IN (2, 1) AND a > 1 AND a < 4 "
                 "ORDER BY a DESC LIMIT 8"),
            "1,3|2,3|1,3|2,3|1,3|2,3|1,2|2,2");
}

TEST_F(EngineReadTest, AggregatesAndFunctions) {
  EXPECT_EQ(Rows("SELECT count(*), min(a), max(b), sum(v), avg(v) FROM t WHERE "
                 "k = 1"),
            "9,1,z,918,102");
  EXPECT_EQ(Rows("SELECT count(*), max(a), sum(v) FROM t WHERE k = 9"),
            "0,null,0");
  EXPECT_EQ(Rows("SELECT count(v) FROM t"), "18");
  EXPECT_EQ(Rows("SELECT token(k) FROM t WHERE k = 1 LIMIT 1"),
            "-4069959284402364209");
  EXPECT_EQ(Rows("SELECT intAsBlob(a) AS x FROM t WHERE k = 1 LIMIT 1"),
            "0x00000003");
  EXPECT_EQ(result_.columns->at(0).name, "x");
  EXPECT_THAT(Error("SELECT sum(b) FROM t"), HasSubstr("not supported"));
  EXPECT_THAT(Error("SELECT nope(b) FROM t"), HasSubstr("Unknown function"));
  EXPECT_THAT(Error("SELECT writetime(a) FROM t"),
              HasSubstr("PRIMARY KEY part a"));
}

TEST_F(EngineReadTest, FilteringIsOnlyDoneWhenAllowed) {
  EXPECT_THAT(Error("SELECT * FROM t WHERE v = 101"),
              HasSubstr("use ALLOW FILTERING"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE a = 1"),
              HasSubstr("use ALLOW FILTERING"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 AND b = 'x'"),
              HasSubstr("PRIMARY KEY column \"b\" cannot be restricted as "
                        "preceding column \"a\" is not restricted"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k > 1"),
              HasSubstr("Only EQ and IN relation"));
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE k = 1 AND b = 'x' ALLOW FILTERING"),
            "3,x|2,x|1,x");
  EXPECT_EQ(Rows("SELECT a, b FROM t WHERE v = 201 ALLOW FILTERING"),
            "1,x|1,y|1,z");
  EXPECT_EQ(Rows("SELECT count(*) FROM t WHERE v >= 102 AND v < 203 AND b IN "
                 "('x', 'y') ALLOW FILTERING"),
            "8");
  Run("CREATE TABLE m (k int PRIMARY KEY, e set<int>, m map<text, int>)");
  Run("INSERT INTO m (k, e, m) VALUES (1, {1, 2}, {'a': 5})");
  Run("INSERT INTO m (k, e, m) VALUES (2, {3}, {'b': 6})");
  EXPECT_EQ(Rows("SELECT k FROM m WHERE e CONTAINS 3 ALLOW FILTERING"), "2");
  EXPECT_EQ(Rows("SELECT k FROM m WHERE m CONTAINS 5 ALLOW FILTERING"), "1");
  EXPECT_EQ(Rows("SELECT k FROM m WHERE m CONTAINS KEY 'b' ALLOW FILTERING"),
            "2");
  EXPECT_THAT(Error("SELECT k FROM m WHERE k CONTAINS 1 ALLOW FILTERING"),
              HasSubstr("Cannot use CONTAINS"));
}

TEST_F(EngineReadTest, RefusesOrdersAndSelectionsThatMakeNoSense) {
  EXPECT_THAT(Error("SELECT * FROM t ORDER BY a ASC"),
              HasSubstr("ORDER BY is only supported when the partition key"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 ORDER BY b ASC"),
              HasSubstr("declared order"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 ORDER BY a ASC, b ASC"),
              HasSubstr("Unsupported order by relation"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 ORDER BY v ASC"),
              HasSubstr("clustered columns"));
  EXPECT_THAT(Error("SELECT DISTINCT a FROM t"),
              HasSubstr("SELECT DISTINCT queries must only request"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 AND k = 2"),
              HasSubstr("more than one relation"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 AND a = 1 AND a > 0"),
              HasSubstr("more than one relation"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k != 1"), HasSubstr("\"!=\""));
  EXPECT_THAT(Error("SELECT * FROM t WHERE (k, a) > (1, 2)"),
              HasSubstr("Multi-column relations can only be applied"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE k = 1 AND (b, a) > ('x', 2)"),
              HasSubstr("PRIMARY KEY order"));
  EXPECT_THAT(Error("SELECT * FROM t WHERE token(a) > 1"),
              HasSubstr("partition key order: k"));
  EXPECT_THAT(Error("SELECT nope FROM t"),
              HasSubstr("Undefined column name nope in table ks.t"));
  EXPECT_THAT(Error("SELECT * FROM nope.t"),
              HasSubstr("Keyspace nope does not exist"));
}

TEST_F(EngineReadTest, TokensOrderPartitionsAndBoundScans) {
  Run("CREATE TABLE p (a int, b text, v int, PRIMARY KEY ((a, b)))");
  std::map<int64_t, int> by_token;
  for (int i = 0; i < 200; ++i) {
    Bind("INSERT INTO p (a, b, v) VALUES (?, 'x', ?)", {Int(i), Int(i)});
    const std::string a = Int(i);
    const std::string_view components[] = {a, "x"};
    by_token[*TokenOfKey(components)] = i;
  }
  std::string all;
  for (const auto& [token, i] : by_token) {
    all += (all.empty() ? "" : "|") + std::to_string(token) + "," +
           std::to_string(i);
  }
  EXPECT_EQ(Rows("SELECT token(a, b), v FROM p"), all);
  EXPECT_EQ(Rows("SELECT token(a, b), v FROM p WHERE token(a, b) >= "
                 "-9223372036854775808"),
            all);
  const auto middle = std::next(by_token.begin(), 100);
  const auto count = [&](const std::string& op) {
    return Rows("SELECT count(*) FROM p WHERE token(a, b) " + op + " " +
                std::to_string(middle->first));
  };
  EXPECT_EQ(count("<"), "100");
  EXPECT_EQ(count("<="), "101");
  EXPECT_EQ(count(">"), "99");
  EXPECT_EQ(count(">="), "100");
  EXPECT_EQ(count("="), "1");
  EXPECT_EQ(Rows("SELECT count(*) FROM p WHERE token(a, b) > token(?, 'x')",
                 {Int(middle->second)}),
            "99");
  EXPECT_EQ(Rows("SELECT v FROM p WHERE a = 7 AND b = 'x'"), "7");
  EXPECT_EQ(Rows("SELECT v FROM p WHERE a IN (7, 3) AND b IN ('y', 'x')"),
            "3|7");
  EXPECT_EQ(Rows("SELECT DISTINCT a, b FROM p LIMIT 1"),
            std::to_string(by_token.begin()->second) + ",x");
}

TEST_F(EngineReadTest, TellsTheTokenOfAStatement) {
  auto select = engine_->Prepare("SELECT * FROM t WHERE k = ?", "ks");
  const std::string one = Int(1);
  const std::vector<Value> values = {Value::Bytes(one)};
  EXPECT_EQ((*select)->Token(values), -4069959284402364209);
  auto scan = engine_->Prepare("SELECT * FROM t", "ks");
  EXPECT_EQ((*scan)->Token({}), std::nullopt);
}

TEST_F(EngineReadTest, BoundsKeysAndResults) {
  Limits limits;
  limits.in_keys_max = 4;
  limits.result_bytes_max = 100;
  Reopen(limits);
  EXPECT_THAT(Error("SELECT * FROM t WHERE k IN (1, 2, 3) AND a IN (1, 2, 3, 4,"
                    " 5)"),
              HasSubstr("more keys than the limit of 4"));
  EXPECT_THAT(Error("SELECT * FROM t"),
              HasSubstr("larger than the limit of 100 bytes"));
}

}  // namespace
}  // namespace cql::node
