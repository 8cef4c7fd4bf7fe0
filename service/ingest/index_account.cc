// Accounts: handles, status, the end of an account; verifications.
#include <algorithm>
#include <utility>

#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

// Records of an account that are removed at once.
constexpr size_t kPurgesInFlight = 16;

}  // namespace

ioloop::Task<absl::StatusOr<ActorRow>> Indexer::State::ReadActor(
    std::string_view did) {
  cql::Query query = writer.session()->Execute(*statements.read_actor, did);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<bool> known;
  std::optional<std::string_view> handle;
  std::optional<int64_t> purged, account, handle_time;
  absl::StatusOr<bool> found =
      rows->ReadFirst(&known, &handle, &purged, &account, &handle_time);
  if (!found.ok()) co_return found.status();
  ActorRow actor;
  actor.known = known.value_or(false);
  actor.handle = handle.value_or("");
  actor.purged_us = purged.value_or(0);
  actor.account_us = account.value_or(0);
  actor.handle_us = handle_time.value_or(0);
  co_return actor;
}

ioloop::Task<absl::StatusOr<KnownActor>> Indexer::State::Recall(
    const std::string& did) {
  auto remembered = actors.find(did);
  if (remembered != actors.end()) co_return remembered->second;
  absl::StatusOr<ActorRow> row = co_await ReadActor(did);
  if (!row.ok()) co_return row.status();
  KnownActor actor;
  actor.known = row->known;
  actor.purged_us = row->purged_us;
  Remember(did, actor);
  co_return actor;
}

void Indexer::State::Remember(const std::string& did, const KnownActor& actor) {
  if (actors.size() >= options.actors_remembered) actors.clear();
  actors[did] = actor;
}

void Indexer::ForgetActor(std::string_view did) {
  state_->actors.erase(std::string(did));
}

ioloop::Task<absl::Status> Indexer::State::MakeKnown(const std::string& did,
                                                     int64_t time_us) {
  absl::Status status = co_await writer.Write(
      statements.make_known, absl::FromUnixMicros(time_us), did);
  if (!status.ok()) co_return status;
  auto remembered = actors.find(did);
  if (remembered != actors.end()) remembered->second.known = true;
  co_return absl::OkStatus();
}

ioloop::Task<absl::StatusOr<Indexer::Outcome>> Indexer::State::ApplyIdentity(
    const Event& event) {
  absl::StatusOr<ActorRow> actor = co_await ReadActor(event.did);
  if (!actor.ok()) co_return actor.status();
  if (std::max(actor->purged_us, actor->handle_us) >= event.time_us) {
    co_return Outcome::kNoNews;
  }
  absl::Status status;
  if (!actor->known) {
    status = co_await MakeKnown(event.did, event.time_us);
    if (!status.ok()) co_return status;
  }
  // An event without a handle says that something else about it changed.
  if (!event.handle.empty()) {
    status = co_await MoveHandle(event.did, event.handle);
    if (!status.ok()) co_return status;
  }
  status = co_await writer.Write(statements.set_handle_time, event.time_us,
                                 event.did);
  if (!status.ok()) co_return status;
  co_return Outcome::kApplied;
}

ioloop::Task<absl::Status> Indexer::State::MoveHandle(std::string did,
                                                      std::string handle) {
  KeySet keys;
  keys.AddExclusive("handles");
  KeyedOrder::Place place(&order);
  place.Enter(keys);
  co_await place;

  absl::StatusOr<ActorRow> actor = co_await ReadActor(did);
  if (!actor.ok()) co_return actor.status();
  absl::Status status;
  if (!handle.empty()) {
    cql::Query query =
        writer.session()->Execute(*statements.read_handle, handle);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    std::optional<std::string_view> owner;
    absl::StatusOr<bool> owned = rows->ReadFirst(&owner);
    if (!owned.ok()) co_return owned.status();
    if (owner && *owner != did) {
      const std::string loser(*owner);
      absl::StatusOr<ActorRow> had = co_await ReadActor(loser);
      if (!had.ok()) co_return had.status();
      if (had->handle == handle) {
        status = co_await writer.Write(
            statements.set_handle, std::optional<std::string_view>(), loser);
        if (!status.ok()) co_return status;
      }
    }
    status = co_await writer.Write(statements.write_handle, handle, did);
    if (!status.ok()) co_return status;
  }
  if (!actor->handle.empty() && actor->handle != handle) {
    cql::Query query =
        writer.session()->Execute(*statements.read_handle, actor->handle);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    std::optional<std::string_view> owner;
    absl::StatusOr<bool> owned = rows->ReadFirst(&owner);
    if (!owned.ok()) co_return owned.status();
    if (owner && *owner == did) {
      status = co_await writer.Write(statements.remove_handle, actor->handle);
      if (!status.ok()) co_return status;
    }
  }
  co_return co_await writer.Write(statements.set_handle, OrNull(handle), did);
}

ioloop::Task<absl::Status> Indexer::SetHandle(std::string_view did,
                                              std::string_view handle) {
  return state_->MoveHandle(std::string(did), std::string(handle));
}

ioloop::Task<absl::StatusOr<Indexer::Outcome>> Indexer::State::ApplyAccount(
    const Event& event) {
  absl::StatusOr<ActorRow> actor = co_await ReadActor(event.did);
  if (!actor.ok()) co_return actor.status();
  if (std::max(actor->account_us, actor->purged_us) >= event.time_us) {
    co_return Outcome::kNoNews;
  }
  std::string status_text;
  if (!event.active) {
    status_text = event.status.empty() ? "deactivated" : event.status;
  }
  const std::optional<std::string_view> upstream = OrNull(status_text);
  absl::Status status;
  if (status_text == "deleted") {
    status = co_await Purge(event.did, event.time_us);
    if (!status.ok()) co_return status;
    // Before it is written, not after: the answer may be an error all the same.
    actors.erase(event.did);
    // One write: each half alone would make the other no news.
    status = co_await writer.Write(statements.set_deleted, event.time_us,
                                   upstream, event.time_us, event.did);
  } else {
    if (!actor->known) {
      status = co_await MakeKnown(event.did, event.time_us);
      if (!status.ok()) co_return status;
    }
    status = co_await writer.Write(statements.set_account, upstream,
                                   event.time_us, event.did);
  }
  if (!status.ok()) co_return status;
  co_return Outcome::kApplied;
}

ioloop::Task<absl::Status> Indexer::State::Purge(const std::string& did,
                                                 int64_t time_us) {
  // Those that do not count first: nothing takes over what is to go as well.
  std::vector<std::string> kinds;
  for (size_t i = 0; i < kCollectionCount; ++i) {
    kinds.push_back(DuplicateKind(CollectionNsid(static_cast<Collection>(i))));
  }
  for (size_t i = 0; i < kCollectionCount; ++i) {
    kinds.emplace_back(CollectionNsid(static_cast<Collection>(i)));
  }
  std::vector<ListRow> page;
  for (const std::string& kind : kinds) {
    // The end of a verification is told to its subject: in their order.
    const bool told = kind == CollectionNsid(Collection::kVerification);
    const size_t in_flight = told ? 1 : kPurgesInFlight;
    const ListKey key(ListTable::kRecordsByActor, did, kind);
    Lists::Walk records(&lists, key, options.page_rows);
    for (;;) {
      absl::StatusOr<bool> more = co_await records.Next(&page);
      if (!more.ok()) co_return more.status();
      if (!*more) break;
      for (size_t i = 0; i < page.size();) {
        SideBySide work;
        for (size_t n = 0; n < in_flight && i < page.size(); ++n, ++i) {
          work.Run(PurgeRecord(page[i].uri, time_us));
        }
        absl::Status status = co_await work.Join();
        if (!status.ok()) co_return status;
      }
    }
    // Only now: its rows are how the records are found, this time and again.
    absl::Status status = co_await lists.Drop(key);
    if (!status.ok()) co_return status;
  }
  absl::Status status =
      co_await lists.Drop(ListKey(ListTable::kNotifications, did));
  if (!status.ok()) co_return status;
  status = co_await writer.Write(statements.drop_timeline, did);
  if (!status.ok()) co_return status;
  co_return co_await MoveHandle(did, "");
}

ioloop::Task<absl::Status> Indexer::State::PurgeRecord(std::string uri,
                                                       int64_t time_us) {
  absl::StatusOr<StoredRecord> stored = co_await ReadRecord(uri);
  if (!stored.ok()) co_return stored.status();
  if (!stored->live()) co_return absl::OkStatus();
  const std::string rev = stored->rev;
  co_return co_await RemoveRecord(uri, *std::move(stored), Removal::kPurged,
                                  rev, time_us);
}

ioloop::Task<absl::Status> Indexer::State::IndexVerification(const Indexed& now,
                                                             bool add) {
  if (!add) {
    co_return co_await writer.Write(statements.remove_verification,
                                    now.record.subject, now.did, now.rkey);
  }
  cql::Query query =
      writer.session()->Execute(*statements.read_trusted, now.did);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  if (rows->empty()) co_return absl::OkStatus();
  co_return co_await WriteVerification(now);
}

ioloop::Task<absl::Status> Indexer::State::WriteVerification(
    const Indexed& now) {
  cql::Query query = writer.StartWrite(
      statements.write_verification, now.record.subject, now.did, now.rkey,
      OrNull(now.record.handle), OrNull(now.record.display_name),
      Ms(now.record.created_at_ms), Ms(now.sort_ms));
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<absl::Status> Indexer::SetTrustedVerifier(std::string_view did,
                                                       bool trusted) {
  State& state = *state_;
  const std::string issuer(did);
  // Trusted before its verifications are copied, so that none slips through.
  absl::Status status = co_await state.writer.Write(
      trusted ? state.statements.add_trusted : state.statements.remove_trusted,
      issuer);
  if (!status.ok()) co_return status;
  status = co_await state.writer.Write(state.statements.set_trusted, trusted,
                                       issuer);
  if (!status.ok()) co_return status;

  Lists::Walk verifications(&state.lists,
                            ListKey(ListTable::kRecordsByActor, issuer,
                                    CollectionNsid(Collection::kVerification)),
                            state.options.page_rows);
  std::vector<ListRow> page;
  for (;;) {
    absl::StatusOr<bool> more = co_await verifications.Next(&page);
    if (!more.ok()) co_return more.status();
    if (!*more) co_return absl::OkStatus();
    for (const ListRow& row : page) {
      absl::StatusOr<StoredRecord> stored = co_await state.ReadRecord(row.uri);
      if (!stored.ok()) co_return stored.status();
      if (!stored->live()) continue;
      std::optional<Indexed> indexed =
          state.FromStore(*ParseRecordUri(row.uri), *stored);
      if (!indexed) continue;
      if (trusted) {
        status = co_await state.WriteVerification(*indexed);
      } else {
        status = co_await state.IndexVerification(*indexed, false);
      }
      if (!status.ok()) co_return status;
    }
  }
}

}  // namespace ingest
