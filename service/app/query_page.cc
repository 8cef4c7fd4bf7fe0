#include "service/app/query_page.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace app {
namespace {

std::string_view StateName(cql::QueryInFlight::State state) {
  switch (state) {
    case cql::QueryInFlight::State::kWaiting:
      return "in line";
    case cql::QueryInFlight::State::kSent:
      return "sent";
    case cql::QueryInFlight::State::kFollowing:
      return "shared";
  }
  return "?";
}

// Of any string type.
template <typename T>
absl::string_view View(const T& text) {
  return {text.data(), text.size()};
}

double Milliseconds(absl::Duration duration) {
  return absl::ToDoubleMilliseconds(duration);
}

// "-": nowhere yet.
std::string Place(const std::string& node, uint32_t shard) {
  return node.empty() ? "-" : absl::StrFormat("%s/%u", node, shard);
}

}  // namespace

void QueryPage::Set(size_t loop, absl::Time now,
                    std::vector<cql::QueryInFlight> in_flight,
                    std::vector<cql::SlowQuery> slow) {
  std::lock_guard<std::mutex> lock(mutex_);
  loops_[loop] = {now, std::move(in_flight), std::move(slow)};
}

std::string QueryPage::Text() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string text = absl::StrFormat(
      "in flight, at most %d a loop, as of the last second\n"
      "%4s %10s %10s %-8s %-24s %s\n",
      kInFlightMax, "loop", "age ms", "left ms", "state", "node/shard",
      "statement");
  std::vector<std::pair<size_t, const cql::QueryInFlight*>> in_flight;
  std::vector<std::pair<absl::Duration, std::string>> slow;
  for (const auto& [loop, told] : loops_) {
    for (const cql::QueryInFlight& query : told.in_flight) {
      in_flight.emplace_back(loop, &query);
    }
    for (const cql::SlowQuery& query : told.slow) {
      const absl::Duration ago = told.now - query.ended;
      slow.emplace_back(
          ago, absl::StrFormat(
                   "%4d %10.1f %10.1f %-20s %4u %-24s %s\n", loop,
                   absl::ToDoubleSeconds(ago), Milliseconds(query.duration),
                   absl::StatusCodeToString(query.outcome), query.sent,
                   Place(query.node, query.shard), query.statement));
    }
  }
  std::sort(in_flight.begin(), in_flight.end(),
            [](const auto& a, const auto& b) {
              return a.second->age > b.second->age;
            });
  for (const auto& [loop, query] : in_flight) {
    absl::StrAppendFormat(&text, "%4d %10.1f %10.1f %-8s %-24s %s\n", loop,
                          Milliseconds(query->age), Milliseconds(query->left),
                          View(StateName(query->state)),
                          Place(query->node, query->shard), query->statement);
  }
  absl::StrAppendFormat(&text, "\nslow\n%4s %10s %10s %-20s %4s %-24s %s\n",
                        "loop", "ended s ago", "took ms", "outcome", "sent",
                        "node/shard", "statement");
  std::sort(slow.begin(), slow.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [ago, line] : slow) text.append(line);
  return text;
}

}  // namespace app
