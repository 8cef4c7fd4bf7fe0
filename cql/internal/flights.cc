#include "cql/internal/flights.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "absl/hash/hash.h"
#include "cql/internal/session_core.h"
#include "cql/internal/speculation.h"
#include "cql/internal/status_util.h"
#include "cql/internal/waiting_line.h"

namespace cql::internal {

// The body holds the values, the consistency, the page and the timestamp.
bool Flights::Equal(const Query& a, const Query& b) {
  return a.flight_.hash == b.flight_.hash && a.statement_ == b.statement_ &&
         a.body_bytes_ == b.body_bytes_ && a.tracing_ == b.tracing_ &&
         std::memcmp(a.body_.data(), b.body_.data(), a.body_bytes_) == 0;
}

bool Flights::Join(Query* query) {
  if (leaders_.empty()) leaders_.resize(kBuckets);
  query->flight_.hash = absl::HashOf(
      query->statement_, ForAbsl({query->body_.data(), query->body_bytes_}));
  Query** const bucket = &leaders_[query->flight_.hash % kBuckets];
  for (Query* leader = *bucket; leader != nullptr;
       leader = leader->flight_.chain) {
    if (!Equal(*leader, *query) ||
        leader->flight_.followers >= followers_max_) {
      continue;
    }
    // The server was told how long to try for the leader.
    if (query->statement_->options().server_timeout &&
        query->deadline_ms() > leader->deadline_ms()) {
      continue;
    }
    query->body_.Reset();
    query->state_ = Query::State::kFollowing;
    Follow(leader, query);
    return true;
  }
  query->flight_.chain = *bucket;
  query->flight_.leads = true;
  *bucket = query;
  return false;
}

void Flights::Follow(Query* leader, Query* follower) {
  follower->flight_.leader = leader;
  follower->flight_.previous = nullptr;
  follower->flight_.next = leader->flight_.first;
  if (follower->flight_.next != nullptr) {
    follower->flight_.next->flight_.previous = follower;
  }
  leader->flight_.first = follower;
  ++leader->flight_.followers;
}

void Flights::Leave(Query* follower) {
  Query::Flight& flight = follower->flight_;
  Query* const leader = std::exchange(flight.leader, nullptr);
  (flight.previous == nullptr ? leader->flight_.first
                              : flight.previous->flight_.next) = flight.next;
  if (flight.next != nullptr) flight.next->flight_.previous = flight.previous;
  --leader->flight_.followers;
}

Query** Flights::FindLink(Query* leader) {
  Query** link = &leaders_[leader->flight_.hash % kBuckets];
  while (*link != leader) link = &(*link)->flight_.chain;
  return link;
}

bool Flights::PassOn(Query* leader) {
  leader->flight_.leads = false;
  Query* heir = leader->flight_.first;
  if (heir == nullptr) {
    *FindLink(leader) = leader->flight_.chain;
    return false;
  }
  // The one that will wait longest.
  for (Query* follower = heir; follower != nullptr;
       follower = follower->flight_.next) {
    if (follower->deadline_ms() > heir->deadline_ms()) heir = follower;
  }
  Leave(heir);
  heir->flight_.leads = true;
  heir->flight_.chain = leader->flight_.chain;
  *FindLink(leader) = heir;
  while (Query* follower = leader->flight_.first) {
    Leave(follower);
    Follow(heir, follower);
  }
  heir->TakeOver(leader);
  return true;
}

void Flights::End(Query* leader, uint64_t SessionCounters::* outcome,
                  const absl::Status& status) {
  *FindLink(leader) = leader->flight_.chain;
  leader->flight_.leads = false;
  while (Query* follower = leader->flight_.first) {
    Leave(follower);
    if (status.ok()) follower->rows_ = leader->rows_.Share();
    follower->Finish(outcome, status, /*now=*/false);
  }
}

}  // namespace cql::internal
