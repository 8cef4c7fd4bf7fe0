// What the admin RPCs keep in lists: bookmarks and mutes.
#include <utility>

#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr std::string_view kBookmarkKind = "bookmark";
constexpr std::string_view kMuteKind = "mute";

}  // namespace

ioloop::Task<absl::Status> Indexer::PutBookmark(const Bookmark& bookmark) {
  State& state = *state_;
  const std::string actor(bookmark.actor);
  const std::string subject(bookmark.subject);
  const std::string key(bookmark.key);
  const std::string subject_cid(bookmark.subject_cid);
  const int64_t indexed_ms = bookmark.indexed_at_ms;
  KeySet keys;
  keys.AddExclusive(Cat("bookmark ", actor, " ", subject));
  KeyedOrder::Place place(&state.order);
  place.Enter(keys);
  co_await place;

  absl::Status status = co_await state.UnlistBookmark(
      actor, subject, ListRow(indexed_ms, key, subject, ""));
  if (!status.ok()) co_return status;
  // The row before the lists: it is how they are found again.
  status = co_await state.writer.Write(state.statements.write_bookmark, actor,
                                       subject, key, OrNull(subject_cid),
                                       Ms(indexed_ms));
  if (!status.ok()) co_return status;
  SideBySide work;
  work.Run(
      state.lists.Add(ListKey(ListTable::kRecordsByActor, actor, kBookmarkKind),
                      ListRow(indexed_ms, key, subject, subject)));
  work.Run(state.lists.Add(ListKey(ListTable::kBookmarksBySubject, subject),
                           ListRow(indexed_ms, key, actor, actor)));
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::DeleteBookmark(std::string_view actor,
                                                   std::string_view subject) {
  State& state = *state_;
  const std::string by(actor);
  const std::string about(subject);
  KeySet keys;
  keys.AddExclusive(Cat("bookmark ", by, " ", about));
  KeyedOrder::Place place(&state.order);
  place.Enter(keys);
  co_await place;

  absl::Status status = co_await state.UnlistBookmark(by, about, ListRow());
  if (!status.ok()) co_return status;
  co_return co_await state.writer.Write(state.statements.remove_bookmark, by,
                                        about);
}

// Takes the bookmark that is there out of its lists, unless it is `but`.
ioloop::Task<absl::Status> Indexer::State::UnlistBookmark(std::string actor,
                                                          std::string subject,
                                                          ListRow but) {
  cql::Query query =
      writer.session()->Execute(*statements.read_bookmark, actor, subject);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<std::string_view> key;
  std::optional<absl::Time> indexed_at;
  absl::StatusOr<bool> found = rows->ReadFirst(&key, &indexed_at);
  if (!found.ok()) co_return found.status();
  if (!*found || !key || !indexed_at) co_return absl::OkStatus();
  const int64_t indexed_ms = absl::ToUnixMillis(*indexed_at);
  if (but.sort_ms == indexed_ms && but.tie == *key && !but.uri.empty()) {
    co_return absl::OkStatus();
  }
  SideBySide work;
  work.Run(
      lists.Remove(ListKey(ListTable::kRecordsByActor, actor, kBookmarkKind),
                   ListRow(indexed_ms, *key, subject, "")));
  work.Run(lists.Remove(ListKey(ListTable::kBookmarksBySubject, subject),
                        ListRow(indexed_ms, *key, actor, "")));
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::PutMute(const Mute& mute) {
  State& state = *state_;
  const std::string actor(mute.actor);
  const std::string subject(mute.subject);
  const int64_t created_ms = mute.created_at_ms;
  const bool only_reposts = mute.only_reposts;
  const bool only_quoteposts = mute.only_quoteposts;
  KeySet keys;
  keys.AddExclusive(Cat("mute ", actor, " ", subject));
  KeyedOrder::Place place(&state.order);
  place.Enter(keys);
  co_await place;

  absl::Status status = co_await state.UnlistMute(actor, subject, created_ms);
  if (!status.ok()) co_return status;
  status = co_await state.writer.Write(state.statements.write_mute, actor,
                                       subject, Ms(created_ms), only_reposts,
                                       only_quoteposts);
  if (!status.ok()) co_return status;
  const ListKey key(ListTable::kRecordsByActor, actor, kMuteKind);
  const ListRow row(created_ms, subject, subject, subject);
  co_return co_await state.lists.Add(key, row);
}

ioloop::Task<absl::Status> Indexer::DeleteMute(std::string_view actor,
                                               std::string_view subject) {
  State& state = *state_;
  const std::string by(actor);
  const std::string about(subject);
  KeySet keys;
  keys.AddExclusive(Cat("mute ", by, " ", about));
  KeyedOrder::Place place(&state.order);
  place.Enter(keys);
  co_await place;

  absl::Status status = co_await state.UnlistMute(by, about, std::nullopt);
  if (!status.ok()) co_return status;
  co_return co_await state.writer.Write(state.statements.remove_mute, by,
                                        about);
}

// Takes the mute that is there out of the actor's list, unless it was made at
// `but_ms`.
ioloop::Task<absl::Status> Indexer::State::UnlistMute(
    std::string actor, std::string subject, std::optional<int64_t> but_ms) {
  cql::Query query =
      writer.session()->Execute(*statements.read_mute, actor, subject);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<absl::Time> created_at;
  absl::StatusOr<bool> found = rows->ReadFirst(&created_at);
  if (!found.ok()) co_return found.status();
  if (!*found || !created_at) co_return absl::OkStatus();
  const int64_t created_ms = absl::ToUnixMillis(*created_at);
  if (but_ms == created_ms) co_return absl::OkStatus();
  const ListKey key(ListTable::kRecordsByActor, actor, kMuteKind);
  const ListRow row(created_ms, subject, subject, "");
  co_return co_await lists.Remove(key, row);
}

}  // namespace ingest
