// Debian's abseil has a string_view of its own, which std::string_view does not
// turn into by itself.
#ifndef RINGPLANE_CQL_PROTOCOL_ABSL_TEXT_H_
#define RINGPLANE_CQL_PROTOCOL_ABSL_TEXT_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace cql::protocol {

inline absl::string_view AbslText(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_ABSL_TEXT_H_
