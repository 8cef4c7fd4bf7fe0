#include "service/ingest/indexer.h"

#include <algorithm>
#include <utility>

#include "ioloop/log.h"
#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

// What is one of a kind for an account is in `actor_records`, too.
bool IsActorRecord(Collection collection, std::string_view rkey) {
  if (rkey != "self") return false;
  switch (collection) {
    case Collection::kProfile:
    case Collection::kStatus:
    case Collection::kLabeler:
    case Collection::kNotificationDeclaration:
    case Collection::kChatDeclaration:
    case Collection::kGermDeclaration:
      return true;
    default:
      return false;
  }
}

bool IsPair(Collection collection) {
  switch (collection) {
    case Collection::kLike:
    case Collection::kRepost:
    case Collection::kFollow:
    case Collection::kBlock:
    case Collection::kListblock:
    case Collection::kListitem:
      return true;
    default:
      return false;
  }
}

bool SamePair(const Indexed& a, const Indexed& b) {
  return a.record.subject == b.record.subject && a.record.list == b.record.list;
}

// The time in a rev, which is a TID: 13 digits of base 32, the last ten bits
// not part of it. Nothing if it is none.
std::optional<int64_t> RevTimeUs(std::string_view rev) {
  constexpr std::string_view kDigits = "234567abcdefghijklmnopqrstuvwxyz";
  if (rev.size() != 13) return std::nullopt;
  uint64_t value = 0;
  for (char c : rev) {
    const size_t digit = kDigits.find(c);
    if (digit == kDigits.npos) return std::nullopt;
    value = value << 5 | digit;
  }
  if (value >> 63 != 0) return std::nullopt;
  return static_cast<int64_t>(value >> 10);
}

void SortLines(std::string* text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text->size();) {
    const size_t end = text->find('\n', at) + 1;
    lines.push_back(text->substr(at, end - at));
    at = end;
  }
  std::sort(lines.begin(), lines.end());
  text->clear();
  for (const std::string& line : lines) text->append(line);
}

int64_t MsOf(int64_t time_us) {
  return time_us >= 0 ? time_us / 1000 : (time_us - 999) / 1000;
}

}  // namespace

Indexer::Indexer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Indexer::~Indexer() = default;

ioloop::Task<absl::StatusOr<std::unique_ptr<Indexer>>> Indexer::Create(
    cql::Session* session, IndexerOptions options,
    RecordCacheInvalidator* invalidator) {
  auto state = std::make_unique<State>(session, options, invalidator);
  absl::Status status = co_await state->Prepare();
  if (!status.ok()) co_return status;
  co_return std::unique_ptr<Indexer>(new Indexer(std::move(state)));
}

ioloop::Task<absl::StatusOr<Indexer::Outcome>> Indexer::Apply(
    const Event& event) {
  absl::StatusOr<Outcome> outcome = Outcome::kNoNews;
  if (event.kind == EventKind::kIdentity) {
    outcome = co_await state_->ApplyIdentity(event);
  } else if (event.kind == EventKind::kAccount) {
    outcome = co_await state_->ApplyAccount(event);
  } else {
    Indexed now;
    absl::Status status = state_->Check(event, &now);
    if (!status.ok()) co_return status;
    outcome = co_await state_->ApplyCommit(event, std::move(now));
  }
  if (absl::IsInvalidArgument(outcome.status())) {
    // Nothing is wrong with the event, and some of it may be written.
    co_return absl::InternalError(Cat("the store refuses what it is asked: ",
                                      View(outcome.status().message())));
  }
  co_return outcome;
}

bool Indexer::KeysNeedStore(const Event& event) {
  return event.kind == EventKind::kCommit &&
         event.operation != CommitOperation::kCreate;
}

namespace {

// What applying `record` touches beside its account and itself.
void AddKeysOf(Collection collection, const Record& record, bool removed,
               KeySet* keys) {
  switch (collection) {
    case Collection::kPost:
      if (!record.reply_root.empty()) {
        // Later replies walk up through this post to the root.
        if (removed) {
          keys->AddExclusive(record.reply_root);
        } else {
          keys->AddShared(record.reply_root);
        }
        keys->AddShared(record.reply_parent);
        // The thread gate asks for whom the root's author follows and lists.
        keys->AddShared(ParseRecordUri(record.reply_root)->did);
      }
      if (!record.quote.empty()) keys->AddShared(record.quote);
      break;
    case Collection::kThreadgate:
    case Collection::kPostgate:
      keys->AddExclusive(record.subject);
      break;
    default:
      if (!record.subject.empty()) keys->AddShared(record.subject);
      if (!record.via.empty()) keys->AddShared(record.via);
  }
}

}  // namespace

ioloop::Task<absl::Status> Indexer::KeysOf(const Event& event, KeySet* keys,
                                           bool* alone) {
  keys->clear();
  *alone = event.kind == EventKind::kAccount && event.status == "deleted";
  keys->AddExclusive(event.did);
  if (event.kind == EventKind::kIdentity) {
    // A handle moves between accounts that the event does not name.
    keys->AddExclusive("identity");
  }
  if (event.kind != EventKind::kCommit) co_return absl::OkStatus();
  std::optional<Collection> collection = FindCollection(event.collection);
  if (!collection) co_return absl::OkStatus();  // Apply() tells.
  const std::string uri = EventUri(event);
  keys->AddExclusive(uri);

  Record record;
  if (event.operation != CommitOperation::kDelete &&
      state_->parser
          .Parse(*collection, event.did, event.rkey, event.record, &record)
          .ok()) {
    AddKeysOf(*collection, record, false, keys);
  }
  if (!KeysNeedStore(event)) co_return absl::OkStatus();
  absl::StatusOr<StoredRecord> stored = co_await state_->ReadRecord(uri);
  if (!stored.ok()) co_return stored.status();
  if (stored->live() &&
      state_->parser
          .Parse(*collection, event.did, event.rkey, stored->json, &record)
          .ok()) {
    AddKeysOf(*collection, record, true, keys);
  }
  co_return absl::OkStatus();
}

absl::Status Indexer::State::Check(const Event& event, Indexed* now) {
  std::optional<Collection> collection = FindCollection(event.collection);
  if (!collection) {
    return absl::InvalidArgumentError(
        Cat("collection: ", event.collection, " is not served"));
  }
  now->did = event.did;
  now->collection = *collection;
  now->nsid = event.collection;
  now->rkey = event.rkey;
  now->uri = EventUri(event);
  now->cid = event.cid;
  now->indexed_ms = MsOf(event.time_us);
  if (!ParseRecordUri(now->uri)) {
    return absl::InvalidArgumentError(Cat("not a record: ", now->uri));
  }
  if (event.operation != CommitOperation::kDelete) {
    if (event.record.size() > options.record_bytes_max) {
      return absl::InvalidArgumentError(Cat("record: ", event.record.size(),
                                            " bytes, more than ",
                                            options.record_bytes_max));
    }
    if (event.cid.empty()) return absl::InvalidArgumentError("cid: missing");
    absl::Status status = parser.Parse(*collection, event.did, event.rkey,
                                       event.record, &now->record);
    if (!status.ok()) return status;
    now->sort_ms = std::min(now->record.created_at_ms.value_or(now->indexed_ms),
                            now->indexed_ms);
  }
  if (event.rev.empty()) return absl::InvalidArgumentError("rev: missing");
  return absl::OkStatus();
}

ioloop::Task<absl::StatusOr<Indexer::Outcome>> Indexer::State::ApplyCommit(
    const Event& event, Indexed now) {
  absl::StatusOr<KnownActor> actor = co_await Recall(event.did);
  if (!actor.ok()) co_return actor.status();
  if (actor->purged_us >= event.time_us) co_return Outcome::kNoNews;
  absl::StatusOr<StoredRecord> stored = co_await ReadRecord(now.uri);
  if (!stored.ok()) co_return stored.status();
  if (stored->rev >= event.rev) co_return Outcome::kNoNews;

  SideBySide work;
  if (!actor->known) work.Run(MakeKnown(event.did, event.time_us));
  // The rev's own time makes the newest win, in whatever order they come.
  work.Run(writer.Write(statements.write_repo_rev, event.did, event.rev,
                        RevTimeUs(event.rev).value_or(event.time_us)));
  const bool removes = event.operation == CommitOperation::kDelete;
  // Else the same record in a newer commit.
  const bool changes = !stored->live() || stored->cid != event.cid;
  std::string notified;
  PostFlags flags;
  if (!removes && changes) {
    work.Run(ChangeRecord(&now, *stored, event.time_us, &flags, &notified));
  }
  absl::Status status = co_await work.Join();
  if (!status.ok()) co_return status;

  // Last, for it says that everything else is done.
  if (removes) {
    status = co_await RemoveRecord(now.uri, *std::move(stored),
                                   Removal::kDeleted, event.rev, event.time_us);
  } else if (changes) {
    status = co_await WriteRecord(event, now, flags, notified);
    if (status.ok() && invalidator != nullptr) invalidator->Invalidate(now.uri);
  } else {
    status = co_await writer.Write(statements.set_rev, event.rev, now.uri);
  }
  if (!status.ok()) co_return status;
  co_return Outcome::kApplied;
}

ioloop::Task<absl::Status> Indexer::State::ChangeRecord(
    Indexed* now, const StoredRecord& stored, int64_t time_us, PostFlags* flags,
    std::string* notified) {
  if (stored.live()) {
    const UriParts parts = *ParseRecordUri(now->uri);
    std::optional<Indexed> old = FromStore(parts, stored);
    if (old) {
      const bool replaced = !IsPair(now->collection) || SamePair(*old, *now);
      absl::Status status = co_await Unindex(
          *old, stored, replaced ? Removal::kReplaced : Removal::kDeleted,
          time_us);
      if (!status.ok()) co_return status;
    }
    // Who joined through a starter pack did so once.
    if (old && now->collection == Collection::kProfile &&
        old->record.joined_via_starter_pack ==
            now->record.joined_via_starter_pack) {
      *notified = stored.notified;
      now->record.joined_via_starter_pack.clear();
    }
  }
  absl::Status status = co_await Index(*now, time_us, flags, notified);
  // In no order that depends on which question was answered first.
  SortLines(notified);
  co_return status;
}

ioloop::Task<absl::StatusOr<StoredRecord>> Indexer::State::ReadRecord(
    std::string_view uri) {
  cql::Query query = writer.session()->Execute(*statements.read_record, uri);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<std::string_view> cid, json, rev, notified, parent, root;
  std::optional<absl::Time> indexed_at, sort_at;
  std::optional<bool> violates;
  absl::StatusOr<bool> found =
      rows->ReadFirst(&cid, &json, &rev, &notified, &parent, &root, &indexed_at,
                      &sort_at, &violates);
  if (!found.ok()) co_return found.status();
  StoredRecord stored;
  if (!*found) co_return stored;
  stored.cid = cid.value_or("");
  stored.json = json.value_or("");
  stored.rev = rev.value_or("");
  stored.notified = notified.value_or("");
  stored.reply_parent = parent.value_or("");
  stored.reply_root = root.value_or("");
  if (indexed_at) stored.indexed_ms = absl::ToUnixMillis(*indexed_at);
  if (sort_at) stored.sort_ms = absl::ToUnixMillis(*sort_at);
  stored.violates_thread_gate = violates.value_or(false);
  co_return stored;
}

std::optional<Indexed> Indexer::State::FromStore(const UriParts& parts,
                                                 const StoredRecord& stored) {
  std::optional<Collection> collection = FindCollection(parts.collection);
  if (!collection) return std::nullopt;
  Indexed old;
  old.did = parts.did;
  old.collection = *collection;
  old.nsid = parts.collection;
  old.rkey = parts.rkey;
  old.uri = RecordUri(parts.did, parts.collection, parts.rkey);
  old.cid = stored.cid;
  old.indexed_ms = stored.indexed_ms;
  old.sort_ms = stored.sort_ms;
  absl::Status status = parser.Parse(*collection, parts.did, parts.rkey,
                                     stored.json, &old.record);
  if (!status.ok()) {
    RINGPLANE_LOG(kError, "cannot read a stored record", {"uri", old.uri},
                  {"why", View(status.message())});
    return std::nullopt;
  }
  return old;
}

ioloop::Task<absl::Status> Indexer::State::WriteRecord(
    const Event& event, const Indexed& now, const PostFlags& flags,
    const std::string& notified) {
  const Record& record = now.record;
  const std::optional<absl::Time> created_at = Ms(record.created_at_ms);
  if (IsActorRecord(now.collection, now.rkey)) {
    absl::Status status = co_await writer.Write(
        statements.write_actor_record, now.did, now.nsid, now.cid, event.record,
        Ms(now.indexed_ms), created_at);
    if (!status.ok()) co_return status;
  }
  if (now.collection == Collection::kPost) {
    cql::Query query = writer.StartWrite(
        statements.write_post, now.uri, now.cid, event.record,
        Ms(now.indexed_ms), created_at, Ms(now.sort_ms), event.rev,
        OrNull(notified), OrNull(record.reply_parent),
        OrNull(record.reply_root), flags.violates_thread_gate,
        flags.violates_embedding_rules, flags.has_thread_gate,
        flags.has_post_gate);
    absl::StatusOr<cql::Rows> rows = co_await query;
    co_return rows.status();
  }
  cql::Query query =
      writer.StartWrite(statements.write_record, now.uri, now.cid, event.record,
                        Ms(now.indexed_ms), created_at, Ms(now.sort_ms),
                        event.rev, OrNull(notified));
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<absl::Status> Indexer::State::RemoveRecord(std::string uri,
                                                        StoredRecord stored,
                                                        Removal why,
                                                        std::string rev,
                                                        int64_t time_us) {
  const UriParts parts = *ParseRecordUri(uri);
  if (stored.live()) {
    std::optional<Indexed> old = FromStore(parts, stored);
    absl::Status status;
    if (old) status = co_await Unindex(*old, stored, why, time_us);
    if (!status.ok()) co_return status;
    std::optional<Collection> collection = FindCollection(parts.collection);
    if (collection && IsActorRecord(*collection, parts.rkey)) {
      status = co_await writer.Write(statements.remove_actor_record, parts.did,
                                     parts.collection);
      if (!status.ok()) co_return status;
    }
  }
  const int ttl = static_cast<int>(absl::ToInt64Seconds(options.tombstone_ttl));
  absl::Status status =
      co_await writer.Write(statements.bury_record, uri, rev, ttl);
  if (!status.ok()) co_return status;
  if (invalidator != nullptr) invalidator->Invalidate(uri);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Indexer::State::Index(const Indexed& now,
                                                 int64_t time_us,
                                                 PostFlags* flags,
                                                 std::string* notified) {
  if (now.collection == Collection::kPost) {
    return IndexPost(now, time_us, flags, notified);
  }
  if (IsPair(now.collection)) return IndexPair(now, time_us, notified);
  return IndexOther(now, time_us, notified);
}

ioloop::Task<absl::Status> Indexer::State::Unindex(const Indexed& old,
                                                   const StoredRecord& stored,
                                                   Removal why,
                                                   int64_t time_us) {
  if (old.collection == Collection::kPost) {
    return UnindexPost(old, stored, why, time_us);
  }
  if (IsPair(old.collection)) return UnindexPair(old, stored, why);
  return UnindexOther(old, stored, why, time_us);
}

// The collections that are neither posts nor about a pair.
ioloop::Task<absl::Status> Indexer::State::IndexOther(const Indexed& now,
                                                      int64_t time_us,
                                                      std::string* notified) {
  SideBySide work;
  work.Run(
      lists.Add(ListKey(ListTable::kRecordsByActor, now.did, now.nsid),
                ListRow(now.sort_ms, now.cid, now.uri, now.record.subject)));
  switch (now.collection) {
    case Collection::kThreadgate:
    case Collection::kPostgate:
      work.Run(SetGateFlag(now.collection, now.record.subject, true));
      break;
    case Collection::kVerification:
      work.Run(IndexVerification(now, true));
      if (now.record.subject != now.did) {
        work.Run(Notify(now, Notice(now.record.subject, "verified", ""), "",
                        time_us, notified));
      }
      break;
    case Collection::kProfile:
      if (!now.record.joined_via_starter_pack.empty()) {
        const std::string& pack = now.record.joined_via_starter_pack;
        work.Run(Notify(
            now, Notice(ParseRecordUri(pack)->did, "starterpack-joined", pack),
            "", time_us, notified));
      }
      break;
    default:
      break;
  }
  co_return co_await work.Join();
}

ioloop::Task<absl::Status> Indexer::State::UnindexOther(
    const Indexed& old, const StoredRecord& stored, Removal why,
    int64_t time_us) {
  const bool replaced = why == Removal::kReplaced;
  SideBySide work;
  if (why != Removal::kPurged) {
    work.Run(
        lists.Remove(ListKey(ListTable::kRecordsByActor, old.did, old.nsid),
                     ListRow(old.sort_ms, old.cid, old.uri, "")));
  }
  std::string unverified;
  switch (old.collection) {
    case Collection::kThreadgate:
    case Collection::kPostgate:
      if (!replaced) {
        work.Run(SetGateFlag(old.collection, old.record.subject, false));
      }
      break;
    case Collection::kVerification:
      work.Run(IndexVerification(old, false));
      work.Run(RemoveNotifications(old, stored.notified));
      break;
    case Collection::kProfile:
      if (!replaced) work.Run(RemoveNotifications(old, stored.notified));
      break;
    default:
      break;
  }
  absl::Status status = co_await work.Join();
  if (!status.ok()) co_return status;
  if (old.collection == Collection::kVerification && !replaced &&
      old.record.subject != old.did) {
    Indexed ended = old;
    ended.sort_ms = MsOf(time_us);
    Notice notice(old.record.subject, "unverified", "");
    status = co_await Notify(ended, notice, "", time_us, &unverified);
  }
  co_return status;
}

ioloop::Task<absl::Status> Indexer::State::SetGateFlag(Collection gate,
                                                       std::string post,
                                                       bool present) {
  absl::StatusOr<PostLinks> links = co_await ReadLinks(post);
  if (!links.ok()) co_return links.status();
  // An update would make a row of a post that is not there.
  if (!links->live) co_return absl::OkStatus();
  absl::Status status = co_await writer.Write(
      gate == Collection::kThreadgate ? statements.set_has_thread_gate
                                      : statements.set_has_post_gate,
      present, post);
  if (!status.ok()) co_return status;
  if (invalidator != nullptr) invalidator->Invalidate(post);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Indexer::SetRecordTakedown(std::string_view uri,
                                                      std::string_view ref) {
  std::optional<UriParts> parts = ParseRecordUri(uri);
  if (!parts) co_return absl::InvalidArgumentError("not the URI of a record");
  State& state = *state_;
  const std::string name(uri);
  const std::string did(parts->did);
  const std::string nsid(parts->collection);
  std::optional<Collection> collection = FindCollection(parts->collection);
  const bool actor_record =
      collection && IsActorRecord(*collection, parts->rkey);
  absl::Status status = co_await state.writer.Write(
      state.statements.set_takedown, OrNull(ref), std::string_view(name));
  if (status.ok() && actor_record) {
    status = co_await state.writer.Write(
        state.statements.set_actor_record_takedown, OrNull(ref),
        std::string_view(did), std::string_view(nsid));
  }
  if (!status.ok()) co_return status;
  if (state.invalidator != nullptr) state.invalidator->Invalidate(name);
  co_return absl::OkStatus();
}

}  // namespace ingest
