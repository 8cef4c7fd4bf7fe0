// Lists of accounts: members, and who mutes or blocks by them.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {

ioloop::Task<absl::Status> Dataplane::GetListMembers(
    rpc::CallContext& call, const bsky::GetListMembersRequest& request,
    bsky::GetListMembersResponse* response) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(request.cursor());
  if (!after.ok()) co_return after.status();
  if (!ParseAtUri(request.list_uri()).has_value()) co_return absl::OkStatus();
  ListId list;
  list.queries = &queries_.list_members;
  list.directory = "list_members";
  list.owner = request.list_uri();
  KeepAll keep;
  ListPage page;
  absl::Status status = co_await ReadPage(
      &lists_, &call, &list, *after, LimitOf(request.limit()), &keep, &page);
  if (!status.ok()) co_return status;
  for (ListRow& row : page.rows) {
    bsky::ListItemInfo* item = response->add_listitems();
    item->set_uri(std::move(row.position.key));
    item->set_did(std::move(row.extra[0]));
  }
  response->set_cursor(page.cursor());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetListCounts(
    rpc::CallContext& call, const bsky::GetListCountsRequest& request,
    bsky::GetListCountsResponse* response) {
  absl::Status status = CheckKeys(request.refs_size(), "refs");
  if (!status.ok()) co_return status;
  KeySet uris;
  for (const bsky::RecordRef& ref : request.refs()) uris.Add(ref.uri());
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < uris.size(); ++i) {
    if (ParseAtUri(uris[i]).has_value()) asked.push_back(i);
  }
  std::vector<int32_t> counts(uris.size(), 0);
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.list_counts, uris[asked[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) counts[asked[i]] = IntAt(row, 0);
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             asked.size(), &start, &use);
  if (!status.ok()) co_return status;
  for (const bsky::RecordRef& ref : request.refs()) {
    response->add_list_items(counts[uris.IndexOf(ref.uri())]);
  }
  co_return absl::OkStatus();
}

// Memberships are relations of the list to the member.
ioloop::Task<absl::Status> Dataplane::GetListMembership(
    rpc::CallContext& call, const bsky::GetListMembershipRequest& request,
    bsky::GetListMembershipResponse* response) {
  absl::Status status = CheckKeys(request.list_uris_size(), "list_uris");
  if (!status.ok()) co_return status;
  const KeySet lists(request.list_uris());
  std::vector<RelationKey> keys;
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < lists.size() && IsDid(request.actor_did()); ++i) {
    if (!ParseAtUri(lists[i]).has_value()) continue;
    asked.push_back(i);
    keys.push_back({lists[i], kListItem, request.actor_did()});
  }
  std::vector<std::string> found;
  status = co_await ReadRelations(&call, &keys, &found);
  if (!status.ok()) co_return status;
  std::vector<std::string> uris(lists.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    uris[asked[i]] = std::move(found[i]);
  }
  for (const std::string& list : request.list_uris()) {
    response->add_listitem_uris(uris[lists.IndexOf(list)]);
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetMutelistSubscription(
    rpc::CallContext& call, const bsky::GetMutelistSubscriptionRequest& request,
    bsky::GetMutelistSubscriptionResponse* response) {
  if (!IsDid(request.actor_did()) ||
      !ParseAtUri(request.list_uri()).has_value()) {
    co_return absl::OkStatus();
  }
  cql::Query query = session_->Execute(OptionsOf(call), *queries_.list_mute,
                                       request.actor_did(), request.list_uri());
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  response->set_subscribed(!rows->empty());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetBlocklistSubscription(
    rpc::CallContext& call,
    const bsky::GetBlocklistSubscriptionRequest& request,
    bsky::GetBlocklistSubscriptionResponse* response) {
  if (!IsDid(request.actor_did()) ||
      !ParseAtUri(request.list_uri()).has_value()) {
    co_return absl::OkStatus();
  }
  const std::vector<RelationKey> keys = {
      {request.actor_did(), kListBlock, request.list_uri()}};
  std::vector<std::string> uris;
  absl::Status status = co_await ReadRelations(&call, &keys, &uris);
  if (!status.ok()) co_return status;
  response->set_listblock_uri(uris[0]);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetMutelistSubscriptions(
    rpc::CallContext& call,
    const bsky::GetMutelistSubscriptionsRequest& request,
    bsky::GetMutelistSubscriptionsResponse* response) {
  std::vector<std::string> lists;
  if (IsDid(request.actor_did())) {
    cql::Query query = session_->Execute(
        OptionsOf(call), *queries_.list_mutes, request.actor_did(),
        static_cast<int32_t>(options_.lists_per_actor_max));
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    lists = MuteListsOf(*rows);
  }
  absl::Status status = co_await PageOfLists(
      &call, &lists, request.limit(), &request.cursor(),
      response->mutable_list_uris(), response->mutable_cursor());
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::GetBlocklistSubscriptions(
    rpc::CallContext& call,
    const bsky::GetBlocklistSubscriptionsRequest& request,
    bsky::GetBlocklistSubscriptionsResponse* response) {
  std::vector<std::string> lists;
  if (IsDid(request.actor_did())) {
    cql::Query query = StartBlockLists(OptionsOf(call), request.actor_did());
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    lists = BlockListsOf(*rows);
  }
  absl::Status status = co_await PageOfLists(
      &call, &lists, request.limit(), &request.cursor(),
      response->mutable_list_uris(), response->mutable_cursor());
  co_return status;
}

// Subscriptions are listed by the age of the list, not of the subscription, so
// all of an account's are read: they are few.
ioloop::Task<absl::Status> Dataplane::PageOfLists(
    rpc::CallContext* call, const std::vector<std::string>* uris, int32_t limit,
    const std::string* cursor,
    google::protobuf::RepeatedPtrField<std::string>* list_uris,
    std::string* next_cursor) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(*cursor);
  if (!after.ok()) co_return after.status();
  const KeySet lists(*uris);
  std::vector<RecordState> states;
  absl::Status status = co_await ReadRecordStates(call, &lists, &states);
  if (!status.ok()) co_return status;
  std::vector<Position> positions;
  for (size_t i = 0; i < lists.size(); ++i) {
    if (!states[i].exists) continue;
    Position position{states[i].sort_at_ms, std::move(states[i].cid),
                      std::string(lists[i])};
    if (after->has_value() && !position.IsAfter(**after)) continue;
    positions.push_back(std::move(position));
  }
  std::sort(positions.begin(), positions.end(),
            [](const Position& a, const Position& b) { return b.IsAfter(a); });
  const size_t count = std::min(LimitOf(limit), positions.size());
  if (count < positions.size())
    *next_cursor = EncodeCursor(positions[count - 1]);
  for (size_t i = 0; i < count; ++i) {
    *list_uris->Add() = std::move(positions[i].key);
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane
