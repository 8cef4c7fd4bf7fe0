// What a session counts.
#ifndef RINGPLANE_CQL_STATS_H_
#define RINGPLANE_CQL_STATS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/latency_histogram.h"

namespace cql {

// Since the session began. A query counts once in `requests` and at its end
// once in `answered` or in one of the kinds of failure.
struct SessionCounters {
  uint64_t requests = 0;
  uint64_t answered = 0;
  uint64_t server_errors = 0;  // An ERROR frame was the answer.
  uint64_t invalid = 0;        // Values did not fit; nothing was sent.
  uint64_t timeouts = 0;       // The deadline came first.
  uint64_t refused = 0;        // No place in flight or in line.
  uint64_t hopeless = 0;       // The line would outlast the deadline.
  uint64_t unroutable = 0;     // No connection to send it on.
  uint64_t lost = 0;           // The connection broke meanwhile.
  uint64_t abandoned = 0;      // The caller left.
  uint64_t malformed = 0;      // The answer made no sense.

  uint64_t queued = 0;          // Had to wait for a place.
  uint64_t retries = 0;         // Sent again on another connection.
  uint64_t retries_denied = 0;  // By retry_share.
  uint64_t prepares = 0;        // PREPARE requests.
  uint64_t unprepared = 0;      // UNPREPARED answers.
  uint64_t late_answers = 0;    // To orphans.
  uint64_t coalesced = 0;       // Shared the request of another one.
  uint64_t overloaded = 0;  // Overloaded, or silent for 100 ms up to the end.

  uint64_t extra_sent = 0;    // Extra requests of speculation.
  uint64_t extra_won = 0;     // Whose answer was the first.
  uint64_t extra_denied = 0;  // By the share, or for want of a node.
  uint64_t extra_pauses = 0;  // Speculation was of no use.

  // Answers that told where their row is, since it is not where we asked.
  uint64_t tablets_learned = 0;
  uint64_t tablets_refused = 0;    // SessionOptions::tablets_max were known.
  uint64_t tablets_malformed = 0;  // Made no sense, or of no known table.

  uint64_t connections_opened = 0;
  uint64_t connections_failed = 0;  // Attempts.
  uint64_t connections_lost = 0;
  uint64_t connections_worn_out = 0;  // Replaced for their orphans.
  uint64_t wrong_shards = 0;          // The shard-aware port chose another.
  uint64_t events = 0;
  uint64_t topology_refreshes = 0;
  uint64_t topology_rows_skipped = 0;  // Rows that could not be true.
};

struct ShardStats {
  std::string node;  // "10.0.0.3:9042"
  uint32_t shard = 0;
  bool for_writes = false;
  bool open = false;
  bool responsive = true;  // See SessionOptions::unresponsive_after.
  uint32_t in_flight = 0;
  uint32_t in_flight_limit = 0;  // See SessionOptions::in_flight_min.
  uint32_t waiting = 0;
  uint32_t orphans = 0;

  // Since the session began, over all connections.
  uint64_t timeouts = 0;    // The deadline came while the answer was due.
  uint64_t retries = 0;     // Sent here after another connection broke.
  uint64_t limit_cuts = 0;  // Times that in_flight_limit was lowered.
  uint64_t reconnects = 0;
  LatencyHistogram latency;  // From being sent to a RESULT.
};

// A query that took SessionOptions::slow_query or longer. Never has values; of
// a text only its first word.
struct SlowQuery {
  std::string statement;  // At most 80 characters.
  std::string node;       // "10.0.0.3:9042"; empty: it was never sent.
  uint32_t shard = 0;
  absl::Time ended;  // On the loop's clock.
  absl::Duration duration;
  absl::StatusCode outcome = absl::StatusCode::kOk;
  uint32_t sent = 0;  // Times; 0: it only waited.
};

// A query that is not done.
struct QueryInFlight {
  enum class State : uint8_t { kWaiting, kSent, kFollowing };
  std::string statement;  // As in SlowQuery.
  std::string node;       // To which it was sent last.
  uint32_t shard = 0;
  State state = State::kWaiting;
  absl::Duration age;
  absl::Duration left;  // Until its deadline.
};

struct SessionStats {
  SessionCounters counters;
  size_t connections = 0;
  size_t nodes = 0;
  size_t tablets = 0;              // Known now.
  std::vector<ShardStats> shards;  // One for reads and one for writes each.
  // Of all shards: for reads, for writes.
  std::array<LatencyHistogram, 2> latency;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_STATS_H_
