// Feeds and timelines: an item is put into the feed of its account and into
// the timeline of everybody who follows it.
#include <algorithm>
#include <utility>

#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

// Rows of one batch: all of one partition.
constexpr size_t kBatchRows = 100;
// A timeline may grow by this part of itself, on average, before it is cut.
constexpr uint64_t kTrimFraction = 8;

// FNV-1a: in another process, too, where absl's hash is another one.
uint64_t Hash(uint64_t hash, std::string_view text) {
  for (char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  }
  return hash;
}

// The same for the same write, so that replaying needs no memory of it.
bool IsTimeToTrim(std::string_view actor, std::string_view uri,
                  int timeline_rows) {
  const uint64_t writes_per_trim = std::max<uint64_t>(
      1, static_cast<uint64_t>(timeline_rows) / kTrimFraction);
  const uint64_t hash = Hash(Hash(0xCBF29CE484222325, actor), uri);
  // The low bits alone are not mixed well.
  return (hash >> 32) % writes_per_trim == 0;
}

ListKey Feed(const FeedItem& item, int feed_type) {
  return ListKey(ListTable::kAuthorFeed, item.originator, "", feed_type);
}

}  // namespace

ioloop::Task<absl::Status> Indexer::State::PutFeedItem(
    FeedItem item, std::vector<int> feed_types) {
  SideBySide work;
  const ListRow row(item.sort_ms, item.cid, item.uri, item.post_uri);
  for (int feed_type : feed_types) {
    work.Run(lists.Add(Feed(item, feed_type), row));
  }
  work.Run(FanOut(item, true));
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::State::TakeFeedItem(
    FeedItem item, std::vector<int> feed_types) {
  SideBySide work;
  const ListRow row(item.sort_ms, item.cid, item.uri, item.post_uri);
  for (int feed_type : feed_types) {
    work.Run(lists.Remove(Feed(item, feed_type), row));
  }
  work.Run(FanOut(item, false));
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::State::FanOut(const FeedItem& item,
                                                  bool put) {
  Lists::Walk followers(&lists, ListKey(ListTable::kFollowers, item.originator),
                        options.page_rows);
  std::vector<ListRow> page;
  for (;;) {
    absl::StatusOr<bool> more = co_await followers.Next(&page);
    if (!more.ok()) co_return more.status();
    if (!*more) co_return absl::OkStatus();

    cql::QuerySet writes(writer.session(), options.writes_in_flight);
    for (const ListRow& follower : page) {
      co_await writes.Room();
      if (put) {
        writes.Add([&] {
          return writer.StartWrite(statements.write_timeline, follower.value,
                                   Ms(item.sort_ms), item.cid, item.uri,
                                   OrNull(item.post_uri));
        });
      } else {
        writes.Add([&] {
          return writer.StartWrite(statements.remove_timeline, follower.value,
                                   Ms(item.sort_ms), item.cid, item.uri);
        });
      }
    }
    for (size_t i = 0; i < writes.size(); ++i) {
      cql::Query& write = writes[i];
      absl::StatusOr<cql::Rows> written = co_await write;
      if (!written.ok()) co_return written.status();
    }
    if (!put) continue;
    for (const ListRow& follower : page) {
      if (!IsTimeToTrim(follower.value, item.uri, options.timeline_rows)) {
        continue;
      }
      absl::Status status = co_await TrimTimeline(follower.value);
      if (!status.ok()) co_return status;
    }
  }
}

ioloop::Task<absl::Status> Indexer::State::BackFill(std::string actor,
                                                    std::string followed) {
  absl::StatusOr<std::vector<ListRow>> items = co_await lists.Newest(
      ListKey(ListTable::kAuthorFeed, followed), options.timeline_rows);
  if (!items.ok()) co_return items.status();
  cql::Batch batch(cql::BatchType::kUnlogged);
  for (size_t i = 0; i < items->size(); ++i) {
    const ListRow& item = (*items)[i];
    batch.Add(*statements.write_timeline, actor, Ms(item.sort_ms), item.tie,
              item.uri, OrNull(item.value));
    if (batch.size() < kBatchRows && i + 1 < items->size()) continue;
    absl::Status status = co_await writer.Write(&batch);
    if (!status.ok()) co_return status;
    batch.Clear();
  }
  if (items->empty()) co_return absl::OkStatus();
  co_return co_await TrimTimeline(actor);
}

ioloop::Task<absl::Status> Indexer::State::Unfollow(std::string actor,
                                                    std::string followed) {
  const std::string prefix = Cat("at://", followed, "/");
  cql::Batch batch(cql::BatchType::kUnlogged);
  std::string paging_state;
  do {
    cql::RequestOptions request;
    request.page_size = options.page_rows;
    request.paging_state = paging_state;
    cql::Query query =
        writer.session()->Execute(request, *statements.read_timeline, actor);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    paging_state.assign(rows->paging_state());
    for (const cql::Row& row : *rows) {
      absl::Time sort_at;
      std::string_view tie, uri;
      absl::Status status = row.Read(&sort_at, &tie, &uri);
      if (!status.ok()) co_return status;
      if (!uri.starts_with(prefix)) continue;
      batch.Add(*statements.remove_timeline, actor, sort_at, tie, uri);
      if (batch.size() < kBatchRows) continue;
      status = co_await writer.Write(&batch);
      if (!status.ok()) co_return status;
      batch.Clear();
    }
  } while (!paging_state.empty());
  if (batch.empty()) co_return absl::OkStatus();
  co_return co_await writer.Write(&batch);
}

ioloop::Task<absl::Status> Indexer::State::TrimTimeline(std::string actor) {
  std::string paging_state;
  size_t left = static_cast<size_t>(options.timeline_rows);
  do {
    cql::RequestOptions request;
    request.page_size =
        static_cast<int>(std::min<size_t>(left, options.page_rows));
    request.paging_state = paging_state;
    cql::Query query =
        writer.session()->Execute(request, *statements.read_timeline, actor);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    paging_state.assign(rows->paging_state());
    // Rows of the same millisecond as the last one stay.
    for (const cql::Row& row : *rows) {
      if (--left > 0) continue;
      absl::StatusOr<absl::Time> oldest = row.Get<absl::Time>(0);
      if (!oldest.ok()) co_return oldest.status();
      co_return co_await writer.Write(statements.trim_timeline, actor, *oldest);
    }
  } while (!paging_state.empty());
  co_return absl::OkStatus();
}

}  // namespace ingest
