# Reading, inventing and passing on Jetstream lines.

ringplane_test(jetstream_test SOURCES jetstream_test.cc LINK ingest_tools)
ringplane_test(atproto_syntax_test SOURCES atproto_syntax_test.cc
  LINK ingest_tools)
ringplane_test(generate_test SOURCES generate_test.cc LINK ingest_tools)
ringplane_test(line_reader_test SOURCES line_reader_test.cc LINK ingest_tools)
ringplane_test(ingest_cursor_test SOURCES cursor_test.cc LINK ingest_tools)
ringplane_test(ingest_command_test SOURCES ingest_command_test.cc
  LINK ingest_command LABELS threads)
ringplane_fuzz(jetstream_line
  SOURCES "${PROJECT_SOURCE_DIR}/tests/fuzz/jetstream_line.cc"
  LINK ingest_tools ioloop PkgConfig::simdjson)
