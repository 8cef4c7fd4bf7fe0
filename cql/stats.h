// What a session counts.
#ifndef RINGPLANE_CQL_STATS_H_
#define RINGPLANE_CQL_STATS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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
  uint64_t unroutable = 0;     // No connection to send it on.
  uint64_t lost = 0;           // The connection broke meanwhile.
  uint64_t abandoned = 0;      // The caller left.
  uint64_t malformed = 0;      // The answer made no sense.

  uint64_t queued = 0;        // Had to wait for a place.
  uint64_t retries = 0;       // Sent again on another connection.
  uint64_t prepares = 0;      // PREPARE requests.
  uint64_t unprepared = 0;    // UNPREPARED answers.
  uint64_t late_answers = 0;  // To orphans.

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
  uint32_t in_flight = 0;
  uint32_t waiting = 0;
  uint32_t orphans = 0;
};

struct SessionStats {
  SessionCounters counters;
  size_t connections = 0;
  size_t nodes = 0;
  size_t tablets = 0;  // Known now.
  std::vector<ShardStats> shards;  // One for reads and one for writes each.
};

}  // namespace cql

#endif  // RINGPLANE_CQL_STATS_H_
