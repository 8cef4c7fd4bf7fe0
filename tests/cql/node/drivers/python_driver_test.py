"""An unmodified Python driver creates a schema and reads and writes through the
embedded node. Runs under cassandra-driver and under scylla-driver.

usage: python_driver_test.py HOST PORT [--shard-aware-port PORT]
"""

import argparse
import datetime
import decimal
import ipaddress
import time
import uuid

from cassandra import AlreadyExists, ConsistencyLevel, InvalidRequest
from cassandra.cluster import (EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile)
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.protocol import SyntaxException
from cassandra.query import BatchStatement, BatchType, SimpleStatement
from cassandra.util import Date, Time

parser = argparse.ArgumentParser()
parser.add_argument("host")
parser.add_argument("port", type=int)
arguments = parser.parse_args()

checks = 0


def expect(what, got, want):
    global checks
    checks += 1
    if got != want:
        raise SystemExit(f"{what}: got {got!r}, want {want!r}")


def expect_error(what, kind, run):
    global checks
    checks += 1
    try:
        run()
    except kind as error:
        if not str(error):
            raise SystemExit(f"{what}: the error has no message")
        return
    raise SystemExit(f"{what}: no {kind.__name__}")


cluster = Cluster(
    [arguments.host], port=arguments.port, protocol_version=4,
    execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()))})
session = cluster.connect()

keyspace = "k" + uuid.uuid4().hex[:8]
session.execute(
    f"CREATE KEYSPACE {keyspace} WITH replication = "
    "{'class': 'SimpleStrategy', 'replication_factor': 1}")
session.set_keyspace(keyspace)
expect_error("a keyspace twice", AlreadyExists, lambda: session.execute(
    f"CREATE KEYSPACE {keyspace} WITH replication = "
    "{'class': 'SimpleStrategy', 'replication_factor': 1}"))

# --- every type, both ways ---------------------------------------------------
session.execute("CREATE TYPE address (street text, numbers list<int>)")
session.execute("""
    CREATE TABLE types (
      k int PRIMARY KEY, a ascii, b bigint, bl blob, bo boolean, de decimal,
      d double, f float, i inet, si smallint, ti tinyint, t text,
      ts timestamp, tu timeuuid, u uuid, vi varint, da date, tm time,
      l list<text>, s set<int>, m map<text, bigint>,
      tup tuple<int, text>, fl frozen<list<int>>, ad frozen<address>)""")
row = (
    1, "ascii", 2**62, b"\x00\xff", True, decimal.Decimal("-12.345"),
    2.5, 0.5, "127.0.0.1", -2, -3, "täxt",
    datetime.datetime(2025, 3, 1, 8, 10, 17, 423000), uuid.uuid1(),
    uuid.uuid4(), -2**100, Date(datetime.date(2025, 3, 1)),
    Time(datetime.time(1, 2, 3)), ["x", "y"], {3, 1, 2}, {"p": 1, "q": -1},
    (7, "seven"), [1, 2, 3])
columns = ("k, a, b, bl, bo, de, d, f, i, si, ti, t, ts, tu, u, vi, da, tm, l, "
           "s, m, tup, fl")
insert = session.prepare(
    f"INSERT INTO types ({columns}) VALUES ({', '.join('?' * len(row))})")
session.execute(insert, row)
got = session.execute(f"SELECT {columns} FROM types WHERE k = 1").one()
for name, value, want in zip(columns.split(", "), got, row):
    if name == "s":
        value = set(value)
    elif name == "m":
        value = dict(value)
    elif name == "i":
        value = str(ipaddress.ip_address(value))
    expect(f"type of column {name}", value, want)
session.execute(
    "INSERT INTO types (k, ad) VALUES (2, {street: 'main', numbers: [1, 2]})")
udt = session.execute("SELECT ad FROM types WHERE k = 2").one().ad
expect("user type", (udt.street, list(udt.numbers)), ("main", [1, 2]))
expect("nulls", session.execute("SELECT t, l FROM types WHERE k = 2").one()[:],
       (None, None))

# --- compound keys, order, ranges, pages -------------------------------------
session.execute("""
    CREATE TABLE feed (
      owner text, bucket int, at timestamp, id text, v int,
      PRIMARY KEY ((owner, bucket), at, id))
    WITH CLUSTERING ORDER BY (at DESC, id ASC)""")
write = session.prepare(
    "INSERT INTO feed (owner, bucket, at, id, v) VALUES (?, ?, ?, ?, ?)")
expect("routing indexes", write.routing_key_indexes, [0, 1])
epoch = datetime.datetime(2025, 1, 1)
results = execute_concurrent_with_args(session, write, [
    ("ann", n % 2, epoch + datetime.timedelta(seconds=n // 4), f"id{n:04}", n)
    for n in range(1000)], concurrency=64)
expect("concurrent inserts", all(r.success for r in results), True)
read = session.prepare("SELECT at, id, v FROM feed WHERE owner = ? AND bucket = ?")
read.fetch_size = 64
result = session.execute(read, ("ann", 0))
pages, rows = 1, list(result.current_rows)
while result.has_more_pages:
    result.fetch_next_page()
    pages += 1
    rows += list(result.current_rows)
expect("rows over pages", len(rows), 500)
expect("more than one page", pages >= 8, True)
expect("clustering order", rows, sorted(
    sorted(rows, key=lambda r: r.id), key=lambda r: r.at, reverse=True))
middle = rows[250]
older = list(session.execute(
    "SELECT id FROM feed WHERE owner = 'ann' AND bucket = 0 AND at < %s LIMIT 5",
    (middle.at,)))
expect("range", [r.id for r in older],
       [r.id for r in rows if r.at < middle.at][:5])
backwards = list(session.execute(
    "SELECT id FROM feed WHERE owner = 'ann' AND bucket = 0 "
    "ORDER BY at ASC, id DESC LIMIT 3"))
expect("reverse order", [r.id for r in backwards],
       [r.id for r in reversed(rows)][:3])
expect("count", session.execute(
    "SELECT COUNT(*) FROM feed WHERE owner = 'ann' AND bucket = 1").one()[0], 500)
expect("IN on the partition key", len(list(session.execute(
    "SELECT id FROM feed WHERE owner = 'ann' AND bucket IN (0, 1)"))), 1000)
expect("per partition limit", len(list(session.execute(
    "SELECT id FROM feed PER PARTITION LIMIT 2"))), 4)
tokens = [r[0] for r in session.execute(
    "SELECT token(owner, bucket) FROM feed PER PARTITION LIMIT 1")]
expect("token order", tokens, sorted(tokens))
expect("token range", len(list(session.execute(
    "SELECT id FROM feed WHERE token(owner, bucket) >= %s", (tokens[1],)))), 500)

# --- updates, deletes, time to live, timestamps ------------------------------
session.execute("UPDATE types SET t = 'new', l = l + ['z'], s = s - {1}, "
                "m['r'] = 5 WHERE k = 1")
changed = session.execute("SELECT t, l, s, m FROM types WHERE k = 1").one()
expect("update", (changed.t, changed.l, set(changed.s), dict(changed.m)),
       ("new", ["x", "y", "z"], {2, 3}, {"p": 1, "q": -1, "r": 5}))
session.execute("UPDATE types USING TIMESTAMP 1 SET t = 'old' WHERE k = 1")
expect("an older write loses",
       session.execute("SELECT t FROM types WHERE k = 1").one().t, "new")
session.execute("DELETE t FROM types WHERE k = 1")
expect("delete of a column",
       session.execute("SELECT t FROM types WHERE k = 1").one().t, None)
session.execute("INSERT INTO types (k, t) VALUES (9, 'soon gone') USING TTL 1")
ttl = session.execute("SELECT ttl(t) FROM types WHERE k = 9").one()
expect("time to live", ttl is not None and 0 <= ttl[0] <= 1, True)
time.sleep(2.1)
expect("expired", session.execute("SELECT * FROM types WHERE k = 9").one(), None)
session.execute("DELETE FROM types WHERE k = 2")
expect("delete of a row",
       session.execute("SELECT * FROM types WHERE k = 2").one(), None)

# --- counters, lightweight transactions, batches ------------------------------
session.execute("CREATE TABLE hits (k text PRIMARY KEY, n counter)")
add = session.prepare("UPDATE hits SET n = n + ? WHERE k = ?")
for n in range(10):
    session.execute(add, (n, "a"))
expect("counter", session.execute("SELECT n FROM hits WHERE k = 'a'").one().n, 45)
claim = "INSERT INTO types (k, t) VALUES (50, %s) IF NOT EXISTS"
expect("first claim", session.execute(claim, ("me",)).one().applied, True)
second = session.execute(claim, ("you",)).one()
expect("second claim", (second.applied, second.t), (False, "me"))
changed = session.execute("UPDATE types SET t = 'us' WHERE k = 50 IF t = 'me'").one()
expect("conditional update", changed.applied, True)
batch = BatchStatement(BatchType.LOGGED, consistency_level=ConsistencyLevel.QUORUM)
batch.add(insert, (60,) + row[1:])
batch.add(SimpleStatement("INSERT INTO types (k, t) VALUES (61, 'b')"))
session.execute(batch)
expect("batch", sorted(r.k for r in session.execute(
    "SELECT k FROM types WHERE k IN (60, 61)")), [60, 61])

# --- errors, metadata, schema changes ----------------------------------------
expect_error("bad syntax", SyntaxException, lambda: session.execute("SELEC 1"))
expect_error("unknown table", InvalidRequest,
             lambda: session.execute("SELECT * FROM nope"))
expect_error("no partition key", InvalidRequest,
             lambda: session.execute("SELECT * FROM feed WHERE at > 0"))
session.execute("ALTER TABLE types ADD extra text")
cluster.refresh_schema_metadata()
table = cluster.metadata.keyspaces[keyspace].tables["feed"]
expect("partition key in metadata", [c.name for c in table.partition_key],
       ["owner", "bucket"])
expect("clustering key in metadata", [c.name for c in table.clustering_key],
       ["at", "id"])
expect("altered table in metadata",
       "extra" in cluster.metadata.keyspaces[keyspace].tables["types"].columns,
       True)
session.execute("TRUNCATE hits")
expect("truncated", list(session.execute("SELECT * FROM hits")), [])
session.execute(f"DROP KEYSPACE {keyspace}")
expect_error("dropped keyspace", InvalidRequest,
             lambda: session.execute(f"SELECT * FROM {keyspace}.feed"))
cluster.shutdown()
print(f"{checks} checks passed")
