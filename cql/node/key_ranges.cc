#include "cql/node/key_ranges.h"

#include <algorithm>
#include <limits>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/keys.h"
#include "cql/node/ordered_key.h"
#include "cql/node/row_view.h"
#include "cql/protocol/token.h"

namespace cql::node {
namespace {

// The components of a tuple value, null where they are missing.
void TakeApart(std::string_view tuple, size_t columns, ValueRow* row) {
  ByteReader reader(tuple);
  for (size_t i = 0; i < columns; ++i) {
    std::string_view part;
    bool is_null = true;
    const bool read = reader.ReadBytes(&part, &is_null);
    row->push_back(read && !is_null ? Value::Bytes(part) : Value::Null());
  }
}

absl::Status CheckKeyValue(const Column& column, const Value& value) {
  if (value.kind == Value::Kind::kNull) {
    return InvalidError(
        StrCat("Invalid null value in condition for column ", column.name));
  }
  if (value.kind == Value::Kind::kUnset) {
    return InvalidError(StrCat("Invalid unset value for column ", column.name));
  }
  if (value.bytes.size() > kPartitionKeyMax) {
    return InvalidError(StrCat("Key length of ", value.bytes.size(),
                               " is longer than maximum of 65535"));
  }
  return absl::OkStatus();
}

absl::Status TooMany(const Limits& limits) {
  return InvalidError(
      StrCat("IN asks for more keys than the limit of ", limits.in_keys_max));
}

// Every key made of one choice each, as encoded prefixes.
absl::Status MultiplyPrefixes(const Table& table, const KeyEquality& equality,
                              const Limits& limits, EvalContext* context,
                              std::vector<std::string>* prefixes) {
  std::vector<ValueRow> choices;
  absl::Status status = EvaluateChoices(equality.choices, equality.in_marker,
                                        equality.count, context, &choices);
  if (!status.ok()) return status;
  if (choices.size() * prefixes->size() > limits.in_keys_max) {
    return TooMany(limits);
  }
  std::vector<std::string> longer;
  longer.reserve(choices.size() * prefixes->size());
  for (const std::string& prefix : *prefixes) {
    for (const ValueRow& choice : choices) {
      std::string& key = longer.emplace_back(prefix);
      for (size_t i = 0; i < choice.size(); ++i) {
        const Column& column = table.clustering(equality.first + i);
        status = CheckKeyValue(column, choice[i]);
        if (!status.ok()) return status;
        AppendOrdered(*column.type, choice[i].bytes, column.descending, &key);
      }
    }
  }
  *prefixes = std::move(longer);
  return absl::OkStatus();
}

// Whether `a`, an exclusive end, comes before `b`; empty is the last.
bool EndsBefore(const std::string& a, const std::string& b) {
  if (a.empty()) return false;
  return b.empty() || a < b;
}

void Intersect(const std::vector<KeyInterval>& a,
               const std::vector<KeyInterval>& b,
               std::vector<KeyInterval>* out) {
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    KeyInterval both;
    both.begin = std::max(a[i].begin, b[j].begin);
    const bool a_first = EndsBefore(a[i].end, b[j].end);
    both.end = a_first ? a[i].end : b[j].end;
    if (both.end.empty() || both.begin < both.end) {
      out->push_back(std::move(both));
    }
    if (a_first) {
      ++i;
    } else {
      ++j;
    }
  }
}

// The rows below `prefix` that a range allows. Columns that sort in different
// directions make several intervals of one comparison of tuples: (a, b) > (x,
// y) is a > x, or a = x and b > y.
void RangeIntervals(const Table& table, const KeyRange& range,
                    const ValueRow& bound, const std::string& prefix,
                    std::vector<KeyInterval>* out) {
  const bool greater = range.op == ast::Operator::kGreater ||
                       range.op == ast::Operator::kGreaterEqual;
  const bool inclusive = range.op == ast::Operator::kGreaterEqual ||
                         range.op == ast::Operator::kLessEqual;
  std::string base = prefix;
  for (size_t i = 0; i < range.count; ++i) {
    const Column& column = table.clustering(range.first + i);
    const bool last = i + 1 == range.count;
    std::string value = base;
    AppendOrdered(*column.type, bound[i].bytes, column.descending, &value);
    const bool upwards = greater != column.descending;
    KeyInterval interval;
    if (upwards) {
      interval.begin = value;
      if (!(last && inclusive)) MakeSuccessor(&interval.begin);
      interval.end = base;
      MakeSuccessor(&interval.end);
    } else {
      interval.begin = base;
      interval.end = value;
      if (last && inclusive) MakeSuccessor(&interval.end);
    }
    if (interval.end.empty() || interval.begin < interval.end) {
      out->push_back(std::move(interval));
    }
    base = std::move(value);
  }
  std::sort(out->begin(), out->end(),
            [](const KeyInterval& a, const KeyInterval& b) {
              return a.begin < b.begin;
            });
}

}  // namespace

absl::Status EvaluateChoices(absl::Span<const TupleTerm> choices,
                             bool in_marker, size_t columns,
                             EvalContext* context,
                             std::vector<ValueRow>* rows) {
  rows->clear();
  for (const TupleTerm& choice : choices) {
    Value value;
    if (in_marker || choice.is_whole) {
      absl::Status status = context->Evaluate(choice.items[0], &value);
      if (!status.ok()) return status;
      if (value.kind != Value::Kind::kBytes) {
        return InvalidError(StrCat(
            "Invalid ", value.kind == Value::Kind::kNull ? "null" : "unset",
            " value for ", choice.items[0].name));
      }
    }
    if (in_marker) {
      ByteReader reader(value.bytes);
      int32_t count = 0;
      reader.Read(&count);
      for (int32_t i = 0; i < count; ++i) {
        std::string_view element;
        bool is_null;
        if (!reader.ReadBytes(&element, &is_null)) break;
        ValueRow& row = rows->emplace_back();
        const bool tuple =
            choice.items[0].type->parameters[0]->id == TypeId::kTuple &&
            columns > 1;
        if (tuple) {
          TakeApart(element, columns, &row);
        } else {
          row.push_back(Value::Bytes(element));
        }
      }
      continue;
    }
    ValueRow& row = rows->emplace_back();
    if (choice.is_whole) {
      TakeApart(value.bytes, columns, &row);
      continue;
    }
    for (const BoundTerm& item : choice.items) {
      absl::Status status = context->Evaluate(item, &value);
      if (!status.ok()) return status;
      row.push_back(value);
    }
  }
  return absl::OkStatus();
}

absl::Status EvaluatePartitions(const Table& table, const Restrictions& where,
                                const Limits& limits, EvalContext* context,
                                std::vector<PartitionKey>* partitions) {
  const bool composite = table.partition_columns > 1;
  partitions->assign(1, PartitionKey());
  for (const KeyEquality& equality : where.partition) {
    const Column& column = table.columns[equality.first];
    // One value of one term: what nearly all statements have.
    if (equality.choices.size() == 1 && !equality.in_marker) {
      Value value;
      absl::Status status =
          context->Evaluate(equality.choices[0].items[0], &value);
      if (status.ok()) status = CheckKeyValue(column, value);
      if (!status.ok()) return status;
      for (PartitionKey& partition : *partitions) {
        AppendKeyComponent(value.bytes, composite, &partition.key);
      }
      continue;
    }
    std::vector<ValueRow> choices;
    absl::Status status = EvaluateChoices(equality.choices, equality.in_marker,
                                          1, context, &choices);
    if (!status.ok()) return status;
    for (const ValueRow& choice : choices) {
      status = CheckKeyValue(column, choice[0]);
      if (!status.ok()) return status;
    }
    if (choices.size() * partitions->size() > limits.in_keys_max) {
      return TooMany(limits);
    }
    std::sort(choices.begin(), choices.end(),
              [&](const ValueRow& a, const ValueRow& b) {
                return CompareValues(*column.type, a[0].bytes, b[0].bytes) < 0;
              });
    choices.erase(std::unique(choices.begin(), choices.end(),
                              [](const ValueRow& a, const ValueRow& b) {
                                return a[0].bytes == b[0].bytes;
                              }),
                  choices.end());
    std::vector<PartitionKey> longer;
    longer.reserve(choices.size() * partitions->size());
    for (const PartitionKey& partition : *partitions) {
      for (const ValueRow& choice : choices) {
        longer.push_back(partition);
        AppendKeyComponent(choice[0].bytes, composite, &longer.back().key);
      }
    }
    *partitions = std::move(longer);
  }
  for (PartitionKey& partition : *partitions) {
    if (partition.key.empty()) {
      return InvalidError("Key may not be empty");
    }
    if (partition.key.size() > kPartitionKeyMax) {
      return InvalidError(StrCat("Key length of ", partition.key.size(),
                                 " is longer than maximum of 65535"));
    }
    partition.token = Murmur3Token(partition.key);
  }
  return absl::OkStatus();
}

absl::Status EvaluateIntervals(const Table& table, const Restrictions& where,
                               const Limits& limits, EvalContext* context,
                               std::vector<KeyInterval>* intervals) {
  intervals->clear();
  std::vector<std::string> prefixes(1);
  for (const KeyEquality& equality : where.equalities) {
    absl::Status status =
        MultiplyPrefixes(table, equality, limits, context, &prefixes);
    if (!status.ok()) return status;
  }
  if (prefixes.size() > 1) {
    std::sort(prefixes.begin(), prefixes.end());
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()),
                   prefixes.end());
  }
  const bool point = where.equal_columns() == table.clustering_columns;
  std::vector<ValueRow> bounds(where.ranges.size());
  for (size_t i = 0; i < where.ranges.size(); ++i) {
    const KeyRange& range = where.ranges[i];
    std::vector<ValueRow> rows;
    absl::Status status =
        EvaluateChoices({&range.bound, 1}, false, range.count, context, &rows);
    for (size_t j = 0; status.ok() && j < range.count; ++j) {
      status = CheckKeyValue(table.clustering(range.first + j), rows[0][j]);
    }
    if (!status.ok()) return status;
    bounds[i] = std::move(rows[0]);
  }
  for (std::string& prefix : prefixes) {
    std::vector<KeyInterval> allowed(1);
    allowed[0].begin = prefix;
    allowed[0].end = prefix;
    allowed[0].is_point = point;
    MakeSuccessor(&allowed[0].end);
    for (size_t i = 0; i < where.ranges.size(); ++i) {
      std::vector<KeyInterval> ranges;
      RangeIntervals(table, where.ranges[i], bounds[i], prefix, &ranges);
      std::vector<KeyInterval> both;
      Intersect(allowed, ranges, &both);
      allowed = std::move(both);
    }
    for (KeyInterval& interval : allowed) {
      intervals->push_back(std::move(interval));
    }
  }
  return absl::OkStatus();
}

absl::Status EvaluateTokens(const Restrictions& where, EvalContext* context,
                            TokenRange* range) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  range->first = kMin;
  range->last = kMax;
  for (const TokenBound& bound : where.token) {
    Value value;
    absl::Status status = context->Evaluate(bound.token, &value);
    if (!status.ok()) return status;
    if (value.kind != Value::Kind::kBytes) {
      return InvalidError("Invalid null value for the token of a partition");
    }
    const auto token = LoadBig<int64_t>(value.bytes.data());
    int64_t first = kMin;
    int64_t last = kMax;
    bool none = false;
    switch (bound.op) {
      case ast::Operator::kGreater:
        none = token == kMax;
        first = none ? kMax : token + 1;
        break;
      case ast::Operator::kGreaterEqual:
        first = token;
        break;
      case ast::Operator::kLess:
        // The least token ends a range that goes round: nothing is beyond it.
        if (token != kMin) last = token - 1;
        break;
      case ast::Operator::kLessEqual:
        if (token != kMin) last = token;
        break;
      default:
        first = last = token;
        break;
    }
    if (none) {
      range->first = kMax;
      range->last = kMin;
      return absl::OkStatus();
    }
    range->first = std::max(range->first, first);
    range->last = std::min(range->last, last);
  }
  return absl::OkStatus();
}

}  // namespace cql::node
