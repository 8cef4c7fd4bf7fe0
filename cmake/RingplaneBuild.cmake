# How every target of the project is compiled, and the functions that declare
# libraries, tests and fuzz targets.

find_program(RINGPLANE_CCACHE ccache)
if(RINGPLANE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RINGPLANE_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${RINGPLANE_CCACHE}")
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  find_program(RINGPLANE_LLD NAMES ld.lld-19 ld.lld)
  if(RINGPLANE_LLD)
    add_link_options("-fuse-ld=${RINGPLANE_LLD}")
  endif()
endif()

# Settings of our own code; generated and foreign code does not link it.
add_library(ringplane_flags INTERFACE)
target_compile_options(ringplane_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<BOOL:${RINGPLANE_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-field-initializers>)

if(RINGPLANE_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(RINGPLANE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(NOT RINGPLANE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "RINGPLANE_SANITIZE must be address, thread or empty, "
                      "not '${RINGPLANE_SANITIZE}'")
endif()

# ringplane_library(NAME SOURCES ... [HEADERS ...] [LINK ...] [LINK_PRIVATE ...])
#
# A static library with the alias ringplane::NAME. HEADERS are public: each
# must compile alone (target all_verify_interface_header_sets).
function(ringplane_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;LINK;LINK_PRIVATE" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  add_library(ringplane::${name} ALIAS ${name})
  target_sources(${name} PUBLIC FILE_SET HEADERS
    BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${arg_HEADERS})
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/ringplane>)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_link_libraries(${name} PUBLIC ${arg_LINK}
    PRIVATE ${arg_LINK_PRIVATE} $<BUILD_INTERFACE:ringplane_flags>)
  set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON
    OUTPUT_NAME "ringplane_${name}")
endfunction()

# All that runs under TSan, and all fuzz targets, can be built by name.
add_custom_target(thread_tests)
add_custom_target(fuzz_targets)

# ringplane_test(NAME SOURCES ... LINK ... [LABELS ...] [TIMEOUT seconds]
#                [ENVIRONMENT VAR=value ...] [ARGS ...] [RUN_SERIAL] [EPOLL])
#
# A GoogleTest program that is one ctest entry. Label `threads` marks what also
# runs under TSan. With EPOLL there is a second entry, NAME_epoll, that runs it
# on the epoll backend.
function(ringplane_test name)
  cmake_parse_arguments(arg "RUN_SERIAL;EPOLL" "TIMEOUT"
    "SOURCES;LINK;LABELS;ENVIRONMENT;ARGS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gmock GTest::gtest
    GTest::gtest_main ringplane_flags)
  target_compile_options(${name} PRIVATE ${RINGPLANE_TEST_OPTIONS})
  set(entries ${name})
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${arg_ENVIRONMENT}")
  if(arg_EPOLL)
    list(APPEND entries ${name}_epoll)
    add_test(NAME ${name}_epoll COMMAND ${name} ${arg_ARGS})
    set_tests_properties(${name}_epoll PROPERTIES ENVIRONMENT
      "${arg_ENVIRONMENT};RINGPLANE_IO_BACKEND=epoll;EXPECTED_IO_BACKEND=epoll")
  endif()
  set_tests_properties(${entries} PROPERTIES LABELS "${arg_LABELS}"
    TIMEOUT ${arg_TIMEOUT})
  if("threads" IN_LIST arg_LABELS)
    add_dependencies(thread_tests ${name})
  endif()
  if(arg_RUN_SERIAL)
    set_tests_properties(${entries} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# ringplane_fuzz(NAME SOURCES ... LINK ...)
#
# A fuzz target. With RINGPLANE_FUZZ it is a libFuzzer program; otherwise a
# driver replays tests/fuzz/corpus/NAME once. Both are ctest entries.
function(ringplane_fuzz name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} ringplane_flags)
  add_dependencies(fuzz_targets ${name})
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  if(RINGPLANE_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -runs=0 "${corpus}")
  else()
    target_sources(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.cc")
    add_test(NAME ${name} COMMAND ${name} "${corpus}")
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "fuzz" TIMEOUT 300)
endfunction()
