// Asking a second node when the first one is slow to answer.
#ifndef RINGPLANE_CQL_INTERNAL_SPECULATION_H_
#define RINGPLANE_CQL_INTERNAL_SPECULATION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cql/internal/chunk_pool.h"
#include "cql/internal/pending_request.h"
#include "cql/internal/result_metadata.h"
#include "cql/internal/token_bucket.h"
#include "cql/latency_histogram.h"
#include "cql/statement.h"

namespace cql {
class Query;
}

namespace cql::internal {

class NodePool;
class SessionCore;

// When requests of one statement may be sent to another node, too. Times are
// nanoseconds of the loop.
class Speculation {
 public:
  // Requests before the percentile is believed.
  static constexpr uint32_t kSamplesMin = 128;
  // Extra requests after which it is looked at whether they helped, and how
  // long there are none if they did not.
  static constexpr uint32_t kTrial = 64;
  static constexpr int64_t kPauseNs = 30'000'000'000;

  explicit Speculation(const SpeculationOptions& options)
      : options_(options), bucket_(options.share, options.burst) {}

  // A request starts.
  void OnRequest() { bucket_.Earn(); }
  // How long to wait before another one follows; negative: none does.
  int64_t DelayNs(int64_t now_ns) const;
  // Whether an extra request may be sent now; takes its token.
  bool MaySend() { return bucket_.Spend(); }
  // A request was answered this long after it had started.
  void OnAnswered(int64_t took_ns);
  // An extra request was sent. True: they are of no use, there is a pause.
  bool OnSent(int64_t now_ns);
  // The answer of an extra request was the first.
  void OnWon() { ++won_; }

 private:
  const SpeculationOptions options_;
  TokenBucket bucket_;
  LatencyHistogram latency_;
  uint32_t samples_ = 0;  // Since the percentile was last computed.
  int64_t delay_ns_ = -1;
  uint32_t sent_ = 0;  // In this trial.
  uint32_t won_ = 0;
  int64_t paused_until_ns_ = INT64_MIN;
};

// One extra request of a query: first it waits for the delay, then for the
// answer. It lies in a recycled chunk and belongs to the query.
class ExtraRequest final : public PendingRequest {
 public:
  // To be sent `delay_ns` from now unless `query` has ended.
  static void Arm(SessionCore* session, Query* query, int64_t delay_ns);
  // Leaves whatever holds it, and is gone.
  void Drop();

  NodePool* node = nullptr;  // To which it was sent.
  MetadataRef metadata;      // See Query::metadata_.
  uint32_t prepared_as = 0;
  int64_t sent_ns = 0;
  Query* query;
  ExtraRequest* next = nullptr;  // Of the same query.

 private:
  ExtraRequest(SessionCore* session, Query* of, Chunk memory);
  ~ExtraRequest() override = default;

  void OnAnswer(const Answer& answer) override;
  void OnConnectionLost(const absl::Status& why) override;
  void OnDeadline() override;

  SessionCore* const session_;
  Chunk memory_;  // Of this object.
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_SPECULATION_H_
