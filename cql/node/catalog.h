// Keyspaces, tables and user types: what exists, and how it is stored.
#ifndef RINGPLANE_CQL_NODE_CATALOG_H_
#define RINGPLANE_CQL_NODE_CATALOG_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/node/ast.h"
#include "cql/node/type.h"

namespace cql::node {

using UuidBytes = std::array<uint8_t, 16>;

enum class ColumnKind : uint8_t {
  kPartitionKey,
  kClustering,
  kStatic,
  kRegular,
};

struct Column {
  std::string name;
  TypeRef type;
  ColumnKind kind = ColumnKind::kRegular;
  uint16_t position = 0;    // Among the columns of its kind, for keys.
  bool descending = false;  // kClustering.
  // kStatic and kRegular: what rows on disk call it. Never given twice in a
  // table, so that a column that was dropped does not come back with its data.
  uint16_t id = 0;
};

// What changes about a table without a schema change. Shared by the versions
// of a table.
struct TableState {
  // Some partition has a header: static cells, or a deletion of a partition or
  // a range of rows. Tables that never do are read without looking for one.
  bool has_headers = false;
};

struct VirtualTable;

// One version of a table's definition. Immutable but for `superseded`.
struct Table {
  std::string keyspace;
  std::string name;
  UuidBytes id = {};
  uint32_t storage_id = 0;
  uint16_t next_column_id = 0;
  // Partition key, clustering key, then the others by name, static ones first:
  // the order of SELECT *.
  std::vector<Column> columns;
  size_t partition_columns = 0;
  size_t clustering_columns = 0;
  bool is_counter = false;
  bool has_static = false;
  int32_t default_ttl = 0;
  // WITH options as written, without those above.
  std::map<std::string, std::string> properties;

  std::shared_ptr<TableState> state;
  const VirtualTable* virtual_table = nullptr;
  // Where the columns stand in its CREATE TABLE.
  std::vector<uint16_t> virtual_order;
  // An ALTER or DROP made statements on this version useless.
  mutable bool superseded = false;
  // Column id to its place in `columns`, -1 for dropped ones.
  std::vector<int32_t> by_id;

  size_t key_columns() const { return partition_columns + clustering_columns; }
  const Column& clustering(size_t i) const {
    return columns[partition_columns + i];
  }
  // Its place in `columns`; -1 if there is none.
  int Find(std::string_view column) const;

  // Orders `columns` and fills what follows from them.
  void Finish();
};
using TableRef = std::shared_ptr<const Table>;

struct Keyspace {
  std::string name;
  std::map<std::string, std::string> replication;
  bool durable_writes = true;
  std::map<std::string, TableRef> tables;
  std::map<std::string, TypeRef> types;
};

// Thread-safety: none.
class Catalog {
 public:
  const std::map<std::string, Keyspace>& keyspaces() const {
    return keyspaces_;
  }
  const Keyspace* FindKeyspace(std::string_view name) const;
  // Virtual tables too; null if there is none.
  TableRef FindTable(std::string_view keyspace, std::string_view table) const;
  bool HasVirtualKeyspace(std::string_view name) const;
  size_t table_count() const;
  size_t type_count() const;

  // Looks up a type as written; user types are those of `keyspace`.
  absl::StatusOr<TypeRef> ResolveType(const ast::Type& type,
                                      const std::string& keyspace) const;

  // What changes it; see schema.cc.
  void PutKeyspace(Keyspace keyspace);
  void DropKeyspace(const std::string& name);
  void PutTable(TableRef table);
  void DropTable(const std::string& keyspace, const std::string& table);
  void PutType(const std::string& keyspace, TypeRef type);
  void DropType(const std::string& keyspace, const std::string& type);
  void PutVirtualTable(TableRef table);

 private:
  std::map<std::string, Keyspace> keyspaces_;
  std::map<std::pair<std::string, std::string>, TableRef> virtual_tables_;
};

// The stored form of each object: a key below "catalog", and its value.
std::string KeyspaceRecordKey(std::string_view keyspace);
std::string TableRecordKey(std::string_view keyspace, std::string_view table);
std::string TypeRecordKey(std::string_view keyspace, std::string_view type);
std::string EncodeKeyspace(const Keyspace& keyspace);
std::string EncodeTable(const Table& table);
std::string EncodeType(const CqlType& type);

// Makes a catalog of (key, value) records as above. kDataLoss says which
// record cannot be read.
absl::Status LoadCatalog(
    const std::vector<std::pair<std::string, std::string>>& records,
    Catalog* catalog);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_CATALOG_H_
