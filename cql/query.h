// A request on its way, and sets of them.
#ifndef RINGPLANE_CQL_QUERY_H_
#define RINGPLANE_CQL_QUERY_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/internal/chunk_pool.h"
#include "cql/internal/pending_request.h"
#include "cql/internal/result_metadata.h"
#include "cql/protocol/request.h"
#include "cql/rows.h"
#include "cql/statement.h"
#include "cql/stats.h"

namespace cql {

class Session;
class QuerySet;

namespace internal {
class ExtraRequest;
class Flights;
class NodePool;
class Router;
class SessionCore;
class WaitingLine;
struct NodeStatement;
}  // namespace internal

// One started request, in the frame of its caller; its connection's table of
// stream ids points at it, so it does not move. `Session` makes them.
//
//   cql::Query query = session->Execute(*select, id);
//   absl::StatusOr<cql::Rows> rows = co_await query;
//
// Await it at most once. Destroying it before its answer came drops the
// answer, not the request. REQUIRES: the session outlives it.
class Query final : private internal::PendingRequest {
 public:
  ~Query() {
    if (state_ != State::kDone) Abandon();
  }

  // The outcome is known: awaiting will not suspend.
  bool done() const { return state_ == State::kDone; }

  // An object of its own: g++ 12 would copy a query that is awaited by any
  // other expression than its name.
  class Awaiter {
   public:
    explicit Awaiter(Query* query) : query_(query) {}
    bool await_ready() const noexcept { return query_->done(); }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      query_->waiter_ = waiter;
    }
    absl::StatusOr<Rows> await_resume() const { return query_->TakeResult(); }

   private:
    Query* query_;
  };
  Awaiter operator co_await() { return Awaiter(this); }

 private:
  friend class Session;
  friend class QuerySet;
  friend class internal::ExtraRequest;
  friend class internal::Flights;
  friend class internal::Router;
  friend class internal::SessionCore;
  friend class internal::WaitingLine;

  enum class State : uint8_t {
    kWaiting,    // In a line: for a stream id, or for its statement's PREPARE.
    kSent,       // In a connection's stream table.
    kExtra,      // Has failed itself; extra requests are in flight.
    kFollowing,  // Another one with the same content is sent.
    kDone,
  };
  enum class Kind : uint8_t { kExecute, kText, kBatch };

  // A body up to this size takes one piece of recycled memory.
  static constexpr size_t kFirstBodyBytes = 256;

  template <typename... Values>
  Query(internal::SessionCore* session, const RequestOptions& options,
        const PreparedStatement& statement, const Values&... values)
      : session_(session), statement_(&statement), tracing_(options.tracing) {
    const protocol::QueryParameters parameters = Parameters(options, statement);
    size_t room = kFirstBodyBytes;
    for (;;) {
      protocol::Writer writer(TakeBody(room));
      protocol::BeginQueryParameters(&writer, parameters, sizeof...(Values));
      const size_t values_begin = writer.size();
      absl::Status status = protocol::EncodeValues(
          &writer, std::span<const protocol::ColumnSpec>(statement.columns_),
          values...);
      const size_t values_end = writer.size();
      protocol::EndQueryParameters(&writer, parameters);
      if (__builtin_expect(!status.ok(), 0)) {
        Refuse(std::move(status));
        return;
      }
      body_bytes_ = writer.size();
      if (__builtin_expect(!writer.overflowed(), 1)) {
        Start(options,
              {body_.data() + values_begin, values_end - values_begin});
        return;
      }
      if (!Fits(writer.size())) return;
      room = writer.size();
    }
  }
  Query(internal::SessionCore* session, const RequestOptions& options,
        std::string_view text);
  Query(internal::SessionCore* session, const RequestOptions& options,
        const Batch& batch);

  protocol::QueryParameters Parameters(const RequestOptions& options,
                                       const PreparedStatement& statement);
  std::span<char> TakeBody(size_t bytes);
  // Routes and sends; `values` are those that the token comes from.
  void Start(const RequestOptions& options, std::string_view values);
  // Whether a body of `bytes` may be sent; if not, this is the end.
  bool Fits(size_t bytes);
  // Ends unsent: the values do not fit.
  void Refuse(absl::Status status);

  // Counters of ends: see SessionCounters.
  using Outcome = uint64_t SessionCounters::*;
  // The end. `now`: resume who waits in this call, not after it.
  void Finish(Outcome outcome, absl::Status status, bool now);
  void OnServerError(absl::Status status, const internal::Answer& answer);
  // What stands before the body of an answer, which is left without it.
  absl::Status ReadPrefix(const protocol::FrameHeader& header,
                          std::string_view* body);
  absl::Status ReadRows(std::string_view body, const internal::Answer& answer);
  // "<statement> on <where>", for errors.
  std::string Describe(std::string_view where) const;
  // Leaves the connection or the line that holds it.
  void LeavePlace();
  // The end of what only few queries have: extra requests, followers.
  void EndCompany(Outcome outcome, const absl::Status& status);

  // --- Extra requests --------------------------------------------------------
  bool ExtraInFlight() const;
  // Has failed, but extra requests may not.
  bool WaitForExtra();
  void DropExtras();
  void OnExtraAnswer(internal::ExtraRequest* extra,
                     const internal::Answer& answer);
  void OnExtraLost(const absl::Status& why);

  // --- Equal queries in flight, see internal::Flights ------------------------
  // Waits for the answer to `leader`'s request in its place.
  void TakeOver(Query* leader);

  void OnAnswer(const internal::Answer& answer) override;
  void OnConnectionLost(const absl::Status& why) override;
  void OnDeadline() override;
  const Query* AsQuery() const override { return this; }

  // Leaves whatever holds it.
  void Abandon();
  absl::StatusOr<Rows> TakeResult();

  internal::SessionCore* const session_;
  const PreparedStatement* statement_ = nullptr;  // Null for text.
  // What it takes to send the request, again if need be. kExecute: all that
  // follows the statement's id. kText: the body. kBatch: see query.cc.
  internal::Chunk body_;
  // What the answer's cells mean if it does not say.
  internal::MetadataRef metadata_;
  size_t body_bytes_ = 0;
  State state_ = State::kWaiting;
  Kind kind_ = Kind::kExecute;
  Access access_ = Access::kRead;
  bool idempotent_ = false;
  bool has_token_ = false;
  bool tracing_ = false;
  uint8_t attempts_ = 0;      // Times sent because a connection broke.
  uint8_t prepares_ = 0;      // Times the server did not know a statement.
  uint32_t prepared_as_ = 0;  // NodeStatement::generation when sent.
  int64_t token_ = 0;
  int64_t started_ns_ = INT64_MAX;
  int64_t sent_ns_ = 0;                  // The last time.
  internal::NodePool* node_ = nullptr;   // To which it was sent.
  internal::NodePool* avoid_ = nullptr;  // Which would not take it.

  uint16_t node_number_ = UINT16_MAX;  // Of node_, which may be gone.
  uint16_t shard_ = 0;

  // The line it waits in, or null.
  internal::WaitingLine* line_ = nullptr;
  uint64_t line_order_ = 0;
  Query* line_child_ = nullptr;
  Query* line_next_ = nullptr;
  Query* line_previous_ = nullptr;

  internal::ExtraRequest* extras_ = nullptr;
  // Links of internal::Flights.
  struct Flight {
    bool leads = false;
    uint32_t followers = 0;
    size_t hash = 0;
    Query* chain = nullptr;   // Leaders: the next of the same hash.
    Query* first = nullptr;   // Leaders: followers, linked by next.
    Query* leader = nullptr;  // Followers.
    Query* next = nullptr;
    Query* previous = nullptr;
  } flight_;

  std::coroutine_handle<> waiter_;
  QuerySet* set_ = nullptr;
  Query* set_next_ = nullptr;
  uint32_t set_index_ = 0;

  absl::Status status_;
  Rows rows_;
};

// A number of queries that is known only at run time, for a handler that asks
// for N keys. Queries lie in recycled chunks: no allocation each.
//
//   cql::QuerySet reads(session, 64);
//   for (const std::string& key : keys) {
//     co_await reads.Room();  // At most 64 unanswered at once.
//     reads.Add([&] { return session->Execute(*select, key); });
//   }
//   for (size_t i = 0; i < reads.size(); ++i) {
//     absl::StatusOr<cql::Rows> rows = co_await reads[i];
//
// or, in the order of the answers:
//
//   while (std::optional<size_t> i = co_await reads.Next()) {
//     absl::StatusOr<cql::Rows> rows = co_await reads[*i];
//
// One waiter at a time. REQUIRES: the session outlives it.
class QuerySet {
 public:
  // At most `in_flight_max` unanswered queries at once, if the caller awaits
  // Room() before each Add().
  explicit QuerySet(Session* session, size_t in_flight_max = 64);
  QuerySet(const QuerySet&) = delete;
  QuerySet& operator=(const QuerySet&) = delete;
  ~QuerySet();  // Drops the answers still due.

  // Starts the query that `start` returns and keeps it.
  template <typename Start>
  Query& Add(Start&& start) {
    Query* query = new (Grow()) Query(std::forward<Start>(start)());
    Added(query);
    return *query;
  }

  size_t size() const { return size_; }
  // Queries whose outcome is not known yet.
  size_t unanswered() const { return unanswered_; }
  Query& operator[](size_t index) { return *At(index); }

  // Resumes when fewer than `in_flight_max` are unanswered.
  class RoomAwaiter {
   public:
    explicit RoomAwaiter(QuerySet* set) : set_(set) {}
    bool await_ready() const noexcept {
      return set_->unanswered_ < set_->in_flight_max_;
    }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      set_->room_waiter_ = waiter;
    }
    void await_resume() const noexcept {}

   private:
    QuerySet* set_;
  };
  RoomAwaiter Room() { return RoomAwaiter(this); }

  // The index of a query that is done and was not returned before, in the
  // order of their ends; nothing when every query added was returned.
  class NextAwaiter {
   public:
    explicit NextAwaiter(QuerySet* set) : set_(set) {}
    bool await_ready() const noexcept {
      return set_->done_head_ != nullptr || set_->unanswered_ == 0;
    }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      set_->next_waiter_ = waiter;
    }
    std::optional<size_t> await_resume() const noexcept {
      return set_->TakeDone();
    }

   private:
    QuerySet* set_;
  };
  NextAwaiter Next() { return NextAwaiter(this); }

 private:
  friend class Query;

  static constexpr size_t kQueriesPerChunk = 16;

  void* Grow();
  void Added(Query* query);
  Query* At(size_t index) const {
    return reinterpret_cast<Query*>(chunks_[index / kQueriesPerChunk].data()) +
           index % kQueriesPerChunk;
  }
  // `query` is done. Returns whom to resume.
  std::coroutine_handle<> OnDone(Query* query);
  void PushDone(Query* query);
  std::optional<size_t> TakeDone();

  internal::ChunkPool* const pool_;
  const size_t in_flight_max_;
  size_t size_ = 0;
  size_t unanswered_ = 0;
  // Room for 128 queries before it allocates.
  absl::InlinedVector<internal::Chunk, 8> chunks_;
  Query* done_head_ = nullptr;
  Query* done_tail_ = nullptr;
  std::coroutine_handle<> room_waiter_;
  std::coroutine_handle<> next_waiter_;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_QUERY_H_
