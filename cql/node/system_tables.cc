#include "cql/node/system_tables.h"

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace cql::node {
namespace {

constexpr std::string_view kPartitioner =
    "org.apache.cassandra.dht.Murmur3Partitioner";

// Rows of one virtual table while they are read: keeps the bytes of the values
// that it hands out.
class RowBuilder {
 public:
  explicit RowBuilder(std::vector<Value>* rows) : rows_(rows) {}

  void Null() { rows_->push_back(Value::Null()); }
  void Text(std::string_view text) { Keep(std::string(text)); }
  void Boolean(bool value) { Keep(std::string(1, value ? '\1' : '\0')); }
  void Int(int32_t value) { Keep(Big(static_cast<uint32_t>(value), 4)); }
  void Double(double value) {
    uint64_t bits;
    static_assert(sizeof bits == sizeof value);
    __builtin_memcpy(&bits, &value, sizeof bits);
    Keep(Big(bits, 8));
  }
  void Uuid(const UuidBytes& uuid) {
    Keep(std::string(reinterpret_cast<const char*>(uuid.data()), uuid.size()));
  }
  void Blob(std::string bytes) { Keep(std::move(bytes)); }

  // A list or set of texts, in the given order.
  void Texts(absl::Span<const std::string> texts) {
    std::string bytes = Big(texts.size(), 4);
    for (const std::string& text : texts) AppendSized(text, &bytes);
    Keep(std::move(bytes));
  }
  void TextMap(const std::map<std::string, std::string>& map) {
    std::string bytes = Big(map.size(), 4);
    for (const auto& [key, value] : map) {
      AppendSized(key, &bytes);
      AppendSized(value, &bytes);
    }
    Keep(std::move(bytes));
  }

  std::deque<std::string> Release() { return std::move(kept_); }

 private:
  static std::string Big(uint64_t value, size_t bytes) {
    std::string text(bytes, '\0');
    for (size_t i = bytes; i-- > 0; value >>= 8) {
      text[i] = static_cast<char>(value & 0xff);
    }
    return text;
  }
  static void AppendSized(std::string_view value, std::string* bytes) {
    bytes->append(Big(value.size(), 4)).append(value);
  }
  void Keep(std::string bytes) {
    kept_.push_back(std::move(bytes));
    rows_->push_back(Value::Bytes(kept_.back()));
  }

  std::vector<Value>* rows_;
  std::deque<std::string> kept_;  // Of strings, whose bytes stay put.
};

using Fill = std::function<void(RowBuilder*)>;

// A table whose values live until it is read again.
absl::Status Add(Engine* engine, std::string create_statement, Fill fill) {
  VirtualTable table;
  table.create_statement = std::move(create_statement);
  table.fill = [fill = std::move(fill), kept = std::deque<std::string>()](
                   std::vector<Value>* rows) mutable {
    RowBuilder builder(rows);
    fill(&builder);
    kept = builder.Release();
  };
  return engine->AddVirtualTable(std::move(table));
}

std::string_view KindText(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kPartitionKey:
      return "partition_key";
    case ColumnKind::kClustering:
      return "clustering";
    case ColumnKind::kStatic:
      return "static";
    case ColumnKind::kRegular:
      return "regular";
  }
  return "regular";
}

std::vector<std::string> TokenTexts(absl::Span<const int64_t> tokens) {
  std::vector<std::string> texts;
  for (int64_t token : tokens) texts.push_back(absl::StrCat(token));
  return texts;
}

absl::Status AddLocal(Engine* engine, const NodeIdentity& identity) {
  return Add(
      engine,
      "CREATE TABLE system.local (key text PRIMARY KEY, bootstrapped text, "
      "broadcast_address inet, cluster_name text, cql_version text, "
      "data_center text, gossip_generation int, host_id uuid, "
      "listen_address inet, native_protocol_version text, partitioner text, "
      "rack text, release_version text, rpc_address inet, schema_version uuid, "
      "supported_features text, tokens set<text>, "
      "truncated_at map<uuid, blob>)",
      [engine, identity](RowBuilder* row) {
        row->Text("local");
        row->Text("COMPLETED");
        row->Blob(identity.address);
        row->Text(identity.cluster_name);
        row->Text("3.3.1");
        row->Text(identity.data_center);
        row->Int(1);
        row->Uuid(identity.host_id);
        row->Blob(identity.address);
        row->Text("4");
        row->Text(kPartitioner);
        row->Text(identity.rack);
        row->Text(identity.release_version);
        row->Blob(identity.address);
        row->Uuid(engine->schema_version());
        row->Text("");
        row->Texts(TokenTexts(identity.tokens));
        row->Null();
      });
}

absl::Status AddKeyspaces(Engine* engine) {
  return Add(
      engine,
      "CREATE TABLE system_schema.keyspaces (keyspace_name text PRIMARY KEY, "
      "durable_writes boolean, replication frozen<map<text, text>>)",
      [engine](RowBuilder* row) {
        for (const auto& [name, keyspace] : engine->catalog().keyspaces()) {
          row->Text(name);
          row->Boolean(keyspace.durable_writes);
          row->TextMap(keyspace.replication);
        }
        for (std::string_view name : {"system", "system_schema"}) {
          row->Text(name);
          row->Boolean(true);
          row->TextMap(
              {{"class", "org.apache.cassandra.locator.LocalStrategy"}});
        }
      });
}

void AppendTableRow(const Table& table, RowBuilder* row) {
  std::vector<std::string> flags;
  flags.push_back("compound");
  if (table.is_counter) flags.push_back("counter");
  row->Text(table.keyspace);
  row->Text(table.name);
  row->Double(0.01);
  row->TextMap({{"keys", "ALL"}, {"rows_per_partition", "ALL"}});
  row->Text("");
  row->TextMap({});
  row->TextMap({});
  row->Double(1);
  row->Double(0);
  row->Int(table.default_ttl);
  row->TextMap({});
  row->Texts(flags);
  row->Int(0);
  row->Uuid(table.id);
  row->Int(2048);
  row->Int(0);
  row->Int(128);
  row->Double(0);
  row->Text("NONE");
}

absl::Status AddTables(Engine* engine) {
  return Add(
      engine,
      "CREATE TABLE system_schema.tables (keyspace_name text, "
      "table_name text, bloom_filter_fp_chance double, "
      "caching frozen<map<text, text>>, comment text, "
      "compaction frozen<map<text, text>>, "
      "compression frozen<map<text, text>>, crc_check_chance double, "
      "dclocal_read_repair_chance double, default_time_to_live int, "
      "extensions frozen<map<text, blob>>, flags frozen<set<text>>, "
      "gc_grace_seconds int, id uuid, max_index_interval int, "
      "memtable_flush_period_in_ms int, min_index_interval int, "
      "read_repair_chance double, speculative_retry text, "
      "PRIMARY KEY (keyspace_name, table_name))",
      [engine](RowBuilder* row) {
        for (const auto& [name, keyspace] : engine->catalog().keyspaces()) {
          for (const auto& [table_name, table] : keyspace.tables) {
            AppendTableRow(*table, row);
          }
        }
      });
}

absl::Status AddColumns(Engine* engine) {
  return Add(
      engine,
      "CREATE TABLE system_schema.columns (keyspace_name text, "
      "table_name text, column_name text, clustering_order text, "
      "column_name_bytes blob, kind text, position int, type text, "
      "PRIMARY KEY (keyspace_name, table_name, column_name))",
      [engine](RowBuilder* row) {
        for (const auto& [name, keyspace] : engine->catalog().keyspaces()) {
          for (const auto& [table_name, table] : keyspace.tables) {
            for (const Column& column : table->columns) {
              const bool clustering = column.kind == ColumnKind::kClustering;
              const bool key =
                  clustering || column.kind == ColumnKind::kPartitionKey;
              row->Text(name);
              row->Text(table_name);
              row->Text(column.name);
              row->Text(!clustering         ? "none"
                        : column.descending ? "desc"
                                            : "asc");
              row->Blob(column.name);
              row->Text(KindText(column.kind));
              row->Int(key ? column.position : -1);
              row->Text(TypeText(*column.type));
            }
          }
        }
      });
}

absl::Status AddTypes(Engine* engine) {
  return Add(
      engine,
      "CREATE TABLE system_schema.types (keyspace_name text, type_name text, "
      "field_names frozen<list<text>>, field_types frozen<list<text>>, "
      "PRIMARY KEY (keyspace_name, type_name))",
      [engine](RowBuilder* row) {
        for (const auto& [name, keyspace] : engine->catalog().keyspaces()) {
          for (const auto& [type_name, type] : keyspace.types) {
            std::vector<std::string> types;
            for (const TypeRef& field : type->parameters) {
              types.push_back(TypeText(*field));
            }
            row->Text(name);
            row->Text(type_name);
            row->Texts(type->field_names);
            row->Texts(types);
          }
        }
      });
}

absl::Status AddScyllaTables(Engine* engine) {
  return Add(
      engine,
      "CREATE TABLE system_schema.scylla_tables (keyspace_name text, "
      "table_name text, cdc frozen<map<text, text>>, partitioner text, "
      "version uuid, PRIMARY KEY (keyspace_name, table_name))",
      [engine](RowBuilder* row) {
        for (const auto& [name, keyspace] : engine->catalog().keyspaces()) {
          for (const auto& [table_name, table] : keyspace.tables) {
            row->Text(name);
            row->Text(table_name);
            row->Null();
            row->Null();
            row->Uuid(table->id);
          }
        }
      });
}

// What drivers look at and a single node without such objects has none of.
constexpr std::string_view kEmptyTables[] = {
    "CREATE TABLE system.peers (peer inet PRIMARY KEY, data_center text, "
    "host_id uuid, preferred_ip inet, rack text, release_version text, "
    "rpc_address inet, schema_version uuid, supported_features text, "
    "tokens set<text>)",
    "CREATE TABLE system_schema.functions (keyspace_name text, "
    "function_name text, argument_types frozen<list<text>>, "
    "argument_names frozen<list<text>>, body text, "
    "called_on_null_input boolean, language text, return_type text, "
    "PRIMARY KEY (keyspace_name, function_name, argument_types))",
    "CREATE TABLE system_schema.aggregates (keyspace_name text, "
    "aggregate_name text, argument_types frozen<list<text>>, final_func text, "
    "initcond text, return_type text, state_func text, state_type text, "
    "PRIMARY KEY (keyspace_name, aggregate_name, argument_types))",
    "CREATE TABLE system_schema.indexes (keyspace_name text, table_name text, "
    "index_name text, kind text, options frozen<map<text, text>>, "
    "PRIMARY KEY (keyspace_name, table_name, index_name))",
    "CREATE TABLE system_schema.triggers (keyspace_name text, "
    "table_name text, trigger_name text, options frozen<map<text, text>>, "
    "PRIMARY KEY (keyspace_name, table_name, trigger_name))",
    "CREATE TABLE system_schema.dropped_columns (keyspace_name text, "
    "table_name text, column_name text, dropped_time timestamp, kind text, "
    "type text, PRIMARY KEY (keyspace_name, table_name, column_name))",
    "CREATE TABLE system_schema.views (keyspace_name text, view_name text, "
    "base_table_id uuid, base_table_name text, "
    "bloom_filter_fp_chance double, caching frozen<map<text, text>>, "
    "comment text, compaction frozen<map<text, text>>, "
    "compression frozen<map<text, text>>, crc_check_chance double, "
    "dclocal_read_repair_chance double, default_time_to_live int, "
    "extensions frozen<map<text, blob>>, gc_grace_seconds int, id uuid, "
    "include_all_columns boolean, max_index_interval int, "
    "memtable_flush_period_in_ms int, min_index_interval int, "
    "read_repair_chance double, speculative_retry text, where_clause text, "
    "PRIMARY KEY (keyspace_name, view_name))",
    "CREATE TABLE system_schema.scylla_keyspaces (keyspace_name text "
    "PRIMARY KEY, initial_tablets int, storage_type text, "
    "storage_options frozen<map<text, text>>)",
};

}  // namespace

absl::Status AddSystemTables(Engine* engine, const NodeIdentity& identity) {
  absl::Status status = AddLocal(engine, identity);
  for (auto add :
       {&AddKeyspaces, &AddTables, &AddColumns, &AddTypes, &AddScyllaTables}) {
    if (status.ok()) status = add(engine);
  }
  for (std::string_view statement : kEmptyTables) {
    if (status.ok()) {
      status = Add(engine, std::string(statement), [](RowBuilder*) {});
    }
  }
  return status;
}

}  // namespace cql::node
