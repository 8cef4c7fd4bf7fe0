# The network side of the node.

add_library(cql_node_testing STATIC testing.cc)
target_link_libraries(cql_node_testing PUBLIC ringplane::cql_node
  ringplane_flags)

ringplane_test(cql_node_server_test
  SOURCES rules_test.cc server_request_test.cc server_startup_test.cc
          server_test.cc
  LINK cql_node_testing
  LABELS threads)

add_executable(cql_node_main cql_node_main.cc)
target_link_libraries(cql_node_main PRIVATE ringplane::cql_node
  ringplane_flags)

ringplane_test(cql_node_server_durability_test
  SOURCES server_durability_test.cc
  LINK cql_node_testing
  ENVIRONMENT "CQL_NODE_MAIN=$<TARGET_FILE:cql_node_main>")
add_dependencies(cql_node_server_durability_test cql_node_main)

# Drivers that share no line with the project; RINGPLANE_TOOLS says where they
# are installed (./dev setup).
foreach(driver python-cassandra python-scylla gocql)
  add_test(NAME cql_node_driver_${driver}
    COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/drivers/with_node.sh"
      $<TARGET_FILE:cql_node_main> ${driver} 4)
  set_tests_properties(cql_node_driver_${driver} PROPERTIES TIMEOUT 300
    LABELS drivers)
endforeach()
