// Who follows whom.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "service/dataplane/answers.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {

// Removes rows whose other account, the first extra column, does not exist.
ioloop::Task<absl::Status> Dataplane::KeepKnownAccounts(
    rpc::CallContext* call, std::vector<ListRow>* rows) {
  KeySet accounts;
  accounts.Reserve(rows->size());
  for (const ListRow& row : *rows) accounts.Add(row.extra[0]);
  std::vector<char> known;
  absl::Status status = co_await ReadKnown(call, &accounts, &known);
  if (!status.ok()) co_return status;
  std::vector<ListRow> kept;
  kept.reserve(rows->size());
  for (size_t i = 0; i < rows->size(); ++i) {
    ListRow& row = (*rows)[i];
    if (known[accounts.IndexOf(row.extra[0])]) kept.push_back(std::move(row));
  }
  *rows = std::move(kept);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetFollowers(
    rpc::CallContext& call, const bsky::GetFollowersRequest& request,
    bsky::GetFollowersResponse* response) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(request.cursor());
  if (!after.ok()) co_return after.status();
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  ListId list;
  list.queries = &queries_.followers;
  list.directory = "followers";
  list.owner = request.actor_did();
  auto filter = [&](std::vector<ListRow>* rows) {
    return KeepKnownAccounts(&call, rows);
  };
  ListPage page;
  absl::Status status = co_await ReadPage(
      &lists_, &call, &list, *after, LimitOf(request.limit()), &filter, &page);
  if (!status.ok()) co_return status;
  for (ListRow& row : page.rows) {
    bsky::FollowInfo* follower = response->add_followers();
    follower->set_uri(std::move(row.position.key));
    follower->set_actor_did(std::move(row.extra[0]));
    follower->set_subject_did(request.actor_did());
  }
  response->set_cursor(page.cursor());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetFollows(
    rpc::CallContext& call, const bsky::GetFollowsRequest& request,
    bsky::GetFollowsResponse* response) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(request.cursor());
  if (!after.ok()) co_return after.status();
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  const ListId list = FollowsOf(request.actor_did());
  auto filter = [&](std::vector<ListRow>* rows) {
    return KeepKnownAccounts(&call, rows);
  };
  ListPage page;
  absl::Status status = co_await ReadPage(
      &lists_, &call, &list, *after, LimitOf(request.limit()), &filter, &page);
  if (!status.ok()) co_return status;
  for (ListRow& row : page.rows) {
    bsky::FollowInfo* follow = response->add_follows();
    follow->set_uri(std::move(row.position.key));
    follow->set_actor_did(request.actor_did());
    follow->set_subject_did(std::move(row.extra[0]));
  }
  response->set_cursor(page.cursor());
  co_return absl::OkStatus();
}

ListId Dataplane::FollowsOf(std::string_view actor) const {
  ListId list;
  list.queries = &queries_.records_by_actor;
  list.directory = "records_by_actor:app.bsky.graph.follow";
  list.owner = actor;
  list.kind = kFollow;
  return list;
}

// Intersects the newest follows of the actor with each target's followers: by
// reading the followers where they are fewer than the follows, otherwise by
// one relation per follow. Both are cut off at known_followers_scan_max and
// relations_max; then the answer is a part of the whole.
ioloop::Task<absl::Status> Dataplane::GetFollowsFollowing(
    rpc::CallContext& call, const bsky::GetFollowsFollowingRequest& request,
    bsky::GetFollowsFollowingResponse* response) {
  absl::Status status = CheckKeys(request.target_dids_size(), "target_dids");
  if (!status.ok()) co_return status;
  const KeySet targets(request.target_dids());
  std::vector<bsky::FollowsFollowing> results(targets.size());
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < targets.size(); ++i) {
    results[i].set_target_did(std::string(targets[i]));
    if (IsDid(targets[i])) asked.push_back(i);
  }

  std::vector<ListRow> follows;
  if (IsDid(request.actor_did()) && !asked.empty()) {
    const ListId list = FollowsOf(request.actor_did());
    const std::optional<Position> from_start;
    status = co_await lists_.Read(&call, &list, &from_start,
                                  options_.known_followers_scan_max, &follows);
    if (!status.ok()) co_return status;
  }
  if (!follows.empty()) {
    absl::flat_hash_set<std::string> followed;
    followed.reserve(follows.size());
    for (const ListRow& row : follows) followed.insert(row.extra[0]);

    std::vector<int32_t> followers(asked.size(), 0);
    const cql::RequestOptions options = OptionsOf(call);
    auto start_counts = [&](size_t i) {
      return session_->Execute(options, *queries_.actor_counts,
                               targets[asked[i]]);
    };
    auto use_counts = [&](size_t i, cql::Rows& rows) {
      constexpr size_t kFollowers = 2;
      for (const cql::Row& row : rows) followers[i] = IntAt(row, kFollowers);
    };
    status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                               asked.size(), &start_counts, &use_counts);
    if (!status.ok()) co_return status;

    std::vector<uint32_t> scanned;
    std::vector<RelationKey> relations;
    std::vector<std::pair<uint32_t, const std::string*>> candidates;
    for (size_t i = 0; i < asked.size(); ++i) {
      if (static_cast<size_t>(std::max(followers[i], 0)) <= follows.size()) {
        scanned.push_back(asked[i]);
        continue;
      }
      const size_t share = options_.relations_max / asked.size();
      for (size_t j = 0; j < std::min(share, follows.size()); ++j) {
        relations.push_back({follows[j].extra[0], kFollow, targets[asked[i]]});
        candidates.emplace_back(asked[i], &follows[j].extra[0]);
      }
    }

    auto start = [&](size_t i) {
      constexpr int32_t kFirstBucket = 0;
      return session_->Execute(
          options, *queries_.followers.first, targets[scanned[i]], kFirstBucket,
          static_cast<int32_t>(options_.known_followers_scan_max));
    };
    auto use = [&](size_t i, cql::Rows& rows) {
      for (const cql::Row& row : rows) {
        const std::string follower(TextAt(row, ListColumns::kExtra));
        if (!followed.contains(follower)) continue;
        results[scanned[i]].add_dids(follower);
      }
    };
    status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                               scanned.size(), &start, &use);
    if (!status.ok()) co_return status;

    std::vector<std::string> uris;
    status = co_await ReadRelations(&call, &relations, &uris);
    if (!status.ok()) co_return status;
    for (size_t i = 0; i < uris.size(); ++i) {
      if (uris[i].empty()) continue;
      results[candidates[i].first].add_dids(*candidates[i].second);
    }
  }
  Spread(request.target_dids(), targets, &results, response->mutable_results());
  co_return absl::OkStatus();
}

}  // namespace dataplane
