// CQL text to ast::Statement. Accepts what Cassandra 4 and ScyllaDB accept of
// the statements in ast.h, USING TIMEOUT included.
#ifndef RINGPLANE_CQL_NODE_PARSER_H_
#define RINGPLANE_CQL_NODE_PARSER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "cql/node/ast.h"
#include "cql/node/engine.h"

namespace cql::node {

// Syntax errors say the line and column; statements of CQL that the node does
// not have give kInvalid and are named.
absl::StatusOr<ast::Statement> ParseStatement(std::string_view text,
                                              const Limits& limits);

// A type alone, such as `map<text, frozen<list<int>>>`.
absl::StatusOr<ast::Type> ParseTypeName(std::string_view text,
                                        const Limits& limits);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_PARSER_H_
