#include "cql/node/schema.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/keys.h"
#include "cql/node/literal.h"
#include "cql/node/modify.h"
#include "cql/node/ordered_key.h"

namespace cql::node {
namespace {

constexpr std::string_view kCatalogPrefix = "catalog/";
constexpr std::string_view kVersionName = "schema_version";
constexpr std::string_view kNextIdName = "next_storage_id";

std::string CatalogKey(const std::string& record) {
  return MetaKey(StrCat(kCatalogPrefix, record));
}

void SetChange(std::string_view change, std::string_view target,
               const std::string& keyspace, const std::string& name,
               Result* result) {
  result->kind = Result::Kind::kSchemaChange;
  result->schema = {std::string(change), std::string(target), keyspace, name};
}

// A number, string or boolean of an option, without quotes.
std::string PlainText(const ast::Term& term) {
  return term.kind == ast::Term::Kind::kString ? term.text : TermText(term);
}

absl::Status ReadKeyspaceProperties(
    const std::vector<ast::Property>& properties, Keyspace* keyspace) {
  for (const ast::Property& property : properties) {
    if (property.name == "replication") {
      if (property.value.kind != ast::Term::Kind::kMap) {
        return MakeError(ServerCode::kConfigError, "replication must be a map");
      }
      keyspace->replication.clear();
      const auto& items = property.value.items;
      for (size_t i = 0; i + 1 < items.size(); i += 2) {
        keyspace->replication[PlainText(items[i])] = PlainText(items[i + 1]);
      }
    } else if (property.name == "durable_writes") {
      keyspace->durable_writes = PlainText(property.value) == "true";
    } else if (property.name != "tablets" && property.name != "storage" &&
               property.name != "consistency") {
      return MakeError(ServerCode::kSyntaxError,
                       StrCat("Unknown property '", property.name, "'"));
    }
  }
  auto strategy = keyspace->replication.find("class");
  if (strategy == keyspace->replication.end()) {
    return MakeError(ServerCode::kConfigError,
                     "Missing mandatory replication strategy class");
  }
  constexpr std::string_view kPackage = "org.apache.cassandra.locator.";
  if (!strategy->second.starts_with(kPackage)) {
    strategy->second = StrCat(kPackage, strategy->second);
  }
  const std::string_view name =
      std::string_view(strategy->second).substr(kPackage.size());
  if (name != "SimpleStrategy" && name != "NetworkTopologyStrategy" &&
      name != "LocalStrategy" && name != "EverywhereStrategy") {
    return MakeError(
        ServerCode::kConfigError,
        StrCat("Unable to find replication strategy class '", name, "'"));
  }
  return absl::OkStatus();
}

// Options that tables of Cassandra 4 and ScyllaDB have; they mean nothing to
// this node, but are kept and shown.
constexpr std::string_view kTableOptions[] = {"additional_write_policy",
                                              "allow_auto_snapshot",
                                              "bloom_filter_fp_chance",
                                              "caching",
                                              "cdc",
                                              "comment",
                                              "compaction",
                                              "compression",
                                              "crc_check_chance",
                                              "dclocal_read_repair_chance",
                                              "extensions",
                                              "gc_grace_seconds",
                                              "id",
                                              "in_memory",
                                              "incremental_backups",
                                              "max_index_interval",
                                              "memtable",
                                              "memtable_flush_period_in_ms",
                                              "min_index_interval",
                                              "paxos_grace_seconds",
                                              "per_partition_rate_limit",
                                              "read_repair",
                                              "read_repair_chance",
                                              "speculative_retry",
                                              "synchronous_updates",
                                              "tombstone_gc"};

absl::Status ReadTableProperties(const std::vector<ast::Property>& properties,
                                 Table* table) {
  for (const ast::Property& property : properties) {
    if (property.name == "default_time_to_live") {
      constexpr int32_t kMax = 20 * 365 * 24 * 60 * 60;
      int32_t ttl;
      if (!ParseNumber(PlainText(property.value), &ttl) || ttl < 0 ||
          ttl > kMax) {
        return MakeError(ServerCode::kConfigError,
                         StrCat("default_time_to_live must be between 0 and ",
                                kMax, " (got ", TermText(property.value), ")"));
      }
      if (ttl > 0 && table->is_counter) {
        return InvalidError(
            "Cannot set default_time_to_live on a table with counters");
      }
      table->default_ttl = ttl;
      continue;
    }
    if (std::find(std::begin(kTableOptions), std::end(kTableOptions),
                  property.name) == std::end(kTableOptions)) {
      return MakeError(ServerCode::kSyntaxError,
                       StrCat("Unknown property '", property.name, "'"));
    }
    table->properties[property.name] =
        property.value.kind == ast::Term::Kind::kString
            ? property.value.text
            : TermText(property.value);
  }
  return absl::OkStatus();
}

// Whether a column of this type may be there at all.
absl::Status CheckColumnType(const std::string& column, const CqlType& type) {
  if (type.frozen || !type.IsCollection()) return absl::OkStatus();
  for (const TypeRef& parameter : type.parameters) {
    if (parameter->IsMultiCell()) {
      return InvalidError(
          StrCat("Non-frozen collections and user types are not allowed inside "
                 "collections: ",
                 column, " ", TypeText(type)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckKeyType(const Column& column) {
  if (column.type->IsMultiCell()) {
    return InvalidError(
        StrCat("Invalid non-frozen collection or user type for PRIMARY KEY "
               "component ",
               column.name));
  }
  if (column.type->id == TypeId::kCounter) {
    return InvalidError(StrCat(
        "counter type is not supported for PRIMARY KEY part ", column.name));
  }
  if (column.type->id == TypeId::kDuration) {
    return InvalidError(StrCat(
        "duration type is not supported for PRIMARY KEY part ", column.name));
  }
  return absl::OkStatus();
}

// The same type with every use of the user type `changed` replaced.
TypeRef Replace(const TypeRef& type, const TypeRef& changed) {
  if (type->id == TypeId::kUser && type->name == changed->name) {
    return type->frozen ? Frozen(changed) : changed;
  }
  bool differs = false;
  std::vector<TypeRef> parameters;
  for (const TypeRef& parameter : type->parameters) {
    parameters.push_back(Replace(parameter, changed));
    differs = differs || parameters.back() != parameter;
  }
  if (!differs) return type;
  auto made = std::make_shared<CqlType>(*type);
  made->parameters = std::move(parameters);
  return made;
}

bool Uses(const CqlType& type, const std::string& user_type) {
  if (type.id == TypeId::kUser && type.name == user_type) return true;
  return std::any_of(
      type.parameters.begin(), type.parameters.end(),
      [&](const TypeRef& parameter) { return Uses(*parameter, user_type); });
}

}  // namespace

absl::Status SchemaExecutor::Load() {
  auto records = storage_->ReadMeta(kCatalogPrefix);
  if (!records.ok()) return records.status();
  absl::Status status = LoadCatalog(*records, catalog_);
  if (!status.ok()) return status;
  auto version = storage_->ReadMeta(kVersionName);
  if (!version.ok()) return version.status();
  if (!version->empty() && (*version)[0].second.size() == version_.size()) {
    std::copy((*version)[0].second.begin(), (*version)[0].second.end(),
              version_.begin());
  } else {
    std::string made;
    uuids_->AppendRandom(&made);
    std::copy(made.begin(), made.end(), version_.begin());
    rocksdb::WriteBatch batch;
    batch.Put(MetaKey(kVersionName), made);
    status = storage_->WriteDurably(&batch);
    if (!status.ok()) return status;
  }
  auto next = storage_->ReadMeta(kNextIdName);
  if (!next.ok()) return next.status();
  if (!next->empty() && (*next)[0].second.size() == sizeof(uint32_t)) {
    next_storage_id_ = LoadBig<uint32_t>((*next)[0].second.data());
  }
  for (const auto& [name, keyspace] : catalog_->keyspaces()) {
    for (const auto& [table_name, table] : keyspace.tables) {
      auto headers = storage_->ReadMeta(HeadersRecordName(table->storage_id));
      if (!headers.ok()) return headers.status();
      table->state->has_headers = !headers->empty();
    }
  }
  return absl::OkStatus();
}

// Writes a change and a new schema version.
absl::Status SchemaExecutor::Commit(rocksdb::WriteBatch* batch) {
  std::string version;
  uuids_->AppendRandom(&version);
  batch->Put(MetaKey(kVersionName), version);
  std::string next;
  AppendBig(next_storage_id_, &next);
  batch->Put(MetaKey(kNextIdName), next);
  absl::Status status = storage_->WriteDurably(batch);
  if (!status.ok()) return status;
  std::copy(version.begin(), version.end(), version_.begin());
  return absl::OkStatus();
}

absl::Status SchemaExecutor::Run(const SchemaPlan& plan, Result* result) {
  default_keyspace_ = plan.default_keyspace;
  result->kind = Result::Kind::kVoid;
  return std::visit(
      [&](const auto& statement) -> absl::Status {
        using T = std::decay_t<decltype(statement)>;
        if constexpr (std::is_same_v<T, ast::CreateKeyspace> ||
                      std::is_same_v<T, ast::CreateTable> ||
                      std::is_same_v<T, ast::CreateType>) {
          return Create(statement, result);
        } else if constexpr (std::is_same_v<T, ast::AlterKeyspace> ||
                             std::is_same_v<T, ast::AlterTable> ||
                             std::is_same_v<T, ast::AlterType>) {
          return Alter(statement, result);
        } else if constexpr (std::is_same_v<T, ast::Drop>) {
          return Drop(statement, result);
        } else {
          return InvalidError("not a schema statement");
        }
      },
      plan.statement);
}

absl::StatusOr<std::string> SchemaExecutor::KeyspaceOf(
    const ast::TableName& name) const {
  const std::string& keyspace =
      name.keyspace.empty() ? default_keyspace_ : name.keyspace;
  if (keyspace.empty()) {
    return InvalidError(
        "No keyspace has been specified. USE a keyspace, or explicitly "
        "specify keyspace.tablename");
  }
  return keyspace;
}

absl::StatusOr<const Keyspace*> SchemaExecutor::FindKeyspace(
    const std::string& name) const {
  const Keyspace* found = catalog_->FindKeyspace(name);
  if (found != nullptr) return found;
  if (catalog_->HasVirtualKeyspace(name)) {
    return MakeError(ServerCode::kUnauthorized,
                     StrCat(name, " keyspace is not user-modifiable."));
  }
  return InvalidError(StrCat("Keyspace '", name, "' doesn't exist"));
}

absl::Status SchemaExecutor::Create(const ast::CreateKeyspace& create,
                                    Result* result) {
  if (catalog_->HasVirtualKeyspace(create.name)) {
    return MakeError(ServerCode::kUnauthorized,
                     StrCat(create.name, " keyspace is not user-modifiable."));
  }
  Keyspace keyspace;
  keyspace.name = create.name;
  absl::Status status = ReadKeyspaceProperties(create.properties, &keyspace);
  if (!status.ok()) return status;
  if (catalog_->FindKeyspace(create.name) != nullptr) {
    if (create.if_not_exists) return absl::OkStatus();
    return AlreadyExistsError(
        StrCat("Cannot add existing keyspace \"", create.name, "\""),
        create.name, "");
  }
  constexpr size_t kNameMax = 48;
  if (create.name.size() > kNameMax) {
    return InvalidError(StrCat("\"", create.name, "\" is not a valid keyspace ",
                               "name: longer than ", kNameMax, " characters"));
  }
  if (catalog_->keyspaces().size() >= limits_->keyspaces_max) {
    return InvalidError(
        StrCat("more keyspaces than the limit of ", limits_->keyspaces_max));
  }
  rocksdb::WriteBatch batch;
  batch.Put(CatalogKey(KeyspaceRecordKey(keyspace.name)),
            EncodeKeyspace(keyspace));
  status = Commit(&batch);
  if (!status.ok()) return status;
  catalog_->PutKeyspace(std::move(keyspace));
  SetChange("CREATED", "KEYSPACE", create.name, "", result);
  return absl::OkStatus();
}

absl::Status SchemaExecutor::Alter(const ast::AlterKeyspace& alter,
                                   Result* result) {
  absl::StatusOr<const Keyspace*> found = FindKeyspace(alter.name);
  if (!found.ok()) {
    return alter.if_exists ? absl::OkStatus() : found.status();
  }
  Keyspace keyspace = **found;
  absl::Status status = ReadKeyspaceProperties(alter.properties, &keyspace);
  if (!status.ok()) return status;
  rocksdb::WriteBatch batch;
  batch.Put(CatalogKey(KeyspaceRecordKey(keyspace.name)),
            EncodeKeyspace(keyspace));
  status = Commit(&batch);
  if (!status.ok()) return status;
  catalog_->PutKeyspace(std::move(keyspace));
  SetChange("UPDATED", "KEYSPACE", alter.name, "", result);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Table>> SchemaExecutor::MakeTable(
    const ast::CreateTable& create, const std::string& keyspace) const {
  auto table = std::make_shared<Table>();
  table->keyspace = keyspace;
  table->name = create.table.table;
  table->state = std::make_shared<TableState>();
  if (create.columns.size() > limits_->columns_max) {
    return InvalidError(
        StrCat("more columns than the limit of ", limits_->columns_max));
  }
  if (create.partition_key.empty()) {
    return InvalidError("No PRIMARY KEY specified (exactly one required)");
  }
  size_t counters = 0;
  for (const ast::ColumnDefinition& definition : create.columns) {
    if (table->Find(definition.name) >= 0) {
      return InvalidError(
          StrCat("Multiple definition of identifier ", definition.name));
    }
    absl::StatusOr<TypeRef> type =
        catalog_->ResolveType(definition.type, keyspace);
    if (!type.ok()) return type.status();
    absl::Status status = CheckColumnType(definition.name, **type);
    if (!status.ok()) return status;
    if ((*type)->id == TypeId::kCounter) ++counters;
    Column& column = table->columns.emplace_back();
    column.name = definition.name;
    column.type = *std::move(type);
    if (definition.is_static) column.kind = ColumnKind::kStatic;
  }
  const auto set_key = [&](const std::vector<std::string>& names,
                           ColumnKind kind) -> absl::Status {
    uint16_t position = 0;
    for (const std::string& name : names) {
      const int at = table->Find(name);
      if (at < 0) {
        return InvalidError(
            StrCat("Unknown definition ", name, " referenced in PRIMARY KEY"));
      }
      Column& column = table->columns[at];
      if (column.kind == ColumnKind::kStatic) {
        return InvalidError(StrCat("Static column ", name,
                                   " cannot be part of the PRIMARY KEY"));
      }
      if (column.kind != ColumnKind::kRegular) {
        return InvalidError(
            StrCat("Multiple definition of ", name, " in PRIMARY KEY"));
      }
      absl::Status status = CheckKeyType(column);
      if (!status.ok()) return status;
      column.kind = kind;
      column.position = position++;
    }
    return absl::OkStatus();
  };
  absl::Status status =
      set_key(create.partition_key, ColumnKind::kPartitionKey);
  if (status.ok())
    status = set_key(create.clustering_key, ColumnKind::kClustering);
  if (!status.ok()) return status;
  size_t next = 0;
  for (const auto& [name, descending] : create.clustering_order) {
    if (next >= create.clustering_key.size() ||
        create.clustering_key[next] != name) {
      return InvalidError(
          "The order of columns in the CLUSTERING ORDER directive must be the "
          "one of the clustering key");
    }
    table->columns[table->Find(name)].descending = descending;
    ++next;
  }
  if (next > 0 && next < create.clustering_key.size()) {
    return InvalidError(StrCat("Missing CLUSTERING ORDER for column ",
                               create.clustering_key[next]));
  }
  size_t others = 0;
  for (Column& column : table->columns) {
    if (column.kind < ColumnKind::kStatic) continue;
    ++others;
    column.id = table->next_column_id++;
    if (column.kind == ColumnKind::kStatic && create.clustering_key.empty()) {
      return InvalidError(
          "Static columns are only useful (and thus allowed) if the table has "
          "at least one clustering column");
    }
  }
  if (counters > 0 && counters != others) {
    return InvalidError(
        "Cannot mix counter and non counter columns in the same table");
  }
  table->is_counter = counters > 0;
  status = ReadTableProperties(create.properties, table.get());
  if (!status.ok()) return status;
  table->Finish();
  return table;
}

absl::Status SchemaExecutor::Create(const ast::CreateTable& create,
                                    Result* result) {
  absl::StatusOr<std::string> keyspace_name = KeyspaceOf(create.table);
  if (!keyspace_name.ok()) return keyspace_name.status();
  absl::StatusOr<const Keyspace*> keyspace = FindKeyspace(*keyspace_name);
  if (!keyspace.ok()) return keyspace.status();
  const std::string& name = create.table.table;
  if ((*keyspace)->tables.count(name) > 0) {
    if (create.if_not_exists) return absl::OkStatus();
    return AlreadyExistsError(
        StrCat("Cannot add already existing table \"", name,
               "\" to keyspace \"", *keyspace_name, "\""),
        *keyspace_name, name);
  }
  if (catalog_->table_count() >= limits_->tables_max) {
    return InvalidError(
        StrCat("more tables than the limit of ", limits_->tables_max));
  }
  absl::StatusOr<std::shared_ptr<Table>> table =
      MakeTable(create, *keyspace_name);
  if (!table.ok()) return table.status();
  std::string id;
  uuids_->AppendRandom(&id);
  std::copy(id.begin(), id.end(), (*table)->id.begin());
  (*table)->storage_id = next_storage_id_++;
  rocksdb::WriteBatch batch;
  batch.Put(CatalogKey(TableRecordKey(*keyspace_name, name)),
            EncodeTable(**table));
  absl::Status status = Commit(&batch);
  if (!status.ok()) return status;
  catalog_->PutTable(*std::move(table));
  SetChange("CREATED", "TABLE", *keyspace_name, name, result);
  return absl::OkStatus();
}

absl::Status SchemaExecutor::AddColumns(const ast::AlterTable& alter,
                                        Table* table) {
  for (const ast::ColumnDefinition& definition : alter.add) {
    if (table->Find(definition.name) >= 0) {
      if (alter.if_column) continue;
      return InvalidError(
          StrCat("Column with name '", definition.name, "' already exists"));
    }
    absl::StatusOr<TypeRef> type =
        catalog_->ResolveType(definition.type, table->keyspace);
    if (!type.ok()) return type.status();
    absl::Status status = CheckColumnType(definition.name, **type);
    if (!status.ok()) return status;
    if (((*type)->id == TypeId::kCounter) != table->is_counter) {
      return InvalidError(
          "Cannot mix counter and non counter columns in the same table");
    }
    if (definition.is_static && table->clustering_columns == 0) {
      return InvalidError(
          "Static columns are only useful (and thus allowed) if the table has "
          "at least one clustering column");
    }
    if (table->columns.size() >= limits_->columns_max ||
        table->next_column_id == UINT16_MAX) {
      return InvalidError(
          StrCat("more columns than the limit of ", limits_->columns_max));
    }
    Column& column = table->columns.emplace_back();
    column.name = definition.name;
    column.type = *std::move(type);
    column.kind =
        definition.is_static ? ColumnKind::kStatic : ColumnKind::kRegular;
    column.id = table->next_column_id++;
  }
  return absl::OkStatus();
}

absl::Status SchemaExecutor::DropColumns(const ast::AlterTable& alter,
                                         Table* table) {
  for (const std::string& name : alter.drop) {
    const int at = table->Find(name);
    if (at < 0) {
      if (alter.if_column) continue;
      return InvalidError(StrCat("Column ", name, " was not found in table '",
                                 table->keyspace, ".", table->name, "'"));
    }
    if (table->columns[at].kind < ColumnKind::kStatic) {
      return InvalidError(StrCat("Cannot drop PRIMARY KEY column ", name));
    }
    table->columns.erase(table->columns.begin() + at);
  }
  return absl::OkStatus();
}

absl::Status SchemaExecutor::RenameColumns(const ast::AlterTable& alter,
                                           Table* table) {
  for (const auto& [from, to] : alter.rename) {
    const int at = table->Find(from);
    if (at < 0) {
      return InvalidError(StrCat("Column ", from, " was not found in table '",
                                 table->keyspace, ".", table->name, "'"));
    }
    if (table->columns[at].kind >= ColumnKind::kStatic) {
      return InvalidError(
          StrCat("Cannot rename non PRIMARY KEY column ", from));
    }
    if (table->Find(to) >= 0) {
      return InvalidError(StrCat("Cannot rename column ", from, " to ", to,
                                 ": another column has that name"));
    }
    table->columns[at].name = to;
  }
  return absl::OkStatus();
}

absl::Status SchemaExecutor::Alter(const ast::AlterTable& alter,
                                   Result* result) {
  absl::StatusOr<std::string> keyspace_name = KeyspaceOf(alter.table);
  if (!keyspace_name.ok()) return keyspace_name.status();
  absl::StatusOr<const Keyspace*> keyspace = FindKeyspace(*keyspace_name);
  if (!keyspace.ok()) return keyspace.status();
  auto found = (*keyspace)->tables.find(alter.table.table);
  if (found == (*keyspace)->tables.end()) {
    if (alter.if_exists) return absl::OkStatus();
    return InvalidError(StrCat("unconfigured table ", alter.table.table));
  }
  auto table = std::make_shared<Table>(*found->second);
  table->superseded = false;
  absl::Status status;
  switch (alter.kind) {
    case ast::AlterTable::Kind::kAdd:
      status = AddColumns(alter, table.get());
      break;
    case ast::AlterTable::Kind::kDrop:
      status = DropColumns(alter, table.get());
      break;
    case ast::AlterTable::Kind::kRename:
      status = RenameColumns(alter, table.get());
      break;
    case ast::AlterTable::Kind::kWith:
      status = ReadTableProperties(alter.properties, table.get());
      break;
  }
  if (!status.ok()) return status;
  table->Finish();
  rocksdb::WriteBatch batch;
  batch.Put(CatalogKey(TableRecordKey(table->keyspace, table->name)),
            EncodeTable(*table));
  status = Commit(&batch);
  if (!status.ok()) return status;
  catalog_->PutTable(std::move(table));
  SetChange("UPDATED", "TABLE", *keyspace_name, alter.table.table, result);
  return absl::OkStatus();
}

absl::Status SchemaExecutor::Create(const ast::CreateType& create,
                                    Result* result) {
  absl::StatusOr<std::string> keyspace_name = KeyspaceOf(create.type);
  if (!keyspace_name.ok()) return keyspace_name.status();
  absl::StatusOr<const Keyspace*> keyspace = FindKeyspace(*keyspace_name);
  if (!keyspace.ok()) return keyspace.status();
  const std::string& name = create.type.table;
  if ((*keyspace)->types.count(name) > 0) {
    if (create.if_not_exists) return absl::OkStatus();
    return InvalidError(StrCat("A user type with name '", name,
                               "' already exists in keyspace '", *keyspace_name,
                               "'"));
  }
  if (catalog_->type_count() >= limits_->user_types_max) {
    return InvalidError(
        StrCat("more user types than the limit of ", limits_->user_types_max));
  }
  if (create.fields.size() > limits_->columns_max) {
    return InvalidError(
        StrCat("more fields than the limit of ", limits_->columns_max));
  }
  auto type = std::make_shared<CqlType>();
  type->id = TypeId::kUser;
  type->keyspace = *keyspace_name;
  type->name = name;
  for (const ast::ColumnDefinition& field : create.fields) {
    if (std::find(type->field_names.begin(), type->field_names.end(),
                  field.name) != type->field_names.end()) {
      return InvalidError(StrCat("Duplicate field name '", field.name,
                                 "' in type '", name, "'"));
    }
    absl::StatusOr<TypeRef> field_type =
        catalog_->ResolveType(field.type, *keyspace_name);
    if (!field_type.ok()) return field_type.status();
    if ((*field_type)->id == TypeId::kCounter) {
      return InvalidError("A user type cannot contain counters");
    }
    if ((*field_type)->id == TypeId::kUser && !(*field_type)->frozen) {
      return InvalidError(
          StrCat("A user type cannot contain non-frozen UDTs: ", field.name));
    }
    type->field_names.push_back(field.name);
    type->parameters.push_back(*std::move(field_type));
  }
  rocksdb::WriteBatch batch;
  batch.Put(CatalogKey(TypeRecordKey(*keyspace_name, name)), EncodeType(*type));
  absl::Status status = Commit(&batch);
  if (!status.ok()) return status;
  catalog_->PutType(*keyspace_name, std::move(type));
  SetChange("CREATED", "TYPE", *keyspace_name, name, result);
  return absl::OkStatus();
}

absl::Status SchemaExecutor::Alter(const ast::AlterType& alter,
                                   Result* result) {
  absl::StatusOr<std::string> keyspace_name = KeyspaceOf(alter.type);
  if (!keyspace_name.ok()) return keyspace_name.status();
  absl::StatusOr<const Keyspace*> keyspace = FindKeyspace(*keyspace_name);
  if (!keyspace.ok()) return keyspace.status();
  auto found = (*keyspace)->types.find(alter.type.table);
  if (found == (*keyspace)->types.end()) {
    if (alter.if_exists) return absl::OkStatus();
    return InvalidError(StrCat("Type '", *keyspace_name, ".", alter.type.table,
                               "' doesn't exist"));
  }
  auto type = std::make_shared<CqlType>(*found->second);
  const auto find_field = [&](const std::string& name) {
    return std::find(type->field_names.begin(), type->field_names.end(), name);
  };
  for (const ast::ColumnDefinition& field : alter.add) {
    if (find_field(field.name) != type->field_names.end()) {
      return InvalidError(StrCat("Cannot add field ", field.name, " to type ",
                                 type->name, ": it is already there"));
    }
    absl::StatusOr<TypeRef> field_type =
        catalog_->ResolveType(field.type, *keyspace_name);
    if (!field_type.ok()) return field_type.status();
    if (Uses(**field_type, type->name)) {
      return InvalidError(
          StrCat("Cannot add a field of type ", type->name, " to itself"));
    }
    if ((*field_type)->id == TypeId::kCounter ||
        type->parameters.size() >= limits_->columns_max) {
      return InvalidError(StrCat("Cannot add field ", field.name));
    }
    type->field_names.push_back(field.name);
    type->parameters.push_back(Frozen(*field_type));
  }
  for (const auto& [from, to] : alter.rename) {
    auto field = find_field(from);
    if (field == type->field_names.end() ||
        find_field(to) != type->field_names.end()) {
      return InvalidError(StrCat("Cannot rename field ", from, " to ", to,
                                 " in type ", type->name,
                                 ": no such field, or the name is taken"));
    }
    *field = to;
  }
  // Types and tables made of it change with it.
  std::map<std::string, TypeRef> types = (*keyspace)->types;
  types[type->name] = type;
  for (auto& [name, other] : types) other = Replace(other, type);
  std::vector<std::shared_ptr<Table>> tables;
  for (const auto& [name, table] : (*keyspace)->tables) {
    const bool uses = std::any_of(
        table->columns.begin(), table->columns.end(),
        [&](const Column& column) { return Uses(*column.type, type->name); });
    if (!uses) continue;
    auto changed = std::make_shared<Table>(*table);
    changed->superseded = false;
    for (Column& column : changed->columns) {
      column.type = Replace(column.type, type);
    }
    tables.push_back(std::move(changed));
  }
  rocksdb::WriteBatch batch;
  batch.Put(CatalogKey(TypeRecordKey(*keyspace_name, type->name)),
            EncodeType(*type));
  absl::Status status = Commit(&batch);
  if (!status.ok()) return status;
  for (auto& [name, changed] : types) {
    catalog_->PutType(*keyspace_name, changed);
  }
  for (std::shared_ptr<Table>& table : tables) {
    catalog_->PutTable(std::move(table));
  }
  SetChange("UPDATED", "TYPE", *keyspace_name, alter.type.table, result);
  return absl::OkStatus();
}

void SchemaExecutor::DeleteTable(const Table& table,
                                 rocksdb::WriteBatch* batch) {
  std::string begin;
  AppendTablePrefix(table.storage_id, &begin);
  std::string end = begin;
  MakeSuccessor(&end);
  batch->DeleteRange(begin, end);
  batch->Delete(MetaKey(HeadersRecordName(table.storage_id)));
}

absl::Status SchemaExecutor::Truncate(const Table& table) {
  rocksdb::WriteBatch batch;
  DeleteTable(table, &batch);
  absl::Status status = storage_->WriteDurably(&batch);
  if (status.ok()) table.state->has_headers = false;
  return status;
}

absl::Status SchemaExecutor::Drop(const ast::Drop& drop, Result* result) {
  const bool whole = drop.kind == ast::Drop::Kind::kKeyspace;
  absl::StatusOr<std::string> keyspace_name = KeyspaceOf(drop.name);
  if (!keyspace_name.ok()) return keyspace_name.status();
  absl::StatusOr<const Keyspace*> keyspace = FindKeyspace(*keyspace_name);
  if (!keyspace.ok()) {
    return drop.if_exists ? absl::OkStatus() : keyspace.status();
  }
  if (drop.kind == ast::Drop::Kind::kType) {
    return DropType(drop, **keyspace, result);
  }
  rocksdb::WriteBatch batch;
  if (whole) {
    for (const auto& [name, table] : (*keyspace)->tables) {
      DeleteTable(*table, &batch);
      batch.Delete(CatalogKey(TableRecordKey(*keyspace_name, name)));
    }
    for (const auto& [name, type] : (*keyspace)->types) {
      batch.Delete(CatalogKey(TypeRecordKey(*keyspace_name, name)));
    }
    batch.Delete(CatalogKey(KeyspaceRecordKey(*keyspace_name)));
    absl::Status status = Commit(&batch);
    if (!status.ok()) return status;
    catalog_->DropKeyspace(*keyspace_name);
    SetChange("DROPPED", "KEYSPACE", *keyspace_name, "", result);
    return absl::OkStatus();
  }
  auto found = (*keyspace)->tables.find(drop.name.table);
  if (found == (*keyspace)->tables.end()) {
    if (drop.if_exists) return absl::OkStatus();
    return InvalidError(StrCat("Table '", *keyspace_name, ".", drop.name.table,
                               "' doesn't exist"));
  }
  DeleteTable(*found->second, &batch);
  batch.Delete(CatalogKey(TableRecordKey(*keyspace_name, drop.name.table)));
  absl::Status status = Commit(&batch);
  if (!status.ok()) return status;
  catalog_->DropTable(*keyspace_name, drop.name.table);
  SetChange("DROPPED", "TABLE", *keyspace_name, drop.name.table, result);
  return absl::OkStatus();
}

absl::Status SchemaExecutor::DropType(const ast::Drop& drop,
                                      const Keyspace& keyspace,
                                      Result* result) {
  const std::string& name = drop.name.table;
  if (keyspace.types.count(name) == 0) {
    if (drop.if_exists) return absl::OkStatus();
    return InvalidError(
        StrCat("Type '", keyspace.name, ".", name, "' doesn't exist"));
  }
  for (const auto& [other_name, other] : keyspace.types) {
    if (other_name != name && Uses(*other, name)) {
      return InvalidError(StrCat("Cannot drop user type '", keyspace.name, ".",
                                 name, "' as it is still used by user type ",
                                 other_name));
    }
  }
  for (const auto& [table_name, table] : keyspace.tables) {
    for (const Column& column : table->columns) {
      if (Uses(*column.type, name)) {
        return InvalidError(StrCat("Cannot drop user type '", keyspace.name,
                                   ".", name, "' as it is still used by table ",
                                   table_name));
      }
    }
  }
  rocksdb::WriteBatch batch;
  batch.Delete(CatalogKey(TypeRecordKey(keyspace.name, name)));
  absl::Status status = Commit(&batch);
  if (!status.ok()) return status;
  const std::string keyspace_name = keyspace.name;
  catalog_->DropType(keyspace_name, name);
  SetChange("DROPPED", "TYPE", keyspace_name, name, result);
  return absl::OkStatus();
}

}  // namespace cql::node
