# Every outside library, found once and named. All come from Debian 12.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing>=2.3)
# Not named lz4 (nor zstd below): the modules by which RocksDB finds the two
# would take our cache variables for theirs.
pkg_check_modules(liblz4 REQUIRED IMPORTED_TARGET liblz4)
add_library(PkgConfig::lz4 ALIAS PkgConfig::liblz4)
find_package(Snappy REQUIRED)

# Debian's abseil warns under newer compilers: its headers are the system's.
foreach(lib status statusor strings str_format time flat_hash_map
        flat_hash_set hash span flags flags_parse flags_usage btree
        inlined_vector synchronization random_random)
  if(TARGET absl::${lib})
    get_target_property(dirs absl::${lib} INTERFACE_INCLUDE_DIRECTORIES)
    if(dirs)
      set_target_properties(absl::${lib} PROPERTIES
        INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${dirs}")
    endif()
  endif()
endforeach()

if(RINGPLANE_SERVICE OR RINGPLANE_TLS)
  find_package(OpenSSL REQUIRED)
endif()
if(RINGPLANE_SERVICE)
  find_package(Protobuf REQUIRED)
  find_package(ZLIB REQUIRED)
  pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
  pkg_check_modules(hiredis REQUIRED IMPORTED_TARGET hiredis)
  pkg_check_modules(libzstd REQUIRED IMPORTED_TARGET libzstd)
  add_library(PkgConfig::zstd ALIAS PkgConfig::libzstd)
  pkg_check_modules(simdjson REQUIRED IMPORTED_TARGET simdjson)
endif()
find_package(RocksDB REQUIRED)

if(RINGPLANE_TESTS)
  find_package(GTest REQUIRED)
endif()
if(RINGPLANE_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()
