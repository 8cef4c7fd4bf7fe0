#include "cql/node/row_view.h"

#include <algorithm>

#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/ordered_key.h"

namespace cql::node {
namespace {

absl::Status Corrupted(const Table& table) {
  return absl::DataLossError(
      StrCat("a row of ", table.keyspace, ".", table.name, " cannot be read"));
}

}  // namespace

void AppendKeyComponent(std::string_view value, bool composite,
                        std::string* key) {
  if (!composite) {
    key->append(value);
    return;
  }
  AppendBig(static_cast<uint16_t>(value.size()), key);
  key->append(value);
  key->push_back('\0');
}

void RowView::Start(const Table* table, const std::vector<bool>* needed,
                    uint32_t now_s) {
  table_ = table;
  needed_ = needed;
  now_s_ = now_s;
  static_alive_ = false;
  cells_.assign(table->columns.size(), Cell());
  if (scratch_.size() < cells_.size()) scratch_.resize(cells_.size());
  clustering_needed_ = false;
  for (size_t i = 0; i < table->clustering_columns; ++i) {
    if ((*needed)[table->partition_columns + i]) clustering_needed_ = true;
  }
  regular_begin_ = table->key_columns();
  while (regular_begin_ < cells_.size() &&
         table->columns[regular_begin_].kind == ColumnKind::kStatic) {
    ++regular_begin_;
  }
}

absl::Status RowView::SetPartition(std::string_view partition_key) {
  static_alive_ = false;
  for (size_t i = table_->key_columns(); i < regular_begin_; ++i) {
    cells_[i].form = Form::kNull;
  }
  if (table_->partition_columns == 1) {
    cells_[0].form = Form::kBytes;
    cells_[0].bytes = partition_key;
    return absl::OkStatus();
  }
  ByteReader reader(partition_key);
  for (size_t i = 0; i < table_->partition_columns; ++i) {
    uint16_t size;
    uint8_t end;
    cells_[i].form = Form::kBytes;
    if (!reader.Read(&size) || !reader.ReadSpan(size, &cells_[i].bytes) ||
        !reader.Read(&end)) {
      return Corrupted(*table_);
    }
  }
  return absl::OkStatus();
}

absl::Status RowView::SetStatic(std::string_view record, int64_t shadow) {
  return ReadCells(record, shadow, ColumnKind::kStatic, &static_alive_);
}

absl::Status RowView::SetRow(std::string_view clustering_key,
                             std::string_view record, int64_t shadow,
                             bool* alive) {
  for (size_t i = regular_begin_; i < cells_.size(); ++i) {
    cells_[i].form = Form::kNull;
  }
  absl::Status status = ReadCells(record, shadow, ColumnKind::kRegular, alive);
  if (!status.ok() || !*alive || !clustering_needed_) return status;
  return DecodeClustering(clustering_key);
}

absl::Status RowView::DecodeClustering(std::string_view key) {
  for (size_t i = 0; i < table_->clustering_columns; ++i) {
    const size_t at = table_->partition_columns + i;
    const Column& column = table_->columns[at];
    scratch_[at].clear();
    if (!ReadOrdered(*column.type, column.descending, &key, &scratch_[at])) {
      return Corrupted(*table_);
    }
    cells_[at].form = Form::kBytes;
    cells_[at].bytes = scratch_[at];
  }
  return absl::OkStatus();
}

void RowView::SetNoRow() {
  for (size_t i = table_->partition_columns; i < table_->key_columns(); ++i) {
    cells_[i].form = Form::kNull;
  }
  for (size_t i = regular_begin_; i < cells_.size(); ++i) {
    cells_[i].form = Form::kNull;
  }
}

void RowView::SetValues(const Value* values) {
  for (size_t i = 0; i < cells_.size(); ++i) {
    const bool has_value = values[i].kind == Value::Kind::kBytes;
    cells_[i].form = has_value ? Form::kBytes : Form::kNull;
    cells_[i].bytes = values[i].bytes;
  }
}

absl::Status RowView::ReadCells(std::string_view record, int64_t shadow,
                                ColumnKind kind, bool* alive) {
  RecordReader reader(record);
  RowHeader header;
  if (!reader.ReadHeader(&header)) return Corrupted(*table_);
  shadow = std::max(shadow, header.tombstone);
  *alive = kind == ColumnKind::kRegular && header.IsAlive(shadow, now_s_);
  StoredCell stored;
  while (reader.NextCell(&stored)) {
    const int32_t at = stored.column < table_->by_id.size()
                           ? table_->by_id[stored.column]
                           : -1;
    if (at < 0) continue;  // The column was dropped.
    Cell& cell = cells_[at];
    if (stored.kind == CellKind::kComplex) {
      cell.form = Form::kComplex;
      cell.assembled = false;
      cell.timestamp = std::max(shadow, stored.timestamp);
      cell.bytes = stored.bytes;
      // Only if nothing else shows that the row is there.
      if (!*alive && Assemble(static_cast<size_t>(at))) *alive = true;
      continue;
    }
    if (!stored.IsAlive(now_s_) || stored.timestamp <= shadow) continue;
    *alive = true;
    if (!(*needed_)[at]) continue;
    cell.form =
        stored.kind == CellKind::kCounter ? Form::kCounter : Form::kBytes;
    cell.assembled = false;
    cell.bytes = stored.bytes;
    cell.timestamp = stored.timestamp;
    cell.ttl = stored.ttl;
    cell.expires_at = stored.expires_at;
    cell.sum = stored.sum;
  }
  if (reader.malformed()) return Corrupted(*table_);
  return absl::OkStatus();
}

bool RowView::Get(size_t column, std::string_view* value) {
  Cell& cell = cells_[column];
  switch (cell.form) {
    case Form::kNull:
      return false;
    case Form::kBytes:
      *value = cell.bytes;
      return true;
    case Form::kCounter: {
      std::string& scratch = scratch_[column];
      scratch.clear();
      AppendBig(cell.sum, &scratch);
      *value = scratch;
      return true;
    }
    case Form::kComplex:
      if (!Assemble(column)) return false;
      *value = scratch_[column];
      return true;
  }
  return false;
}

// Puts the live elements into one value, in scratch_; false if there are none.
bool RowView::Assemble(size_t column) {
  Cell& cell = cells_[column];
  std::string& value = scratch_[column];
  if (cell.assembled) return !value.empty();
  cell.assembled = true;
  value.clear();
  const CqlType& type = *table_->columns[column].type;
  ElementReader reader(cell.bytes);
  StoredCell element;
  if (type.id == TypeId::kUser) {
    uint16_t next = 0;
    bool any = false;
    while (reader.Next(&element)) {
      if (element.path.size() != 2 || element.timestamp <= cell.timestamp ||
          !element.IsAlive(now_s_)) {
        continue;
      }
      const auto field = LoadBig<uint16_t>(element.path.data());
      for (; next < field; ++next) AppendNullBytes(&value);
      AppendBytes(element.bytes, &value);
      next = static_cast<uint16_t>(field + 1);
      any = true;
    }
    if (!any) value.clear();
    for (; any && next < type.parameters.size(); ++next) {
      AppendNullBytes(&value);
    }
    return any;
  }
  int32_t count = 0;
  value.append(4, '\0');
  while (reader.Next(&element)) {
    if (element.timestamp <= cell.timestamp || !element.IsAlive(now_s_)) {
      continue;
    }
    ++count;
    if (type.id != TypeId::kList) {
      const size_t at = value.size();
      value.append(4, '\0');
      std::string_view path = element.path;
      if (!ReadOrdered(*type.parameters[0], false, &path, &value)) {
        value.resize(at);
        --count;
        continue;
      }
      StoreBig(static_cast<int32_t>(value.size() - at - 4), value.data() + at);
    }
    if (type.id != TypeId::kSet) AppendBytes(element.bytes, &value);
  }
  if (count == 0) {
    value.clear();
    return false;
  }
  StoreBig(count, value.data());
  return true;
}

bool RowView::GetWritetime(size_t column, int64_t* timestamp) const {
  const Cell& cell = cells_[column];
  if (cell.form != Form::kBytes && cell.form != Form::kCounter) return false;
  *timestamp = cell.timestamp;
  return true;
}

bool RowView::GetTtl(size_t column, int32_t* ttl) const {
  const Cell& cell = cells_[column];
  if (cell.form != Form::kBytes || cell.ttl == 0) return false;
  *ttl = static_cast<int32_t>(cell.expires_at - now_s_);
  return true;
}

std::string_view RowView::Elements(size_t column, int64_t* shadow) const {
  const Cell& cell = cells_[column];
  if (cell.form != Form::kComplex) return {};
  *shadow = cell.timestamp;
  return cell.bytes;
}

}  // namespace cql::node
