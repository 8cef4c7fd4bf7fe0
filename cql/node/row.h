// Rows as they are stored: one record of cells with timestamps. Writes are
// records too, of the cells they set; merging records in any grouping gives
// the row, so a write never reads.
//
//   record   := flags u8 [liveness] [tombstone] cell*         (little-endian)
//   liveness := timestamp i64 [ttl u32, expires_at u32]       (kLivenessTtl)
//   tombstone:= timestamp i64, deleted_at u32
//   cell     := column u16, kind u8, body; ascending columns
//   body     := kLive: timestamp i64, size u32, bytes
//               kExpiring: timestamp i64, ttl u32, expires_at u32, size u32,
//                          bytes
//               kDead: timestamp i64, deleted_at u32
//               kCounter: reset u8, sum i64, timestamp i64
//               kComplex: deleted timestamp i64, size u32, element*
//   element  := size u32, path, kind u8, body; ascending paths (memcmp)
//
// What wins: the greater timestamp; at equal ones the dead cell, then the
// greater bytes, then the later expiry. A tombstone hides whatever is not newer
// than it. Times of expiry and deletion are seconds of the epoch.
//
// Counters are the exception: their increments add up in the order of writing,
// and a deletion resets them.
#ifndef RINGPLANE_CQL_NODE_ROW_H_
#define RINGPLANE_CQL_NODE_ROW_H_

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace cql::node {

inline constexpr int64_t kNoTimestamp = std::numeric_limits<int64_t>::min();

enum class CellKind : uint8_t {
  kLive = 0,
  kExpiring = 1,
  kDead = 2,
  kCounter = 3,
  kComplex = 4,
};

struct StoredCell {
  uint16_t column = 0;
  CellKind kind = CellKind::kDead;
  int64_t timestamp = kNoTimestamp;  // kComplex: of the deletion.
  uint32_t ttl = 0;
  uint32_t expires_at = 0;  // kDead: deleted_at.
  bool reset = false;       // kCounter
  int64_t sum = 0;          // kCounter
  std::string_view path;    // Elements only.
  std::string_view bytes;   // kComplex: the elements.

  bool IsAlive(uint32_t now_s) const {
    return kind == CellKind::kLive || kind == CellKind::kCounter ||
           (kind == CellKind::kExpiring && expires_at > now_s);
  }
};

struct RowHeader {
  int64_t liveness = kNoTimestamp;
  uint32_t ttl = 0;  // Of the liveness; 0: for good.
  uint32_t expires_at = 0;
  int64_t tombstone = kNoTimestamp;
  uint32_t deleted_at = 0;

  bool IsAlive(int64_t shadow, uint32_t now_s) const {
    return liveness != kNoTimestamp && liveness > shadow &&
           (ttl == 0 || expires_at > now_s);
  }
};

// Reads a record front to back. Every method returns false at the end and on
// bytes that are no record; malformed() tells which.
class RecordReader {
 public:
  explicit RecordReader(std::string_view record) : rest_(record) {}

  bool ReadHeader(RowHeader* header);
  bool NextCell(StoredCell* cell);
  bool malformed() const { return malformed_; }

 private:
  std::string_view rest_;
  bool malformed_ = false;
};

// Reads the elements of a kComplex cell.
class ElementReader {
 public:
  explicit ElementReader(std::string_view elements) : rest_(elements) {}
  bool Next(StoredCell* element);
  bool malformed() const { return malformed_; }

 private:
  std::string_view rest_;
  bool malformed_ = false;
};

void AppendRowHeader(const RowHeader& header, std::string* record);
// Not kComplex.
void AppendCell(const StoredCell& cell, std::string* record);
void AppendElement(const StoredCell& element, std::string* elements);
void AppendComplex(uint16_t column, int64_t deleted, std::string_view elements,
                   std::string* record);

// Builds a record from writes in any order.
class RecordBuilder {
 public:
  void Clear();
  RowHeader header;
  // `path` and `bytes` are copied. An empty `has_path` cell is simple.
  void AddCell(const StoredCell& cell);
  void AddElement(const StoredCell& element);
  // Hides the elements of a collection up to that timestamp.
  void DeleteElements(uint16_t column, int64_t timestamp);
  bool empty() const;
  void Finish(std::string* record);

 private:
  struct Write {
    StoredCell cell;
    uint32_t path_at = 0;
    uint32_t path_size = 0;
    uint32_t bytes_at = 0;
    uint32_t bytes_size = 0;
    bool is_element = false;
  };
  void Add(const StoredCell& cell, bool is_element);
  StoredCell Restore(const Write& write) const;
  void FinishComplex(size_t begin, size_t end, std::string* record);

  std::vector<Write> writes_;
  std::string arena_;
  std::string elements_;
};

// Merges two records, the older write first (only counters mind). False if one
// is malformed.
bool MergeRecords(std::string_view older, std::string_view newer,
                  std::string* merged);

// Drops what nobody can see any more: expired cells, and cells and tombstones
// deleted before `gc_before_s`. False: nothing to drop (or malformed);
// otherwise `purged` is the new record, empty when nothing is left.
bool PurgeRecord(std::string_view record, uint32_t now_s, uint32_t gc_before_s,
                 std::string* purged);

// The newest timestamp in a record.
int64_t NewestTimestamp(std::string_view record);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_ROW_H_
