#include "cql/internal/status_util.h"

#include "absl/strings/cord.h"

namespace cql::internal {

absl::Status Annotate(std::string_view context, const absl::Status& status) {
  absl::Status annotated(status.code(), Cat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view type_url, const absl::Cord& payload) {
        annotated.SetPayload(type_url, payload);
      });
  return annotated;
}

std::string Shorten(std::string_view text) {
  constexpr size_t kMax = 80;
  std::string line;
  for (char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (space && (line.empty() || line.back() == ' ')) continue;
    if (line.size() == kMax - 3) {
      line += "...";
      break;
    }
    line += space ? ' ' : c;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace cql::internal
