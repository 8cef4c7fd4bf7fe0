// Bodies of the client's own unprepared queries.
#ifndef RINGPLANE_CQL_INTERNAL_TEXT_QUERY_H_
#define RINGPLANE_CQL_INTERNAL_TEXT_QUERY_H_

#include <string>
#include <string_view>

#include "cql/protocol/request.h"

namespace cql::internal {

// The body of a QUERY of `text` at consistency ONE into `*body`.
inline void WriteText(std::string_view text, std::string* body,
                      const protocol::QueryParameters& parameters = {}) {
  body->clear();
  protocol::Writer writer(body);
  protocol::EncodeQueryText(&writer, text);
  protocol::BeginQueryParameters(&writer, parameters, 0);
  protocol::EndQueryParameters(&writer, parameters);
  writer.Finish();
}

// A name as CQL quotes it, unless it needs no quotes.
inline std::string QuoteName(std::string_view name) {
  bool plain = !name.empty() && name[0] >= 'a' && name[0] <= 'z';
  for (char c : name) {
    plain =
        plain && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
  }
  if (plain) return std::string(name);
  std::string quoted = "\"";
  for (char c : name) {
    quoted += c;
    if (c == '"') quoted += c;
  }
  quoted += '"';
  return quoted;
}

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_TEXT_QUERY_H_
