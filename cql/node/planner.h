// Parsed statements to plans: names looked up, types checked, restrictions
// sorted into those that find rows and those that filter them.
#ifndef RINGPLANE_CQL_NODE_PLANNER_H_
#define RINGPLANE_CQL_NODE_PLANNER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/node/ast.h"
#include "cql/node/catalog.h"
#include "cql/node/engine.h"
#include "cql/node/plan.h"

namespace cql::node {

class Planner {
 public:
  // The catalog and limits must outlive the planner.
  Planner(const Catalog* catalog, const Limits* limits,
          std::string_view keyspace)
      : catalog_(catalog), limits_(limits), keyspace_(keyspace) {}

  absl::StatusOr<std::shared_ptr<Statement>> Plan(ast::Statement statement);

 private:
  enum class Use { kSelect, kUpdate, kDelete };

  // planner.cc
  absl::StatusOr<TableRef> FindTable(const ast::TableName& name,
                                     std::string_view what);
  absl::StatusOr<int> FindColumn(const Table& table, std::string_view name);
  absl::Status Bind(const ast::Term& term, const TypeRef& type,
                    std::string_view name, BoundTerm* bound);
  void BindMarker(const ast::Term& term, const TypeRef& type,
                  std::string_view name, BoundTerm* bound);
  absl::Status BindCall(const ast::Term& term, const TypeRef& type,
                        std::string_view name, BoundTerm* bound);
  absl::Status BindComposite(const ast::Term& term, const TypeRef& type,
                             std::string_view name, BoundTerm* bound);
  absl::Status BindUser(const ast::Term& term, const TypeRef& type,
                        std::string_view name, BoundTerm* bound);
  absl::Status BindTokenCall(const Table& table, const ast::Term& term,
                             BoundTerm* bound);
  absl::Status BindOptional(const std::optional<ast::Term>& term, TypeId type,
                            std::string_view name,
                            std::optional<BoundTerm>* bound);
  absl::Status BindTimeout(const ast::Using& options);
  static void Fold(BoundTerm* bound);
  void SetTable(const Table& table, Statement* statement);
  void SetPartitionKeyMarkers(const std::vector<KeyEquality>& partition,
                              Statement* statement);

  // planner_where.cc
  struct WhereParts;
  absl::Status PlanWhere(const Table& table,
                         const std::vector<ast::Relation>& relations, Use use,
                         bool allow_filtering, Restrictions* where);
  absl::Status AddRelation(const Table& table, const ast::Relation& relation,
                           WhereParts* parts);
  absl::Status AddTokenRelation(const Table& table,
                                const ast::Relation& relation,
                                WhereParts* parts);
  absl::Status BindChoices(const Table& table, const ast::Relation& relation,
                           const std::vector<uint16_t>& columns,
                           Filter* filter);
  absl::Status BindTuple(const Table& table, const ast::Term& term,
                         const std::vector<uint16_t>& columns, bool as_tuple,
                         TupleTerm* tuple);
  absl::Status PlacePartition(const Table& table, Use use, bool allow_filtering,
                              WhereParts* parts, Restrictions* where);
  absl::Status PlaceClustering(const Table& table, Use use,
                               bool allow_filtering, WhereParts* parts,
                               Restrictions* where);

  // planner_select.cc
  absl::StatusOr<std::shared_ptr<Statement>> PlanSelect(
      const ast::Select& select);
  absl::Status PlanSelectors(const ast::Select& select, SelectPlan* plan);
  absl::Status PlanSelector(const Table& table, const ast::Selector& selector,
                            Selection* selection);
  absl::Status PlanCallSelector(const Table& table,
                                const ast::Selector& selector,
                                Selection* selection);
  absl::Status PlanOrder(const ast::Select& select, SelectPlan* plan);
  void MarkNeeded(const Selection& selection, SelectPlan* plan);

  // planner_modify.cc
  absl::StatusOr<std::shared_ptr<ModifyPlan>> PlanInsert(
      const ast::Insert& insert);
  absl::StatusOr<std::shared_ptr<ModifyPlan>> PlanUpdate(
      const ast::Update& update);
  absl::StatusOr<std::shared_ptr<ModifyPlan>> PlanDelete(
      const ast::Delete& del);
  absl::StatusOr<std::shared_ptr<Statement>> PlanBatch(const ast::Batch& batch);
  absl::Status PlanAssignment(const Table& table,
                              const ast::Assignment& assignment,
                              ModifyPlan* plan);
  absl::Status PlanSetPart(const Table& table, int column,
                           const ast::Target& target, ColumnWrite* write);
  absl::Status PlanConditions(const Table& table,
                              const std::vector<ast::Condition>& conditions,
                              ModifyPlan* plan);
  absl::Status PlanOptions(const ast::Using& options, ModifyPlan* plan);
  absl::Status CheckRows(ModifyPlan* plan);

  const Catalog* const catalog_;
  const Limits* const limits_;
  const std::string keyspace_;
  std::vector<ast::Marker> markers_;
  ColumnSpecs specs_;
  // Of the statement that is planned: for the names of markers.
  std::string marker_keyspace_;
  std::string marker_table_;
};

// "ks.t" with the quotes that its names need.
std::string QualifiedName(const Table& table);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PLANNER_H_
