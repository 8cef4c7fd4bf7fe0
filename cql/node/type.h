// Types of the node's columns: like the protocol's, and whether a collection
// or user type is frozen, by which the storage differs.
#ifndef RINGPLANE_CQL_NODE_TYPE_H_
#define RINGPLANE_CQL_NODE_TYPE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace cql::node {

enum class TypeId : uint8_t {
  kAscii,
  kBigint,
  kBlob,
  kBoolean,
  kCounter,
  kDate,
  kDecimal,
  kDouble,
  kDuration,
  kFloat,
  kInet,
  kInt,
  kSmallint,
  kText,
  kTime,
  kTimestamp,
  kTimeuuid,
  kTinyint,
  kUuid,
  kVarint,
  kList,
  kSet,
  kMap,
  kTuple,
  kUser,
};

struct CqlType;
using TypeRef = std::shared_ptr<const CqlType>;

struct CqlType {
  TypeId id = TypeId::kBlob;
  // Collections and user types: one value instead of a cell per element.
  bool frozen = false;
  // Element; key and value; components; fields.
  std::vector<TypeRef> parameters;
  // kUser.
  std::string keyspace;
  std::string name;
  std::vector<std::string> field_names;

  bool IsCollection() const {
    return id == TypeId::kList || id == TypeId::kSet || id == TypeId::kMap;
  }
  // Stored as a cell per element or field.
  bool IsMultiCell() const {
    return !frozen && (IsCollection() || id == TypeId::kUser);
  }
};

// Of a type without parameters; null for others.
TypeRef SimpleType(TypeId id);

// The simple type of that name ("text", "varchar", "int"); null if none.
TypeRef SimpleTypeNamed(std::string_view name);

// As system_schema shows it: "frozen<map<text, int>>".
std::string TypeText(const CqlType& type);

// Equal in every part, frozen or not.
bool SameType(const CqlType& a, const CqlType& b);

// The same type, frozen at every level.
TypeRef Frozen(const TypeRef& type);

// Bytes of a fixed-size type, 0 for the others.
size_t FixedSize(TypeId id);

// Whether `bytes` are a value of the type in the protocol's encoding. The
// message says what is wrong, without the column.
absl::Status ValidateValue(const CqlType& type, std::string_view bytes);

// Order of two valid values as CQL sorts them: < 0, 0, > 0.
int CompareValues(const CqlType& type, std::string_view a, std::string_view b);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_TYPE_H_
