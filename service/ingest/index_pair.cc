// Likes, reposts, follows, blocks, list items and list blocks: of one actor
// about one subject, only one record counts, the first; the others wait in
// line.
#include <utility>

#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

struct Pair {
  std::string actor;
  std::string subject;
};

Pair PairOf(const Indexed& indexed) {
  if (indexed.collection == Collection::kListitem) {
    return {indexed.record.list, indexed.record.subject};
  }
  return {indexed.did, indexed.record.subject};
}

// The list of what is about a subject; nothing for blocks of either kind.
std::optional<ListKey> SubjectList(const Indexed& indexed) {
  switch (indexed.collection) {
    case Collection::kLike:
      return ListKey(ListTable::kLikesBySubject, indexed.record.subject);
    case Collection::kRepost:
      return ListKey(ListTable::kRepostsBySubject, indexed.record.subject);
    case Collection::kFollow:
      return ListKey(ListTable::kFollowers, indexed.record.subject);
    case Collection::kListitem:
      return ListKey(ListTable::kListMembers, indexed.record.list);
    default:
      return std::nullopt;
  }
}

// Who stands in that list.
const std::string& ListedActor(const Indexed& indexed) {
  return indexed.collection == Collection::kListitem ? indexed.record.subject
                                                     : indexed.did;
}

FeedItem RepostItem(const Indexed& indexed) {
  FeedItem item;
  item.originator = indexed.did;
  item.sort_ms = indexed.sort_ms;
  item.cid = indexed.cid;
  item.uri = indexed.uri;
  item.post_uri = indexed.record.subject;
  return item;
}

// FeedTypes that show reposts: all but media and video.
std::vector<int> RepostFeedTypes() { return {0, 1, 2}; }

std::string HostOf(std::string_view uri) {
  std::optional<UriParts> parts = ParseRecordUri(uri);
  return parts ? std::string(parts->did) : std::string();
}

// One after the other: in which bucket `next` is then depends on nothing else.
ioloop::Task<absl::Status> Replace(Lists* lists, ListKey key, ListRow old,
                                   ListRow next) {
  absl::Status status = co_await lists->Remove(key, old);
  if (!status.ok()) co_return status;
  co_return co_await lists->Add(key, next);
}

}  // namespace

ioloop::Task<absl::Status> Indexer::State::IndexPair(const Indexed& now,
                                                     int64_t time_us,
                                                     std::string* notified) {
  SideBySide work;
  // A repost is in its account's feed, whether it counts or not.
  if (now.collection == Collection::kRepost) {
    work.Run(PutFeedItem(RepostItem(now), RepostFeedTypes()));
  }
  const Pair pair = PairOf(now);
  absl::StatusOr<std::string> counting =
      co_await ReadRelation(pair.actor, now.nsid, pair.subject);
  if (!counting.ok()) {
    static_cast<void>(co_await work.Join());
    co_return counting.status();
  }
  if (counting->empty()) {
    work.Run(writer.Write(statements.write_relation, pair.actor, now.nsid,
                          pair.subject, now.uri));
  }
  const ListRow row(now.sort_ms, now.cid, now.uri, now.record.subject);
  if (!counting->empty() && *counting != now.uri) {
    work.Run(RememberDuplicate(now));
    work.Run(lists.Add(
        ListKey(ListTable::kRecordsByActor, now.did, DuplicateKind(now.nsid)),
        row));
    co_return co_await work.Join();
  }

  work.Run(
      lists.Add(ListKey(ListTable::kRecordsByActor, now.did, now.nsid), row));
  if (std::optional<ListKey> list = SubjectList(now)) {
    work.Run(lists.Add(
        *list, ListRow(now.sort_ms, now.cid, now.uri, ListedActor(now))));
  }
  if (now.collection == Collection::kFollow) {
    work.Run(BackFill(now.did, now.record.subject));
    work.Run(Notify(now, Notice(now.record.subject, "follow", ""), "", time_us,
                    notified));
  }
  if (now.collection == Collection::kLike ||
      now.collection == Collection::kRepost) {
    work.Run(NotifyHosts(now, time_us, notified));
  }
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::State::NotifyHosts(const Indexed& now,
                                                       int64_t time_us,
                                                       std::string* notified) {
  const bool like = now.collection == Collection::kLike;
  const std::string host = HostOf(now.record.subject);
  if (host == now.did) co_return absl::OkStatus();
  Notice notice(host, like ? "like" : "repost", now.record.subject);
  absl::Status status = co_await NotifyAbout(now, notice, time_us, notified);
  const std::string via_host = HostOf(now.record.via);
  if (!status.ok() || via_host.empty() || via_host == now.did) co_return status;
  // Not beside the first: both may be rows of one list, and their order there
  // is the order in which they came.
  Notice via(via_host, like ? "like-via-repost" : "repost-via-repost",
             now.record.via);
  co_return co_await NotifyAbout(now, via, time_us, notified);
}

ioloop::Task<absl::Status> Indexer::State::UnindexPair(
    const Indexed& old, const StoredRecord& stored, Removal why) {
  SideBySide work;
  if (old.collection == Collection::kRepost) {
    work.Run(TakeFeedItem(RepostItem(old), RepostFeedTypes()));
  }
  const Pair pair = PairOf(old);
  absl::StatusOr<std::string> counting =
      co_await ReadRelation(pair.actor, old.nsid, pair.subject);
  if (!counting.ok()) {
    static_cast<void>(co_await work.Join());
    co_return counting.status();
  }
  const ListRow row(old.sort_ms, old.cid, old.uri, "");
  const ListKey waiting(ListTable::kRecordsByActor, old.did,
                        DuplicateKind(old.nsid));
  if (*counting != old.uri) {
    if (why != Removal::kPurged) work.Run(lists.Remove(waiting, row));
    work.Run(writer.Write(statements.remove_duplicate, pair.actor, old.nsid,
                          pair.subject, Ms(old.indexed_ms), old.uri));
    // Or `old` did count, and this was broken off when all was done but that.
    if (!counting->empty()) work.Run(ForgetDuplicate(old, *counting));
    co_return co_await work.Join();
  }

  std::optional<Successor> successor;
  if (why != Removal::kReplaced) {
    absl::StatusOr<std::optional<Successor>> found =
        co_await FindSuccessor(old);
    if (!found.ok()) {
      static_cast<void>(co_await work.Join());
      co_return found.status();
    }
    successor = *std::move(found);
  }
  const ListKey by_actor(ListTable::kRecordsByActor, old.did, old.nsid);
  const std::optional<ListKey> by_subject = SubjectList(old);
  if (successor) {
    ListRow next(successor->sort_ms, successor->cid, successor->uri,
                 old.record.subject);
    work.Run(Replace(&lists, by_actor, row, next));
    work.Run(lists.Remove(waiting, next));
    next.value = ListedActor(old);
    if (by_subject) work.Run(Replace(&lists, *by_subject, row, next));
    // The first record's notifications stay: it is still liked, or followed.
  } else {
    if (why != Removal::kPurged) work.Run(lists.Remove(by_actor, row));
    if (by_subject) work.Run(lists.Remove(*by_subject, row));
    work.Run(RemoveNotifications(old, stored.notified));
    if (old.collection == Collection::kFollow && why != Removal::kReplaced) {
      work.Run(Unfollow(old.did, old.record.subject));
    }
  }
  absl::Status status = co_await work.Join();
  if (!status.ok()) co_return status;

  // The pair is handed over when all else is done: until then, doing this
  // again finds the same to do.
  if (successor) {
    status = co_await writer.Write(statements.write_relation, pair.actor,
                                   old.nsid, pair.subject, successor->uri);
  } else {
    status = co_await writer.Write(statements.remove_relation, pair.actor,
                                   old.nsid, pair.subject);
  }
  if (status.ok() && successor) {
    status = co_await writer.Write(statements.remove_duplicate, pair.actor,
                                   old.nsid, pair.subject,
                                   Ms(successor->indexed_ms), successor->uri);
  }
  co_return status;
}

ioloop::Task<absl::StatusOr<std::string>> Indexer::State::ReadRelation(
    std::string_view actor, std::string_view kind, std::string_view subject) {
  cql::Query query = writer.session()->Execute(*statements.read_relation, actor,
                                               kind, subject);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<std::string_view> uri;
  absl::StatusOr<bool> found = rows->ReadFirst(&uri);
  if (!found.ok()) co_return found.status();
  co_return std::string(uri.value_or(""));
}

ioloop::Task<absl::StatusOr<std::optional<Successor>>>
Indexer::State::FindSuccessor(const Indexed& old) {
  const Pair pair = PairOf(old);
  cql::Query query = writer.session()->Execute(
      *statements.read_duplicates, pair.actor, old.nsid, pair.subject);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<Successor> successor;
  for (const cql::Row& row : *rows) {
    absl::StatusOr<std::string_view> uri = row.Get<std::string_view>(0);
    if (!uri.ok()) co_return uri.status();
    absl::StatusOr<StoredRecord> stored = co_await ReadRecord(*uri);
    if (!stored.ok()) co_return stored.status();
    if (!stored->live()) continue;
    successor.emplace();
    successor->uri = *uri;
    successor->cid = stored->cid;
    successor->indexed_ms = stored->indexed_ms;
    successor->sort_ms = stored->sort_ms;
    break;
  }
  co_return successor;
}

ioloop::Task<absl::Status> Indexer::State::ForgetDuplicate(
    const Indexed& old, std::string counting) {
  const Pair pair = PairOf(old);
  cql::Query query = writer.session()->Execute(
      *statements.read_duplicates, pair.actor, old.nsid, pair.subject);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  for (const cql::Row& row : *rows) {
    std::string_view uri;
    absl::Time indexed_at;
    absl::Status status = row.Read(&uri, &indexed_at);
    if (!status.ok()) co_return status;
    if (uri != counting) continue;
    co_return co_await writer.Write(statements.remove_duplicate, pair.actor,
                                    old.nsid, pair.subject, indexed_at, uri);
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Indexer::State::RememberDuplicate(
    const Indexed& now) {
  const Pair pair = PairOf(now);
  cql::Query query = writer.session()->Execute(
      *statements.read_duplicates, pair.actor, now.nsid, pair.subject);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  if (rows->size() >= static_cast<size_t>(options.duplicates_max) ||
      rows->has_more_pages()) {
    co_return absl::OkStatus();
  }
  co_return co_await writer.Write(statements.write_duplicate, pair.actor,
                                  now.nsid, pair.subject, Ms(now.indexed_ms),
                                  now.uri);
}

}  // namespace ingest
