// A row as statements see it: values of columns, out of its key and records.
#ifndef RINGPLANE_CQL_NODE_ROW_VIEW_H_
#define RINGPLANE_CQL_NODE_ROW_VIEW_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/catalog.h"
#include "cql/node/engine.h"
#include "cql/node/row.h"

namespace cql::node {

// Appends (value, value, 0) pieces or the one value: the serialized key.
void AppendKeyComponent(std::string_view value, bool composite,
                        std::string* key);

// One row at a time. Views stay valid until the next row is set; those of the
// partition until the next partition. Cells of columns that are not needed are
// passed over.
class RowView {
 public:
  // `needed` by place in the table; both must outlive the view.
  void Start(const Table* table, const std::vector<bool>* needed,
             uint32_t now_s);

  // The partition's key and static cells; the key must outlive its rows.
  absl::Status SetPartition(std::string_view partition_key);
  // `shadow`: the timestamp up to which cells are deleted.
  absl::Status SetStatic(std::string_view record, int64_t shadow);
  bool has_static() const { return static_alive_; }

  // A row below the partition; `*alive` is whether anything of it is left.
  absl::Status SetRow(std::string_view clustering_key, std::string_view record,
                      int64_t shadow, bool* alive);
  // No row: clustering and regular columns are null.
  void SetNoRow();
  // Every column at once, of a virtual table.
  void SetValues(const Value* values);

  // A column's value; false for null. Multi-cell values are put together.
  bool Get(size_t column, std::string_view* value);
  // Of single cells; false for null.
  bool GetWritetime(size_t column, int64_t* timestamp) const;
  bool GetTtl(size_t column, int32_t* ttl) const;
  // The cells of a multi-cell column, as stored, and what hides them.
  std::string_view Elements(size_t column, int64_t* shadow) const;
  uint32_t now_s() const { return now_s_; }

 private:
  enum class Form : uint8_t { kNull, kBytes, kCounter, kComplex };
  struct Cell {
    Form form = Form::kNull;
    bool assembled = false;
    std::string_view bytes;
    int64_t timestamp = kNoTimestamp;  // kComplex: what hides elements.
    uint32_t ttl = 0;
    uint32_t expires_at = 0;
    int64_t sum = 0;
  };
  absl::Status ReadCells(std::string_view record, int64_t shadow,
                         ColumnKind kind, bool* alive);
  absl::Status DecodeClustering(std::string_view key);
  bool Assemble(size_t column);

  const Table* table_ = nullptr;
  const std::vector<bool>* needed_ = nullptr;
  uint32_t now_s_ = 0;
  bool static_alive_ = false;
  bool clustering_needed_ = false;
  size_t regular_begin_ = 0;
  std::vector<Cell> cells_;
  std::vector<std::string> scratch_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_ROW_VIEW_H_
