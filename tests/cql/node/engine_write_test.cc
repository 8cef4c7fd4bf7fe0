#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;

class EngineWriteTest : public EngineFixture {
 protected:
  EngineWriteTest() {
    CreateKeyspace();
    Run("CREATE TABLE t (k int, c int, s text STATIC, v text, w int, PRIMARY "
        "KEY (k, c))");
    Run("CREATE TABLE simple (k int PRIMARY KEY, v text)");
  }
};

TEST_F(EngineWriteTest, TheGreaterTimestampWinsInAnyOrder) {
  Run("INSERT INTO simple (k, v) VALUES (1, 'new') USING TIMESTAMP 20");
  Run("INSERT INTO simple (k, v) VALUES (1, 'old') USING TIMESTAMP 10");
  EXPECT_EQ(Rows("SELECT v, writetime(v) FROM simple"), "new,20");
  // At one timestamp the greater value, and a deletion before any.
  Run("UPDATE simple USING TIMESTAMP 30 SET v = 'b' WHERE k = 1");
  Run("UPDATE simple USING TIMESTAMP 30 SET v = 'a' WHERE k = 1");
  EXPECT_EQ(Rows("SELECT v FROM simple"), "b");
  Run("DELETE v FROM simple USING TIMESTAMP 30 WHERE k = 1");
  EXPECT_EQ(Rows("SELECT v FROM simple"), "null");
  Run("UPDATE simple USING TIMESTAMP 30 SET v = 'z' WHERE k = 1");
  EXPECT_EQ(Rows("SELECT v FROM simple"), "null");
}

TEST_F(EngineWriteTest, LaterStatementsWinWithoutTimestamps) {
  for (int i = 0; i < 50; ++i) {
    Bind("INSERT INTO simple (k, v) VALUES (1, ?)", {std::to_string(99 - i)});
  }
  EXPECT_EQ(Rows("SELECT v FROM simple"), "50");
  ExecuteOptions options;
  options.default_timestamp_us = 5;
  ASSERT_TRUE(
      TryBind("INSERT INTO simple (k, v) VALUES (2, 'x')", {}, options).ok());
  EXPECT_EQ(Rows("SELECT writetime(v) FROM simple WHERE k = 2"), "5");
}

TEST_F(EngineWriteTest, AnInsertedRowStaysWithoutItsColumnsAnUpdatedOneGoes) {
  Run("INSERT INTO t (k, c, v) VALUES (1, 1, 'x')");
  Run("UPDATE t SET v = 'x' WHERE k = 1 AND c = 2");
  Run("DELETE v FROM t WHERE k = 1 AND c IN (1, 2)");
  EXPECT_EQ(Rows("SELECT c, v FROM t"), "1,null");
  Run("INSERT INTO t (k, c) VALUES (1, 3)");
  EXPECT_EQ(Rows("SELECT c, v FROM t"), "1,null|3,null");
  // A null value writes a deletion, an unset one nothing.
  Run("INSERT INTO t (k, c, v, w) VALUES (2, 1, 'x', 1)");
  const std::string two = Int(2);
  const std::string one = Int(1);
  ASSERT_TRUE(TryValues("INSERT INTO t (k, c, v, w) VALUES (?, ?, ?, ?)",
                        {Value::Bytes(two), Value::Bytes(one), Value::Null(),
                         Value::Unset()})
                  .ok());
  EXPECT_EQ(Rows("SELECT v, w FROM t WHERE k = 2"), "null,1");
}

TEST_F(EngineWriteTest, DeletionsHideWhatIsOlder) {
  for (int c = 1; c <= 6; ++c) {
    Bind("INSERT INTO t (k, c, v) VALUES (1, ?, 'x') USING TIMESTAMP 10",
         {Int(c)});
  }
  Run("UPDATE t USING TIMESTAMP 10 SET s = 'static' WHERE k = 1");
  Run("DELETE FROM t USING TIMESTAMP 20 WHERE k = 1 AND c = 2");
  EXPECT_EQ(Rows("SELECT c FROM t WHERE k = 1"), "1|3|4|5|6");
  Run("DELETE FROM t USING TIMESTAMP 20 WHERE k = 1 AND c >= 4 AND c < 6");
  EXPECT_EQ(Rows("SELECT c FROM t WHERE k = 1"), "1|3|6");
  // What comes late is hidden too; what is newer is not.
  Run("INSERT INTO t (k, c, v) VALUES (1, 5, 'late') USING TIMESTAMP 15");
  Run("INSERT INTO t (k, c, v) VALUES (1, 4, 'new') USING TIMESTAMP 25");
  Run("INSERT INTO t (k, c, v) VALUES (1, 2, 'late') USING TIMESTAMP 15");
  EXPECT_EQ(Rows("SELECT c, v FROM t WHERE k = 1"), "1,x|3,x|4,new|6,x");
  EXPECT_EQ(Rows("SELECT c FROM t WHERE k = 1 AND c IN (4, 5)"), "4");
  EXPECT_EQ(Rows("SELECT c FROM t WHERE k = 1 ORDER BY c DESC"), "6|4|3|1");
  Run("DELETE FROM t USING TIMESTAMP 22 WHERE k = 1");
  EXPECT_EQ(Rows("SELECT c, v, s FROM t WHERE k = 1"), "4,new,null");
  Run("INSERT INTO t (k, c, v) VALUES (1, 9, 'late') USING TIMESTAMP 21");
  EXPECT_EQ(Rows("SELECT c FROM t"), "4");
  Run("DELETE FROM t USING TIMESTAMP 5 WHERE k = 1");
  EXPECT_EQ(Rows("SELECT c FROM t"), "4");
  Reopen();
  EXPECT_EQ(Rows("SELECT c FROM t WHERE k = 1"), "4");
}

// Trimming a partition again and again must not make reading it slower: each
// deletion takes the place of those inside it.
TEST_F(EngineWriteTest, RepeatedRangeDeletionsDoNotAddUp) {
  for (int c = 0; c < 200; ++c) {
    Bind("INSERT INTO t (k, c, v) VALUES (1, ?, 'x')", {Int(c)});
    Bind("DELETE FROM t WHERE k = 1 AND c < ?", {Int(c - 3)});
  }
  EXPECT_EQ(Rows("SELECT c FROM t WHERE k = 1"), "196|197|198|199");
}

TEST_F(EngineWriteTest, ValuesExpire) {
  Run("INSERT INTO simple (k, v) VALUES (1, 'x') USING TTL 10");
  Run("UPDATE simple USING TTL 5 SET v = 'y' WHERE k = 1");
  EXPECT_EQ(Rows("SELECT v, ttl(v) FROM simple"), "y,5");
  Advance(4);
  EXPECT_EQ(Rows("SELECT v, ttl(v) FROM simple"), "y,1");
  Advance(1);
  EXPECT_EQ(Rows("SELECT k, v, ttl(v) FROM simple"), "1,null,null");
  Advance(5);
  EXPECT_EQ(Rows("SELECT * FROM simple"), "");
  Run("INSERT INTO simple (k, v) VALUES (1, 'z') USING TTL 0");
  EXPECT_EQ(Rows("SELECT v, ttl(v) FROM simple"), "z,null");
  EXPECT_THAT(Error("INSERT INTO simple (k) VALUES (1) USING TTL -1"),
              HasSubstr("A TTL must be greater or equal to 0, but was -1"));
  EXPECT_THAT(Error("INSERT INTO simple (k) VALUES (1) USING TTL 630720001"),
              HasSubstr("ttl is too large"));

  Run("CREATE TABLE expiring (k int PRIMARY KEY, v text) WITH "
      "default_time_to_live = 7");
  Run("INSERT INTO expiring (k, v) VALUES (1, 'x')");
  Run("INSERT INTO expiring (k, v) VALUES (2, 'x') USING TTL 0");
  EXPECT_EQ(Rows("SELECT k, ttl(v) FROM expiring WHERE k IN (1, 2)"),
            "1,7|2,null");
  Advance(8);
  EXPECT_EQ(Rows("SELECT k FROM expiring"), "2");
}

TEST_F(EngineWriteTest, CountersCount) {
  Run("CREATE TABLE n (k text, c int, likes counter, reposts counter, PRIMARY "
      "KEY (k, c))");
  for (int i = 0; i < 100; ++i) {
    Run("UPDATE n SET likes = likes + 1 WHERE k = 'a' AND c = 1");
  }
  Bind("UPDATE n SET likes -= ?, reposts += 5 WHERE k = 'a' AND c = 1",
       {BigInt(3)});
  EXPECT_EQ(Rows("SELECT * FROM n"), "a,1,97,5");
  Run("DELETE likes FROM n WHERE k = 'a' AND c = 1");
  EXPECT_EQ(Rows("SELECT likes, reposts FROM n"), "null,5");
  Run("UPDATE n SET likes = likes + 2 WHERE k = 'a' AND c = 1");
  EXPECT_EQ(Rows("SELECT likes, reposts FROM n"), "2,5");
  Run("DELETE FROM n WHERE k = 'a'");
  EXPECT_EQ(Rows("SELECT * FROM n"), "");
  Advance(1);
  Run("UPDATE n SET likes = likes + 1 WHERE k = 'a' AND c = 1");
  EXPECT_EQ(Rows("SELECT likes, reposts FROM n"), "1,null");
  Reopen();
  EXPECT_EQ(Rows("SELECT likes FROM n"), "1");

  EXPECT_THAT(Error("INSERT INTO n (k, c, likes) VALUES ('a', 1, 1)"),
              HasSubstr("INSERT statements are not allowed on counter"));
  EXPECT_THAT(Error("UPDATE n SET likes = 5 WHERE k = 'a' AND c = 1"),
              HasSubstr("Cannot set the value of counter column likes"));
  EXPECT_THAT(
      Error("UPDATE n USING TTL 5 SET likes += 1 WHERE k = 'a' AND c = 1"),
      HasSubstr("Cannot provide custom TTL for counter updates"));
  EXPECT_THAT(Error("UPDATE simple SET v = v + 'x' WHERE k = 1"),
              HasSubstr("Invalid operation (v = v + ..) for non counter"));
}

TEST_F(EngineWriteTest, CollectionsMergeElementByElement) {
  Run("CREATE TABLE x (k int PRIMARY KEY, l list<text>, e set<int>, m map<text,"
      " int>, f frozen<set<int>>)");
  Run("INSERT INTO x (k, l, e, m, f) VALUES (1, ['b'], {3, 1, 2, 1}, {'b': 2, "
      "'a': 1}, {5, 4, 5})");
  EXPECT_EQ(Rows("SELECT l, e, m, f FROM x"), "[b],{1 2 3},{a:1 b:2},{4 5}");
  Run("UPDATE x SET l = l + ['c', 'd'], e = e + {0}, m['c'] = 3, m['a'] = null "
      "WHERE k = 1");
  Run("UPDATE x SET l = ['x', 'a'] + l, e = e - {2, 9}, m += {'d': 4} WHERE k "
      "= 1");
  EXPECT_EQ(Rows("SELECT l, e, m FROM x"), "[x a b c d],{0 1 3},{b:2 c:3 d:4}");
  Run("UPDATE x SET l[0] = 'first', m = m - {'b'} WHERE k = 1");
  Run("UPDATE x SET l = l - ['b', 'd'] WHERE k = 1");
  Run("DELETE m['c'], l[1] FROM x WHERE k = 1");
  EXPECT_EQ(Rows("SELECT l, m FROM x"), "[first c],{d:4}");
  EXPECT_THAT(Error("UPDATE x SET l[7] = 'x' WHERE k = 1"),
              HasSubstr("List index 7 out of bound, list has size 2"));
  // Replacing hides what was there; an empty collection is null.
  Run("UPDATE x SET l = ['only'], e = {}, m = null WHERE k = 1");
  EXPECT_EQ(Rows("SELECT l, e, m FROM x"), "[only],null,null");
  Run("DELETE l FROM x WHERE k = 1");
  EXPECT_EQ(Rows("SELECT l FROM x"), "null");
  Run("UPDATE x USING TTL 5 SET e = e + {8} WHERE k = 1");
  Run("UPDATE x SET e = e + {9} WHERE k = 1");
  Advance(6);
  EXPECT_EQ(Rows("SELECT e FROM x"), "{9}");
  // A row of elements alone is a row.
  Run("UPDATE x SET e = e + {1} WHERE k = 2");
  EXPECT_EQ(Rows("SELECT k FROM x WHERE k = 2"), "2");
  Run("UPDATE x SET e = e - {1} WHERE k = 2");
  EXPECT_EQ(Rows("SELECT k FROM x WHERE k = 2"), "");
  EXPECT_THAT(Error("UPDATE x SET f = f + {1} WHERE k = 1"),
              HasSubstr("frozen collection column f"));
  EXPECT_THAT(Error("INSERT INTO x (k, e) VALUES (1, {null})"),
              HasSubstr("null is not supported inside collections"));
}

// Ingest replays events: the same write with the same timestamp must leave the
// same row.
TEST_F(EngineWriteTest, ReplayedWritesChangeNothing) {
  Run("CREATE TABLE x (k int PRIMARY KEY, l list<text>, m map<text, int>, v "
      "text)");
  std::string once;
  for (int i = 0; i < 2; ++i) {
    Run("INSERT INTO x (k, l, m, v) VALUES (1, ['a', 'b'], {'x': 1}, 'v') "
        "USING "
        "TIMESTAMP 100");
    Run("UPDATE x USING TIMESTAMP 200 SET m['y'] = 2 WHERE k = 1");
    if (i == 0) once = Rows("SELECT * FROM x");
    Advance(1);
  }
  EXPECT_EQ(Rows("SELECT * FROM x"), once);
  EXPECT_EQ(once, "1,[a b],{x:1 y:2},v");
}

TEST_F(EngineWriteTest, UserTypesChangeFieldByField) {
  Run("CREATE TYPE person (name text, age int)");
  Run("CREATE TABLE x (k int PRIMARY KEY, p person, f frozen<person>)");
  Run("INSERT INTO x (k, p, f) VALUES (1, {name: 'a', age: 3}, {age: 4})");
  EXPECT_EQ(Rows("SELECT p, f, p.name, f.age FROM x"), "(a 3),(null 4),a,4");
  Run("UPDATE x SET p.age = 5 WHERE k = 1");
  EXPECT_EQ(Rows("SELECT p FROM x"), "(a 5)");
  Run("DELETE p.name FROM x WHERE k = 1");
  EXPECT_EQ(Rows("SELECT p FROM x"), "(null 5)");
  EXPECT_THAT(Error("UPDATE x SET f.age = 1 WHERE k = 1"),
              HasSubstr("not a non-frozen collection or user type"));
  EXPECT_THAT(Error("UPDATE x SET p.nope = 1 WHERE k = 1"),
              HasSubstr("does not have a field named nope"));
}

TEST_F(EngineWriteTest, StaticColumnsBelongToThePartition) {
  Run("UPDATE t SET s = 'alone' WHERE k = 1");
  EXPECT_EQ(Rows("SELECT * FROM t"), "1,null,alone,null,null");
  EXPECT_EQ(Rows("SELECT * FROM t WHERE k = 1 AND c = 1"), "");
  Run("INSERT INTO t (k, c, v) VALUES (1, 1, 'x')");
  Run("INSERT INTO t (k, c, v, s) VALUES (1, 2, 'y', 'both')");
  EXPECT_EQ(Rows("SELECT c, s, v FROM t WHERE k = 1"), "1,both,x|2,both,y");
  EXPECT_EQ(Rows("SELECT s FROM t WHERE k = 1 AND c = 2"), "both");
  EXPECT_EQ(Rows("SELECT DISTINCT k, s FROM t"), "1,both");
  Run("INSERT INTO t (k, s) VALUES (2, 'other')");
  EXPECT_EQ(Rows("SELECT k, c, s FROM t WHERE k = 2"), "2,null,other");
  Run("DELETE s FROM t WHERE k = 2");
  EXPECT_EQ(Rows("SELECT * FROM t WHERE k = 2"), "");
  EXPECT_THAT(Error("UPDATE t SET s = 'x' WHERE k = 1 AND c = 1"),
              HasSubstr("modifies only static columns"));
}

TEST_F(EngineWriteTest, BatchesAreAppliedTogether) {
  Run("BEGIN BATCH INSERT INTO t (k, c, v) VALUES (1, 1, 'a'); INSERT INTO "
      "simple (k, v) VALUES (1, 'b'); DELETE FROM t WHERE k = 9 APPLY BATCH");
  EXPECT_EQ(Rows("SELECT v FROM t"), "a");
  EXPECT_EQ(Rows("SELECT v FROM simple"), "b");
  Bind(
      "BEGIN UNLOGGED BATCH USING TIMESTAMP ? UPDATE simple SET v = ? WHERE k "
      "= ?; UPDATE simple SET v = ? WHERE k = ?; APPLY BATCH",
      {BigInt(int64_t{1} << 60), "x", Int(1), "y", Int(2)});
  EXPECT_EQ(Rows("SELECT v FROM simple WHERE k IN (1, 2)"), "x|y");
  EXPECT_EQ(Rows("SELECT writetime(v) FROM simple WHERE k = 1"),
            "1152921504606846976");
  // An error in one applies none.
  EXPECT_THAT(Error("BEGIN BATCH INSERT INTO simple (k, v) VALUES (7, 'x'); "
                    "UPDATE simple USING TTL -1 SET v = 'x' WHERE k = 8; APPLY "
                    "BATCH"),
              HasSubstr("A TTL must be"));
  EXPECT_EQ(Rows("SELECT * FROM simple WHERE k = 7"), "");
  Run("CREATE TABLE n (k int PRIMARY KEY, c counter)");
  Run("BEGIN COUNTER BATCH UPDATE n SET c += 1 WHERE k = 1; UPDATE n SET c += "
      "2 "
      "WHERE k = 1; APPLY BATCH");
  EXPECT_EQ(Rows("SELECT c FROM n"), "3");
  EXPECT_THAT(Error("BEGIN BATCH UPDATE n SET c += 1 WHERE k = 1; APPLY BATCH"),
              HasSubstr("Cannot include a counter statement in a logged"));
  EXPECT_THAT(Error("BEGIN COUNTER BATCH INSERT INTO simple (k) VALUES (1); "
                    "APPLY BATCH"),
              HasSubstr("Cannot include non-counter statement"));

  auto insert =
      engine_->Prepare("INSERT INTO simple (k, v) VALUES (?, ?)", "ks");
  auto select = engine_->Prepare("SELECT * FROM simple", "ks");
  const std::string key = Int(5);
  const std::vector<Value> values = {Value::Bytes(key), Value::Bytes("z")};
  const BatchEntry good[] = {{insert->get(), values}};
  ASSERT_TRUE(
      engine_->ExecuteBatch(BatchType::kLogged, good, {}, &result_).ok());
  EXPECT_EQ(Rows("SELECT v FROM simple WHERE k = 5"), "z");
  const BatchEntry bad[] = {{select->get(), {}}};
  EXPECT_THAT(
      GetError(engine_->ExecuteBatch(BatchType::kLogged, bad, {}, &result_))
          .message,
      HasSubstr("only UPDATE, INSERT and DELETE"));
}

TEST_F(EngineWriteTest, RefusesValuesThatDoNotFit) {
  const std::string k = Int(1);
  EXPECT_THAT(
      Error("INSERT INTO simple (k, v) VALUES (?, ?)", {"abc", "x"}),
      HasSubstr("2200: Invalid value for k of type int: Expected 4 byte "
                "int (3)"));
  EXPECT_THAT(Error("INSERT INTO simple (k, v) VALUES (?, ?)", {k, "\xff"}),
              HasSubstr("String didn't validate."));
  EXPECT_THAT(
      Error("INSERT INTO simple (k, v) VALUES (?, ?)", {k}),
      HasSubstr("there were 2 markers(?) in CQL but 1 bound variables"));
  EXPECT_THAT(
      Error("INSERT INTO simple (k, v) VALUES (?, ?)", {std::nullopt, "x"}),
      HasSubstr("Invalid null value in condition for column k"));
  EXPECT_EQ(Error("INSERT INTO simple (k, v) VALUES ('x', 'y')"),
            "2200: Invalid STRING constant ('x') for \"k\" of type int");
  EXPECT_THAT(Error("INSERT INTO simple (k, v) VALUES (99999999999, 'y')"),
              HasSubstr("Invalid INTEGER constant"));
  EXPECT_THAT(Error("INSERT INTO simple (v) VALUES ('y')"),
              HasSubstr("Some partition key parts are missing: k"));
  EXPECT_THAT(Error("INSERT INTO t (k, v) VALUES (1, 'y')"),
              HasSubstr("Some clustering keys are missing: c"));
  EXPECT_THAT(Error("INSERT INTO simple (k, nope) VALUES (1, 'y')"),
              HasSubstr("Undefined column name nope in table ks.simple"));
  EXPECT_THAT(Error("UPDATE simple SET k = 1 WHERE k = 1"),
              HasSubstr("PRIMARY KEY part k found in SET part"));
  EXPECT_THAT(Error("UPDATE t SET v = 'x' WHERE k = 1"),
              HasSubstr("Some clustering keys are missing: c"));
  EXPECT_THAT(Error("UPDATE t SET v = 'x' WHERE c = 1"),
              HasSubstr("Some partition key parts are missing: k"));
  EXPECT_THAT(Error("DELETE FROM simple WHERE v = 'x' AND k = 1"),
              HasSubstr("Non PRIMARY KEY columns found in where clause: v"));
  EXPECT_THAT(Error("DELETE v FROM t WHERE k = 1 AND c > 1"),
              HasSubstr("Range deletions are not supported for specific"));
  Run("CREATE TABLE texts (k text PRIMARY KEY)");
  EXPECT_THAT(Error("INSERT INTO texts (k) VALUES ('')"),
              HasSubstr("Key may not be empty"));
  EXPECT_THAT(
      Error("INSERT INTO texts (k) VALUES (?)", {std::string(65536, 'x')}),
      HasSubstr("longer than maximum of 65535"));
  Limits limits;
  limits.value_bytes_max = 10;
  Reopen(limits);
  EXPECT_THAT(Error("INSERT INTO simple (k, v) VALUES (1, 'eleven chars')"),
              HasSubstr("longer than the limit of 10"));
}

}  // namespace
}  // namespace cql::node
