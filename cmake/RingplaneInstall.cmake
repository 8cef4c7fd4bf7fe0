# `cmake --install`: a CMake package, `find_package(ringplane COMPONENTS ioloop
# cql)`, and pkg-config files for programs that embed the loop or the client.

include(CMakePackageConfigHelpers)

install(TARGETS ioloop cql cql_protocol EXPORT ringplane-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ringplane")
install(EXPORT ringplane-targets NAMESPACE ringplane::
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/ringplane")

# In a file of its own: who does not ask for it needs no OpenSSL.
set(RINGPLANE_PC_FILES ioloop cql)
if(RINGPLANE_TLS)
  list(APPEND RINGPLANE_PC_FILES ioloop_tls cql_tls)
  install(TARGETS ioloop_tls cql_tls EXPORT ringplane-tls-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ringplane")
  install(EXPORT ringplane-tls-targets NAMESPACE ringplane::
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/ringplane")
endif()

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/ringplane-config.cmake.in"
  "${PROJECT_BINARY_DIR}/ringplane-config.cmake"
  INSTALL_DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/ringplane")
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/ringplane-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/ringplane-config.cmake"
  "${PROJECT_BINARY_DIR}/ringplane-config-version.cmake"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/ringplane")

# An install may be moved: the files find it from where they lie.
file(RELATIVE_PATH RINGPLANE_PC_TO_PREFIX
  "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
foreach(library IN LISTS RINGPLANE_PC_FILES)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${library}.pc.in"
    "${PROJECT_BINARY_DIR}/ringplane-${library}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/ringplane-${library}.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()
