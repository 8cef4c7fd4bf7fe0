#include "cql/node/row.h"

#include <algorithm>
#include <cstring>

namespace cql::node {
namespace {

enum Flag : uint8_t {
  kLiveness = 1,
  kLivenessTtl = 2,
  kTombstone = 4,
  kAllFlags = 7,
};

template <typename T>
bool Take(std::string_view* bytes, T* value) {
  if (bytes->size() < sizeof(T)) return false;
  std::memcpy(value, bytes->data(), sizeof(T));
  bytes->remove_prefix(sizeof(T));
  return true;
}

bool TakeSized(std::string_view* bytes, std::string_view* span) {
  uint32_t size;
  if (!Take(bytes, &size) || bytes->size() < size) return false;
  *span = bytes->substr(0, size);
  bytes->remove_prefix(size);
  return true;
}

template <typename T>
void Put(T value, std::string* out) {
  char data[sizeof(T)];
  std::memcpy(data, &value, sizeof(T));
  out->append(data, sizeof(T));
}

void PutSized(std::string_view bytes, std::string* out) {
  Put(static_cast<uint32_t>(bytes.size()), out);
  out->append(bytes);
}

bool TakeBody(std::string_view* rest, StoredCell* cell) {
  switch (cell->kind) {
    case CellKind::kLive:
      return Take(rest, &cell->timestamp) && TakeSized(rest, &cell->bytes);
    case CellKind::kExpiring:
      return Take(rest, &cell->timestamp) && Take(rest, &cell->ttl) &&
             Take(rest, &cell->expires_at) && TakeSized(rest, &cell->bytes);
    case CellKind::kDead:
      return Take(rest, &cell->timestamp) && Take(rest, &cell->expires_at);
    case CellKind::kCounter: {
      uint8_t reset;
      if (!Take(rest, &reset) || !Take(rest, &cell->sum) ||
          !Take(rest, &cell->timestamp)) {
        return false;
      }
      cell->reset = reset != 0;
      return true;
    }
    case CellKind::kComplex:
      return Take(rest, &cell->timestamp) && TakeSized(rest, &cell->bytes);
  }
  return false;
}

void PutBody(const StoredCell& cell, std::string* out) {
  out->push_back(static_cast<char>(cell.kind));
  switch (cell.kind) {
    case CellKind::kLive:
    case CellKind::kComplex:
      Put(cell.timestamp, out);
      PutSized(cell.bytes, out);
      return;
    case CellKind::kExpiring:
      Put(cell.timestamp, out);
      Put(cell.ttl, out);
      Put(cell.expires_at, out);
      PutSized(cell.bytes, out);
      return;
    case CellKind::kDead:
      Put(cell.timestamp, out);
      Put(cell.expires_at, out);
      return;
    case CellKind::kCounter:
      out->push_back(cell.reset ? 1 : 0);
      Put(cell.sum, out);
      Put(cell.timestamp, out);
      return;
  }
}

// Whether `b` takes the place of `a`.
bool Wins(const StoredCell& b, const StoredCell& a) {
  if (a.timestamp != b.timestamp) return b.timestamp > a.timestamp;
  const bool a_dead = a.kind == CellKind::kDead;
  const bool b_dead = b.kind == CellKind::kDead;
  if (a_dead != b_dead) return b_dead;
  if (const int order = b.bytes.compare(a.bytes); order != 0) return order > 0;
  return b.expires_at > a.expires_at;
}

StoredCell AddCounters(const StoredCell& older, const StoredCell& newer) {
  if (newer.reset || newer.kind == CellKind::kDead) return newer;
  StoredCell merged = newer;
  merged.timestamp = std::max(older.timestamp, newer.timestamp);
  if (older.kind == CellKind::kDead) {
    merged.reset = true;
    return merged;
  }
  merged.reset = older.reset;
  // Wraps, as in Java.
  merged.sum = static_cast<int64_t>(static_cast<uint64_t>(older.sum) +
                                    static_cast<uint64_t>(newer.sum));
  return merged;
}

// A cell in both records, neither complex.
StoredCell Reconcile(const StoredCell& older, const StoredCell& newer) {
  if (older.kind == CellKind::kCounter || newer.kind == CellKind::kCounter) {
    return AddCounters(older, newer);
  }
  return Wins(newer, older) ? newer : older;
}

bool MergeElements(std::string_view older, std::string_view newer,
                   int64_t shadow, std::string* out) {
  ElementReader a_reader(older);
  ElementReader b_reader(newer);
  StoredCell a;
  StoredCell b;
  bool has_a = a_reader.Next(&a);
  bool has_b = b_reader.Next(&b);
  while (has_a || has_b) {
    const int order = !has_a ? 1 : !has_b ? -1 : a.path.compare(b.path);
    const StoredCell& cell = order < 0 ? a : order > 0 ? b : Wins(b, a) ? b : a;
    if (cell.timestamp > shadow) AppendElement(cell, out);
    if (order <= 0) has_a = a_reader.Next(&a);
    if (order >= 0) has_b = b_reader.Next(&b);
  }
  return !a_reader.malformed() && !b_reader.malformed();
}

// Writes what is left of a cell below a tombstone of the row.
bool PutMerged(const StoredCell* older, const StoredCell* newer, int64_t shadow,
               std::string* out) {
  const StoredCell& any = older != nullptr ? *older : *newer;
  const bool complex = (older && older->kind == CellKind::kComplex) ||
                       (newer && newer->kind == CellKind::kComplex);
  if (!complex) {
    StoredCell cell = older && newer ? Reconcile(*older, *newer) : any;
    if (shadow != kNoTimestamp) cell.reset = false;
    if (cell.timestamp > shadow || cell.kind == CellKind::kCounter) {
      AppendCell(cell, out);
    }
    return true;
  }
  int64_t deleted = kNoTimestamp;
  std::string_view a;
  std::string_view b;
  if (older != nullptr && older->kind == CellKind::kComplex) {
    deleted = older->timestamp;
    a = older->bytes;
  }
  if (newer != nullptr && newer->kind == CellKind::kComplex) {
    deleted = std::max(deleted, newer->timestamp);
    b = newer->bytes;
  }
  std::string elements;
  if (!MergeElements(a, b, std::max(shadow, deleted), &elements)) return false;
  if (deleted <= shadow) deleted = kNoTimestamp;
  if (deleted != kNoTimestamp || !elements.empty()) {
    AppendComplex(any.column, deleted, elements, out);
  }
  return true;
}

void MergeHeaders(const RowHeader& a, const RowHeader& b, RowHeader* merged) {
  const bool b_lives_on = b.liveness != a.liveness ? b.liveness > a.liveness
                          : (a.ttl == 0) != (b.ttl == 0)
                              ? b.ttl == 0
                              : b.expires_at > a.expires_at;
  *merged = b_lives_on ? b : a;
  const RowHeader& deleted = b.tombstone > a.tombstone ? b : a;
  merged->tombstone = deleted.tombstone;
  merged->deleted_at = deleted.deleted_at;
  if (merged->liveness <= merged->tombstone) {
    merged->liveness = kNoTimestamp;
    merged->ttl = 0;
    merged->expires_at = 0;
  }
}

}  // namespace

bool RecordReader::ReadHeader(RowHeader* header) {
  uint8_t flags;
  bool ok = Take(&rest_, &flags) && (flags & ~kAllFlags) == 0;
  if (ok && (flags & kLiveness)) ok = Take(&rest_, &header->liveness);
  if (ok && (flags & kLivenessTtl)) {
    ok = Take(&rest_, &header->ttl) && Take(&rest_, &header->expires_at);
  }
  if (ok && (flags & kTombstone)) {
    ok = Take(&rest_, &header->tombstone) && Take(&rest_, &header->deleted_at);
  }
  malformed_ = !ok;
  return ok;
}

bool RecordReader::NextCell(StoredCell* cell) {
  if (rest_.empty() || malformed_) return false;
  uint8_t kind;
  if (!Take(&rest_, &cell->column) || !Take(&rest_, &kind)) {
    malformed_ = true;
    return false;
  }
  cell->kind = static_cast<CellKind>(kind);
  cell->bytes = {};
  cell->ttl = 0;
  cell->expires_at = 0;
  malformed_ = !TakeBody(&rest_, cell);
  return !malformed_;
}

bool ElementReader::Next(StoredCell* element) {
  if (rest_.empty() || malformed_) return false;
  uint8_t kind;
  if (!TakeSized(&rest_, &element->path) || !Take(&rest_, &kind) ||
      kind >= static_cast<uint8_t>(CellKind::kCounter)) {
    malformed_ = true;
    return false;
  }
  element->kind = static_cast<CellKind>(kind);
  element->bytes = {};
  element->ttl = 0;
  element->expires_at = 0;
  malformed_ = !TakeBody(&rest_, element);
  return !malformed_;
}

void AppendRowHeader(const RowHeader& header, std::string* record) {
  uint8_t flags = 0;
  if (header.liveness != kNoTimestamp) flags |= kLiveness;
  if (header.liveness != kNoTimestamp && header.ttl != 0) flags |= kLivenessTtl;
  if (header.tombstone != kNoTimestamp) flags |= kTombstone;
  record->push_back(static_cast<char>(flags));
  if (flags & kLiveness) Put(header.liveness, record);
  if (flags & kLivenessTtl) {
    Put(header.ttl, record);
    Put(header.expires_at, record);
  }
  if (flags & kTombstone) {
    Put(header.tombstone, record);
    Put(header.deleted_at, record);
  }
}

void AppendCell(const StoredCell& cell, std::string* record) {
  Put(cell.column, record);
  PutBody(cell, record);
}

void AppendElement(const StoredCell& element, std::string* elements) {
  PutSized(element.path, elements);
  PutBody(element, elements);
}

void AppendComplex(uint16_t column, int64_t deleted, std::string_view elements,
                   std::string* record) {
  StoredCell cell;
  cell.column = column;
  cell.kind = CellKind::kComplex;
  cell.timestamp = deleted;
  cell.bytes = elements;
  AppendCell(cell, record);
}

void RecordBuilder::Clear() {
  header = RowHeader();
  writes_.clear();
  arena_.clear();
}

void RecordBuilder::Add(const StoredCell& cell, bool is_element) {
  Write write;
  write.cell = cell;
  write.is_element = is_element;
  write.path_at = static_cast<uint32_t>(arena_.size());
  write.path_size = static_cast<uint32_t>(cell.path.size());
  arena_.append(cell.path);
  write.bytes_at = static_cast<uint32_t>(arena_.size());
  write.bytes_size = static_cast<uint32_t>(cell.bytes.size());
  arena_.append(cell.bytes);
  writes_.push_back(write);
}

void RecordBuilder::AddCell(const StoredCell& cell) { Add(cell, false); }
void RecordBuilder::AddElement(const StoredCell& element) {
  Add(element, true);
}

void RecordBuilder::DeleteElements(uint16_t column, int64_t timestamp) {
  StoredCell cell;
  cell.column = column;
  cell.kind = CellKind::kComplex;
  cell.timestamp = timestamp;
  Add(cell, false);
}

bool RecordBuilder::empty() const {
  return writes_.empty() && header.liveness == kNoTimestamp &&
         header.tombstone == kNoTimestamp;
}

StoredCell RecordBuilder::Restore(const Write& write) const {
  StoredCell cell = write.cell;
  const std::string_view arena = arena_;
  cell.path = arena.substr(write.path_at, write.path_size);
  cell.bytes = arena.substr(write.bytes_at, write.bytes_size);
  return cell;
}

void RecordBuilder::FinishComplex(size_t begin, size_t end,
                                  std::string* record) {
  int64_t deleted = kNoTimestamp;
  elements_.clear();
  for (size_t i = begin; i < end; ++i) {
    if (!writes_[i].is_element) {
      deleted = std::max(deleted, writes_[i].cell.timestamp);
      continue;
    }
    StoredCell element = Restore(writes_[i]);
    while (i + 1 < end && writes_[i + 1].is_element) {
      const StoredCell next = Restore(writes_[i + 1]);
      if (next.path != element.path) break;
      if (Wins(next, element)) element = next;
      ++i;
    }
    AppendElement(element, &elements_);
  }
  AppendComplex(writes_[begin].cell.column, deleted, elements_, record);
}

void RecordBuilder::Finish(std::string* record) {
  record->clear();
  AppendRowHeader(header, record);
  // By column; the deletion of a collection before its elements, those by path.
  std::sort(writes_.begin(), writes_.end(),
            [this](const Write& a, const Write& b) {
              if (a.cell.column != b.cell.column) {
                return a.cell.column < b.cell.column;
              }
              if (a.is_element != b.is_element) return b.is_element;
              const int order = Restore(a).path.compare(Restore(b).path);
              return order != 0 ? order < 0 : a.bytes_at < b.bytes_at;
            });
  for (size_t i = 0; i < writes_.size();) {
    size_t end = i + 1;
    while (end < writes_.size() &&
           writes_[end].cell.column == writes_[i].cell.column) {
      ++end;
    }
    if (writes_[i].is_element || writes_[i].cell.kind == CellKind::kComplex) {
      FinishComplex(i, end, record);
    } else {
      StoredCell cell = Restore(writes_[i]);
      for (size_t j = i + 1; j < end; ++j) {
        cell = Reconcile(cell, Restore(writes_[j]));
      }
      AppendCell(cell, record);
    }
    i = end;
  }
}

bool MergeRecords(std::string_view older, std::string_view newer,
                  std::string* merged) {
  RecordReader a_reader(older);
  RecordReader b_reader(newer);
  RowHeader a_header;
  RowHeader b_header;
  if (!a_reader.ReadHeader(&a_header) || !b_reader.ReadHeader(&b_header)) {
    return false;
  }
  RowHeader header;
  MergeHeaders(a_header, b_header, &header);
  merged->clear();
  merged->reserve(older.size() + newer.size());
  AppendRowHeader(header, merged);
  StoredCell a;
  StoredCell b;
  bool has_a = a_reader.NextCell(&a);
  bool has_b = b_reader.NextCell(&b);
  while (has_a || has_b) {
    const int order = !has_a                ? 1
                      : !has_b              ? -1
                      : a.column < b.column ? -1
                      : a.column > b.column ? 1
                                            : 0;
    // A counter that the newer record deletes with its row starts again; in a
    // record with a tombstone the counter is what came after it.
    const StoredCell* older_cell = order <= 0 ? &a : nullptr;
    const StoredCell* newer_cell = order >= 0 ? &b : nullptr;
    if (b_header.tombstone != kNoTimestamp && older_cell &&
        older_cell->kind == CellKind::kCounter) {
      older_cell = nullptr;
    }
    if ((older_cell || newer_cell) &&
        !PutMerged(older_cell, newer_cell, header.tombstone, merged)) {
      return false;
    }
    if (order <= 0) has_a = a_reader.NextCell(&a);
    if (order >= 0) has_b = b_reader.NextCell(&b);
  }
  return !a_reader.malformed() && !b_reader.malformed();
}

bool PurgeRecord(std::string_view record, uint32_t now_s, uint32_t gc_before_s,
                 std::string* purged) {
  RecordReader reader(record);
  RowHeader header;
  if (!reader.ReadHeader(&header)) return false;
  bool changed = false;
  if (header.tombstone != kNoTimestamp && header.deleted_at < gc_before_s) {
    header.tombstone = kNoTimestamp;
    changed = true;
  }
  // What expired keeps standing for its deletion until its time is over too.
  const auto gone = [&](uint32_t expires_at) {
    return expires_at <= now_s && expires_at < gc_before_s;
  };
  if (header.liveness != kNoTimestamp && header.ttl != 0 &&
      gone(header.expires_at)) {
    header.liveness = kNoTimestamp;
    changed = true;
  }
  purged->clear();
  AppendRowHeader(header, purged);
  const size_t header_size = purged->size();
  StoredCell cell;
  while (reader.NextCell(&cell)) {
    if (cell.kind == CellKind::kDead || cell.kind == CellKind::kExpiring) {
      if (gone(cell.expires_at)) {
        changed = true;
        continue;
      }
    } else if (cell.kind == CellKind::kComplex) {
      std::string elements;
      ElementReader element_reader(cell.bytes);
      StoredCell element;
      while (element_reader.Next(&element)) {
        if (element.kind != CellKind::kLive && gone(element.expires_at)) {
          changed = true;
        } else {
          AppendElement(element, &elements);
        }
      }
      if (element_reader.malformed()) return false;
      AppendComplex(cell.column, cell.timestamp, elements, purged);
      continue;
    }
    AppendCell(cell, purged);
  }
  if (reader.malformed() || !changed) return false;
  if (purged->size() == header_size && header.liveness == kNoTimestamp &&
      header.tombstone == kNoTimestamp) {
    purged->clear();
  }
  return true;
}

int64_t NewestTimestamp(std::string_view record) {
  RecordReader reader(record);
  RowHeader header;
  if (!reader.ReadHeader(&header)) return std::numeric_limits<int64_t>::max();
  int64_t newest = std::max(header.liveness, header.tombstone);
  StoredCell cell;
  while (reader.NextCell(&cell)) {
    newest = std::max(newest, cell.timestamp);
    if (cell.kind != CellKind::kComplex) continue;
    ElementReader elements(cell.bytes);
    StoredCell element;
    while (elements.Next(&element)) {
      newest = std::max(newest, element.timestamp);
    }
  }
  return newest;
}

}  // namespace cql::node
