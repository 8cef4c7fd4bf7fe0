// Literals of CQL text as values.
#ifndef RINGPLANE_CQL_NODE_LITERAL_H_
#define RINGPLANE_CQL_NODE_LITERAL_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cql/node/ast.h"
#include "cql/node/type.h"

namespace cql::node {

// Appends a literal that is neither null, a marker, a call nor made of parts,
// as a value of `type`. `column` is for the message.
absl::Status EncodeLiteral(const ast::Term& term, const CqlType& type,
                           std::string_view column, std::string* out);

// A literal as CQL writes it, for messages and stored options.
std::string TermText(const ast::Term& term);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_LITERAL_H_
