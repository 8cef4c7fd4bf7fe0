# The schema, built into the program, and the admin RPCs, which write.

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS schema.cql)
file(READ "${CMAKE_CURRENT_SOURCE_DIR}/schema.cql" RINGPLANE_SCHEMA)
configure_file(schema_text.cc.in
  "${PROJECT_BINARY_DIR}/generated/service/dataplane/schema_text.cc" @ONLY)

ringplane_library(dataplane_schema
  SOURCES schema.cc
          "${PROJECT_BINARY_DIR}/generated/service/dataplane/schema_text.cc"
  HEADERS schema.h
  LINK cql ioloop absl::status absl::statusor absl::strings)

ringplane_library(admin_service
  SOURCES admin_service.cc
  HEADERS admin_service.h
  LINK cql ingest ioloop ringplane_proto rpc absl::status absl::statusor
       absl::time
  LINK_PRIVATE PkgConfig::simdjson)
