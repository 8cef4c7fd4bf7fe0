#include "cql/node/catalog.h"

#include <algorithm>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/parser.h"

namespace cql::node {
namespace {

constexpr char kKeyspaceRecord = 'k';
constexpr char kTypeRecord = 'u';
constexpr char kTableRecord = 't';

absl::Status Malformed(std::string_view key) {
  return absl::DataLossError(StrCat("catalog record ", key, " cannot be read"));
}

absl::StatusOr<TypeRef> ResolveParameters(const Catalog& catalog,
                                          const ast::Type& type,
                                          const std::string& keyspace) {
  auto made = std::make_shared<CqlType>();
  size_t wanted = 1;
  if (type.name == "list") {
    made->id = TypeId::kList;
  } else if (type.name == "set") {
    made->id = TypeId::kSet;
  } else if (type.name == "map") {
    made->id = TypeId::kMap;
    wanted = 2;
  } else {
    made->id = TypeId::kTuple;
    made->frozen = true;
    wanted = type.parameters.size();
  }
  if (type.parameters.size() != wanted) {
    return InvalidError(StrCat(type.name, " takes ", wanted,
                               " type parameters, not ",
                               type.parameters.size()));
  }
  for (const ast::Type& parameter : type.parameters) {
    absl::StatusOr<TypeRef> resolved = catalog.ResolveType(parameter, keyspace);
    if (!resolved.ok()) return resolved;
    if ((*resolved)->id == TypeId::kCounter) {
      return InvalidError(
          StrCat("Counters are not allowed inside ", type.name));
    }
    if ((*resolved)->id == TypeId::kDuration &&
        (made->id == TypeId::kSet ||
         (made->id == TypeId::kMap && made->parameters.empty()))) {
      return InvalidError(
          "Durations are not allowed inside sets and as map keys");
    }
    if (made->id == TypeId::kTuple) {
      made->parameters.push_back(Frozen(*resolved));
    } else {
      made->parameters.push_back(*std::move(resolved));
    }
  }
  return TypeRef(std::move(made));
}

void AppendMap(const std::map<std::string, std::string>& map,
               std::string* out) {
  AppendBig(static_cast<uint32_t>(map.size()), out);
  for (const auto& [key, value] : map) {
    AppendBytes(key, out);
    AppendBytes(value, out);
  }
}

bool ReadText(ByteReader* reader, std::string* text) {
  std::string_view bytes;
  bool is_null;
  if (!reader->ReadBytes(&bytes, &is_null) || is_null) return false;
  *text = std::string(bytes);
  return true;
}

bool ReadMap(ByteReader* reader, std::map<std::string, std::string>* map) {
  uint32_t count;
  if (!reader->Read(&count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    std::string key;
    if (!ReadText(reader, &key) || !ReadText(reader, &(*map)[key])) {
      return false;
    }
  }
  return true;
}

bool ReadType(const Catalog& catalog, ByteReader* reader,
              const std::string& keyspace, TypeRef* type) {
  std::string text;
  if (!ReadText(reader, &text)) return false;
  const Limits limits;
  absl::StatusOr<ast::Type> parsed = ParseTypeName(text, limits);
  if (!parsed.ok()) return false;
  absl::StatusOr<TypeRef> resolved = catalog.ResolveType(*parsed, keyspace);
  if (!resolved.ok()) return false;
  *type = *std::move(resolved);
  return true;
}

bool DecodeTable(const Catalog& catalog, ByteReader reader, Table* table) {
  std::string_view id;
  uint8_t flag;
  uint32_t count;
  if (!ReadText(&reader, &table->keyspace) ||
      !ReadText(&reader, &table->name) || !reader.ReadSpan(16, &id) ||
      !reader.Read(&table->storage_id) ||
      !reader.Read(&table->next_column_id) ||
      !reader.Read(&table->default_ttl) || !reader.Read(&flag) ||
      !ReadMap(&reader, &table->properties) || !reader.Read(&count)) {
    return false;
  }
  std::copy(id.begin(), id.end(), table->id.begin());
  table->is_counter = flag != 0;
  for (uint32_t i = 0; i < count; ++i) {
    Column column;
    uint8_t kind;
    uint8_t descending;
    if (!ReadText(&reader, &column.name) ||
        !ReadType(catalog, &reader, table->keyspace, &column.type) ||
        !reader.Read(&kind) || kind > 3 || !reader.Read(&column.position) ||
        !reader.Read(&descending) || !reader.Read(&column.id)) {
      return false;
    }
    column.kind = static_cast<ColumnKind>(kind);
    column.descending = descending != 0;
    table->columns.push_back(std::move(column));
  }
  table->state = std::make_shared<TableState>();
  table->Finish();
  return reader.empty();
}

bool DecodeUserType(const Catalog& catalog, ByteReader reader, CqlType* type) {
  uint32_t count;
  if (!ReadText(&reader, &type->keyspace) || !ReadText(&reader, &type->name) ||
      !reader.Read(&count)) {
    return false;
  }
  type->id = TypeId::kUser;
  for (uint32_t i = 0; i < count; ++i) {
    if (!ReadText(&reader, &type->field_names.emplace_back()) ||
        !ReadType(catalog, &reader, type->keyspace,
                  &type->parameters.emplace_back())) {
      return false;
    }
  }
  return reader.empty();
}

}  // namespace

int Table::Find(std::string_view column) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) return static_cast<int>(i);
  }
  return -1;
}

void Table::Finish() {
  std::sort(columns.begin(), columns.end(),
            [](const Column& a, const Column& b) {
              if (a.kind != b.kind) return a.kind < b.kind;
              if (a.kind < ColumnKind::kStatic) return a.position < b.position;
              return a.name < b.name;
            });
  partition_columns = 0;
  clustering_columns = 0;
  has_static = false;
  by_id.assign(next_column_id, -1);
  for (size_t i = 0; i < columns.size(); ++i) {
    switch (columns[i].kind) {
      case ColumnKind::kPartitionKey:
        ++partition_columns;
        break;
      case ColumnKind::kClustering:
        ++clustering_columns;
        break;
      case ColumnKind::kStatic:
        has_static = true;
        [[fallthrough]];
      case ColumnKind::kRegular:
        if (columns[i].id < by_id.size()) {
          by_id[columns[i].id] = static_cast<int32_t>(i);
        }
        break;
    }
  }
}

const Keyspace* Catalog::FindKeyspace(std::string_view name) const {
  auto found = keyspaces_.find(std::string(name));
  return found == keyspaces_.end() ? nullptr : &found->second;
}

TableRef Catalog::FindTable(std::string_view keyspace,
                            std::string_view table) const {
  if (const Keyspace* found = FindKeyspace(keyspace)) {
    auto it = found->tables.find(std::string(table));
    if (it != found->tables.end()) return it->second;
  }
  auto it = virtual_tables_.find({std::string(keyspace), std::string(table)});
  return it == virtual_tables_.end() ? nullptr : it->second;
}

bool Catalog::HasVirtualKeyspace(std::string_view name) const {
  auto it = virtual_tables_.lower_bound({std::string(name), std::string()});
  return it != virtual_tables_.end() && it->first.first == name;
}

size_t Catalog::table_count() const {
  size_t count = 0;
  for (const auto& [name, keyspace] : keyspaces_) {
    count += keyspace.tables.size();
  }
  return count;
}

size_t Catalog::type_count() const {
  size_t count = 0;
  for (const auto& [name, keyspace] : keyspaces_) {
    count += keyspace.types.size();
  }
  return count;
}

absl::StatusOr<TypeRef> Catalog::ResolveType(
    const ast::Type& type, const std::string& keyspace) const {
  if (type.keyspace.empty()) {
    if (type.name == "frozen") {
      if (type.parameters.size() != 1) {
        return InvalidError("frozen<> takes one type");
      }
      absl::StatusOr<TypeRef> inner = ResolveType(type.parameters[0], keyspace);
      if (!inner.ok()) return inner;
      if (!(*inner)->IsCollection() && (*inner)->id != TypeId::kUser &&
          (*inner)->id != TypeId::kTuple) {
        return InvalidError(
            StrCat("frozen<> is only allowed on collections, tuples, and "
                   "user-defined types (got ",
                   TypeText(**inner), ")"));
      }
      return Frozen(*inner);
    }
    if (type.name == "list" || type.name == "set" || type.name == "map" ||
        type.name == "tuple") {
      return ResolveParameters(*this, type, keyspace);
    }
    if (type.parameters.empty()) {
      if (TypeRef simple = SimpleTypeNamed(type.name)) return simple;
    }
  }
  if (!type.keyspace.empty() && type.keyspace != keyspace) {
    return InvalidError(StrCat(
        "Statement on keyspace ", keyspace,
        " cannot refer to a user type in keyspace ", type.keyspace,
        "; user types can only be used in the keyspace they are defined in"));
  }
  if (const Keyspace* found = FindKeyspace(keyspace)) {
    auto it = found->types.find(type.name);
    if (it != found->types.end() && type.parameters.empty()) return it->second;
  }
  return InvalidError(StrCat("Unknown type ", keyspace, ".", type.name));
}

void Catalog::PutKeyspace(Keyspace keyspace) {
  keyspaces_[keyspace.name] = std::move(keyspace);
}

void Catalog::DropKeyspace(const std::string& name) {
  auto found = keyspaces_.find(name);
  if (found == keyspaces_.end()) return;
  for (const auto& [table_name, table] : found->second.tables) {
    table->superseded = true;
  }
  keyspaces_.erase(found);
}

void Catalog::PutTable(TableRef table) {
  TableRef& place = keyspaces_[table->keyspace].tables[table->name];
  if (place != nullptr) place->superseded = true;
  place = std::move(table);
}

void Catalog::DropTable(const std::string& keyspace, const std::string& table) {
  auto& tables = keyspaces_[keyspace].tables;
  auto found = tables.find(table);
  if (found == tables.end()) return;
  found->second->superseded = true;
  tables.erase(found);
}

void Catalog::PutType(const std::string& keyspace, TypeRef type) {
  const std::string name = type->name;
  keyspaces_[keyspace].types[name] = std::move(type);
}

void Catalog::DropType(const std::string& keyspace, const std::string& type) {
  keyspaces_[keyspace].types.erase(type);
}

void Catalog::PutVirtualTable(TableRef table) {
  const std::pair<std::string, std::string> key(table->keyspace, table->name);
  virtual_tables_[key] = std::move(table);
}

std::string KeyspaceRecordKey(std::string_view keyspace) {
  return StrCat(std::string(1, kKeyspaceRecord), keyspace);
}

std::string TableRecordKey(std::string_view keyspace, std::string_view table) {
  std::string key(1, kTableRecord);
  AppendBytes(keyspace, &key);
  key.append(table);
  return key;
}

std::string TypeRecordKey(std::string_view keyspace, std::string_view type) {
  std::string key(1, kTypeRecord);
  AppendBytes(keyspace, &key);
  key.append(type);
  return key;
}

std::string EncodeKeyspace(const Keyspace& keyspace) {
  std::string record;
  AppendBytes(keyspace.name, &record);
  AppendMap(keyspace.replication, &record);
  record.push_back(keyspace.durable_writes ? 1 : 0);
  return record;
}

std::string EncodeTable(const Table& table) {
  std::string record;
  AppendBytes(table.keyspace, &record);
  AppendBytes(table.name, &record);
  record.append(table.id.begin(), table.id.end());
  AppendBig(table.storage_id, &record);
  AppendBig(table.next_column_id, &record);
  AppendBig(table.default_ttl, &record);
  record.push_back(table.is_counter ? 1 : 0);
  AppendMap(table.properties, &record);
  AppendBig(static_cast<uint32_t>(table.columns.size()), &record);
  for (const Column& column : table.columns) {
    AppendBytes(column.name, &record);
    AppendBytes(TypeText(*column.type), &record);
    record.push_back(static_cast<char>(column.kind));
    AppendBig(column.position, &record);
    record.push_back(column.descending ? 1 : 0);
    AppendBig(column.id, &record);
  }
  return record;
}

std::string EncodeType(const CqlType& type) {
  std::string record;
  AppendBytes(type.keyspace, &record);
  AppendBytes(type.name, &record);
  AppendBig(static_cast<uint32_t>(type.parameters.size()), &record);
  for (size_t i = 0; i < type.parameters.size(); ++i) {
    AppendBytes(type.field_names[i], &record);
    AppendBytes(TypeText(*type.parameters[i]), &record);
  }
  return record;
}

absl::Status LoadCatalog(
    const std::vector<std::pair<std::string, std::string>>& records,
    Catalog* catalog) {
  std::vector<const std::pair<std::string, std::string>*> types;
  for (const auto& record : records) {
    if (record.first.empty()) return Malformed("of no name");
    if (record.first.front() == kTypeRecord) types.push_back(&record);
    if (record.first.front() != kKeyspaceRecord) continue;
    Keyspace keyspace;
    ByteReader reader(record.second);
    uint8_t durable;
    if (!ReadText(&reader, &keyspace.name) ||
        !ReadMap(&reader, &keyspace.replication) || !reader.Read(&durable)) {
      return Malformed(record.first);
    }
    keyspace.durable_writes = durable != 0;
    catalog->PutKeyspace(std::move(keyspace));
  }
  // A type may be made of others: again, until nothing more can be resolved.
  while (!types.empty()) {
    std::vector<const std::pair<std::string, std::string>*> left;
    for (const auto* record : types) {
      auto type = std::make_shared<CqlType>();
      if (!DecodeUserType(*catalog, ByteReader(record->second), type.get())) {
        left.push_back(record);
      } else {
        const std::string keyspace = type->keyspace;
        catalog->PutType(keyspace, std::move(type));
      }
    }
    if (left.size() == types.size()) return Malformed(left[0]->first);
    types = std::move(left);
  }
  for (const auto& record : records) {
    if (record.first.front() != kTableRecord) continue;
    auto table = std::make_shared<Table>();
    if (!DecodeTable(*catalog, ByteReader(record.second), table.get())) {
      return Malformed(record.first);
    }
    catalog->PutTable(std::move(table));
  }
  return absl::OkStatus();
}

}  // namespace cql::node
