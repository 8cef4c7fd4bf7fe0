#include "cql/node/projection.h"

#include <bit>

#include "cql/node/internal/bytes.h"

namespace cql::node {
namespace {

bool IsFloating(TypeId id) {
  return id == TypeId::kFloat || id == TypeId::kDouble;
}

int64_t IntegerOf(TypeId id, std::string_view value) {
  switch (id) {
    case TypeId::kTinyint:
      return LoadBig<int8_t>(value.data());
    case TypeId::kSmallint:
      return LoadBig<int16_t>(value.data());
    case TypeId::kInt:
      return LoadBig<int32_t>(value.data());
    default:
      return LoadBig<int64_t>(value.data());
  }
}

double DoubleOf(TypeId id, std::string_view value) {
  if (id == TypeId::kFloat) {
    return std::bit_cast<float>(LoadBig<uint32_t>(value.data()));
  }
  return std::bit_cast<double>(LoadBig<uint64_t>(value.data()));
}

// A sum or average as a value of its column's type.
void AppendNumber(TypeId id, int64_t integer, double real, std::string* out) {
  switch (id) {
    case TypeId::kTinyint:
      AppendBytes(std::string(1, static_cast<char>(integer)), out);
      return;
    case TypeId::kSmallint:
      AppendBig(int32_t{2}, out);
      AppendBig(static_cast<int16_t>(integer), out);
      return;
    case TypeId::kInt:
      AppendBig(int32_t{4}, out);
      AppendBig(static_cast<int32_t>(integer), out);
      return;
    case TypeId::kFloat:
      AppendBig(int32_t{4}, out);
      AppendBig(std::bit_cast<uint32_t>(static_cast<float>(real)), out);
      return;
    case TypeId::kDouble:
      AppendBig(int32_t{8}, out);
      AppendBig(std::bit_cast<uint64_t>(real), out);
      return;
    default:
      AppendBig(int32_t{8}, out);
      AppendBig(integer, out);
  }
}

}  // namespace

void Projection::Start(const SelectPlan* plan, EvalContext* context,
                       UuidSource* uuids) {
  plan_ = plan;
  context_ = context;
  uuids_ = uuids;
  any_ = false;
  if (plan->aggregates) totals_.assign(plan->selections.size(), Total());
}

absl::Status Projection::Add(RowView* row, std::string* cells) {
  if (plan_->aggregates) return AddToTotals(row);
  for (const Selection& selection : plan_->selections) {
    std::string_view value;
    bool has_value;
    if (selection.kind == Selection::Kind::kColumn) {
      has_value = row->Get(selection.column, &value);
    } else {
      absl::Status status =
          Evaluate(selection, row, &scratch_, &value, &has_value);
      if (!status.ok()) return status;
    }
    if (has_value) {
      AppendBytes(value, cells);
    } else {
      AppendNullBytes(cells);
    }
  }
  return absl::OkStatus();
}

absl::Status Projection::Evaluate(const Selection& selection, RowView* row,
                                  std::string* scratch, std::string_view* value,
                                  bool* has_value) {
  switch (selection.kind) {
    case Selection::Kind::kColumn:
      *has_value = row->Get(selection.column, value);
      return absl::OkStatus();
    case Selection::Kind::kWritetime: {
      int64_t timestamp;
      *has_value = row->GetWritetime(selection.column, &timestamp);
      scratch->clear();
      if (*has_value) AppendBig(timestamp, scratch);
      *value = *scratch;
      return absl::OkStatus();
    }
    case Selection::Kind::kTtl: {
      int32_t ttl;
      *has_value = row->GetTtl(selection.column, &ttl);
      scratch->clear();
      if (*has_value) AppendBig(ttl, scratch);
      *value = *scratch;
      return absl::OkStatus();
    }
    case Selection::Kind::kLiteral: {
      Value literal;
      absl::Status status = context_->Evaluate(selection.literal, &literal);
      *has_value = literal.kind == Value::Kind::kBytes;
      *value = literal.bytes;
      return status;
    }
    case Selection::Kind::kField: {
      absl::Status status =
          Evaluate(selection.arguments[0], row, scratch, value, has_value);
      if (!status.ok() || !*has_value) return status;
      ByteReader reader(*value);
      bool is_null = true;
      for (uint16_t i = 0; i <= selection.field; ++i) {
        if (!reader.ReadBytes(value, &is_null)) is_null = true;
      }
      *has_value = !is_null;
      return absl::OkStatus();
    }
    case Selection::Kind::kCall: {
      std::vector<Value> arguments;
      // Views of arguments have to live until the call.
      std::vector<std::string> kept(selection.arguments.size());
      for (size_t i = 0; i < selection.arguments.size(); ++i) {
        std::string_view argument;
        bool present;
        absl::Status status = Evaluate(selection.arguments[i], row, &kept[i],
                                       &argument, &present);
        if (!status.ok()) return status;
        arguments.push_back(present ? Value::Bytes(argument) : Value::Null());
      }
      std::string result;
      absl::Status status =
          CallFunction(selection.function, arguments, context_->now_us(),
                       uuids_, &result, has_value);
      *scratch = std::move(result);
      *value = *scratch;
      return status;
    }
    default:
      *has_value = false;
      return absl::OkStatus();
  }
}

absl::Status Projection::AddToTotals(RowView* row) {
  for (size_t i = 0; i < plan_->selections.size(); ++i) {
    const Selection& selection = plan_->selections[i];
    Total& total = totals_[i];
    if (selection.kind == Selection::Kind::kCountRows) {
      ++total.count;
      continue;
    }
    // Beside aggregates, other columns are those of the first row.
    if (!selection.IsAggregate() && any_) continue;
    std::string_view value;
    bool has_value;
    absl::Status status =
        Evaluate(selection.IsAggregate() ? selection.arguments[0] : selection,
                 row, &scratch_, &value, &has_value);
    if (!status.ok()) return status;
    if (has_value) Accumulate(selection, value, &total);
  }
  any_ = true;
  return absl::OkStatus();
}

void Projection::Accumulate(const Selection& selection, std::string_view value,
                            Total* total) {
  ++total->count;
  const TypeId id = selection.IsAggregate() ? selection.arguments[0].type->id
                                            : selection.type->id;
  switch (selection.kind) {
    case Selection::Kind::kCount:
      return;
    case Selection::Kind::kSum:
    case Selection::Kind::kAverage:
      if (IsFloating(id)) {
        total->sum += DoubleOf(id, value);
      } else {
        total->integer_sum += static_cast<uint64_t>(IntegerOf(id, value));
      }
      return;
    case Selection::Kind::kMin:
    case Selection::Kind::kMax: {
      if (total->has_value) {
        const int order = CompareValues(*selection.type, value, total->value);
        const bool better =
            selection.kind == Selection::Kind::kMin ? order < 0 : order > 0;
        if (!better) return;
      }
      break;
    }
    default:
      break;
  }
  total->has_value = true;
  total->value = std::string(value);
}

void Projection::Finish(std::string* cells) const {
  for (size_t i = 0; i < plan_->selections.size(); ++i) {
    const Selection& selection = plan_->selections[i];
    const Total& total = totals_[i];
    switch (selection.kind) {
      case Selection::Kind::kCountRows:
      case Selection::Kind::kCount:
        AppendBig(int32_t{8}, cells);
        AppendBig(total.count, cells);
        break;
      case Selection::Kind::kSum:
        AppendNumber(selection.type->id,
                     static_cast<int64_t>(total.integer_sum), total.sum, cells);
        break;
      case Selection::Kind::kAverage: {
        const int64_t count = total.count > 0 ? total.count : 1;
        AppendNumber(selection.type->id,
                     static_cast<int64_t>(total.integer_sum) / count,
                     total.sum / static_cast<double>(count), cells);
        break;
      }
      default:
        if (total.has_value) {
          AppendBytes(total.value, cells);
        } else {
          AppendNullBytes(cells);
        }
    }
  }
}

}  // namespace cql::node
