// The indexer's way to the store: prepared statements, writes that the store
// orders as we made them, and work side by side.
#ifndef RINGPLANE_SERVICE_INGEST_WRITER_H_
#define RINGPLANE_SERVICE_INGEST_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/task.h"

namespace ingest {

// An empty text is null in the store.
inline std::optional<std::string_view> OrNull(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return text;
}
inline absl::Time Ms(int64_t milliseconds) {
  return absl::FromUnixMillis(milliseconds);
}
inline std::optional<absl::Time> Ms(std::optional<int64_t> milliseconds) {
  if (!milliseconds) return std::nullopt;
  return absl::FromUnixMillis(*milliseconds);
}

class Writer {
 public:
  explicit Writer(cql::Session* session) : session_(session) {}

  cql::Session* session() const { return session_; }

  // Of a write: later calls get later timestamps, so that the order of our
  // writes is the order of their effects, whichever node takes them.
  cql::RequestOptions WriteOptions() {
    cql::RequestOptions options;
    last_us_ = std::max(last_us_ + 1, absl::ToUnixMicros(absl::Now()));
    options.timestamp_us = last_us_;
    return options;
  }

  // Starts a write; without USING TIMESTAMP it gets one of ours.
  template <typename... Values>
  cql::Query StartWrite(const cql::PreparedStatement* statement,
                        const Values&... values) {
    return session_->Execute(WriteOptions(), *statement, values...);
  }
  // Does one. Views must live until the first time this is resumed, which is
  // at once when it is awaited or spawned.
  template <typename... Values>
  ioloop::Task<absl::Status> Write(const cql::PreparedStatement* statement,
                                   Values... values) {
    cql::Query query = StartWrite(statement, values...);
    absl::StatusOr<cql::Rows> rows = co_await query;
    co_return rows.status();
  }
  ioloop::Task<absl::Status> Write(const cql::Batch* batch) {
    cql::Query query = session_->ExecuteBatch(WriteOptions(), *batch);
    absl::StatusOr<cql::Rows> rows = co_await query;
    co_return rows.status();
  }

  ioloop::Task<absl::Status> PrepareRead(
      std::string text, const cql::PreparedStatement** statement) {
    cql::StatementOptions options;
    options.access = cql::Access::kRead;
    options.idempotent = true;
    return Prepare(std::move(text), options, statement);
  }
  ioloop::Task<absl::Status> PrepareWrite(
      std::string text, const cql::PreparedStatement** statement) {
    cql::StatementOptions options;
    options.access = cql::Access::kWrite;
    options.idempotent = true;
    return Prepare(std::move(text), options, statement);
  }

 private:
  ioloop::Task<absl::Status> Prepare(std::string text,
                                     cql::StatementOptions options,
                                     const cql::PreparedStatement** statement) {
    absl::StatusOr<const cql::PreparedStatement*> prepared =
        co_await session_->Prepare(std::move(text), options);
    if (!prepared.ok()) co_return prepared.status();
    *statement = *prepared;
    co_return absl::OkStatus();
  }

  cql::Session* const session_;
  int64_t last_us_ = 0;
};

// Runs tasks side by side and keeps the first error. Join() before it dies.
class SideBySide {
 public:
  void Run(ioloop::Task<absl::Status> task) {
    group_.Spawn(Keep(std::move(task), &status_));
  }
  // Waits for all of them.
  ioloop::Task<absl::Status> Join() {
    co_await group_.Join();
    co_return status_;
  }
  bool ok() const { return status_.ok(); }

 private:
  static ioloop::Task<void> Keep(ioloop::Task<absl::Status> task,
                                 absl::Status* first) {
    absl::Status status = co_await task;
    if (!status.ok() && first->ok()) *first = std::move(status);
  }

  ioloop::TaskGroup group_;
  absl::Status status_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_WRITER_H_
