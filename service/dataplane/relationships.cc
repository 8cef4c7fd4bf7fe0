// How accounts stand to each other: follows, blocks and mutes, by record or by
// list.
//
// Being blocked through a list means: the one subscribes to a list (a
// listblock record) that has the other as a member. Both are point reads,
// lists of the one by members, so nobody's lists of membership are read: they
// can be endless.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "service/dataplane/answers.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

// Relations that a request asks for, each once, and where their answers are.
class RelationBatch {
 public:
  size_t Add(std::string_view actor, std::string_view kind,
             std::string_view subject) {
    std::string joined;
    joined.reserve(actor.size() + kind.size() + subject.size() + 2);
    // No key holds a space.
    joined.append(actor).append(" ").append(kind).append(" ").append(subject);
    auto [place, added] = index_.try_emplace(std::move(joined), keys_.size());
    if (added) keys_.push_back({actor, kind, subject});
    return place->second;
  }

  const std::vector<RelationKey>& keys() const { return keys_; }

 private:
  absl::flat_hash_map<std::string, size_t> index_;
  std::vector<RelationKey> keys_;
};

// Indexes of the memberships that would make a list apply, in the order in
// which the lists were subscribed to.
struct ViaLists {
  const std::vector<std::string>* lists = nullptr;
  std::vector<size_t> memberships;
};

ViaLists AddLists(const std::vector<std::string>& lists,
                  std::string_view member, RelationBatch* batch) {
  ViaLists via;
  via.lists = &lists;
  via.memberships.reserve(lists.size());
  for (const std::string& list : lists) {
    via.memberships.push_back(batch->Add(list, kListItem, member));
  }
  return via;
}

// The first list that applies, or "".
std::string FirstOf(const ViaLists& via, const std::vector<std::string>& uris) {
  for (size_t i = 0; i < via.memberships.size(); ++i) {
    if (!uris[via.memberships[i]].empty()) return (*via.lists)[i];
  }
  return "";
}

void FillMute(const cql::Row& row, bsky::Relationships* relationship) {
  const bool only_reposts = BoolAt(row, 0);
  const bool only_quoteposts = BoolAt(row, 1);
  relationship->set_muted(!only_reposts && !only_quoteposts);
  relationship->set_muted_only_reposts(only_reposts);
  relationship->set_muted_only_quoteposts(only_quoteposts);
}

// The blocks between two accounts.
struct BlockQueries {
  size_t blocking;
  size_t blocked_by;
  ViaLists blocking_by_list;
  ViaLists blocked_by_list;
};

BlockQueries AddBlocks(std::string_view a, std::string_view b,
                       const std::vector<std::string>& lists_of_a,
                       const std::vector<std::string>& lists_of_b,
                       RelationBatch* batch) {
  BlockQueries blocks;
  blocks.blocking = batch->Add(a, kBlock, b);
  blocks.blocked_by = batch->Add(b, kBlock, a);
  blocks.blocking_by_list = AddLists(lists_of_a, b, batch);
  blocks.blocked_by_list = AddLists(lists_of_b, a, batch);
  return blocks;
}

template <typename Message>
void FillBlocks(const BlockQueries& blocks,
                const std::vector<std::string>& uris, Message* message) {
  message->set_blocking(uris[blocks.blocking]);
  message->set_blocked_by(uris[blocks.blocked_by]);
  message->set_blocking_by_list(FirstOf(blocks.blocking_by_list, uris));
  message->set_blocked_by_list(FirstOf(blocks.blocked_by_list, uris));
}

}  // namespace

std::vector<std::string> BlockListsOf(const cql::Rows& rows) {
  std::vector<std::string> lists;
  for (const cql::Row& row : rows) {
    const std::string_view list = TextAt(row, ListColumns::kExtra);
    if (!list.empty()) lists.emplace_back(list);
  }
  std::reverse(lists.begin(), lists.end());
  return lists;
}

std::vector<std::string> MuteListsOf(const cql::Rows& rows) {
  std::vector<std::pair<int64_t, std::string>> found;
  for (const cql::Row& row : rows) {
    found.emplace_back(MsAt(row, 1).value_or(0), TextAt(row, 0));
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> lists;
  lists.reserve(found.size());
  for (auto& [created_at, list] : found) lists.push_back(std::move(list));
  return lists;
}

ioloop::Task<absl::Status> Dataplane::ReadRelations(
    rpc::CallContext* call, const std::vector<RelationKey>* keys,
    std::vector<std::string>* uris) {
  uris->clear();
  uris->resize(keys->size());
  const cql::RequestOptions options = OptionsOf(*call);
  auto start = [&](size_t i) {
    const RelationKey& key = (*keys)[i];
    return session_->Execute(options, *queries_.relation, key.actor, key.kind,
                             key.subject);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) (*uris)[i] = TextAt(row, 0);
  };
  absl::Status status = co_await ReadEach(
      call, session_, options_.queries_in_flight, keys->size(), &start, &use);
  co_return status;
}

// Subscriptions are few: their first bucket is what counts.
cql::Query Dataplane::StartBlockLists(const cql::RequestOptions& options,
                                      std::string_view actor) {
  constexpr int32_t kFirstBucket = 0;
  return session_->Execute(options, *queries_.records_by_actor.first, actor,
                           kListBlock, kFirstBucket,
                           static_cast<int32_t>(options_.lists_per_actor_max));
}

absl::Status Dataplane::CheckRelations(size_t count) {
  if (count <= options_.relations_max) return absl::OkStatus();
  ++stats_.relations_refused;
  return absl::ResourceExhaustedError(
      absl::StrCat("the request and the lists of its accounts come to more "
                   "than ",
                   options_.relations_max, " relations"));
}

ioloop::Task<absl::Status> Dataplane::GetRelationships(
    rpc::CallContext& call, const bsky::GetRelationshipsRequest& request,
    bsky::GetRelationshipsResponse* response) {
  absl::Status status = CheckKeys(request.target_dids_size(), "target_dids");
  if (!status.ok()) co_return status;
  const std::string_view actor = request.actor_did();
  const KeySet targets(request.target_dids());
  std::vector<bsky::Relationships> relationships(targets.size());
  std::vector<uint32_t> asked;
  KeySet accounts;
  for (uint32_t i = 0; i < targets.size() && IsDid(actor); ++i) {
    if (!IsDid(targets[i])) continue;
    asked.push_back(i);
    accounts.Add(targets[i]);
  }
  if (asked.empty()) {
    Spread(request.target_dids(), targets, &relationships,
           response->mutable_relationships());
    co_return absl::OkStatus();
  }
  const size_t actor_index = accounts.Add(actor);

  // First what is known of each: whether it exists, is muted, and its lists.
  const cql::RequestOptions options = OptionsOf(call);
  const int32_t lists_max = static_cast<int32_t>(options_.lists_per_actor_max);
  cql::Query list_mutes =
      session_->Execute(options, *queries_.list_mutes, actor, lists_max);
  std::vector<char> known(accounts.size(), false);
  std::vector<std::vector<std::string>> block_lists(accounts.size());
  constexpr size_t kQueries = 3;
  auto start = [&](size_t i) {
    const std::string_view account = accounts[i / kQueries];
    switch (i % kQueries) {
      case 0:
        return session_->Execute(options, *queries_.actor_known, account);
      case 1:
        return session_->Execute(options, *queries_.mute, actor, account);
      default:
        return StartBlockLists(options, account);
    }
  };
  std::vector<bsky::Relationships> mutes(accounts.size());
  auto use = [&](size_t i, cql::Rows& rows) {
    const size_t account = i / kQueries;
    switch (i % kQueries) {
      case 0:
        for (const cql::Row& row : rows) known[account] = BoolAt(row, 0);
        return;
      case 1:
        for (const cql::Row& row : rows) FillMute(row, &mutes[account]);
        return;
      default:
        block_lists[account] = BlockListsOf(rows);
    }
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             kQueries * accounts.size(), &start, &use);
  if (!status.ok()) co_return status;
  absl::StatusOr<cql::Rows> list_mute_rows = co_await list_mutes;
  if (!list_mute_rows.ok()) co_return list_mute_rows.status();
  const std::vector<std::string> mute_lists = MuteListsOf(*list_mute_rows);

  // Then how they stand to each other.
  struct Indexes {
    size_t following;
    size_t followed_by;
    BlockQueries blocks;
    ViaLists muted_by_list;
  };
  RelationBatch batch;
  std::vector<Indexes> indexes(asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    const std::string_view target = targets[asked[i]];
    const size_t account = accounts.IndexOf(target);
    if (!known[account]) continue;
    indexes[i].following = batch.Add(actor, kFollow, target);
    indexes[i].followed_by = batch.Add(target, kFollow, actor);
    indexes[i].blocks = AddBlocks(actor, target, block_lists[actor_index],
                                  block_lists[account], &batch);
    indexes[i].muted_by_list = AddLists(mute_lists, target, &batch);
    status = CheckRelations(batch.keys().size());
    if (!status.ok()) co_return status;
  }
  std::vector<std::string> uris;
  status = co_await ReadRelations(&call, &batch.keys(), &uris);
  if (!status.ok()) co_return status;

  for (size_t i = 0; i < asked.size(); ++i) {
    const size_t account = accounts.IndexOf(targets[asked[i]]);
    if (!known[account]) continue;
    bsky::Relationships* relationship = &relationships[asked[i]];
    *relationship = mutes[account];
    relationship->set_following(uris[indexes[i].following]);
    relationship->set_followed_by(uris[indexes[i].followed_by]);
    FillBlocks(indexes[i].blocks, uris, relationship);
    relationship->set_muted_by_list(FirstOf(indexes[i].muted_by_list, uris));
  }
  Spread(request.target_dids(), targets, &relationships,
         response->mutable_relationships());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetBlockExistence(
    rpc::CallContext& call, const bsky::GetBlockExistenceRequest& request,
    bsky::GetBlockExistenceResponse* response) {
  absl::Status status = CheckKeys(request.pairs_size(), "pairs");
  if (!status.ok()) co_return status;
  KeySet accounts;
  for (const bsky::RelationshipPair& pair : request.pairs()) {
    if (!IsDid(pair.a()) || !IsDid(pair.b())) continue;
    accounts.Add(pair.a());
    accounts.Add(pair.b());
  }
  std::vector<std::vector<std::string>> block_lists;
  block_lists.resize(accounts.size());
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) { return StartBlockLists(options, accounts[i]); };
  auto use = [&](size_t i, cql::Rows& rows) {
    block_lists[i] = BlockListsOf(rows);
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             accounts.size(), &start, &use);
  if (!status.ok()) co_return status;

  RelationBatch batch;
  std::vector<std::optional<BlockQueries>> indexes(request.pairs_size());
  for (int i = 0; i < request.pairs_size(); ++i) {
    const bsky::RelationshipPair& pair = request.pairs(i);
    if (!IsDid(pair.a()) || !IsDid(pair.b())) continue;
    indexes[i] =
        AddBlocks(pair.a(), pair.b(), block_lists[accounts.IndexOf(pair.a())],
                  block_lists[accounts.IndexOf(pair.b())], &batch);
    status = CheckRelations(batch.keys().size());
    if (!status.ok()) co_return status;
  }
  std::vector<std::string> uris;
  status = co_await ReadRelations(&call, &batch.keys(), &uris);
  if (!status.ok()) co_return status;

  for (const std::optional<BlockQueries>& blocks : indexes) {
    bsky::BlockExistence* existence = response->add_blocks();
    if (blocks.has_value()) FillBlocks(*blocks, uris, existence);
    response->add_exists(!existence->blocking().empty() ||
                         !existence->blocked_by().empty() ||
                         !existence->blocking_by_list().empty() ||
                         !existence->blocked_by_list().empty());
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane
