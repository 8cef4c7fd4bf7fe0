// Any bytes as one line of Jetstream: a value or a reason, never a fault. What
// is accepted must hold a record that parses again by itself.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ioloop/check.h"
#include "service/ingest/jetstream.h"
#include "simdjson.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Both kept: what one line leaves behind must not reach the next.
  static ingest::JetstreamParser parser({.line_bytes_max = 1 << 16});
  static ingest::Event event;
  static simdjson::dom::parser again;
  absl::StatusOr<ingest::JetstreamParser::Outcome> outcome = parser.Parse(
      std::string_view(reinterpret_cast<const char*>(data), size), &event);
  if (!outcome.ok()) {
    RINGPLANE_CHECK(!outcome.status().message().empty());
    return 0;
  }
  if (*outcome == ingest::JetstreamParser::Outcome::kEvent &&
      event.kind == ingest::EventKind::kCommit &&
      event.operation != ingest::CommitOperation::kDelete) {
    simdjson::dom::object record;
    RINGPLANE_CHECK(again.parse(event.record).get(record) == simdjson::SUCCESS);
  }
  return 0;
}
