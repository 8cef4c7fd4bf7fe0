// What the writes of a statement put into records.

#include <algorithm>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/modify.h"
#include "cql/node/ordered_key.h"

namespace cql::node {
namespace {

// Elements of a list lie in the order of their paths: those prepended, those of
// an assignment, those appended; in each by time, then by place.
enum class ListPart : char { kPrepended = 0, kAssigned = 1, kAppended = 2 };

void SetListPath(ListPart part, int64_t time, uint32_t place,
                 std::string* path) {
  path->clear();
  path->push_back(static_cast<char>(part));
  AppendBig(static_cast<uint64_t>(time) ^ (uint64_t{1} << 63), path);
  AppendBig(place, path);
}

absl::Status NullInCollection() {
  return InvalidError("null is not supported inside collections");
}

}  // namespace

StoredCell ModifyExecutor::MakeCell(uint16_t column, const Value& value) const {
  StoredCell cell;
  cell.column = column;
  cell.timestamp = times_.timestamp;
  if (value.kind != Value::Kind::kBytes) {
    cell.kind = CellKind::kDead;
    cell.expires_at = static_cast<uint32_t>(now_us_ / 1000000);
    return cell;
  }
  cell.bytes = value.bytes;
  cell.kind = times_.ttl == 0 ? CellKind::kLive : CellKind::kExpiring;
  cell.ttl = times_.ttl;
  cell.expires_at = times_.expires_at;
  return cell;
}

absl::Status ModifyExecutor::CheckSize(const Column& column,
                                       size_t size) const {
  if (size <= limits_->value_bytes_max) return absl::OkStatus();
  return InvalidError(StrCat("Value for ", column.name, " of ", size,
                             " bytes is longer than the limit of ",
                             limits_->value_bytes_max));
}

absl::Status ModifyExecutor::AddWrites(const ModifyPlan& plan, bool is_static) {
  const Table& table = *plan.table_ref;
  for (const ColumnWrite& write : plan.writes) {
    const bool of_static =
        table.columns[write.column].kind == ColumnKind::kStatic;
    if (of_static != is_static) continue;
    absl::Status status = AddWrite(table, write);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ModifyExecutor::AddWrite(const Table& table,
                                      const ColumnWrite& write) {
  using Kind = ColumnWrite::Kind;
  const Column& column = table.columns[write.column];
  Value value;
  if (write.value.has_value()) {
    absl::Status status = context_.Evaluate(*write.value, &value);
    if (!status.ok()) return status;
    if (value.kind == Value::Kind::kUnset) return absl::OkStatus();
  }
  if (value.kind == Value::Kind::kBytes) {
    absl::Status status = CheckSize(column, value.bytes.size());
    if (!status.ok()) return status;
  }
  const bool multi_cell = column.type->IsMultiCell();
  if (write.kind == Kind::kSetKey || write.kind == Kind::kSetField ||
      write.kind == Kind::kDeleteKey || write.kind == Kind::kDeleteField) {
    return AddElement(column, write, value);
  }
  if (column.type->id == TypeId::kCounter && write.kind != Kind::kDelete) {
    return AddCounter(column, write, value);
  }
  if (!multi_cell) {
    builder_.AddCell(MakeCell(column.id, value));
    return absl::OkStatus();
  }
  if (write.kind == Kind::kDelete) {
    builder_.DeleteElements(column.id, times_.timestamp);
    return absl::OkStatus();
  }
  if (write.kind == Kind::kSet) {
    // One older than its elements, so that it does not hide them.
    const bool has_value = value.kind == Value::Kind::kBytes;
    builder_.DeleteElements(column.id, times_.timestamp - (has_value ? 1 : 0));
    if (!has_value) return absl::OkStatus();
    return AddElements(column, write, value.bytes);
  }
  // Adding or taking away nothing.
  if (value.kind == Value::Kind::kNull) return absl::OkStatus();
  if (write.kind == Kind::kSubtract) {
    return RemoveElements(column, write, value.bytes);
  }
  return AddElements(column, write, value.bytes);
}

absl::Status ModifyExecutor::AddCounter(const Column& column,
                                        const ColumnWrite& write,
                                        const Value& value) {
  if (value.kind != Value::Kind::kBytes) {
    return InvalidError("Invalid null value for counter increment");
  }
  StoredCell cell;
  cell.column = column.id;
  cell.kind = CellKind::kCounter;
  cell.timestamp = times_.timestamp;
  auto delta = LoadBig<uint64_t>(value.bytes.data());
  if (write.kind == ColumnWrite::Kind::kSubtract) delta = 0 - delta;
  cell.sum = static_cast<int64_t>(delta);
  builder_.AddCell(cell);
  return absl::OkStatus();
}

// The elements or fields of a value, a cell each.
absl::Status ModifyExecutor::AddElements(const Column& column,
                                         const ColumnWrite& write,
                                         std::string_view value) {
  const CqlType& type = *column.type;
  ByteReader reader(value);
  bool is_null;
  if (type.id == TypeId::kUser) {
    for (uint16_t i = 0; i < type.parameters.size(); ++i) {
      std::string_view field;
      if (!reader.ReadBytes(&field, &is_null)) break;
      if (is_null) continue;
      path_.clear();
      AppendBig(i, &path_);
      StoredCell cell = MakeCell(column.id, Value::Bytes(field));
      cell.path = path_;
      builder_.AddElement(cell);
    }
    return absl::OkStatus();
  }
  const ListPart part =
      write.kind == ColumnWrite::Kind::kPrepend  ? ListPart::kPrepended
      : write.kind == ColumnWrite::Kind::kAppend ? ListPart::kAppended
                                                 : ListPart::kAssigned;
  // The same assignment with the same timestamp gives the same paths: written
  // twice, it is there once.
  const int64_t time = part == ListPart::kPrepended  ? -list_sequence_
                       : part == ListPart::kAppended ? list_sequence_
                                                     : times_.timestamp;
  if (type.id == TypeId::kList && part != ListPart::kAssigned) {
    list_sequence_ = timestamps_->Next(now_us_);
  }
  int32_t count = 0;
  reader.Read(&count);
  for (int32_t i = 0; i < count; ++i) {
    std::string_view element;
    std::string_view mapped;
    if (!reader.ReadBytes(&element, &is_null)) break;
    path_.clear();
    StoredCell cell = MakeCell(column.id, Value::Bytes({}));
    switch (type.id) {
      case TypeId::kList:
        SetListPath(part, time, static_cast<uint32_t>(i), &path_);
        cell.bytes = element;
        break;
      case TypeId::kMap:
        if (!reader.ReadBytes(&mapped, &is_null)) return absl::OkStatus();
        cell.bytes = mapped;
        [[fallthrough]];
      default:
        AppendOrdered(*type.parameters[0], element, false, &path_);
    }
    cell.path = path_;
    builder_.AddElement(cell);
  }
  return absl::OkStatus();
}

// column[key] = value, column.field = value, and their deletions.
absl::Status ModifyExecutor::AddElement(const Column& column,
                                        const ColumnWrite& write,
                                        const Value& value) {
  const CqlType& type = *column.type;
  path_.clear();
  if (!write.key.has_value()) {
    AppendBig(write.field, &path_);
  } else {
    Value key;
    absl::Status status = context_.Evaluate(*write.key, &key);
    if (!status.ok()) return status;
    if (key.kind == Value::Kind::kUnset) {
      return InvalidError(StrCat("Invalid unset key for ", column.name));
    }
    if (key.kind == Value::Kind::kNull) {
      return InvalidError(StrCat("Invalid null key for ", column.name));
    }
    if (type.id == TypeId::kList) {
      return AddListElement(column, write, key.bytes, value);
    }
    AppendOrdered(*type.parameters[0], key.bytes, false, &path_);
  }
  StoredCell cell = MakeCell(column.id, value);
  cell.path = path_;
  builder_.AddElement(cell);
  return absl::OkStatus();
}

absl::Status ModifyExecutor::AddListElement(const Column& column,
                                            const ColumnWrite& write,
                                            std::string_view index,
                                            const Value& value) {
  const auto wanted = LoadBig<int32_t>(index.data());
  int64_t shadow = kNoTimestamp;
  ElementReader reader(row_.Elements(write.column, &shadow));
  StoredCell element;
  int32_t place = 0;
  while (reader.Next(&element)) {
    if (element.timestamp <= shadow || !element.IsAlive(row_.now_s())) {
      continue;
    }
    if (place++ != wanted) continue;
    StoredCell cell = MakeCell(column.id, value);
    cell.path = element.path;
    builder_.AddElement(cell);
    return absl::OkStatus();
  }
  return InvalidError(
      StrCat("List index ", wanted, " out of bound, list has size ", place));
}

// Sets and maps lose the keys of `value`, lists whatever equals one of it.
absl::Status ModifyExecutor::RemoveElements(const Column& column,
                                            const ColumnWrite& write,
                                            std::string_view value) {
  const CqlType& type = *column.type;
  ByteReader reader(value);
  int32_t count = 0;
  reader.Read(&count);
  std::vector<std::string_view> removed;
  for (int32_t i = 0; i < count; ++i) {
    std::string_view element;
    bool is_null;
    if (!reader.ReadBytes(&element, &is_null)) break;
    if (is_null) return NullInCollection();
    if (type.id == TypeId::kList) {
      removed.push_back(element);
      continue;
    }
    path_.clear();
    AppendOrdered(*type.parameters[0], element, false, &path_);
    StoredCell cell = MakeCell(column.id, Value::Null());
    cell.path = path_;
    builder_.AddElement(cell);
  }
  if (type.id != TypeId::kList) return absl::OkStatus();
  int64_t shadow = kNoTimestamp;
  ElementReader elements(row_.Elements(write.column, &shadow));
  StoredCell element;
  while (elements.Next(&element)) {
    if (element.timestamp <= shadow ||
        std::find(removed.begin(), removed.end(), element.bytes) ==
            removed.end()) {
      continue;
    }
    StoredCell cell = MakeCell(column.id, Value::Null());
    cell.path = element.path;
    builder_.AddElement(cell);
  }
  return absl::OkStatus();
}

}  // namespace cql::node
