// The node's types as frames describe them.
#ifndef RINGPLANE_CQL_NODE_PROTOCOL_TYPE_H_
#define RINGPLANE_CQL_NODE_PROTOCOL_TYPE_H_

#include "cql/node/type.h"
#include "cql/protocol/types.h"

namespace cql::node {

protocol::ColumnType ToProtocolType(const CqlType& type);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PROTOCOL_TYPE_H_
