// What the parser makes of a statement: names and literals as written, nothing
// looked up yet.
#ifndef RINGPLANE_CQL_NODE_AST_H_
#define RINGPLANE_CQL_NODE_AST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace cql::node::ast {

// A type as written: text, list<int>, frozen<address>, ks.address.
struct Type {
  std::string keyspace;  // Of a user type; empty if not written.
  std::string name;
  std::vector<Type> parameters;
};

struct Term {
  enum class Kind : uint8_t {
    kNull,
    kString,
    kInteger,
    kFloat,
    kBoolean,
    kUuid,
    kHex,
    kDuration,
    kMarker,
    kList,   // [a, b]
    kSet,    // {a, b}, and {} which may be a map
    kMap,    // {a: b}: items alternate keys and values
    kUser,   // {field: a}: `names` beside `items`
    kTuple,  // (a, b)
    kCall,   // text(items)
  };
  Kind kind = Kind::kNull;
  uint32_t offset = 0;  // In the text.
  uint32_t marker = 0;  // kMarker: which one.
  std::string text;     // Content of literals; name of the function.
  std::vector<Term> items;
  std::vector<std::string> names;
};

struct TableName {
  std::string keyspace;  // Empty: the default.
  std::string table;
};

enum class Operator : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kContains,
  kContainsKey,
};

// column = a, (columns) > (a, b), token(columns) > a, column IN (a, b).
struct Relation {
  enum class Subject : uint8_t { kColumn, kTuple, kToken };
  Subject subject = Subject::kColumn;
  std::vector<std::string> columns;
  Operator op = Operator::kEqual;
  // One term; for IN with a list, its items; for IN with a marker, the marker
  // with `in_marker`.
  std::vector<Term> values;
  bool in_marker = false;
  uint32_t offset = 0;
};

// column, column[key] or column.field on the left of an assignment, in IF and
// after DELETE.
struct Target {
  std::string column;
  std::optional<Term> key;
  std::string field;
};

struct Assignment {
  enum class Kind : uint8_t { kSet, kAppend, kPrepend, kSubtract };
  Target target;
  Kind kind = Kind::kSet;
  Term value;
};

struct Condition {
  Target target;
  Operator op = Operator::kEqual;
  std::vector<Term> values;
  bool in_marker = false;
};

struct Using {
  std::optional<Term> timestamp;
  std::optional<Term> ttl;
  std::optional<Term> timeout;
};

// A SELECT's column: a name, or a function of selectors and literals.
struct Selector {
  enum class Kind : uint8_t { kColumn, kCall, kLiteral, kField, kElement };
  Kind kind = Kind::kColumn;
  std::string name;  // Column or function; the field of kField.
  std::vector<Selector> arguments;
  Term literal;  // kLiteral; the key of kElement.
  std::string alias;
  std::string text;  // As written: the column's name in the result.
};

struct Select {
  TableName table;
  bool distinct = false;
  bool all = false;  // *
  std::vector<Selector> selectors;
  std::vector<Relation> where;
  std::vector<std::pair<std::string, bool>> order_by;  // true: descending
  std::optional<Term> limit;
  std::optional<Term> per_partition_limit;
  bool allow_filtering = false;
  bool bypass_cache = false;
  Using options;
};

struct Insert {
  TableName table;
  std::vector<std::string> columns;
  std::vector<Term> values;
  bool if_not_exists = false;
  Using options;
};

struct Update {
  TableName table;
  Using options;
  std::vector<Assignment> assignments;
  std::vector<Relation> where;
  bool if_exists = false;
  std::vector<Condition> conditions;
};

struct Delete {
  TableName table;
  std::vector<Target> targets;  // Empty: rows.
  Using options;
  std::vector<Relation> where;
  bool if_exists = false;
  std::vector<Condition> conditions;
};

using Modification = std::variant<Insert, Update, Delete>;

struct Batch {
  enum class Kind : uint8_t { kLogged, kUnlogged, kCounter };
  Kind kind = Kind::kLogged;
  Using options;
  std::vector<Modification> statements;
};

// `name = value` of WITH: a literal, or a map of literals.
struct Property {
  std::string name;
  Term value;
};

struct CreateKeyspace {
  std::string name;
  bool if_not_exists = false;
  std::vector<Property> properties;
};

struct AlterKeyspace {
  std::string name;
  bool if_exists = false;
  std::vector<Property> properties;
};

struct ColumnDefinition {
  std::string name;
  Type type;
  bool is_static = false;
};

struct CreateTable {
  TableName table;
  bool if_not_exists = false;
  std::vector<ColumnDefinition> columns;
  std::vector<std::string> partition_key;
  std::vector<std::string> clustering_key;
  std::vector<std::pair<std::string, bool>> clustering_order;
  std::vector<Property> properties;
};

struct AlterTable {
  enum class Kind : uint8_t { kAdd, kDrop, kRename, kWith };
  TableName table;
  Kind kind = Kind::kAdd;
  bool if_exists = false;
  bool if_column = false;  // ADD IF NOT EXISTS, DROP IF EXISTS.
  std::vector<ColumnDefinition> add;
  std::vector<std::string> drop;
  std::vector<std::pair<std::string, std::string>> rename;
  std::vector<Property> properties;
};

struct CreateType {
  TableName type;
  bool if_not_exists = false;
  std::vector<ColumnDefinition> fields;
};

struct AlterType {
  TableName type;
  bool if_exists = false;
  std::vector<ColumnDefinition> add;
  std::vector<std::pair<std::string, std::string>> rename;
};

struct Drop {
  enum class Kind : uint8_t { kKeyspace, kTable, kType };
  Kind kind = Kind::kTable;
  TableName name;  // A keyspace has only `keyspace`.
  bool if_exists = false;
};

struct Truncate {
  TableName table;
};

struct Use {
  std::string keyspace;
};

struct Marker {
  std::string name;  // Empty: positional.
};

using AnyStatement =
    std::variant<Select, Insert, Update, Delete, Batch, CreateKeyspace,
                 AlterKeyspace, CreateTable, AlterTable, CreateType, AlterType,
                 Drop, Truncate, Use>;

struct Statement {
  AnyStatement statement;
  std::vector<Marker> markers;
};

}  // namespace cql::node::ast

#endif  // RINGPLANE_CQL_NODE_AST_H_
