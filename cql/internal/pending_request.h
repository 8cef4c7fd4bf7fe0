// What waits for an answer: a caller's Query, or one of the client's own
// requests (PREPARE, OPTIONS, topology reads).
#ifndef RINGPLANE_CQL_INTERNAL_PENDING_REQUEST_H_
#define RINGPLANE_CQL_INTERNAL_PENDING_REQUEST_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "cql/internal/chunk_pool.h"
#include "cql/protocol/frame.h"

namespace cql {
class Query;
}

namespace cql::internal {

class Connection;
class DeadlineWheel;

// A whole response frame. `body` lies either in a receive buffer that is only
// lent until the call returns, or in `*chunk`, which may then be kept.
struct Answer {
  Connection* connection;
  protocol::FrameHeader header;
  std::string_view body;
  Chunk* chunk;  // Null: `body` is lent.
};

// Linked from the stream table of its connection and from the session's
// deadline wheel. Immovable: both hold its address.
//
// OnAnswer() and OnConnectionLost() come after the request has left the stream
// table, OnDeadline() after it has left the wheel; leaving the other one is
// the request's own work.
class PendingRequest {
 public:
  PendingRequest() = default;
  PendingRequest(const PendingRequest&) = delete;
  PendingRequest& operator=(const PendingRequest&) = delete;

  virtual void OnAnswer(const Answer& answer) = 0;
  // The connection broke or was closed while the answer was due.
  virtual void OnConnectionLost(const absl::Status& why) = 0;
  virtual void OnDeadline() = 0;
  // This, if it is a caller's.
  virtual const Query* AsQuery() const { return nullptr; }

  // The connection whose answer is awaited, or null.
  Connection* connection() const { return connection_; }
  // Milliseconds since 1970, as it was added to the wheel.
  int64_t deadline_ms() const { return deadline_ms_; }

 protected:
  virtual ~PendingRequest() = default;

 private:
  friend class Connection;
  friend class DeadlineWheel;

  Connection* connection_ = nullptr;
  int64_t deadline_ms_ = 0;
  PendingRequest* next_due_ = nullptr;
  PendingRequest** due_link_ = nullptr;  // What points at this; null: not due.
  int16_t stream_ = -1;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_PENDING_REQUEST_H_
