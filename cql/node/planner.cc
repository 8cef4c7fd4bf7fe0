#include "cql/node/planner.h"

#include <algorithm>
#include <utility>

#include "cql/node/error.h"
#include "cql/node/internal/text.h"
#include "cql/node/literal.h"
#include "cql/node/protocol_type.h"

namespace cql::node {
namespace {

bool Accepts(const CqlType& wanted, const CqlType& given) {
  if (wanted.id == given.id) return true;
  return (wanted.id == TypeId::kUuid && given.id == TypeId::kTimeuuid) ||
         (wanted.id == TypeId::kCounter && given.id == TypeId::kBigint) ||
         (wanted.id == TypeId::kText && given.id == TypeId::kAscii);
}

}  // namespace

std::string QualifiedName(const Table& table) {
  return StrCat(table.keyspace, ".", table.name);
}

absl::StatusOr<std::shared_ptr<Statement>> Planner::Plan(
    ast::Statement statement) {
  markers_ = std::move(statement.markers);
  specs_.assign(markers_.size(), ColumnSpec());
  ast::AnyStatement& any = statement.statement;
  absl::StatusOr<std::shared_ptr<Statement>> plan =
      std::shared_ptr<Statement>();
  if (auto* select = std::get_if<ast::Select>(&any)) {
    plan = PlanSelect(*select);
  } else if (auto* insert = std::get_if<ast::Insert>(&any)) {
    plan = PlanInsert(*insert);
  } else if (auto* update = std::get_if<ast::Update>(&any)) {
    plan = PlanUpdate(*update);
  } else if (auto* del = std::get_if<ast::Delete>(&any)) {
    plan = PlanDelete(*del);
  } else if (auto* batch = std::get_if<ast::Batch>(&any)) {
    plan = PlanBatch(*batch);
  } else if (auto* use = std::get_if<ast::Use>(&any)) {
    auto made = std::make_shared<UsePlan>();
    made->keyspace_ = std::move(use->keyspace);
    plan = std::move(made);
  } else if (auto* truncate = std::get_if<ast::Truncate>(&any)) {
    absl::StatusOr<TableRef> table = FindTable(truncate->table, "TRUNCATE");
    if (!table.ok()) return table.status();
    auto made = std::make_shared<TruncatePlan>();
    SetTable(**table, made.get());
    made->table_ref = *std::move(table);
    plan = std::move(made);
  } else {
    if (!markers_.empty()) {
      return InvalidError("Bind markers have no place in a schema statement");
    }
    auto made = std::make_shared<SchemaPlan>(std::move(any));
    made->default_keyspace = keyspace_;
    plan = std::move(made);
  }
  if (plan.ok()) (*plan)->bind_markers_ = std::move(specs_);
  return plan;
}

absl::StatusOr<TableRef> Planner::FindTable(const ast::TableName& name,
                                            std::string_view what) {
  const std::string& keyspace =
      name.keyspace.empty() ? keyspace_ : name.keyspace;
  if (keyspace.empty()) {
    return InvalidError(
        "No keyspace has been specified. USE a keyspace, or explicitly "
        "specify keyspace.tablename");
  }
  TableRef table = catalog_->FindTable(keyspace, name.table);
  if (table == nullptr) {
    if (catalog_->FindKeyspace(keyspace) == nullptr &&
        !catalog_->HasVirtualKeyspace(keyspace)) {
      return InvalidError(StrCat("Keyspace ", keyspace, " does not exist"));
    }
    return InvalidError(StrCat("unconfigured table ", name.table));
  }
  if (table->virtual_table != nullptr && !what.empty()) {
    return MakeError(ServerCode::kUnauthorized,
                     StrCat(what, " is not allowed on ", QualifiedName(*table),
                            ": it belongs to the system"));
  }
  marker_keyspace_ = table->keyspace;
  marker_table_ = table->name;
  return table;
}

absl::StatusOr<int> Planner::FindColumn(const Table& table,
                                        std::string_view name) {
  const int column = table.Find(name);
  if (column < 0) {
    return InvalidError(StrCat("Undefined column name ", name, " in table ",
                               QualifiedName(table)));
  }
  return column;
}

void Planner::SetTable(const Table& table, Statement* statement) {
  statement->keyspace_ = table.keyspace;
  statement->table_ = table.name;
}

void Planner::SetPartitionKeyMarkers(const std::vector<KeyEquality>& partition,
                                     Statement* statement) {
  std::vector<uint16_t> markers;
  for (const KeyEquality& equality : partition) {
    if (equality.in_marker || equality.choices.size() != 1 ||
        equality.choices[0].is_whole || equality.choices[0].items.size() != 1 ||
        equality.choices[0].items[0].kind != BoundTerm::Kind::kMarker) {
      return;
    }
    markers.push_back(equality.choices[0].items[0].marker);
  }
  statement->partition_key_markers_ = std::move(markers);
}

absl::Status Planner::Bind(const ast::Term& term, const TypeRef& type,
                           std::string_view name, BoundTerm* bound) {
  bound->type = type;
  bound->name = std::string(name);
  switch (term.kind) {
    case ast::Term::Kind::kNull:
      bound->kind = BoundTerm::Kind::kNull;
      return absl::OkStatus();
    case ast::Term::Kind::kMarker:
      BindMarker(term, type, name, bound);
      return absl::OkStatus();
    case ast::Term::Kind::kCall:
      return BindCall(term, type, name, bound);
    case ast::Term::Kind::kList:
    case ast::Term::Kind::kSet:
    case ast::Term::Kind::kMap:
    case ast::Term::Kind::kTuple:
      return BindComposite(term, type, name, bound);
    case ast::Term::Kind::kUser:
      return BindUser(term, type, name, bound);
    default:
      bound->kind = BoundTerm::Kind::kConstant;
      return EncodeLiteral(term, *type, name, &bound->constant);
  }
}

void Planner::BindMarker(const ast::Term& term, const TypeRef& type,
                         std::string_view name, BoundTerm* bound) {
  bound->kind = BoundTerm::Kind::kMarker;
  bound->type = type;
  bound->marker = static_cast<uint16_t>(term.marker);
  const ast::Marker& marker = markers_[term.marker];
  bound->name = marker.name.empty() ? std::string(name) : marker.name;
  ColumnSpec& spec = specs_[term.marker];
  spec.keyspace = marker_keyspace_;
  spec.table = marker_table_;
  spec.name = bound->name;
  spec.type = ToProtocolType(*type);
}

absl::Status Planner::BindCall(const ast::Term& term, const TypeRef& type,
                               std::string_view name, BoundTerm* bound) {
  bound->kind = BoundTerm::Kind::kCall;
  // Types of arguments: of calls what they give, of literals what the function
  // wants, which is looked up with null first.
  std::vector<TypeRef> arguments(term.items.size());
  for (size_t i = 0; i < term.items.size(); ++i) {
    if (term.items[i].kind != ast::Term::Kind::kCall) continue;
    BoundTerm probe;
    absl::Status status = BindCall(term.items[i], nullptr, name, &probe);
    if (!status.ok()) return status;
    arguments[i] = probe.type;
  }
  absl::StatusOr<Function> function = FindFunction(term.text, arguments);
  if (!function.ok()) return function.status();
  if (type != nullptr && !Accepts(*type, *function->result)) {
    return InvalidError(StrCat("Type error: cannot assign result of function ",
                               term.text, " (type ",
                               TypeText(*function->result), ") to ", name,
                               " (type ", TypeText(*type), ")"));
  }
  bound->type = function->result;
  bound->function = *std::move(function);
  for (size_t i = 0; i < term.items.size(); ++i) {
    absl::Status status = Bind(term.items[i], bound->function.parameters[i],
                               StrCat("arg", i, "(", term.text, ")"),
                               &bound->items.emplace_back());
    if (!status.ok()) return status;
  }
  Fold(bound);
  return absl::OkStatus();
}

absl::Status Planner::BindComposite(const ast::Term& term, const TypeRef& type,
                                    std::string_view name, BoundTerm* bound) {
  using Kind = ast::Term::Kind;
  bound->kind = BoundTerm::Kind::kComposite;
  const TypeId id = type->id;
  const bool fits =
      (term.kind == Kind::kList && id == TypeId::kList) ||
      (term.kind == Kind::kSet && id == TypeId::kSet) ||
      (term.kind == Kind::kSet && id == TypeId::kMap && term.items.empty()) ||
      (term.kind == Kind::kMap && id == TypeId::kMap) ||
      (term.kind == Kind::kTuple && id == TypeId::kTuple);
  if (!fits) {
    // A value in parentheses is that value.
    if (term.kind == Kind::kTuple && term.items.size() == 1) {
      return Bind(term.items[0], type, name, bound);
    }
    const std::string_view literal = term.kind == Kind::kList  ? "list"
                                     : term.kind == Kind::kSet ? "set"
                                     : term.kind == Kind::kMap ? "map"
                                                               : "tuple";
    return InvalidError(StrCat("Invalid ", literal, " literal for ", name,
                               " of type ", TypeText(*type)));
  }
  if (id == TypeId::kTuple && term.items.size() > type->parameters.size()) {
    return InvalidError(StrCat("Invalid tuple literal for ", name,
                               ": too many elements. Type ", TypeText(*type),
                               " expects ", type->parameters.size(),
                               " but got ", term.items.size()));
  }
  for (size_t i = 0; i < term.items.size(); ++i) {
    absl::Status status =
        Bind(term.items[i], type->parameters[i % type->parameters.size()], name,
             &bound->items.emplace_back());
    if (!status.ok()) return status;
  }
  Fold(bound);
  return absl::OkStatus();
}

absl::Status Planner::BindUser(const ast::Term& term, const TypeRef& type,
                               std::string_view name, BoundTerm* bound) {
  if (type->id != TypeId::kUser) {
    return InvalidError(StrCat("Invalid user type literal for ", name,
                               " of type ", TypeText(*type)));
  }
  bound->kind = BoundTerm::Kind::kComposite;
  bound->items.resize(type->parameters.size());
  for (size_t i = 0; i < term.items.size(); ++i) {
    const auto field = std::find(type->field_names.begin(),
                                 type->field_names.end(), term.names[i]);
    if (field == type->field_names.end()) {
      return InvalidError(StrCat("Unknown field '", term.names[i],
                                 "' in value of user defined type ",
                                 type->name));
    }
    const auto at = static_cast<size_t>(field - type->field_names.begin());
    absl::Status status =
        Bind(term.items[i], type->parameters[at],
             StrCat(name, ".", term.names[i]), &bound->items[at]);
    if (!status.ok()) return status;
  }
  Fold(bound);
  return absl::OkStatus();
}

// Makes a composite or call whose parts are all known a constant.
void Planner::Fold(BoundTerm* bound) {
  if (bound->kind == BoundTerm::Kind::kCall && !bound->function.IsPure()) {
    return;
  }
  for (const BoundTerm& item : bound->items) {
    if (item.kind != BoundTerm::Kind::kNull &&
        item.kind != BoundTerm::Kind::kConstant) {
      return;
    }
  }
  const Limits limits;
  EvalContext context;
  context.Reset({}, 0, nullptr, &limits);
  Value value;
  // What cannot be evaluated says so when it is executed.
  if (!context.Evaluate(*bound, &value).ok() ||
      value.kind != Value::Kind::kBytes) {
    return;
  }
  bound->constant = std::string(value.bytes);
  bound->kind = BoundTerm::Kind::kConstant;
  bound->items.clear();
}

absl::Status Planner::BindTokenCall(const Table& table, const ast::Term& term,
                                    BoundTerm* bound) {
  if (term.items.size() != table.partition_columns) {
    return InvalidError(
        StrCat("Invalid number of arguments in call to function token: ",
               table.partition_columns, " required but ", term.items.size(),
               " provided"));
  }
  bound->kind = BoundTerm::Kind::kCall;
  bound->type = SimpleType(TypeId::kBigint);
  bound->name = "partition key token";
  bound->function.id = FunctionId::kToken;
  bound->function.result = bound->type;
  for (size_t i = 0; i < term.items.size(); ++i) {
    const Column& column = table.columns[i];
    absl::Status status = Bind(term.items[i], column.type, column.name,
                               &bound->items.emplace_back());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Planner::BindOptional(const std::optional<ast::Term>& term,
                                   TypeId type, std::string_view name,
                                   std::optional<BoundTerm>* bound) {
  if (!term.has_value()) return absl::OkStatus();
  return Bind(*term, SimpleType(type), name, &bound->emplace());
}

absl::Status Planner::BindTimeout(const ast::Using& options) {
  if (!options.timeout.has_value()) return absl::OkStatus();
  BoundTerm ignored;
  return Bind(*options.timeout, SimpleType(TypeId::kDuration), "[timeout]",
              &ignored);
}

}  // namespace cql::node
