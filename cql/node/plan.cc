#include "cql/node/plan.h"

#include <algorithm>

#include "cql/node/key_ranges.h"

namespace cql::node {
namespace {

std::optional<int64_t> TokenOf(const Table& table, const Restrictions& where,
                               absl::Span<const Value> values) {
  if (where.partition.empty()) return std::nullopt;
  const Limits limits;
  EvalContext context;
  UuidSource uuids;
  context.Reset(values, 0, &uuids, &limits);
  std::vector<PartitionKey> partitions;
  if (!EvaluatePartitions(table, where, limits, &context, &partitions).ok() ||
      partitions.size() != 1) {
    return std::nullopt;
  }
  return partitions[0].token;
}

}  // namespace

std::optional<int64_t> Statement::Token(
    absl::Span<const Value> /*values*/) const {
  return std::nullopt;
}

std::optional<int64_t> SelectPlan::Token(absl::Span<const Value> values) const {
  return TokenOf(*table_ref, where, values);
}

std::optional<int64_t> ModifyPlan::Token(absl::Span<const Value> values) const {
  return TokenOf(*table_ref, where, values);
}

bool BatchPlan::IsStale() const {
  return std::any_of(
      statements.begin(), statements.end(),
      [](const auto& statement) { return statement->IsStale(); });
}

}  // namespace cql::node
