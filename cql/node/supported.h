// What a node offers in SUPPORTED, and what a client took of it in STARTUP.
#ifndef RINGPLANE_CQL_NODE_SUPPORTED_H_
#define RINGPLANE_CQL_NODE_SUPPORTED_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "cql/node/server.h"
#include "cql/protocol/compression.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"

namespace cql::node {

// The bit of a PREPARED result's flags that marks conditional statements.
inline constexpr uint32_t kLwtMark = 0x80000000;

// The answer to OPTIONS on a connection of `shard`.
protocol::Supported MakeSupported(const NodeOptions& options, uint32_t shard,
                                  uint16_t shard_aware_port);

// What one connection negotiated.
struct Negotiated {
  protocol::Compression compression = protocol::Compression::kNone;
  bool lwt_mark = false;
  bool rate_limit_error = false;
  bool metadata_id = false;
};

// kInvalidArgument says which option cannot be had.
absl::StatusOr<Negotiated> Negotiate(const NodeOptions& options,
                                     const protocol::StartupRequest& startup);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_SUPPORTED_H_
