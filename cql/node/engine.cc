#include "cql/node/engine.h"

#include <chrono>
#include <list>
#include <unordered_map>
#include <utility>

#include "cql/node/catalog.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/node/keys.h"
#include "cql/node/modify.h"
#include "cql/node/paging.h"
#include "cql/node/parser.h"
#include "cql/node/plan.h"
#include "cql/node/planner.h"
#include "cql/node/schema.h"
#include "cql/node/select.h"
#include "cql/node/storage.h"

namespace cql::node {
namespace {

constexpr std::string_view kSealName = "page_seal";

int64_t ClockMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void Reset(Result* result) {
  result->kind = Result::Kind::kVoid;
  result->columns = nullptr;
  result->row_count = 0;
  result->rows.clear();
  result->paging_state.clear();
  result->keyspace.clear();
  result->schema = SchemaChange();
}

StatementId MakeId(std::string_view text, std::string_view keyspace) {
  constexpr uint64_t kSeeds[] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f};
  StatementId id;
  for (int i = 0; i < 2; ++i) {
    StoreBig(HashBytes(text, HashBytes(keyspace, kSeeds[i])),
             reinterpret_cast<char*>(id.data()) + 8 * i);
  }
  return id;
}

struct IdHash {
  size_t operator()(const StatementId& id) const {
    return LoadBig<uint64_t>(reinterpret_cast<const char*>(id.data()));
  }
};

absl::Status StaleError(const Statement& statement) {
  ServerError error;
  error.code = ServerCode::kUnprepared;
  error.message = "The schema changed since the statement was prepared";
  error.statement_id.assign(statement.id().begin(), statement.id().end());
  return ToStatus(error);
}

absl::Status CheckValues(const Statement& statement,
                         absl::Span<const Value> values) {
  if (statement.IsStale()) return StaleError(statement);
  if (values.size() == statement.bind_markers().size()) {
    return absl::OkStatus();
  }
  return InvalidError(StrCat("there were ", statement.bind_markers().size(),
                             " markers(?) in CQL but ", values.size(),
                             " bound variables"));
}

// What a batch may hold beside what is in it.
absl::Status CheckBatch(BatchType type,
                        absl::Span<const BoundModification> modifications) {
  for (const BoundModification& modification : modifications) {
    const bool counter = modification.plan->table_ref->is_counter;
    if (type == BatchType::kCounter && !counter) {
      return InvalidError(
          "Cannot include non-counter statement in a counter batch");
    }
    if (type == BatchType::kLogged && counter) {
      return InvalidError(
          "Cannot include a counter statement in a logged batch");
    }
  }
  return absl::OkStatus();
}

}  // namespace

class Engine::Impl {
 public:
  absl::Status Open(const EngineOptions& options) {
    limits = options.limits;
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(options);
    if (!opened.ok()) return opened.status();
    storage = *std::move(opened);
    schema = std::make_unique<SchemaExecutor>(storage.get(), &catalog, &limits,
                                              &uuids);
    absl::Status status = schema->Load();
    if (status.ok()) status = LoadSeal();
    if (!status.ok()) {
      return absl::Status(status.code(),
                          StrCat("cannot open data folder ", options.data_dir,
                                 ": ", ToStd(status.message())));
    }
    select =
        std::make_unique<SelectExecutor>(storage.get(), &limits, &uuids, seal);
    modify = std::make_unique<ModifyExecutor>(storage.get(), &limits, &uuids,
                                              &timestamps);
    return absl::OkStatus();
  }

  absl::Status AddVirtualTable(VirtualTable table) {
    absl::StatusOr<ast::Statement> parsed =
        ParseStatement(table.create_statement, limits);
    if (!parsed.ok()) return parsed.status();
    auto* create = std::get_if<ast::CreateTable>(&parsed->statement);
    if (create == nullptr || create->table.keyspace.empty()) {
      return InvalidError("a virtual table needs CREATE TABLE keyspace.name");
    }
    absl::StatusOr<std::shared_ptr<Table>> made =
        schema->MakeTable(*create, create->table.keyspace);
    if (!made.ok()) return made.status();
    for (const Column& column : (*made)->columns) {
      for (size_t i = 0; i < create->columns.size(); ++i) {
        if (create->columns[i].name == column.name) {
          (*made)->virtual_order.push_back(static_cast<uint16_t>(i));
        }
      }
    }
    virtual_tables.push_back(std::move(table));
    (*made)->virtual_table = &virtual_tables.back();
    catalog.PutVirtualTable(*std::move(made));
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<Statement>> Plan(std::string_view text,
                                                  std::string_view keyspace) {
    absl::StatusOr<ast::Statement> parsed = ParseStatement(text, limits);
    if (!parsed.ok()) return parsed.status();
    Planner planner(&catalog, &limits, keyspace);
    return planner.Plan(*std::move(parsed));
  }

  std::shared_ptr<const Statement> Find(const StatementId& id) {
    auto found = prepared.find(id);
    if (found == prepared.end()) return nullptr;
    if ((*found->second)->IsStale()) {
      recent.erase(found->second);
      prepared.erase(found);
      return nullptr;
    }
    recent.splice(recent.begin(), recent, found->second);
    return recent.front();
  }

  void Keep(std::shared_ptr<const Statement> statement) {
    while (!recent.empty() && recent.size() >= limits.prepared_max) {
      prepared.erase(recent.back()->id());
      recent.pop_back();
    }
    recent.push_front(std::move(statement));
    prepared[recent.front()->id()] = recent.begin();
  }

  absl::Status RunBatch(BatchType type, std::optional<int64_t> timestamp,
                        const ExecuteOptions& options, int64_t now_us,
                        Result* result) {
    if (modifications.empty()) return absl::OkStatus();
    absl::Status status = CheckBatch(type, modifications);
    if (!status.ok()) return status;
    return modify->Run(modifications, timestamp, options, now_us, result);
  }

  absl::Status ExecuteBatchPlan(const BatchPlan& plan,
                                absl::Span<const Value> values,
                                const ExecuteOptions& options, int64_t now_us,
                                Result* result) {
    modifications.clear();
    for (const auto& statement : plan.statements) {
      modifications.push_back({statement.get(), values});
    }
    std::optional<int64_t> timestamp;
    if (plan.timestamp.has_value()) {
      context.Reset(values, now_us, &uuids, &limits);
      Value value;
      absl::Status status = context.Evaluate(*plan.timestamp, &value);
      if (!status.ok()) return status;
      if (value.kind == Value::Kind::kNull) {
        return InvalidError("Invalid null value of timestamp");
      }
      if (value.kind == Value::Kind::kBytes) {
        timestamp = LoadBig<int64_t>(value.bytes.data());
      }
    }
    return RunBatch(plan.type, timestamp, options, now_us, result);
  }

  Limits limits;
  Catalog catalog;
  UuidSource uuids;
  TimestampSource timestamps;
  uint64_t seal = 0;
  std::list<VirtualTable> virtual_tables;
  std::unique_ptr<Storage> storage;
  std::unique_ptr<SchemaExecutor> schema;
  std::unique_ptr<SelectExecutor> select;
  std::unique_ptr<ModifyExecutor> modify;
  EvalContext context;
  std::vector<BoundModification> modifications;
  // Kept statements, the most recently used first.
  std::list<std::shared_ptr<const Statement>> recent;
  std::unordered_map<StatementId,
                     std::list<std::shared_ptr<const Statement>>::iterator,
                     IdHash>
      prepared;

 private:
  absl::Status LoadSeal() {
    auto stored = storage->ReadMeta(kSealName);
    if (!stored.ok()) return stored.status();
    std::string bytes;
    if (!stored->empty() && (*stored)[0].second.size() == 16) {
      bytes = (*stored)[0].second;
    } else {
      uuids.AppendRandom(&bytes);
      rocksdb::WriteBatch batch;
      batch.Put(MetaKey(kSealName), bytes);
      absl::Status status = storage->WriteDurably(&batch);
      if (!status.ok()) return status;
    }
    seal = LoadBig<uint64_t>(bytes.data());
    return absl::OkStatus();
  }
};

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(
    const EngineOptions& options) {
  auto impl = std::make_unique<Impl>();
  absl::Status status = impl->Open(options);
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::Status Engine::AddVirtualTable(VirtualTable table) {
  return impl_->AddVirtualTable(std::move(table));
}

absl::StatusOr<std::shared_ptr<const Statement>> Engine::Prepare(
    std::string_view text, std::string_view keyspace) {
  const StatementId id = MakeId(text, keyspace);
  if (std::shared_ptr<const Statement> kept = impl_->Find(id)) return kept;
  absl::StatusOr<std::shared_ptr<Statement>> plan = impl_->Plan(text, keyspace);
  if (!plan.ok()) return plan.status();
  (*plan)->id_ = id;
  (*plan)->text_ = std::string(text);
  impl_->Keep(*plan);
  return std::shared_ptr<const Statement>(*std::move(plan));
}

absl::StatusOr<std::shared_ptr<const Statement>> Engine::PrepareOnce(
    std::string_view text, std::string_view keyspace) {
  absl::StatusOr<std::shared_ptr<Statement>> plan = impl_->Plan(text, keyspace);
  if (!plan.ok()) return plan.status();
  (*plan)->id_ = MakeId(text, keyspace);
  (*plan)->text_ = std::string(text);
  return std::shared_ptr<const Statement>(*std::move(plan));
}

std::shared_ptr<const Statement> Engine::Find(const StatementId& id) {
  return impl_->Find(id);
}

absl::Status Engine::Execute(const Statement& statement,
                             absl::Span<const Value> values,
                             const ExecuteOptions& options, Result* result) {
  Reset(result);
  absl::Status status = CheckValues(statement, values);
  if (!status.ok()) return status;
  const int64_t now_us = options.now_us != 0 ? options.now_us : ClockMicros();
  switch (statement.kind()) {
    case Statement::Kind::kSelect:
      impl_->context.Reset(values, now_us, &impl_->uuids, &impl_->limits);
      return impl_->select->Run(static_cast<const SelectPlan&>(statement),
                                &impl_->context, options, result);
    case Statement::Kind::kModify: {
      const BoundModification modification = {
          static_cast<const ModifyPlan*>(&statement), values};
      return impl_->modify->Run({&modification, 1}, std::nullopt, options,
                                now_us, result);
    }
    case Statement::Kind::kBatch:
      return impl_->ExecuteBatchPlan(static_cast<const BatchPlan&>(statement),
                                     values, options, now_us, result);
    case Statement::Kind::kUse:
      if (impl_->catalog.FindKeyspace(statement.keyspace()) == nullptr &&
          !impl_->catalog.HasVirtualKeyspace(statement.keyspace())) {
        return InvalidError(
            StrCat("Keyspace '", statement.keyspace(), "' does not exist"));
      }
      result->kind = Result::Kind::kSetKeyspace;
      result->keyspace = statement.keyspace();
      return absl::OkStatus();
    case Statement::Kind::kSchema:
      return impl_->schema->Run(static_cast<const SchemaPlan&>(statement),
                                result);
    case Statement::Kind::kTruncate:
      return impl_->schema->Truncate(
          *static_cast<const TruncatePlan&>(statement).table_ref);
  }
  return absl::OkStatus();
}

absl::Status Engine::ExecuteBatch(BatchType type,
                                  absl::Span<const BatchEntry> entries,
                                  const ExecuteOptions& options,
                                  Result* result) {
  Reset(result);
  if (entries.size() > impl_->limits.batch_statements_max) {
    return InvalidError(StrCat("Batch of ", entries.size(),
                               " statements is longer than the limit of ",
                               impl_->limits.batch_statements_max));
  }
  impl_->modifications.clear();
  for (const BatchEntry& entry : entries) {
    if (entry.statement->kind() != Statement::Kind::kModify) {
      return InvalidError(
          "Invalid statement in batch: only UPDATE, INSERT and DELETE "
          "statements are allowed.");
    }
    absl::Status status = CheckValues(*entry.statement, entry.values);
    if (!status.ok()) return status;
    impl_->modifications.push_back(
        {static_cast<const ModifyPlan*>(entry.statement), entry.values});
  }
  const int64_t now_us = options.now_us != 0 ? options.now_us : ClockMicros();
  return impl_->RunBatch(type, std::nullopt, options, now_us, result);
}

bool Engine::NeedsSync() const { return impl_->storage->NeedsSync(); }

absl::Status Engine::Sync() { return impl_->storage->Sync(); }

absl::Status Engine::write_status() const {
  return impl_->storage->write_status();
}

std::array<uint8_t, 16> Engine::schema_version() const {
  return impl_->schema->version();
}

const Catalog& Engine::catalog() const { return impl_->catalog; }

}  // namespace cql::node
