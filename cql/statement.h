// What is asked: prepared statements, options of a request, batches.
#ifndef RINGPLANE_CQL_STATEMENT_H_
#define RINGPLANE_CQL_STATEMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/protocol/consistency.h"
#include "cql/protocol/request.h"
#include "cql/protocol/rows.h"
#include "cql/protocol/types.h"
#include "cql/protocol/wire.h"

namespace cql {

class Query;
class ReplicaMap;

namespace internal {
class Router;
class SessionCore;
class TabletTable;
class Speculation;
struct NodeStatement;
struct TimeoutText;
}  // namespace internal

// Which of a shard's two connections a statement takes, and so whose default
// consistency.
enum class Access : uint8_t { kRead, kWrite };

// Asking a second node when the first one is slow: the first answer counts, the
// other one is dropped. Only idempotent statements may.
struct SpeculationOptions {
  // Most extra requests per request, each `delay` after the one before; 0:
  // none.
  uint32_t extra_max = 0;
  // How long a node has before another one is asked, in steps of a
  // millisecond. Zero: as long as `percentile` of the statement's last requests
  // took, once there were 128.
  absl::Duration delay = absl::ZeroDuration();
  double percentile = 0.99;
  // Extra requests are at most this share of all in the long run, and at most
  // `burst` at once.
  double share = 0.05;
  uint32_t burst = 32;
  // When a smaller share of 64 extra requests was the first to be answered,
  // there are none for half a minute: they only add to the load.
  double useful_share = 0.1;
};

struct StatementOptions {
  Access access = Access::kRead;
  // Applying it twice equals applying it once. Only such a statement is sent
  // again, once, when its connection breaks before the answer came. Counters,
  // list appends and conditional writes are not.
  bool idempotent = false;
  // Instead of the session's for `access`.
  std::optional<Consistency> consistency;
  // Of conditional statements; the server's default is SERIAL.
  std::optional<Consistency> serial_consistency;
  // Rows per page; 0: everything in one answer.
  int32_t page_size = 5000;
  // ScyllaDB is told how much time is left until the deadline, with each
  // request, so that it does not go on for a caller who has left: USING TIMEOUT
  // ? is added to the text where the server understands it. Has no effect on
  // statements with a timeout or with named markers. Not for batches.
  bool server_timeout = false;
  SpeculationOptions speculation;
  // Requests with the same values and options that are on their way together
  // are sent once and share the answer. It may have been asked for before the
  // caller asked, so it may lack what the caller just wrote. Each keeps its own
  // deadline. Idempotent reads only.
  bool coalesce = false;
};

// Of one request; what is not set comes from the statement and the session.
struct RequestOptions {
  // On the loop's clock (`loop->now() + ...`). Infinite: the session's
  // request_timeout from now.
  absl::Time deadline = absl::InfiniteFuture();
  // Where an earlier page ended: Rows::paging_state(). Copied.
  std::string_view paging_state;
  std::optional<int32_t> page_size;
  std::optional<Consistency> consistency;
  std::optional<Consistency> serial_consistency;
  // Microseconds since 1970, of writes without USING TIMESTAMP; otherwise the
  // server's clock gives one.
  std::optional<int64_t> timestamp_us;
  // Of text and batches; a prepared statement knows its own.
  Access access = Access::kRead;  // A batch always writes.
  bool idempotent = false;        // A batch of idempotent statements is.
  // The server keeps a trace: Rows::tracing_id(). Costs it much.
  bool tracing = false;
};

// Made by Session::Prepare() and valid as long as the session.
class PreparedStatement {
 public:
  PreparedStatement(const PreparedStatement&) = delete;
  PreparedStatement& operator=(const PreparedStatement&) = delete;
  ~PreparedStatement();

  const std::string& text() const { return text_; }
  const StatementOptions& options() const { return options_; }
  // The bind markers, in order.
  std::span<const protocol::ColumnSpec> columns() const { return columns_; }
  // Of the table that is named first; empty if there is no bind marker.
  std::string_view keyspace() const { return keyspace_; }
  // Whether requests can be sent to the replicas of their partition.
  bool routable() const { return !partition_key_.empty(); }

 private:
  friend class Query;
  friend class Batch;
  friend class internal::Router;
  friend class internal::SessionCore;

  PreparedStatement(std::string text, const StatementOptions& options);

  const std::string text_;
  const StatementOptions options_;
  protocol::ColumnSpecs columns_;
  std::string keyspace_;
  std::string table_;
  std::vector<uint16_t> partition_key_;
  // Result metadata may be left out of answers only where it cannot change
  // unseen: `SELECT *` changes with the table.
  bool selects_star_ = false;
  bool lightweight_transaction_ = false;
  // What ScyllaDB is asked to prepare instead of `text_`, if anything.
  std::unique_ptr<internal::TimeoutText> timeout_text_;
  std::unique_ptr<internal::Speculation> speculation_;
  bool special_ = false;  // Speculates or coalesces.

  // What each node knows of it, by the node's index in the session.
  mutable std::vector<std::unique_ptr<internal::NodeStatement>> nodes_;
  // The replicas of its keyspace as of one topology.
  mutable const ReplicaMap* replicas_ = nullptr;
  mutable uint64_t replicas_of_topology_ = 0;
  // The tablets of its table as of one version.
  mutable const internal::TabletTable* tablets_ = nullptr;
  mutable uint64_t tablets_of_version_ = 0;
};

using BatchType = protocol::BatchType;

// Several prepared statements as one request. Values are encoded by Add() and
// may go then. A batch can be executed again, and Clear() keeps its memory.
//
//   cql::Batch batch(cql::BatchType::kUnlogged);
//   batch.Add(*insert, id, name);
//   absl::StatusOr<cql::Rows> rows = co_await session->ExecuteBatch({}, batch);
class Batch {
 public:
  // What the protocol can count.
  static constexpr size_t kStatementsMax = 65535;
  // Of all values; servers refuse batches far below it.
  static constexpr size_t kBytesMax = 256 << 20;

  explicit Batch(BatchType type = BatchType::kLogged) : type_(type) {}

  // Values that do not fit are told when the batch is executed, as
  // kInvalidArgument; nothing is sent then.
  template <typename... Values>
  void Add(const PreparedStatement& statement, const Values&... values) {
    const size_t begin = bytes_.size();
    protocol::Writer writer(&bytes_);
    absl::Status status = protocol::EncodeValues(
        &writer, std::span<const protocol::ColumnSpec>(statement.columns_),
        values...);
    writer.Finish();
    Added(statement, begin, sizeof...(Values), std::move(status));
  }

  void Clear();
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  BatchType type() const { return type_; }

 private:
  friend class Query;
  friend class internal::SessionCore;

  struct Entry {
    const PreparedStatement* statement;
    uint32_t value_bytes;
    uint16_t value_count;
  };
  void Added(const PreparedStatement& statement, size_t begin, size_t count,
             absl::Status status);

  BatchType type_;
  absl::Status status_;
  std::vector<Entry> entries_;
  std::string bytes_;  // The values of all entries, one after the other.
};

}  // namespace cql

#endif  // RINGPLANE_CQL_STATEMENT_H_
