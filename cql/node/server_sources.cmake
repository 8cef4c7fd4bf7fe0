# The network side of the node: sockets, sessions, system tables.
ringplane_library(cql_node
  SOURCES
    connection.cc
    connection_requests.cc
    group_commit.cc
    rules.cc
    server.cc
    supported.cc
    system_tables.cc
  HEADERS rules.h server.h
  LINK cql_node_engine cql_protocol ioloop absl::flat_hash_map
       absl::flat_hash_set absl::span
  LINK_PRIVATE absl::strings absl::time)
