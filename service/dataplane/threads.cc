// A post with what it answers and what answers it.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

// Replies that are read of one of many posts before it is known how many all
// of them have.
constexpr size_t kFirstReplies = 100;

size_t Levels(int32_t asked, size_t max) {
  return std::min(static_cast<size_t>(std::max(asked, 0)), max);
}

}  // namespace

// The anchor, then what it answers, one step after the other: a parent is known
// only when its reply was read. `root` is the thread's, as the anchor says.
ioloop::Task<absl::Status> Dataplane::ReadAncestors(
    rpc::CallContext* call, std::string_view anchor, size_t above,
    std::vector<std::string>* uris, std::string* root) {
  *root = anchor;
  std::string uri(anchor);
  absl::flat_hash_set<std::string> seen;
  while (uris->size() <= above && seen.insert(uri).second) {
    const std::optional<AtUri> parsed = ParseAtUri(uri);
    if (!parsed.has_value() || parsed->collection != kPost) break;
    if (call->cancelled) {
      co_return absl::CancelledError("the caller went away");
    }
    KeySet key;
    key.Add(uri);
    std::vector<RecordState> states;
    absl::Status status = co_await ReadRecordStates(call, &key, &states);
    if (!status.ok()) co_return status;
    RecordState& state = states[0];
    if (!state.exists) break;
    if (uris->empty() && !state.reply_root.empty()) *root = state.reply_root;
    uris->push_back(std::move(uri));
    uri = std::move(state.reply_parent);
  }
  co_return absl::OkStatus();
}

// The direct replies of each parent, newest first, at most `limit` of all.
ioloop::Task<absl::Status> Dataplane::ReadReplies(
    rpc::CallContext* call, const std::vector<std::string>* parents,
    size_t limit, std::vector<std::vector<ListRow>>* replies) {
  replies->clear();
  replies->resize(parents->size());
  const size_t first =
      parents->size() == 1 ? limit : std::min(limit, kFirstReplies);
  auto list_of = [&](size_t i) {
    ListId list;
    list.queries = &queries_.replies_by_parent;
    list.directory = "replies_by_parent";
    list.owner = (*parents)[i];
    return list;
  };
  const cql::RequestOptions options = OptionsOf(*call);
  auto start = [&](size_t i) {
    constexpr int32_t kFirstBucket = 0;
    return session_->Execute(options, *queries_.replies_by_parent.first,
                             (*parents)[i], kFirstBucket,
                             static_cast<int32_t>(first));
  };
  // Those that have more buckets, or more replies than were asked for.
  std::vector<size_t> again;
  size_t found = 0;
  auto use = [&](size_t i, cql::Rows& rows) {
    if (found >= limit) return;
    std::vector<ListRow>* of_parent = &(*replies)[i];
    const bool split = AppendListRows(list_of(i), rows, of_parent);
    if (split || (rows.size() >= first && first < limit)) again.push_back(i);
    found += of_parent->size();
  };
  absl::Status status =
      co_await ReadEach(call, session_, options_.queries_in_flight,
                        parents->size(), &start, &use);
  if (!status.ok()) co_return status;

  const std::optional<Position> from_start;
  for (size_t parent : again) {
    std::vector<ListRow>* of_parent = &(*replies)[parent];
    const size_t others = found - of_parent->size();
    if (others >= limit) break;
    const ListId list = list_of(parent);
    status = co_await lists_.Read(call, &list, &from_start, limit - others,
                                  of_parent);
    if (!status.ok()) co_return status;
    found = others + of_parent->size();
  }
  co_return absl::OkStatus();
}

// Level by level, `below` of them, up to thread_replies_max replies in all.
ioloop::Task<absl::Status> Dataplane::ReadDescendants(
    rpc::CallContext* call, std::string_view anchor, size_t below,
    std::vector<Position>* found) {
  std::vector<std::string> parents;
  if (ParseAtUri(anchor).has_value()) parents.emplace_back(anchor);
  absl::flat_hash_set<std::string> seen(parents.begin(), parents.end());
  for (size_t level = 0; level < below && !parents.empty(); ++level) {
    const size_t limit = options_.thread_replies_max - found->size();
    if (limit == 0) break;
    std::vector<std::vector<ListRow>> replies;
    absl::Status status = co_await ReadReplies(call, &parents, limit, &replies);
    if (!status.ok()) co_return status;
    parents.clear();
    for (std::vector<ListRow>& of_parent : replies) {
      for (ListRow& row : of_parent) {
        if (found->size() >= options_.thread_replies_max) break;
        // A post may claim to answer itself.
        if (!seen.insert(row.uri()).second) continue;
        parents.push_back(row.uri());
        found->push_back(std::move(row.position));
      }
    }
  }
  std::sort(found->begin(), found->end(),
            [](const Position& a, const Position& b) { return b.IsAfter(a); });
  co_return absl::OkStatus();
}

ioloop::Task<void> Dataplane::ReadUpward(rpc::CallContext* call,
                                         std::string_view anchor, size_t above,
                                         std::vector<std::string>* uris,
                                         std::vector<std::string>* op_thread,
                                         absl::Status* status) {
  std::string root;
  *status = co_await ReadAncestors(call, anchor, above, uris, &root);
  if (!status->ok()) co_return;
  KeySet roots;
  roots.Add(root);
  std::vector<std::vector<std::string>> threads;
  *status = co_await ReadOpThreads(call, &roots, &threads);
  *op_thread = std::move(threads[0]);
}

ioloop::Task<void> Dataplane::ReadDownward(rpc::CallContext* call,
                                           std::string_view anchor,
                                           size_t below,
                                           std::vector<Position>* found,
                                           absl::Status* status) {
  *status = co_await ReadDescendants(call, anchor, below, found);
}

ioloop::Task<absl::Status> Dataplane::GetThread(
    rpc::CallContext& call, const bsky::GetThreadRequest& request,
    bsky::GetThreadResponse* response) {
  std::vector<std::string> ancestors;
  std::vector<std::string> op_thread;
  std::vector<Position> descendants;
  absl::Status upward;
  absl::Status downward;
  ioloop::TaskGroup reads;
  reads.Spawn(ReadUpward(&call, request.post_uri(),
                         Levels(request.above(), options_.thread_ancestors_max),
                         &ancestors, &op_thread, &upward));
  reads.Spawn(ReadDownward(&call, request.post_uri(),
                           Levels(request.below(), options_.thread_levels_max),
                           &descendants, &downward));
  co_await reads.Join();
  if (!upward.ok()) co_return upward;
  if (!downward.ok()) co_return downward;
  for (std::string& uri : ancestors) response->add_uris(std::move(uri));
  for (Position& reply : descendants) {
    response->add_uris(std::move(reply.key));
  }
  for (std::string& uri : op_thread) response->add_op_thread(std::move(uri));
  co_return absl::OkStatus();
}

}  // namespace dataplane
