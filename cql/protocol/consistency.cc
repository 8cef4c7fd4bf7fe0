#include "cql/protocol/consistency.h"

#include "absl/strings/match.h"
#include "cql/protocol/absl_text.h"

namespace cql {
namespace {

constexpr std::string_view kNames[] = {
    "ANY",          "ONE",         "TWO",    "THREE",        "QUORUM",   "ALL",
    "LOCAL_QUORUM", "EACH_QUORUM", "SERIAL", "LOCAL_SERIAL", "LOCAL_ONE"};

}  // namespace

std::string_view ConsistencyName(Consistency consistency) {
  const auto index = static_cast<size_t>(consistency);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

std::optional<Consistency> ParseConsistency(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (absl::EqualsIgnoreCase(protocol::AbslText(name),
                               protocol::AbslText(kNames[i]))) {
      return static_cast<Consistency>(i);
    }
  }
  return std::nullopt;
}

}  // namespace cql
