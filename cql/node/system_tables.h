// The tables that describe a node to its clients: system.local, system.peers
// and system_schema.*, made on demand from the engine's catalog.
#ifndef RINGPLANE_CQL_NODE_SYSTEM_TABLES_H_
#define RINGPLANE_CQL_NODE_SYSTEM_TABLES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/catalog.h"
#include "cql/node/engine.h"

namespace cql::node {

// Who a node says it is.
struct NodeIdentity {
  std::string cluster_name = "ringplane";
  std::string data_center = "datacenter1";
  std::string rack = "rack1";
  std::string release_version = "3.0.8";  // What ScyllaDB reports.
  UuidBytes host_id = {};
  // Four or sixteen bytes, network order: where clients reach the node.
  std::string address = std::string("\x7f\0\0\1", 4);
  // Tokens the node owns; with one node, any.
  std::vector<int64_t> tokens = {0};
};

// Adds the tables to `engine`, which must outlive its use of them; call before
// the engine's first Prepare(). There is no system.peers_v2, as on ScyllaDB: a
// query of it gets "unconfigured table".
absl::Status AddSystemTables(Engine* engine, const NodeIdentity& identity);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_SYSTEM_TABLES_H_
