// The CQL engine of the embedded development node: statements in, results out,
// data in RocksDB. No sockets, no loop, no threads of its own outside RocksDB.
//
//   auto engine = Engine::Open({.data_dir = dir});
//   auto insert = (*engine)->Prepare("INSERT INTO t (k, v) VALUES (?, ?)",
//   "ks"); Result result;                          // Reused: keeps its
//   buffers. absl::Status status =
//       (*engine)->Execute(**insert, values, {.now_us = now}, &result);
//   status = (*engine)->Sync();             // Before any answer is sent.
//
// Durability: a write is visible to later statements as soon as Execute()
// returns, and durable once a later Sync() returned OK. A server executes all
// requests of a turn, calls Sync() once if NeedsSync(), and only then answers.
// DDL is durable when it returns.
//
// Errors: every failure of a statement is an absl::Status that carries the CQL
// error code and message; see GetError().
//
// Thread-safety: none, but Sync() may run on another thread while statements
// execute: it covers what was executed before the call.
#ifndef RINGPLANE_CQL_NODE_ENGINE_H_
#define RINGPLANE_CQL_NODE_ENGINE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cql/node/error.h"
#include "cql/protocol/types.h"

namespace cql::node {

class Catalog;
class Statement;

// What Sync() promises.
enum class SyncMode {
  kDisk,     // The write survives a loss of power: fdatasync(2).
  kProcess,  // The write survives the death of this process: write(2).
};

// Bounds on what one statement may ask for. Past a bound the statement gets a
// CQL error that names it.
struct Limits {
  uint32_t statement_bytes_max = 1 << 20;
  // Nested types, literals and function calls.
  uint32_t nesting_max = 32;
  uint32_t columns_max = 1000;
  uint32_t bind_markers_max = 65535;
  uint32_t value_bytes_max = 16 << 20;
  // Partitions times clustering prefixes that IN asks for.
  uint32_t in_keys_max = 20000;
  uint32_t batch_statements_max = 65535;
  uint32_t keyspaces_max = 1000;
  uint32_t tables_max = 10000;
  uint32_t user_types_max = 10000;
  // Statements kept by Prepare(); the least recently used leaves first.
  uint32_t prepared_max = 10000;
  // A page ends early, with more to come, after this many bytes of rows or
  // rows looked at; an unpaged result past the bytes is an error.
  uint32_t result_bytes_max = 64 << 20;
  uint32_t page_rows_scanned_max = 100000;
};

struct EngineOptions {
  // Created when absent. One process at a time.
  std::string data_dir;
  SyncMode sync = SyncMode::kDisk;
  Limits limits;
  // RocksDB's memory for writes not yet in files, and for blocks of files.
  uint64_t memtable_bytes = 64 << 20;
  uint64_t block_cache_bytes = 64 << 20;
};

// A bound value: the protocol's encoding, without its length.
using Value = protocol::BoundValue;

using protocol::ColumnSpec;
using ColumnSpecs = std::vector<ColumnSpec>;

using StatementId = std::array<uint8_t, 16>;

enum class BatchType : uint8_t { kLogged = 0, kUnlogged = 1, kCounter = 2 };

struct ExecuteOptions {
  // Rows per page; 0 or less: one page holds the whole result.
  int32_t page_size = 0;
  // As an earlier Result gave it; empty: from the start.
  std::string_view paging_state;
  // Of writes without USING TIMESTAMP. Absent: the engine's clock, which never
  // gives one timestamp twice.
  std::optional<int64_t> default_timestamp_us;
  // The time by which TTLs expire, microseconds of the epoch; 0: read the
  // clock.
  int64_t now_us = 0;
};

struct SchemaChange {
  std::string change;  // "CREATED", "UPDATED" or "DROPPED".
  std::string target;  // "KEYSPACE", "TABLE" or "TYPE".
  std::string keyspace;
  std::string name;  // Empty for a keyspace.
};

// The answer to one statement. Keep one and pass it again: its buffers stay.
struct Result {
  enum class Kind { kVoid, kRows, kSetKeyspace, kSchemaChange };
  Kind kind = Kind::kVoid;

  // kRows. `rows` is row_count x columns->size() cells, each as the protocol's
  // [bytes]: int32 length (-1: null), then the bytes.
  std::shared_ptr<const ColumnSpecs> columns;
  uint32_t row_count = 0;
  std::string rows;
  std::string paging_state;  // Empty: nothing follows.

  std::string keyspace;  // kSetKeyspace.
  SchemaChange schema;   // kSchemaChange.
};

// A table whose rows its owner makes on demand, such as system.local. SELECT
// works on it as on a stored table (restrictions, functions, LIMIT, COUNT), but
// in one page; nothing writes to it.
struct VirtualTable {
  // CREATE TABLE keyspace.name (...); the keyspace need not exist.
  std::string create_statement;
  // Appends rows to `rows`: for each row a Value per column, in the order of
  // the statement. Bytes must live until the function is called again.
  std::function<void(std::vector<Value>* rows)> fill;
};

struct BatchEntry {
  const Statement* statement = nullptr;
  absl::Span<const Value> values;
};

class Engine {
 public:
  // Opens or creates the data folder. kFailedPrecondition when another process
  // (or another engine of this one) has it open, when the folder holds
  // something else, or was written by another version; kDataLoss when it is
  // corrupted; kPermissionDenied, kResourceExhausted (disk full), kUnavailable
  // as the system says. Every message names the folder.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(
      const EngineOptions& options);

  // Writes what is not yet durable, as Sync() does.
  ~Engine();

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Adds a table to read from. Call before the first Prepare().
  absl::Status AddVirtualTable(VirtualTable table);

  // Parses and checks a statement and keeps it under its id: the same text and
  // keyspace always give the same id. `keyspace` is what USE chose, or empty.
  absl::StatusOr<std::shared_ptr<const Statement>> Prepare(
      std::string_view text, std::string_view keyspace);

  // The same for a statement that is executed once: it is not kept.
  absl::StatusOr<std::shared_ptr<const Statement>> PrepareOnce(
      std::string_view text, std::string_view keyspace);

  // A kept statement; null when the id is unknown, or a schema change or the
  // limit dropped it: the protocol's error Unprepared.
  std::shared_ptr<const Statement> Find(const StatementId& id);

  // Runs a statement with one value per bind marker. `result` is overwritten.
  // A statement whose table was altered since gives error Unprepared.
  absl::Status Execute(const Statement& statement,
                       absl::Span<const Value> values,
                       const ExecuteOptions& options, Result* result);

  // Runs INSERT, UPDATE and DELETE statements as one atomic write. With
  // conditions, all on one partition, either all or none are applied.
  absl::Status ExecuteBatch(BatchType type,
                            absl::Span<const BatchEntry> entries,
                            const ExecuteOptions& options, Result* result);

  // Whether something was written since the last Sync().
  bool NeedsSync() const;

  // Makes every write executed before durable. On failure (disk full, I/O)
  // nothing executed since the last good Sync() may be acknowledged, and the
  // engine refuses writes; reads go on. The folder can be opened again once the
  // process has ended.
  absl::Status Sync();

  // OK, or why writes are refused.
  absl::Status write_status() const;

  // Changes with each DDL statement.
  std::array<uint8_t, 16> schema_version() const;

  // Keyspaces, tables, columns and types: what system_schema shows.
  const Catalog& catalog() const;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A parsed and checked statement. Immutable.
class Statement {
 public:
  enum class Kind { kSelect, kModify, kBatch, kUse, kSchema, kTruncate };
  virtual ~Statement() = default;

  Kind kind() const { return kind_; }
  const StatementId& id() const { return id_; }
  const std::string& text() const { return text_; }

  // What to bind, in order of appearance. A positional marker has the name of
  // its column, or "[ttl]", "[timestamp]", "[limit]", "in(column)", ....
  const ColumnSpecs& bind_markers() const { return bind_markers_; }

  // Which marker holds each column of the partition key, in its order; empty
  // unless every one is bound by a marker of its own.
  const std::vector<uint16_t>& partition_key_markers() const {
    return partition_key_markers_;
  }

  // The columns of a SELECT; null for what has none, or (conditional
  // statements) has different ones from one execution to the next: always send
  // metadata with such results.
  const std::shared_ptr<const ColumnSpecs>& result_columns() const {
    return result_columns_;
  }

  // IF NOT EXISTS, IF EXISTS or IF conditions on rows: a lightweight
  // transaction.
  bool is_conditional() const { return is_conditional_; }

  // The table read or written; empty for USE, for keyspaces and batches.
  const std::string& keyspace() const { return keyspace_; }
  const std::string& table() const { return table_; }

  // The token of the partition that `values` names, if it is exactly one.
  virtual std::optional<int64_t> Token(absl::Span<const Value> values) const;

  // A schema change made it useless: executing it gives error Unprepared.
  virtual bool IsStale() const { return false; }

 protected:
  friend class Planner;
  friend class Engine;
  explicit Statement(Kind kind) : kind_(kind) {}

  Kind kind_;
  StatementId id_ = {};
  std::string text_;
  ColumnSpecs bind_markers_;
  std::vector<uint16_t> partition_key_markers_;
  std::shared_ptr<const ColumnSpecs> result_columns_;
  bool is_conditional_ = false;
  std::string keyspace_;
  std::string table_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_ENGINE_H_
