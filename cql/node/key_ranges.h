// Restrictions with their values: which partitions, and which ranges of rows
// inside a partition.
#ifndef RINGPLANE_CQL_NODE_KEY_RANGES_H_
#define RINGPLANE_CQL_NODE_KEY_RANGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/catalog.h"
#include "cql/node/plan.h"
#include "cql/node/term.h"

namespace cql::node {

struct PartitionKey {
  int64_t token = 0;
  std::string key;  // Serialized.
};

// Rows from `begin` on and before `end` (empty: all that follow), as encoded
// clustering keys. A point is exactly `begin`.
struct KeyInterval {
  std::string begin;
  std::string end;
  bool is_point = false;
};

struct TokenRange {
  int64_t first = 0;  // Inclusive; nothing if first > last.
  int64_t last = 0;
};

// The values that a choice of a filter or equality stands for: one per column.
using ValueRow = std::vector<Value>;

// Every choice, IN markers taken apart. Values live as long as the terms and
// what the context evaluates.
absl::Status EvaluateChoices(absl::Span<const TupleTerm> choices,
                             bool in_marker, size_t columns,
                             EvalContext* context, std::vector<ValueRow>* rows);

// Partitions in the order of their keys' values, each once.
absl::Status EvaluatePartitions(const Table& table, const Restrictions& where,
                                const Limits& limits, EvalContext* context,
                                std::vector<PartitionKey>* partitions);

// Intervals in ascending order, none overlapping.
absl::Status EvaluateIntervals(const Table& table, const Restrictions& where,
                               const Limits& limits, EvalContext* context,
                               std::vector<KeyInterval>* intervals);

absl::Status EvaluateTokens(const Restrictions& where, EvalContext* context,
                            TokenRange* range);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_KEY_RANGES_H_
