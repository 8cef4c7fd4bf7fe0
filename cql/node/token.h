// Where a partition is on the ring: Murmur3Partitioner's token.
#ifndef RINGPLANE_CQL_NODE_TOKEN_H_
#define RINGPLANE_CQL_NODE_TOKEN_H_

#include <cstdint>
#include <string_view>

namespace cql::node {

// `key`: the serialized partition key; never the minimum of int64_t.
int64_t TokenOfKey(std::string_view key);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_TOKEN_H_
