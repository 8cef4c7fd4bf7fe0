// Posts: threads, gates, quotes and the notifications that a post makes.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

// How many levels up a reply is told of.
constexpr int kReplyNotificationLevels = 4;

std::string HostOf(std::string_view uri) {
  std::optional<UriParts> parts = ParseRecordUri(uri);
  return parts ? std::string(parts->did) : std::string();
}

FeedItem PostItem(const Indexed& indexed) {
  FeedItem item;
  item.originator = indexed.did;
  item.sort_ms = indexed.sort_ms;
  item.cid = indexed.cid;
  item.uri = indexed.uri;
  return item;
}

// The FeedTypes that a post belongs to: see author_feed in schema.cql.
std::vector<int> PostFeedTypes(const Indexed& indexed) {
  const Record& record = indexed.record;
  std::vector<int> types = {0};
  const bool reply = !record.reply_parent.empty();
  if (!reply || HostOf(record.reply_root) == indexed.did) types.push_back(1);
  if (!reply) types.push_back(2);
  if (record.has_images) types.push_back(3);
  if (record.has_video) types.push_back(4);
  return types;
}

bool IsOpReply(const Indexed& indexed) {
  return !indexed.record.reply_root.empty() &&
         HostOf(indexed.record.reply_root) == indexed.did;
}

bool Contains(const std::vector<std::string>& all, std::string_view one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

ioloop::Task<absl::Status> Indexer::State::IndexPost(const Indexed& now,
                                                     int64_t time_us,
                                                     PostFlags* flags,
                                                     std::string* notified) {
  const Record& record = now.record;
  Record gate;
  bool has_gate = false;
  if (!record.reply_root.empty()) {
    absl::StatusOr<Record> found = co_await ReadGate(
        Collection::kThreadgate, record.reply_root, &has_gate);
    if (!found.ok()) co_return found.status();
    gate = *std::move(found);
    if (has_gate) {
      absl::StatusOr<bool> violates =
          co_await ViolatesThreadGate(now.did, record.reply_root, gate);
      if (!violates.ok()) co_return violates.status();
      flags->violates_thread_gate = *violates;
    }
  } else {
    // A gate may have come before its post.
    absl::StatusOr<Record> own =
        co_await ReadGate(Collection::kThreadgate, now.uri, &has_gate);
    if (!own.ok()) co_return own.status();
    flags->has_thread_gate = has_gate;
  }
  absl::StatusOr<Record> own =
      co_await ReadGate(Collection::kPostgate, now.uri, &has_gate);
  if (!own.ok()) co_return own.status();
  flags->has_post_gate = has_gate;
  if (!record.quote.empty() && HostOf(record.quote) != now.did) {
    absl::StatusOr<Record> rules =
        co_await ReadGate(Collection::kPostgate, record.quote, &has_gate);
    if (!rules.ok()) co_return rules.status();
    flags->violates_embedding_rules = has_gate && rules->embedding_disabled;
  }

  SideBySide work;
  work.Run(lists.Add(ListKey(ListTable::kRecordsByActor, now.did, now.nsid),
                     ListRow(now.sort_ms, now.cid, now.uri, "")));
  work.Run(PutFeedItem(PostItem(now), PostFeedTypes(now)));
  const ListRow row(now.sort_ms, now.cid, now.uri, now.did);
  if (!record.reply_parent.empty()) {
    work.Run(
        lists.Add(ListKey(ListTable::kRepliesByParent, record.reply_parent),
                  row, !flags->violates_thread_gate));
  }
  if (!record.quote.empty()) {
    work.Run(
        lists.Add(ListKey(ListTable::kQuotesBySubject, record.quote), row));
  }
  if (IsOpReply(now)) work.Run(AddOpReply(now));
  work.Run(NotifyOfPost(now, time_us, *flags, gate, notified));
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::State::UnindexPost(
    const Indexed& old, const StoredRecord& stored, Removal why,
    int64_t time_us) {
  const Record& record = old.record;
  SideBySide work;
  if (why != Removal::kPurged) {
    work.Run(
        lists.Remove(ListKey(ListTable::kRecordsByActor, old.did, old.nsid),
                     ListRow(old.sort_ms, old.cid, old.uri, "")));
  }
  work.Run(TakeFeedItem(PostItem(old), PostFeedTypes(old)));
  const ListRow row(old.sort_ms, old.cid, old.uri, old.did);
  if (!record.reply_parent.empty()) {
    work.Run(
        lists.Remove(ListKey(ListTable::kRepliesByParent, record.reply_parent),
                     row, !stored.violates_thread_gate));
  }
  if (!record.quote.empty()) {
    work.Run(
        lists.Remove(ListKey(ListTable::kQuotesBySubject, record.quote), row));
  }
  work.Run(RemoveNotifications(old, stored.notified));
  if (IsOpReply(old)) work.Run(RemoveOpReply(old, time_us));
  if (why != Removal::kReplaced) {
    work.Run(RemoveRepostItems(old.uri));
    work.Run(lists.Drop(ListKey(ListTable::kQuotesBySubject, old.uri)));
  }
  co_return co_await work.Join();
}

ioloop::Task<absl::StatusOr<Record>> Indexer::State::ReadGate(Collection gate,
                                                              std::string post,
                                                              bool* found) {
  *found = false;
  Record record;
  const std::string uri = UriInCollection(post, gate);
  absl::StatusOr<StoredRecord> stored = co_await ReadRecord(uri);
  if (!stored.ok()) co_return stored.status();
  if (!stored->live()) co_return record;
  std::optional<Indexed> indexed = FromStore(*ParseRecordUri(uri), *stored);
  if (!indexed) co_return record;
  *found = true;
  co_return indexed->record;
}

ioloop::Task<absl::StatusOr<bool>> Indexer::State::ViolatesThreadGate(
    const std::string& replier, const std::string& root, const Record& gate) {
  const std::string owner = HostOf(root);
  if (replier == owner || !gate.has_allow) co_return false;
  if (gate.allow_mentioned) {
    absl::StatusOr<StoredRecord> stored = co_await ReadRecord(root);
    if (!stored.ok()) co_return stored.status();
    if (stored->live()) {
      std::optional<Indexed> post = FromStore(*ParseRecordUri(root), *stored);
      if (post && Contains(post->record.mentions, replier)) co_return false;
    }
  }
  const std::string_view follow = CollectionNsid(Collection::kFollow);
  if (gate.allow_followed) {
    absl::StatusOr<std::string> uri =
        co_await ReadRelation(owner, follow, replier);
    if (!uri.ok()) co_return uri.status();
    if (!uri->empty()) co_return false;
  }
  if (gate.allow_followers) {
    absl::StatusOr<std::string> uri =
        co_await ReadRelation(replier, follow, owner);
    if (!uri.ok()) co_return uri.status();
    if (!uri->empty()) co_return false;
  }
  for (const std::string& list : gate.allow_lists) {
    absl::StatusOr<std::string> uri = co_await ReadRelation(
        list, CollectionNsid(Collection::kListitem), replier);
    if (!uri.ok()) co_return uri.status();
    if (!uri->empty()) co_return false;
  }
  co_return true;
}

ioloop::Task<absl::StatusOr<PostLinks>> Indexer::State::ReadLinks(
    std::string_view uri) {
  cql::Query query = writer.session()->Execute(*statements.read_links, uri);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<std::string_view> cid, parent, root;
  absl::StatusOr<bool> found = rows->ReadFirst(&cid, &parent, &root);
  if (!found.ok()) co_return found.status();
  PostLinks links;
  links.live = cid.has_value();
  links.parent = parent.value_or("");
  links.root = root.value_or("");
  co_return links;
}

ioloop::Task<absl::Status> Indexer::State::NotifyOfPost(const Indexed& now,
                                                        int64_t time_us,
                                                        const PostFlags& flags,
                                                        const Record& gate,
                                                        std::string* notified) {
  const Record& record = now.record;
  // Each recipient is told once; the first reason counts.
  absl::flat_hash_set<std::string> told = {now.did};
  SideBySide work;
  int mentions = 0;
  for (const std::string& did : record.mentions) {
    if (!told.insert(did).second) continue;
    if (++mentions > options.mentions_max) break;
    work.Run(Notify(now, Notice(did, "mention", ""), "", time_us, notified));
  }
  if (!record.quote.empty() && !flags.violates_embedding_rules) {
    const std::string host = HostOf(record.quote);
    if (told.insert(host).second) {
      work.Run(NotifyAbout(now, Notice(host, "quote", record.quote), time_us,
                           notified));
    }
  }
  absl::Status status;
  if (!flags.violates_thread_gate) {
    std::string ancestor = record.reply_parent;
    for (int level = 1; level <= kReplyNotificationLevels && !ancestor.empty();
         ++level) {
      absl::StatusOr<PostLinks> links = co_await ReadLinks(ancestor);
      if (!links.ok()) {
        status = links.status();
        break;
      }
      if (!links->live) break;
      const std::string host = HostOf(ancestor);
      if (told.insert(host).second) {
        work.Run(Notify(now, Notice(host, "reply", ancestor),
                        links->root.empty() ? ancestor : links->root, time_us,
                        notified));
      }
      // Whoever is above a hidden reply does not want to hear of it.
      if (Contains(gate.hidden_replies, ancestor)) break;
      ancestor = links->parent;
    }
  }
  absl::Status joined = co_await work.Join();
  co_return status.ok() ? joined : status;
}

ioloop::Task<absl::StatusOr<bool>> Indexer::State::HoldsOpReply(
    const Indexed& reply) {
  cql::Query find = writer.session()->Execute(
      *statements.find_op_reply, reply.record.reply_root, reply.uri);
  absl::StatusOr<cql::Rows> found = co_await find;
  if (!found.ok()) co_return found.status();
  co_return !found->empty();
}

ioloop::Task<absl::Status> Indexer::State::AddOpReply(const Indexed& now) {
  const std::string& root = now.record.reply_root;
  cql::Query count =
      writer.session()->Execute(*statements.read_op_replies, root);
  absl::StatusOr<bool> found = co_await HoldsOpReply(now);
  absl::StatusOr<cql::Rows> counted = co_await count;
  if (!found.ok()) co_return found.status();
  if (!counted.ok()) co_return counted.status();
  std::optional<int> stored;
  absl::StatusOr<bool> any = counted->ReadFirst(&stored);
  if (!any.ok()) co_return any.status();
  int row_count = stored.value_or(0);
  if (!*found) {
    if (row_count >= options.op_replies_max) co_return absl::OkStatus();
    ++row_count;
  }
  co_return co_await writer.Write(statements.write_op_reply, root, now.uri,
                                  now.record.reply_parent, row_count);
}

// It keeps its place while a reply below it lives, if it has one.
ioloop::Task<absl::Status> Indexer::State::RemoveOpReply(const Indexed& old,
                                                         int64_t time_us) {
  absl::StatusOr<bool> found = co_await HoldsOpReply(old);
  if (!found.ok()) co_return found.status();
  if (!*found) co_return absl::OkStatus();
  co_return co_await writer.Write(
      statements.delete_op_reply, old.record.reply_root, old.uri,
      old.record.reply_parent, absl::FromUnixMicros(time_us));
}

// Takes the post's reposts out of every feed. The reposts themselves stay.
ioloop::Task<absl::Status> Indexer::State::RemoveRepostItems(std::string post) {
  const std::string_view kind = CollectionNsid(Collection::kRepost);
  Lists::Walk reposts(&lists, ListKey(ListTable::kRepostsBySubject, post),
                      options.page_rows);
  const std::vector<int> feed_types = {0, 1, 2};
  std::vector<ListRow> page;
  for (;;) {
    absl::StatusOr<bool> more = co_await reposts.Next(&page);
    if (!more.ok()) co_return more.status();
    if (!*more) co_return absl::OkStatus();
    for (const ListRow& row : page) {
      FeedItem item;
      item.originator = row.value;
      item.sort_ms = row.sort_ms;
      item.cid = row.tie;
      item.uri = row.uri;
      item.post_uri = post;
      absl::Status status = co_await TakeFeedItem(item, feed_types);
      if (!status.ok()) co_return status;

      // Those of the same account that do not count are in its feed as well.
      cql::Query query = writer.session()->Execute(*statements.read_duplicates,
                                                   row.value, kind, post);
      absl::StatusOr<cql::Rows> duplicates = co_await query;
      if (!duplicates.ok()) co_return duplicates.status();
      for (const cql::Row& duplicate : *duplicates) {
        absl::StatusOr<std::string_view> uri =
            duplicate.Get<std::string_view>(0);
        if (!uri.ok()) co_return uri.status();
        absl::StatusOr<StoredRecord> stored = co_await ReadRecord(*uri);
        if (!stored.ok()) co_return stored.status();
        if (!stored->live()) continue;
        item.sort_ms = stored->sort_ms;
        item.cid = stored->cid;
        item.uri = *uri;
        status = co_await TakeFeedItem(item, feed_types);
        if (!status.ok()) co_return status;
      }
    }
  }
}

}  // namespace ingest
