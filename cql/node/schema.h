// Runs CREATE, ALTER, DROP and TRUNCATE: on disk first, then in the catalog.
#ifndef RINGPLANE_CQL_NODE_SCHEMA_H_
#define RINGPLANE_CQL_NODE_SCHEMA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/node/ast.h"
#include "cql/node/catalog.h"
#include "cql/node/engine.h"
#include "cql/node/function.h"
#include "cql/node/plan.h"
#include "cql/node/storage.h"

namespace cql::node {

class SchemaExecutor {
 public:
  // All must outlive it.
  SchemaExecutor(Storage* storage, Catalog* catalog, const Limits* limits,
                 UuidSource* uuids)
      : storage_(storage), catalog_(catalog), limits_(limits), uuids_(uuids) {}

  // Reads the catalog from the store.
  absl::Status Load();
  const UuidBytes& version() const { return version_; }

  // Durable when it returns.
  absl::Status Run(const SchemaPlan& plan, Result* result);
  absl::Status Truncate(const Table& table);

  // Checks CREATE TABLE and makes what it says, without ids.
  absl::StatusOr<std::shared_ptr<Table>> MakeTable(
      const ast::CreateTable& create, const std::string& keyspace) const;

 private:
  absl::Status Create(const ast::CreateKeyspace& create, Result* result);
  absl::Status Alter(const ast::AlterKeyspace& alter, Result* result);
  absl::Status Create(const ast::CreateTable& create, Result* result);
  absl::Status Alter(const ast::AlterTable& alter, Result* result);
  absl::Status AddColumns(const ast::AlterTable& alter, Table* table);
  absl::Status DropColumns(const ast::AlterTable& alter, Table* table);
  absl::Status RenameColumns(const ast::AlterTable& alter, Table* table);
  absl::Status Create(const ast::CreateType& create, Result* result);
  absl::Status Alter(const ast::AlterType& alter, Result* result);
  absl::Status Drop(const ast::Drop& drop, Result* result);
  absl::Status DropType(const ast::Drop& drop, const Keyspace& keyspace,
                        Result* result);

  absl::StatusOr<std::string> KeyspaceOf(const ast::TableName& name) const;
  absl::StatusOr<const Keyspace*> FindKeyspace(const std::string& name) const;
  absl::Status Commit(rocksdb::WriteBatch* batch);
  void DeleteTable(const Table& table, rocksdb::WriteBatch* batch);

  Storage* const storage_;
  Catalog* const catalog_;
  const Limits* const limits_;
  UuidSource* const uuids_;
  std::string default_keyspace_;
  uint32_t next_storage_id_ = 1;
  UuidBytes version_ = {};
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_SCHEMA_H_
