// Where a page ended. Clients keep it between pages and may send back anything:
// it is sealed with a number of this data folder, and checked.
#ifndef RINGPLANE_CQL_NODE_PAGING_H_
#define RINGPLANE_CQL_NODE_PAGING_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace cql::node {

struct PagePosition {
  std::string partition;           // Prefix of its keys; empty: at the start.
  std::string clustering;          // Of the last row that was looked at.
  bool whole_partition = false;    // Nothing more of it is wanted.
  uint64_t rows = 0;               // Given before, for LIMIT.
  uint64_t rows_of_partition = 0;  // The same, for PER PARTITION LIMIT.
};

// `statement` tells statements and their values apart.
void EncodePosition(const PagePosition& position, uint64_t statement,
                    uint64_t seal, std::string* state);

// Error: the state is not one of this statement.
absl::Status DecodePosition(std::string_view state, uint64_t statement,
                            uint64_t seal, PagePosition* position);

// FNV-1a, good enough to tell a state that was tampered with by mistake.
uint64_t HashBytes(std::string_view bytes, uint64_t seed);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PAGING_H_
