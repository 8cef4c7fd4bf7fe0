#include "cql/node/catalog.h"
#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;

class EngineSchemaTest : public EngineFixture {};

TEST_F(EngineSchemaTest, CreatesAndDropsAndSaysWhatChanged) {
  Run("CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', "
      "'replication_factor': 1}");
  EXPECT_EQ(result_.kind, Result::Kind::kSchemaChange);
  EXPECT_EQ(result_.schema.change, "CREATED");
  EXPECT_EQ(result_.schema.target, "KEYSPACE");
  EXPECT_EQ(result_.schema.keyspace, "ks");
  const auto version = engine_->schema_version();

  Run("CREATE TABLE t (k int PRIMARY KEY, v text)");
  EXPECT_EQ(result_.schema.target, "TABLE");
  EXPECT_EQ(result_.schema.name, "t");
  EXPECT_NE(engine_->schema_version(), version);

  Run("CREATE TABLE IF NOT EXISTS t (k int PRIMARY KEY)");
  EXPECT_EQ(result_.kind, Result::Kind::kVoid);

  Run("USE ks");
  EXPECT_EQ(result_.kind, Result::Kind::kSetKeyspace);
  EXPECT_EQ(result_.keyspace, "ks");

  Run("DROP TABLE t");
  EXPECT_EQ(result_.schema.change, "DROPPED");
  EXPECT_EQ(Error("SELECT * FROM t"), "2200: unconfigured table t");
  Run("DROP TABLE IF EXISTS t");
  EXPECT_EQ(result_.kind, Result::Kind::kVoid);
  Run("DROP KEYSPACE ks");
  EXPECT_EQ(Error("SELECT * FROM ks.t"), "2200: Keyspace ks does not exist");
  EXPECT_EQ(Error("USE ks"), "2200: Keyspace 'ks' does not exist");
}

TEST_F(EngineSchemaTest, RefusesWhatCannotBe) {
  CreateKeyspace();
  Run("CREATE TABLE t (k int PRIMARY KEY, v text)");
  Run("CREATE TYPE u (a int)");
  const struct {
    const char* text;
    const char* error;
  } kCases[] = {
      {"CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy'}",
       "2400: Cannot add existing keyspace"},
      {"CREATE KEYSPACE x WITH replication = {'class': 'Nope'}",
       "2300: Unable to find replication strategy class 'Nope'"},
      {"CREATE KEYSPACE x WITH durable_writes = true",
       "2300: Missing mandatory replication strategy class"},
      {"CREATE TABLE t (k int PRIMARY KEY)",
       "2400: Cannot add already existing table"},
      {"CREATE TABLE nope.x (k int PRIMARY KEY)",
       "2200: Keyspace 'nope' doesn't exist"},
      {"CREATE TABLE x (k int)", "2200: No PRIMARY KEY"},
      {"CREATE TABLE x (k int, PRIMARY KEY (z))", "Unknown definition z"},
      {"CREATE TABLE x (k int, k int, PRIMARY KEY (k))", "Multiple definition"},
      {"CREATE TABLE x (k nope PRIMARY KEY)", "2200: Unknown type ks.nope"},
      {"CREATE TABLE x (k list<int> PRIMARY KEY)", "Invalid non-frozen"},
      {"CREATE TABLE x (k int PRIMARY KEY, v list<list<int>>)",
       "Non-frozen collections"},
      {"CREATE TABLE x (k int PRIMARY KEY, v frozen<int>)", "frozen<> is only"},
      {"CREATE TABLE x (k int PRIMARY KEY, v map<int>)", "map takes 2"},
      {"CREATE TABLE x (k counter PRIMARY KEY)", "counter type is not"},
      {"CREATE TABLE x (k duration PRIMARY KEY)", "duration type is not"},
      {"CREATE TABLE x (k int PRIMARY KEY, c counter, v int)",
       "Cannot mix counter"},
      {"CREATE TABLE x (k int PRIMARY KEY, s int STATIC)", "Static columns"},
      {"CREATE TABLE x (k int, c int, PRIMARY KEY (k, c)) WITH CLUSTERING "
       "ORDER BY (k DESC)",
       "CLUSTERING ORDER"},
      {"CREATE TABLE x (k int PRIMARY KEY) WITH nonsense = 1",
       "2000: Unknown property 'nonsense'"},
      {"CREATE TABLE x (k int PRIMARY KEY) WITH default_time_to_live = -1",
       "2300: default_time_to_live"},
      {"CREATE TYPE u (a int)", "already exists"},
      {"CREATE TYPE w (a int, a int)", "Duplicate field name 'a'"},
      {"ALTER TABLE t ADD v int", "already exists"},
      {"ALTER TABLE t DROP k", "Cannot drop PRIMARY KEY column k"},
      {"ALTER TABLE t DROP z", "was not found"},
      {"ALTER TABLE t RENAME v TO w", "Cannot rename non PRIMARY KEY"},
      {"ALTER TABLE z ADD v int", "unconfigured table z"},
      {"DROP TABLE z", "doesn't exist"},
      {"DROP TYPE z", "doesn't exist"},
      {"DROP KEYSPACE z", "doesn't exist"},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(Error(test.text), HasSubstr(test.error)) << test.text;
  }
}

TEST_F(EngineSchemaTest, SurvivesReopening) {
  CreateKeyspace();
  Run("CREATE TYPE inner_type (x int)");
  Run("CREATE TYPE address (street text, place frozen<inner_type>)");
  Run("CREATE TABLE t (a int, b text, c timeuuid, s text STATIC, m map<text, "
      "frozen<list<int>>>, \"Odd Name\" frozen<address>, PRIMARY KEY ((a, b), "
      "c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'it''s'");
  const auto version = engine_->schema_version();
  Reopen();
  EXPECT_EQ(engine_->schema_version(), version);
  const Keyspace* keyspace = engine_->catalog().FindKeyspace("ks");
  ASSERT_NE(keyspace, nullptr);
  EXPECT_EQ(keyspace->replication.at("class"),
            "org.apache.cassandra.locator.SimpleStrategy");
  const Table& table = *keyspace->tables.at("t");
  std::string shown;
  for (const Column& column : table.columns) {
    shown += column.name + " " + TypeText(*column.type) +
             (column.descending ? " desc;" : ";");
  }
  EXPECT_EQ(shown,
            "a int;b text;c timeuuid desc;s text;Odd Name frozen<address>;"
            "m map<text, frozen<list<int>>>;");
  EXPECT_EQ(table.properties.at("comment"), "it's");
  EXPECT_EQ(keyspace->types.size(), 2u);
}

TEST_F(EngineSchemaTest, AnAddedColumnIsNullAndADroppedOneDoesNotComeBack) {
  CreateKeyspace();
  Run("CREATE TABLE t (k int PRIMARY KEY, v text)");
  Run("INSERT INTO t (k, v) VALUES (1, 'old')");
  Run("ALTER TABLE t ADD w int");
  EXPECT_EQ(Rows("SELECT k, v, w FROM t"), "1,old,null");
  Run("ALTER TABLE t DROP v");
  EXPECT_EQ(Error("SELECT v FROM t"),
            "2200: Undefined column name v in table ks.t");
  Run("ALTER TABLE t ADD v text");
  EXPECT_EQ(Rows("SELECT k, v, w FROM t"), "1,null,null");
  Run("ALTER TABLE t RENAME k TO id");
  EXPECT_EQ(Rows("SELECT id FROM t"), "1");
}

TEST_F(EngineSchemaTest, AStatementOnAChangedTableHasToBePreparedAgain) {
  CreateKeyspace();
  Run("CREATE TABLE t (k int PRIMARY KEY, v text)");
  auto select = engine_->Prepare("SELECT * FROM t", "ks");
  ASSERT_TRUE(select.ok());
  const StatementId id = (*select)->id();
  EXPECT_EQ(engine_->Find(id), *select);
  Run("ALTER TABLE t ADD w int");
  EXPECT_EQ(GetError(engine_->Execute(**select, {}, {}, &result_)).code,
            ServerCode::kUnprepared);
  EXPECT_EQ(engine_->Find(id), nullptr);
  auto again = engine_->Prepare("SELECT * FROM t", "ks");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->id(), id);
  EXPECT_EQ((*again)->result_columns()->size(), 3u);
  EXPECT_NE((*engine_->Prepare("SELECT * FROM ks.t", ""))->id(), id);
}

TEST_F(EngineSchemaTest, AlteredTypesReachWhatIsMadeOfThem) {
  CreateKeyspace();
  Run("CREATE TYPE a (x int)");
  Run("CREATE TYPE b (y frozen<a>)");
  Run("CREATE TABLE t (k int PRIMARY KEY, v frozen<b>, w list<frozen<a>>)");
  Run("INSERT INTO t (k, v, w) VALUES (1, {y: {x: 5}}, [{x: 6}])");
  Run("ALTER TYPE a ADD z text");
  EXPECT_EQ(Rows("SELECT v, w FROM t"), "((5 null)),[(6 null)]");
  Run("INSERT INTO t (k, v) VALUES (2, {y: {x: 5, z: 'new'}})");
  EXPECT_EQ(Rows("SELECT v FROM t WHERE k = 2"), "((5 new))");
  EXPECT_THAT(Error("DROP TYPE a"), HasSubstr("still used by"));
  Reopen();
  EXPECT_EQ(Rows("SELECT v FROM t WHERE k = 2"), "((5 new))");
  Run("DROP TABLE t");
  Run("DROP TYPE b");
  Run("DROP TYPE a");
}

TEST_F(EngineSchemaTest, TruncateLeavesAnEmptyTable) {
  CreateKeyspace();
  Run("CREATE TABLE t (k int, c int, s int STATIC, PRIMARY KEY (k, c))");
  Run("CREATE TABLE other (k int PRIMARY KEY)");
  Run("INSERT INTO other (k) VALUES (1)");
  Run("INSERT INTO t (k, c, s) VALUES (1, 1, 1)");
  Run("TRUNCATE t");
  EXPECT_EQ(Rows("SELECT * FROM t"), "");
  EXPECT_EQ(Rows("SELECT * FROM other"), "1");
  Run("INSERT INTO t (k, c) VALUES (1, 2)");
  EXPECT_EQ(Rows("SELECT * FROM t"), "1,2,null");
  Run("DROP TABLE t");
  Run("CREATE TABLE t (k int, c int, s int STATIC, PRIMARY KEY (k, c))");
  EXPECT_EQ(Rows("SELECT * FROM t"), "");
}

TEST_F(EngineSchemaTest, DescribesPreparedStatements) {
  CreateKeyspace();
  Run("CREATE TABLE t (a int, b text, c bigint, v blob, l list<int>, PRIMARY "
      "KEY ((a, b), c))");
  auto insert = engine_->Prepare(
      "INSERT INTO t (v, b, c, a) VALUES (?, ?, :named, ?) USING TTL ? AND "
      "TIMESTAMP ?",
      "ks");
  ASSERT_TRUE(insert.ok()) << insert.status();
  std::string markers;
  for (const ColumnSpec& spec : (*insert)->bind_markers()) {
    markers += spec.name + " " + spec.type.ToString() + ";";
  }
  EXPECT_EQ(markers,
            "v blob;b text;named bigint;a int;[ttl] int;[timestamp] bigint;");
  EXPECT_THAT((*insert)->partition_key_markers(), ::testing::ElementsAre(3, 1));
  EXPECT_EQ((*insert)->result_columns(), nullptr);
  EXPECT_FALSE((*insert)->is_conditional());

  auto select = engine_->Prepare(
      "SELECT v AS value, COUNT(*), token(a, b), max(c) FROM t WHERE a = 1 AND "
      "b IN ? AND (c) > (?) LIMIT ?",
      "ks");
  ASSERT_TRUE(select.ok()) << select.status();
  markers.clear();
  for (const ColumnSpec& spec : (*select)->bind_markers()) {
    markers += spec.name + " " + spec.type.ToString() + ";";
  }
  EXPECT_EQ(markers, "in(b) list<text>;c bigint;[limit] int;");
  EXPECT_TRUE((*select)->partition_key_markers().empty());
  std::string columns;
  for (const ColumnSpec& spec : *(*select)->result_columns()) {
    columns += spec.name + " " + spec.type.ToString() + ";";
  }
  EXPECT_EQ(columns,
            "value blob;count bigint;system.token(a, b) bigint;system.max(c) "
            "bigint;");

  EXPECT_TRUE((*engine_->Prepare(
                   "UPDATE t SET v = ? WHERE a = ? AND b = ? AND c = ? IF "
                   "EXISTS",
                   "ks"))
                  ->is_conditional());
}

TEST_F(EngineSchemaTest, BoundsWhatIsKept) {
  Limits limits;
  limits.prepared_max = 2;
  limits.tables_max = 1;
  limits.keyspaces_max = 1;
  limits.columns_max = 2;
  Reopen(limits);
  CreateKeyspace();
  EXPECT_THAT(Error("CREATE TABLE x (a int PRIMARY KEY, b int, c int)"),
              HasSubstr("more columns than the limit of 2"));
  Run("CREATE TABLE t (k int PRIMARY KEY)");
  EXPECT_THAT(Error("CREATE TABLE x (k int PRIMARY KEY)"),
              HasSubstr("more tables than the limit of 1"));
  EXPECT_THAT(Error("CREATE KEYSPACE x WITH replication = {'class': "
                    "'SimpleStrategy'}"),
              HasSubstr("more keyspaces than the limit of 1"));
  const StatementId first = (*engine_->Prepare("SELECT * FROM t", "ks"))->id();
  engine_->Prepare("SELECT k FROM t", "ks").status().IgnoreError();
  engine_->Prepare("SELECT count(*) FROM t", "ks").status().IgnoreError();
  EXPECT_EQ(engine_->Find(first), nullptr);
}

TEST_F(EngineSchemaTest, VirtualTablesAreReadLikeStoredOnes) {
  VirtualTable table;
  table.create_statement =
      "CREATE TABLE system.peers (data_center text, peer int PRIMARY KEY, rack "
      "text)";
  table.fill = [](std::vector<Value>* rows) {
    static const std::string kOne = Int(1);
    static const std::string kTwo = Int(2);
    for (const std::string* key : {&kOne, &kTwo}) {
      rows->push_back(Value::Bytes("dc"));
      rows->push_back(Value::Bytes(*key));
      rows->push_back(Value::Null());
    }
  };
  ASSERT_TRUE(engine_->AddVirtualTable(std::move(table)).ok());
  EXPECT_EQ(Rows("SELECT * FROM system.peers"), "1,dc,null|2,dc,null");
  EXPECT_EQ(Rows("SELECT peer AS p FROM system.peers WHERE peer = 2"), "2");
  EXPECT_EQ(Rows("SELECT count(*) FROM system.peers USING TIMEOUT 2000ms"),
            "2");
  EXPECT_EQ(Rows("SELECT peer FROM system.peers LIMIT 1"), "1");
  EXPECT_EQ(Error("SELECT * FROM system.peers_v2"),
            "2200: unconfigured table peers_v2");
  EXPECT_THAT(Error("INSERT INTO system.peers (peer) VALUES (1)"),
              HasSubstr("2100: INSERT is not allowed"));
  EXPECT_THAT(Error("DROP TABLE system.peers"), HasSubstr("2100:"));
  Run("USE system");
}

}  // namespace
}  // namespace cql::node
