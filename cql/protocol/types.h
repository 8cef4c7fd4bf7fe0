// Types of columns, as results and prepared statements describe them.
#ifndef RINGPLANE_CQL_PROTOCOL_TYPES_H_
#define RINGPLANE_CQL_PROTOCOL_TYPES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cql/protocol/wire.h"

namespace cql::protocol {

// The numbers of [option]. kDuration is of v5: in v4 it travels as a custom
// type, and is recognised as one.
enum class TypeId : uint16_t {
  kCustom = 0x0000,
  kAscii = 0x0001,
  kBigint = 0x0002,
  kBlob = 0x0003,
  kBoolean = 0x0004,
  kCounter = 0x0005,
  kDecimal = 0x0006,
  kDouble = 0x0007,
  kFloat = 0x0008,
  kInt = 0x0009,
  kTimestamp = 0x000B,
  kUuid = 0x000C,
  kText = 0x000D,
  kVarint = 0x000E,
  kTimeuuid = 0x000F,
  kInet = 0x0010,
  kDate = 0x0011,
  kTime = 0x0012,
  kSmallint = 0x0013,
  kTinyint = 0x0014,
  kDuration = 0x0015,
  kList = 0x0020,
  kMap = 0x0021,
  kSet = 0x0022,
  kUdt = 0x0030,
  kTuple = 0x0031,
};

struct ColumnType {
  TypeId id = TypeId::kBlob;
  // kList and kSet: the element. kMap: key and value. kTuple: the components.
  // kUdt: the fields.
  std::vector<ColumnType> parameters;
  std::string keyspace;                  // kUdt
  std::string name;                      // kUdt, and the class of kCustom
  std::vector<std::string> field_names;  // kUdt

  ColumnType() = default;
  ColumnType(TypeId type_id) : id(type_id) {}  // NOLINT: a simple type.
  ColumnType(TypeId type_id, std::vector<ColumnType> type_parameters)
      : id(type_id), parameters(std::move(type_parameters)) {}

  // As CQL spells it: "map<text, frozen<list<int>>>" without the frozen.
  std::string ToString() const;

  bool operator==(const ColumnType& other) const = default;
};

struct ColumnSpec {
  std::string keyspace;
  std::string table;
  std::string name;
  ColumnType type;

  bool operator==(const ColumnSpec& other) const = default;
};

// Deepest nesting that is read.
inline constexpr int kTypeDepthMax = 32;

// [option]. Fails the reader on an unknown type, on one nested too deep, and
// on counts that the bytes left cannot hold.
ColumnType ReadType(Reader* reader);
void WriteType(Writer* writer, const ColumnType& type);

// Passes over an [option] without making anything.
void SkipType(Reader* reader);

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_TYPES_H_
