// CQL values as text.
#ifndef RINGPLANE_SERVICE_SHELL_VALUE_TEXT_H_
#define RINGPLANE_SERVICE_SHELL_VALUE_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "cql/protocol/types.h"
#include "cql/protocol/wire.h"

namespace shell {

enum class Style {
  // As cqlsh shows them: five significant digits of a float, twelve of a
  // double; control characters escaped.
  kTable,
  // The same, but texts as they are, floating point numbers in full, and
  // nothing for null.
  kCsv,
  // As SELECT JSON gives them.
  kJson,
};

// Appends `cell`. kInvalidArgument where its bytes are none of its type; `*out`
// is then of no use.
absl::Status AppendValue(const cql::protocol::ColumnType& type,
                         const cql::protocol::Cell& cell, Style style,
                         std::string* out);

// A JSON string.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace shell

#endif  // RINGPLANE_SERVICE_SHELL_VALUE_TEXT_H_
