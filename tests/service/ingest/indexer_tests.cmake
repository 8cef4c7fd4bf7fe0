# Applying events to the store.

ringplane_test(ingest_pure_test
  SOURCES datetime_test.cc keyed_order_test.cc record_test.cc LINK ingest)

add_library(indexed_store STATIC indexed_store.cc replay_network.cc)
target_compile_definitions(indexed_store PRIVATE
  RINGPLANE_SCHEMA_FILE="${PROJECT_SOURCE_DIR}/service/dataplane/schema.cql")
target_link_libraries(indexed_store PUBLIC ingest cql_node GTest::gtest
  ringplane_flags)

ringplane_test(indexer_test SOURCES indexer_test.cc LINK indexed_store)
# Over a second: it fails every request of an event once, and plays thousands
# of events in two orders.
ringplane_test(indexer_replay_test SOURCES indexer_replay_test.cc
  LINK indexed_store TIMEOUT 300)
# Over a second: it breaks thousands of events off.
ringplane_test(indexer_break_test SOURCES indexer_break_test.cc
  LINK indexed_store TIMEOUT 600)
ringplane_test(lists_test SOURCES lists_test.cc LINK indexed_store)
ringplane_test(admin_service_test SOURCES admin_service_test.cc
  LINK admin_service indexed_store)
ringplane_fuzz(record_fields
  SOURCES "${PROJECT_SOURCE_DIR}/tests/fuzz/record_fields.cc" LINK ingest)
