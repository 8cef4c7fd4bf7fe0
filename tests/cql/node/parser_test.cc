#include "cql/node/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cql/node/error.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ParserTest, TakesWhatDriversAndApplicationsWrite) {
  const char* const kStatements[] = {
      "SELECT * FROM t",
      "select * from ks.t;",
      "SELECT a, b AS c, COUNT(*), writetime(v), ttl(v), token(k) FROM t",
      "SELECT DISTINCT k FROM t WHERE token(k) > ? AND token(k) <= ?",
      "SELECT distinct FROM t",
      "SELECT count(1) FROM t",
      "SELECT \"Quoted \"\"Name\"\"\" FROM \"Ks\".\"T\"",
      "SELECT * FROM t WHERE k = 1 AND (a, b) > (?, :name) AND c IN (1, 2)",
      "SELECT * FROM t WHERE (k = 1) AND ((a, b) IN ((1, 2), (3, 4)))",
      "SELECT * FROM t WHERE k IN ? AND (a, b) IN ? ORDER BY a DESC, b ASC "
      "PER PARTITION LIMIT 3 LIMIT ? ALLOW FILTERING",
      "SELECT * FROM t WHERE s CONTAINS 'a' AND m CONTAINS KEY ? ALLOW "
      "FILTERING",
      "SELECT * FROM system.local WHERE key='local' USING TIMEOUT 2000ms",
      "SELECT * FROM t BYPASS CACHE USING TIMEOUT ?",
      "SELECT toTimestamp(t), blobAsText(b), u.f FROM t",
      "INSERT INTO t (k, v) VALUES (?, ?) IF NOT EXISTS USING TTL ? AND "
      "TIMESTAMP 5 AND TIMEOUT 1s",
      "INSERT INTO t (a, b, c, d) VALUES ([1, 2], {1, 2}, {1: 'x'}, {f: 1})",
      "INSERT INTO t (a, b, c) VALUES ((1, 'x', null), {}, [])",
      "INSERT INTO t (a, b) VALUES (0xCAFE, $$it's$$)",
      "INSERT INTO t (a) VALUES (00000000-0000-1000-8000-00000000000f)",
      "INSERT INTO t (a, b, c) VALUES (-1.5e3, NaN, -Infinity)",
      "INSERT INTO t (a, b) VALUES (now(), toTimestamp(now()))",
      "INSERT INTO t (a) VALUES (1h30m)",
      "UPDATE t USING TIMESTAMP ? AND TTL 3 SET a = 1, b = ?, c = c + 1, "
      "d = d - ?, e = [1] + e, f[2] = 3, g.h = 4, i += 1, j -= {2}, k = k -1 "
      "WHERE k = 1 IF a = 2 AND b[1] > 3 AND c.d != 4 AND e IN (1, 2)",
      "UPDATE t SET a = null WHERE k = 1 IF EXISTS",
      "DELETE FROM t WHERE k = 1 AND c > 2 AND c <= 3",
      "DELETE a, b[1], c.d FROM t USING TIMESTAMP 4 WHERE k = 1 IF EXISTS",
      "BEGIN BATCH INSERT INTO t (k) VALUES (1); DELETE FROM t WHERE k = 2 "
      "APPLY BATCH;",
      "BEGIN UNLOGGED BATCH USING TIMESTAMP 3 APPLY BATCH",
      "BEGIN COUNTER BATCH UPDATE t SET c = c + 1 WHERE k = 1; APPLY BATCH",
      "CREATE KEYSPACE IF NOT EXISTS ks WITH replication = {'class': "
      "'NetworkTopologyStrategy', 'dc1': 3} AND durable_writes = true",
      "CREATE SCHEMA ks WITH replication = {'class': 'SimpleStrategy'}",
      "ALTER KEYSPACE ks WITH durable_writes = false",
      "CREATE TABLE t (k int PRIMARY KEY, v text)",
      "CREATE TABLE IF NOT EXISTS ks.t (a int, b frozen<list<text>>, c "
      "map<int, frozen<ks.u>>, s tuple<int, text> STATIC, PRIMARY KEY ((a, b), "
      "c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'x' AND compaction "
      "= {'class': 'LeveledCompactionStrategy'} AND gc_grace_seconds = 0",
      "CREATE TYPE IF NOT EXISTS u (a int, b frozen<v>)",
      "ALTER TABLE t ADD a int",
      "ALTER TABLE t ADD (a int, b text static)",
      "ALTER TABLE t DROP a",
      "ALTER TABLE t RENAME a TO b AND c TO d",
      "ALTER TABLE t WITH default_time_to_live = 5",
      "ALTER TYPE u ADD c int",
      "ALTER TYPE u RENAME a TO b",
      "DROP KEYSPACE IF EXISTS ks",
      "DROP TABLE ks.t",
      "DROP TYPE IF EXISTS u",
      "TRUNCATE t",
      "TRUNCATE TABLE ks.t USING TIMEOUT 5s",
      "USE \"Ks\"",
      "-- comment\nSELECT /* inside */ * FROM t // end",
      "SELECT key, ttl, type, timestamp, counter, values FROM json",
  };
  for (const char* text : kStatements) {
    absl::StatusOr<ast::Statement> statement = ParseStatement(text, Limits());
    EXPECT_TRUE(statement.ok()) << text << "\n" << statement.status();
  }
}

TEST(ParserTest, SaysWhereAStatementIsWrong) {
  const struct {
    const char* text;
    const char* message;
  } kCases[] = {
      {"", "line 1:0 no viable alternative at end of statement"},
      {"FOO", "line 1:0 no viable alternative at input 'FOO'"},
      {"SELECT", "line 1:6 expected a value at end of statement"},
      {"SELECT * FORM t", "line 1:9 expected FROM at input 'FORM'"},
      {"SELECT *\nFROM t\nWHERE", "line 3:5 expected column"},
      {"SELECT * FROM t WHERE a ~ 1", "line 1:24 no viable alternative"},
      // Drivers expect UTF-8, which a part of a character is not.
      {"SELECT \xc3\xa9",
       "line 1:7 no viable alternative at character '\\xc3'"},
      {"SELECT * FROM t WHERE a 1", "line 1:24 expected an operator"},
      {"SELECT * FROM select", "line 1:14 expected name at input 'select'"},
      {"SELECT * FROM t LIMIT x", "line 1:22 expected a number"},
      {"SELECT * FROM t; SELECT * FROM t", "line 1:17 expected end"},
      {"INSERT INTO t (a VALUES (1)", "line 1:17 expected ')'"},
      {"INSERT INTO t (a) VALUES ('x", "line 1:26 string is not closed"},
      {"INSERT INTO t (a) VALUES ($$x$", "line 1:26 string is not closed"},
      {"INSERT INTO t (\"a) VALUES (1)", "line 1:15 quoted name is not"},
      {"SELECT /* FROM t", "line 1:7 comment is not closed"},
      {"INSERT INTO t (a) VALUES (0xZZ)", "line 1:28 not a hexadecimal"},
      {"INSERT INTO t (a) VALUES (1.5x)", "line 1:26 malformed number"},
      {"INSERT INTO t (a) VALUES (1) USING TTL 'x'", "expected a number"},
      {"INSERT INTO t (a) VALUES (1) USING TTL 1 AND TTL 2", "given twice"},
      {"UPDATE t SET a = b + 1 WHERE k = 1", "only the assigned column"},
      {"UPDATE t SET a[1] = a + 1 WHERE k = 1", "only the assigned column"},
      {"UPDATE t SET WHERE k = 1", "line 1:13 expected column"},
      {"DELETE FROM t", "line 1:13 expected WHERE"},
      {"BEGIN BATCH SELECT * FROM t APPLY BATCH", "expected INSERT, UPDATE"},
      {"CREATE TABLE t (k int PRIMARY KEY, PRIMARY KEY (k))", "more than one"},
      {"CREATE THING t", "expected KEYSPACE, TABLE or TYPE"},
      {"SELECT \"\" FROM t", "empty name"},
  };
  for (const auto& test : kCases) {
    absl::StatusOr<ast::Statement> statement =
        ParseStatement(test.text, Limits());
    ASSERT_FALSE(statement.ok()) << test.text;
    const ServerError error = GetError(statement.status());
    EXPECT_EQ(error.code, ServerCode::kSyntaxError) << test.text;
    EXPECT_THAT(error.message, StartsWith("line ")) << test.text;
    EXPECT_THAT(error.message, HasSubstr(test.message)) << test.text;
  }
}

// A schema that another server has to run must fail here by name, not be half
// understood.
TEST(ParserTest, NamesWhatTheNodeDoesNotHave) {
  const struct {
    const char* text;
    const char* what;
  } kCases[] = {
      {"CREATE INDEX ON t (a)", "CREATE INDEX"},
      {"CREATE MATERIALIZED VIEW v AS SELECT * FROM t", "MATERIALIZED"},
      {"CREATE OR REPLACE FUNCTION f()", "CREATE OR"},
      {"CREATE ROLE r", "CREATE ROLE"},
      {"GRANT ALL ON t TO r", "GRANT"},
      {"SELECT JSON * FROM t", "SELECT JSON"},
      {"INSERT INTO t JSON '{}'", "INSERT JSON"},
      {"SELECT * FROM t GROUP BY k", "GROUP BY"},
      {"SELECT * FROM t WHERE a LIKE 'x'", "LIKE"},
      {"CREATE TABLE t (k int PRIMARY KEY) WITH COMPACT STORAGE", "COMPACT"},
      {"ALTER TABLE t ALTER a TYPE int", "Altering the type"},
      {"SELECT CAST(a AS text) FROM t", "CAST"},
  };
  for (const auto& test : kCases) {
    absl::StatusOr<ast::Statement> statement =
        ParseStatement(test.text, Limits());
    ASSERT_FALSE(statement.ok()) << test.text;
    const ServerError error = GetError(statement.status());
    EXPECT_EQ(error.code, ServerCode::kInvalid) << test.text;
    EXPECT_THAT(error.message, HasSubstr(test.what)) << test.text;
    EXPECT_THAT(error.message, HasSubstr("not supported")) << test.text;
  }
}

TEST(ParserTest, BoundsDepthSizeAndMarkers) {
  const Limits limits;
  std::string deep_term = "INSERT INTO t (a) VALUES (";
  std::string deep_type = "CREATE TABLE t (k int PRIMARY KEY, v ";
  std::string deep_call = "SELECT ";
  std::string deep_relation = "SELECT * FROM t WHERE ";
  for (int i = 0; i < 100000; ++i) {
    deep_term += "[";
    deep_type += "list<";
    deep_call += "f(";
    deep_relation += "(a";
  }
  for (const std::string& text :
       {deep_term, deep_type, deep_call, deep_relation}) {
    absl::StatusOr<ast::Statement> statement = ParseStatement(text, limits);
    ASSERT_FALSE(statement.ok());
  }
  EXPECT_THAT(GetError(ParseStatement(deep_term, limits).status()).message,
              HasSubstr("nested deeper than the limit of 32"));

  const std::string big(limits.statement_bytes_max + 1, ' ');
  EXPECT_THAT(GetError(ParseStatement(big, limits).status()).message,
              HasSubstr("longer than the limit"));

  Limits few;
  few.bind_markers_max = 2;
  EXPECT_THAT(
      GetError(ParseStatement("INSERT INTO t (a, b, c) VALUES (?, ?, ?)", few)
                   .status())
          .message,
      HasSubstr("more bind markers than the limit of 2"));
}

TEST(ParserTest, EveryPrefixOfAStatementIsAnErrorOrAStatement) {
  const std::string text =
      "SELECT a, max(b) AS c, u.f FROM ks.t WHERE k = 'x' AND (a, b) >= (?, "
      ":n) AND token(k) > -5 AND d IN (0x00, [1.5], {1: {x: 2}}) ORDER BY a "
      "DESC PER PARTITION LIMIT 1 LIMIT 2 ALLOW FILTERING USING TIMEOUT 1s";
  for (size_t size = 0; size <= text.size(); ++size) {
    ParseStatement(text.substr(0, size), Limits()).status().IgnoreError();
  }
}

}  // namespace
}  // namespace cql::node
