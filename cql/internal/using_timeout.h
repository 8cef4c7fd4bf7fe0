// USING TIMEOUT: telling ScyllaDB how long to try (docs/cql-extensions.md of
// its repository).
#ifndef RINGPLANE_CQL_INTERNAL_USING_TIMEOUT_H_
#define RINGPLANE_CQL_INTERNAL_USING_TIMEOUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cql/protocol/wire.h"

namespace cql::internal {

// A statement with one bind marker more, for the timeout.
struct TimeoutText {
  std::string text;
  uint16_t marker;  // Its number among the bind markers.
};

// Nothing for a statement that has a timeout or named markers, and for one that
// is none of SELECT, INSERT, UPDATE and DELETE.
std::optional<TimeoutText> WithTimeoutMarker(std::string_view text);

// What follows the ids in EXECUTE, with `timeout_ms` (above 0) as the value of
// bind marker `marker` put in. REQUIRES: the client wrote `body`.
void WriteWithTimeout(std::string_view body, uint16_t marker,
                      int64_t timeout_ms, protocol::Writer* writer);

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_USING_TIMEOUT_H_
