# The admin RPCs, which write.
ringplane_library(admin_service
  SOURCES admin_service.cc
  HEADERS admin_service.h
  LINK cql ingest ioloop ringplane_proto rpc absl::status absl::statusor
       absl::time
  LINK_PRIVATE PkgConfig::simdjson)
