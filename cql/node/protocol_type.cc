#include "cql/node/protocol_type.h"

namespace cql::node {
namespace {

protocol::TypeId ToProtocolId(TypeId id) {
  switch (id) {
    case TypeId::kAscii:
      return protocol::TypeId::kAscii;
    case TypeId::kBigint:
      return protocol::TypeId::kBigint;
    case TypeId::kBlob:
      return protocol::TypeId::kBlob;
    case TypeId::kBoolean:
      return protocol::TypeId::kBoolean;
    case TypeId::kCounter:
      return protocol::TypeId::kCounter;
    case TypeId::kDate:
      return protocol::TypeId::kDate;
    case TypeId::kDecimal:
      return protocol::TypeId::kDecimal;
    case TypeId::kDouble:
      return protocol::TypeId::kDouble;
    case TypeId::kDuration:
      return protocol::TypeId::kDuration;
    case TypeId::kFloat:
      return protocol::TypeId::kFloat;
    case TypeId::kInet:
      return protocol::TypeId::kInet;
    case TypeId::kInt:
      return protocol::TypeId::kInt;
    case TypeId::kSmallint:
      return protocol::TypeId::kSmallint;
    case TypeId::kText:
      return protocol::TypeId::kText;
    case TypeId::kTime:
      return protocol::TypeId::kTime;
    case TypeId::kTimestamp:
      return protocol::TypeId::kTimestamp;
    case TypeId::kTimeuuid:
      return protocol::TypeId::kTimeuuid;
    case TypeId::kTinyint:
      return protocol::TypeId::kTinyint;
    case TypeId::kUuid:
      return protocol::TypeId::kUuid;
    case TypeId::kVarint:
      return protocol::TypeId::kVarint;
    case TypeId::kList:
      return protocol::TypeId::kList;
    case TypeId::kSet:
      return protocol::TypeId::kSet;
    case TypeId::kMap:
      return protocol::TypeId::kMap;
    case TypeId::kTuple:
      return protocol::TypeId::kTuple;
    case TypeId::kUser:
      return protocol::TypeId::kUdt;
  }
  return protocol::TypeId::kBlob;
}

}  // namespace

protocol::ColumnType ToProtocolType(const CqlType& type) {
  protocol::ColumnType made(ToProtocolId(type.id));
  for (const TypeRef& parameter : type.parameters) {
    made.parameters.push_back(ToProtocolType(*parameter));
  }
  if (type.id == TypeId::kUser) {
    made.keyspace = type.keyspace;
    made.name = type.name;
    made.field_names = type.field_names;
  }
  return made;
}

}  // namespace cql::node
