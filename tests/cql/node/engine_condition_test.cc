#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;

class EngineConditionTest : public EngineFixture {
 protected:
  EngineConditionTest() {
    CreateKeyspace();
    Run("CREATE TABLE t (k int, c int, s int STATIC, v text, w int, m map<text,"
        " int>, PRIMARY KEY (k, c))");
  }
  std::string Columns() {
    std::string names;
    for (const ColumnSpec& spec : *result_.columns) names += spec.name + ",";
    return names;
  }
};

TEST_F(EngineConditionTest, InsertIfNotExists) {
  EXPECT_EQ(Rows("INSERT INTO t (k, c, v) VALUES (1, 1, 'a') IF NOT EXISTS"),
            "true");
  EXPECT_EQ(Columns(), "[applied],");
  EXPECT_EQ(Rows("INSERT INTO t (k, c, v) VALUES (1, 1, 'b') IF NOT EXISTS"),
            "false,1,1,null,null,a,null");
  EXPECT_EQ(Columns(), "[applied],k,c,s,m,v,w,");
  EXPECT_EQ(Rows("SELECT v FROM t"), "a");
  // A deleted or expired row does not exist.
  Run("DELETE FROM t WHERE k = 1 AND c = 1");
  EXPECT_EQ(Rows("INSERT INTO t (k, c, v) VALUES (1, 1, 'b') IF NOT EXISTS "
                 "USING TTL 5"),
            "true");
  Advance(6);
  EXPECT_EQ(Rows("INSERT INTO t (k, c, v) VALUES (1, 1, 'c') IF NOT EXISTS"),
            "true");
  // A timestamp of the client does not decide.
  ExecuteOptions options;
  options.default_timestamp_us = 1;
  ASSERT_TRUE(TryBind("INSERT INTO t (k, c, v) VALUES (2, 1, 'x') IF NOT "
                      "EXISTS",
                      {}, options)
                  .ok());
  EXPECT_NE(Rows("SELECT writetime(v) FROM t WHERE k = 2"), "1");
  EXPECT_THAT(Error("INSERT INTO t (k, c) VALUES (3, 1) IF NOT EXISTS USING "
                    "TIMESTAMP 5"),
              HasSubstr("Cannot provide custom timestamp for conditional"));
}

TEST_F(EngineConditionTest, UpdateIf) {
  EXPECT_EQ(Rows("UPDATE t SET v = 'x' WHERE k = 1 AND c = 1 IF EXISTS"),
            "false");
  EXPECT_EQ(Rows("UPDATE t SET v = 'x' WHERE k = 1 AND c = 1 IF v = 'a'"),
            "false");
  EXPECT_EQ(Rows("UPDATE t SET v = 'x' WHERE k = 1 AND c = 1 IF v = null"),
            "true");
  EXPECT_EQ(Rows("UPDATE t SET w = 5 WHERE k = 1 AND c = 1 IF v = 'a' AND w = "
                 "null"),
            "false,x,null");
  EXPECT_EQ(Columns(), "[applied],v,w,");
  const struct {
    const char* condition;
    bool applied;
  } kCases[] = {
      {"v = 'x'", true},   {"v != 'x'", false},       {"v > 'a'", true},
      {"v <= 'a'", false}, {"v IN ('a', 'x')", true}, {"v IN ('a')", false},
      {"w = null", true},  {"w != null", false},      {"w != 3", true},
      {"w > 3", false},    {"m['a'] = 1", false},     {"m['a'] = null", true},
  };
  for (const auto& test : kCases) {
    const std::string rows =
        Rows(std::string("UPDATE t SET s = 1 WHERE k = 1 AND c = 1 IF ") +
             test.condition);
    EXPECT_EQ(rows.substr(0, 4), test.applied ? "true" : "fals")
        << test.condition << ": " << rows;
  }
  Run("UPDATE t SET m['a'] = 1 WHERE k = 1 AND c = 1");
  EXPECT_EQ(Rows("UPDATE t SET w = 1 WHERE k = 1 AND c = 1 IF m['a'] = 1"),
            "true");
  EXPECT_EQ(Rows("UPDATE t SET w = ? WHERE k = 1 AND c = 1 IF w IN ?",
                 {Int(2), Collection({Int(0), Int(1)})}),
            "true");
  EXPECT_EQ(Rows("UPDATE t SET s = 7 WHERE k = 1 IF s = 1"), "true");
  EXPECT_EQ(Rows("UPDATE t SET s = 8 WHERE k = 1 IF s = 1"), "false,7");
  EXPECT_THAT(Error("UPDATE t SET w = 1 WHERE k = 1 AND c = 1 IF k = 1"),
              HasSubstr("PRIMARY KEY column 'k' cannot have IF conditions"));
  EXPECT_THAT(Error("UPDATE t SET w = 1 WHERE k IN (1, 2) AND c = 1 IF EXISTS"),
              HasSubstr("IN on the partition key is not supported"));
}

TEST_F(EngineConditionTest, DeleteIf) {
  Run("INSERT INTO t (k, c, v) VALUES (1, 1, 'a')");
  EXPECT_EQ(Rows("DELETE FROM t WHERE k = 1 AND c = 1 IF v = 'b'"), "false,a");
  EXPECT_EQ(Rows("DELETE FROM t WHERE k = 1 AND c = 1 IF EXISTS"), "true");
  EXPECT_EQ(Rows("DELETE FROM t WHERE k = 1 AND c = 1 IF EXISTS"), "false");
  EXPECT_EQ(Rows("SELECT * FROM t"), "");
  EXPECT_THAT(Error("DELETE FROM t WHERE k = 1 IF EXISTS"),
              HasSubstr("must restrict all PRIMARY KEY columns"));
}

TEST_F(EngineConditionTest, BatchesWithConditionsAreAllOrNothing) {
  EXPECT_EQ(
      Rows("BEGIN BATCH INSERT INTO t (k, c, v) VALUES (1, 1, 'a') IF NOT "
           "EXISTS; INSERT INTO t (k, c, v) VALUES (1, 2, 'b'); APPLY "
           "BATCH"),
      "true");
  EXPECT_EQ(
      Rows("BEGIN BATCH INSERT INTO t (k, c, v) VALUES (1, 1, 'z') IF NOT "
           "EXISTS; UPDATE t SET v = 'z' WHERE k = 1 AND c = 2; APPLY "
           "BATCH"),
      "false,1,1,null,null,a,null");
  EXPECT_EQ(Rows("SELECT v FROM t WHERE k = 1"), "a|b");
  EXPECT_THAT(Error("BEGIN BATCH INSERT INTO t (k, c) VALUES (1, 1) IF NOT "
                    "EXISTS; INSERT INTO t (k, c) VALUES (2, 1); APPLY BATCH"),
              HasSubstr("cannot span multiple tables or partitions"));
}

}  // namespace
}  // namespace cql::node
