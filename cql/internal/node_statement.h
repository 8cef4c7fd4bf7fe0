// A prepared statement as one node knows it.
#ifndef RINGPLANE_CQL_INTERNAL_NODE_STATEMENT_H_
#define RINGPLANE_CQL_INTERNAL_NODE_STATEMENT_H_

#include <cstdint>
#include <string>

#include "cql/internal/result_metadata.h"
#include "cql/internal/waiting_line.h"

namespace cql::internal {

struct NodeStatement {
  enum class State : uint8_t { kUnknown, kPreparing, kReady };
  State state = State::kUnknown;
  // Grows with each PREPARE: tells an UNPREPARED answer to an earlier id from
  // one to this.
  uint32_t generation = 0;
  std::string id;
  std::string metadata_id;
  // What to read rows with when the answer leaves its metadata out.
  MetadataRef metadata;
  // Ask for answers without metadata; needs `metadata`.
  bool skip_metadata = false;
  // The number of the bind marker that takes the timeout; negative: none.
  int32_t timeout_marker = -1;
  // Those who wait for the PREPARE under way.
  WaitingLine line;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_NODE_STATEMENT_H_
