// Feeds of one account and timelines.
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/timeline_merge.h"

namespace dataplane {
namespace {

bool IsPost(std::string_view uri) {
  const std::optional<AtUri> parsed = ParseAtUri(uri);
  return parsed.has_value() && parsed->collection == kPost;
}

// The reposted post is a feed row's only extra column.
std::vector<FeedItem> FeedItemsOf(std::vector<ListRow> rows) {
  std::vector<FeedItem> items;
  items.reserve(rows.size());
  for (ListRow& row : rows) {
    FeedItem item;
    item.is_repost = !row.extra[0].empty();
    item.post_uri = item.is_repost ? std::move(row.extra[0]) : row.uri();
    item.position = std::move(row.position);
    items.push_back(std::move(item));
  }
  return items;
}

template <typename Item>
void FillItem(FeedItem item, Item* out) {
  out->set_uri(std::move(item.post_uri));
  if (item.is_repost) out->set_repost(std::move(item.position.key));
}

}  // namespace

ListId Dataplane::AuthorFeedOf(std::string_view actor,
                               int32_t feed_type) const {
  static constexpr std::string_view kDirectories[] = {
      "author_feed:0", "author_feed:1", "author_feed:2", "author_feed:3",
      "author_feed:4"};
  constexpr int32_t kFeedTypes = 5;
  // An unknown type is no restriction.
  if (feed_type < 0 || feed_type >= kFeedTypes) feed_type = 0;
  ListId list;
  list.queries = &queries_.author_feed;
  list.directory = kDirectories[feed_type];
  list.owner = actor;
  list.feed_type = feed_type;
  return list;
}

// Removes reposts of posts that do not exist (yet).
ioloop::Task<absl::Status> Dataplane::KeepExistingPosts(
    rpc::CallContext* call, std::vector<ListRow>* rows) {
  KeySet reposted;
  for (const ListRow& row : *rows) {
    if (IsPost(row.extra[0])) reposted.Add(row.extra[0]);
  }
  std::vector<RecordState> states;
  absl::Status status = co_await ReadRecordStates(call, &reposted, &states);
  if (!status.ok()) co_return status;
  std::vector<ListRow> kept;
  kept.reserve(rows->size());
  for (size_t i = 0; i < rows->size(); ++i) {
    ListRow& row = (*rows)[i];
    const std::string& post = row.extra[0];
    if (post.empty() ||
        (IsPost(post) && states[reposted.IndexOf(post)].exists)) {
      kept.push_back(std::move(row));
    }
  }
  *rows = std::move(kept);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetAuthorFeed(
    rpc::CallContext& call, const bsky::GetAuthorFeedRequest& request,
    bsky::GetAuthorFeedResponse* response) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(request.cursor());
  if (!after.ok()) co_return after.status();
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  const ListId list = AuthorFeedOf(request.actor_did(), request.feed_type());
  auto filter = [&](std::vector<ListRow>* rows) {
    return KeepExistingPosts(&call, rows);
  };
  ListPage page;
  absl::Status status = co_await ReadPage(
      &lists_, &call, &list, *after, LimitOf(request.limit()), &filter, &page);
  if (!status.ok()) co_return status;
  response->set_cursor(page.cursor());
  std::vector<FeedItem> items = FeedItemsOf(std::move(page.rows));
  for (FeedItem& item : items) FillItem(std::move(item), response->add_items());
  co_return absl::OkStatus();
}

// What was fanned out to the account, and its own feed, read side by side.
ioloop::Task<absl::Status> Dataplane::GetTimeline(
    rpc::CallContext& call, const bsky::GetTimelineRequest& request,
    bsky::GetTimelineResponse* response) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(request.cursor());
  if (!after.ok()) co_return after.status();
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  ListId timeline;
  timeline.queries = &queries_.timeline;
  timeline.owner = request.actor_did();
  const ListId own_feed = AuthorFeedOf(request.actor_did(), 0);
  const size_t limit = LimitOf(request.limit());

  std::vector<ListRow> followed;
  std::vector<ListRow> own;
  absl::Status followed_status;
  absl::Status own_status;
  ioloop::TaskGroup reads;
  reads.Spawn(ReadInto(&call, &timeline, &*after, limit + 1, &followed,
                       &followed_status));
  reads.Spawn(
      ReadInto(&call, &own_feed, &*after, limit + 1, &own, &own_status));
  co_await reads.Join();
  if (!followed_status.ok()) co_return followed_status;
  if (!own_status.ok()) co_return own_status;

  TimelinePage page = MergeTimeline(FeedItemsOf(std::move(followed)),
                                    FeedItemsOf(std::move(own)), limit);
  if (page.more) {
    response->set_cursor(EncodeCursor(page.items.back().position));
  }
  for (FeedItem& item : page.items) {
    FillItem(std::move(item), response->add_items());
  }
  co_return absl::OkStatus();
}

ioloop::Task<void> Dataplane::ReadInto(rpc::CallContext* call,
                                       const ListId* list,
                                       const std::optional<Position>* after,
                                       size_t limit, std::vector<ListRow>* rows,
                                       absl::Status* status) {
  *status = co_await lists_.Read(call, list, after, limit, rows);
}

}  // namespace dataplane
