// Values as bytes that sort (memcmp) as CQL sorts the values, and no encoding
// of a column is a prefix of another one: so clustering keys are concatenated
// columns, and ranges of rows are ranges of bytes.
#ifndef RINGPLANE_CQL_NODE_ORDERED_KEY_H_
#define RINGPLANE_CQL_NODE_ORDERED_KEY_H_

#include <string>
#include <string_view>

#include "cql/node/type.h"

namespace cql::node {

// REQUIRES: ValidateValue(type, value).ok(). Equal values (0.0 of different
// scales, NaNs) get equal bytes.
void AppendOrdered(const CqlType& type, std::string_view value, bool descending,
                   std::string* key);

// Takes one value off the front of `key` and appends it, as the protocol
// encodes it, to `value`. False if the bytes are no such encoding.
bool ReadOrdered(const CqlType& type, bool descending, std::string_view* key,
                 std::string* value);

// Makes `key` the least that sorts after everything it is a prefix of; empty
// (the end of everything) if there is none.
void MakeSuccessor(std::string* key);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_ORDERED_KEY_H_
