#include "service/dataplane/admin_service.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "google/protobuf/timestamp.pb.h"
#include "service/ingest/atproto_syntax.h"
#include "service/ingest/datetime.h"
#include "service/ingest/record.h"
#include "service/ingest/text.h"
#include "simdjson.h"

namespace dataplane {
namespace {

using google::protobuf::Timestamp;
using ingest::Cat;
using ingest::Ms;
using ingest::OrNull;

// What protobuf takes for a time: the years 1 to 9999.
constexpr int64_t kSecondsMin = -62135596800;
constexpr int64_t kSecondsMax = 253402300799;
constexpr size_t kTextBytesMax = 4096;
constexpr size_t kJsonBytesMax = 64 << 10;

absl::Status Bad(std::string_view field, std::string_view reason) {
  return absl::InvalidArgumentError(Cat(field, ": ", reason));
}

absl::Status CheckDid(std::string_view field, std::string_view did) {
  if (did.empty()) return Bad(field, "missing");
  return ingest::IsDid(did) ? absl::OkStatus() : Bad(field, "not a DID");
}

absl::Status CheckUri(std::string_view field, std::string_view uri) {
  if (uri.empty()) return Bad(field, "missing");
  if (ingest::ParseRecordUri(uri)) return absl::OkStatus();
  return Bad(field, "not the URI of a record");
}

absl::Status CheckText(std::string_view field, std::string_view text) {
  if (text.size() <= kTextBytesMax) return absl::OkStatus();
  return Bad(field, Cat("longer than ", kTextBytesMax, " bytes"));
}

absl::Status CheckDids(std::string_view actor, std::string_view subject) {
  absl::Status status = CheckDid("actor_did", actor);
  return status.ok() ? CheckDid("subject_did", subject) : status;
}

absl::Status CheckDidAndUri(std::string_view actor, std::string_view field,
                            std::string_view uri) {
  absl::Status status = CheckDid("actor_did", actor);
  return status.ok() ? CheckUri(field, uri) : status;
}

absl::Status CheckJsonObject(std::string_view field, std::string_view json) {
  if (json.size() > kJsonBytesMax) {
    return Bad(field, Cat("longer than ", kJsonBytesMax, " bytes"));
  }
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  if (parser.parse(json.data(), json.size()).get(element) !=
          simdjson::SUCCESS ||
      !element.is_object()) {
    return Bad(field, "not a JSON object");
  }
  return absl::OkStatus();
}

// Without a time, now.
absl::StatusOr<int64_t> ToMs(std::string_view field, bool present,
                             const Timestamp& time) {
  if (!present) return absl::ToUnixMillis(absl::Now());
  if (time.seconds() < kSecondsMin || time.seconds() > kSecondsMax ||
      time.nanos() < 0 || time.nanos() > 999'999'999) {
    return Bad(field, "not a time");
  }
  return time.seconds() * 1000 + time.nanos() / 1'000'000;
}

void FromTime(absl::Time time, Timestamp* out) {
  const int64_t micros = absl::ToUnixMicros(time);
  out->set_seconds(micros / 1'000'000);
  out->set_nanos(static_cast<int>(micros % 1'000'000 * 1000));
}

// Whose state an item changes.
std::string_view OrderKey(const std::string& did) { return did; }
std::string_view OrderKey(const admin::Actor& item) { return item.did(); }
std::string_view OrderKey(const admin::Identity& item) { return item.did(); }
std::string_view OrderKey(const admin::Label& item) { return item.uri(); }
std::string_view OrderKey(const admin::Takedown& item) {
  if (item.has_actor_did()) return item.actor_did();
  if (item.has_blob()) return item.blob().did();
  return item.record_uri();
}
template <typename Item>
std::string_view OrderKey(const Item& item) {
  return item.actor_did();
}

}  // namespace

AdminService::AdminService(cql::Session* session, ingest::Indexer* indexer,
                           ingest::Scheduler* scheduler, Options options)
    : indexer_(indexer),
      scheduler_(scheduler),
      options_(std::move(options)),
      started_at_(absl::Now()),
      writer_(session),
      parser_(options_.parser) {}

AdminService::~AdminService() = default;

ioloop::Task<absl::StatusOr<std::unique_ptr<AdminService>>>
AdminService::Create(cql::Session* session, ingest::Indexer* indexer,
                     ingest::Scheduler* scheduler, Options options) {
  std::unique_ptr<AdminService> service(
      new AdminService(session, indexer, scheduler, std::move(options)));
  absl::Status status = co_await service->Prepare();
  if (!status.ok()) co_return status;
  co_return std::move(service);
}

ioloop::Task<absl::Status> AdminService::Prepare() {
  using Slot = const cql::PreparedStatement* Statements::*;
  struct Text {
    Slot slot;
    const char* text;
  };
  using S = Statements;
  static constexpr Text kReads[] = {
      {&S::count_trusted,
       "SELECT COUNT(*) FROM trusted_verifiers WHERE one = 0 AND did > ?"},
      {&S::count_blob_takedowns,
       "SELECT COUNT(*) FROM blob_takedowns WHERE did = ?"},
      {&S::count_list_mutes, "SELECT COUNT(*) FROM list_mutes WHERE actor = ?"},
      {&S::count_subscriptions,
       "SELECT COUNT(*) FROM activity_subscriptions WHERE actor = ?"},
  };
  static constexpr Text kWrites[] = {
      {&S::make_known, "UPDATE actors SET known = true WHERE did = ?"},
      {&S::set_indexed_at, "UPDATE actors SET indexed_at = ? WHERE did = ?"},
      {&S::set_upstream_status,
       "UPDATE actors SET upstream_status = ? WHERE did = ?"},
      {&S::set_actor_takedown,
       "UPDATE actors SET takedown_ref = ? WHERE did = ?"},
      {&S::set_priority,
       "UPDATE actors SET priority_notifications = ? WHERE did = ?"},
      {&S::write_identity,
       "INSERT INTO identities (did, keys, services, updated_at)"
       " VALUES (?, ?, ?, ?)"},
      {&S::remove_identity, "DELETE FROM identities WHERE did = ?"},
      {&S::write_label,
       "INSERT INTO labels (subject, src, val, cid, neg, cts, exp, exp_at)"
       " VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"},
      {&S::write_blob_takedown,
       "INSERT INTO blob_takedowns (did, cid, takedown_ref)"
       " VALUES (?, ?, ?)"},
      {&S::remove_blob_takedown,
       "DELETE FROM blob_takedowns WHERE did = ? AND cid = ?"},
      {&S::write_list_mute,
       "INSERT INTO list_mutes (actor, list, created_at) VALUES (?, ?, ?)"},
      {&S::remove_list_mute,
       "DELETE FROM list_mutes WHERE actor = ? AND list = ?"},
      {&S::write_thread_mute,
       "INSERT INTO thread_mutes (actor, root, created_at)"
       " VALUES (?, ?, ?)"},
      {&S::remove_thread_mute,
       "DELETE FROM thread_mutes WHERE actor = ? AND root = ?"},
      {&S::write_subscription,
       "INSERT INTO activity_subscriptions (actor, subject, key, post, reply,"
       " indexed_at) VALUES (?, ?, ?, ?, ?, ?)"},
      {&S::remove_subscription,
       "DELETE FROM activity_subscriptions WHERE actor = ? AND subject = ?"},
      {&S::write_seen,
       "INSERT INTO notification_seen (did, seen_at) VALUES (?, ?)"
       " USING TIMESTAMP ?"},
  };
  ingest::SideBySide work;
  for (const Text& read : kReads) {
    work.Run(writer_.PrepareRead(read.text, &(statements_.*read.slot)));
  }
  for (const Text& write : kWrites) {
    work.Run(writer_.PrepareWrite(write.text, &(statements_.*write.slot)));
  }
  co_return co_await work.Join();
}

void AdminService::Register(rpc::Router* router) {
  router->AddService(
      admin::GetStatusRequest::descriptor()->file()->FindServiceByName(
          "Admin"));
#define RINGPLANE_HANDLE(name) \
  router->Handle<&AdminService::name>("ringplane.admin.v1.Admin", #name, this)
  RINGPLANE_HANDLE(IngestEvents);
  RINGPLANE_HANDLE(GetStatus);
  RINGPLANE_HANDLE(PutActors);
  RINGPLANE_HANDLE(PutIdentities);
  RINGPLANE_HANDLE(DeleteIdentities);
  RINGPLANE_HANDLE(PutTrustedVerifiers);
  RINGPLANE_HANDLE(DeleteTrustedVerifiers);
  RINGPLANE_HANDLE(PutLabels);
  RINGPLANE_HANDLE(PutTakedowns);
  RINGPLANE_HANDLE(PutMutes);
  RINGPLANE_HANDLE(DeleteMutes);
  RINGPLANE_HANDLE(PutListMutes);
  RINGPLANE_HANDLE(DeleteListMutes);
  RINGPLANE_HANDLE(PutThreadMutes);
  RINGPLANE_HANDLE(DeleteThreadMutes);
  RINGPLANE_HANDLE(PutBookmarks);
  RINGPLANE_HANDLE(DeleteBookmarks);
  RINGPLANE_HANDLE(PutActivitySubscriptions);
  RINGPLANE_HANDLE(DeleteActivitySubscriptions);
  RINGPLANE_HANDLE(PutNotificationSeen);
  RINGPLANE_HANDLE(PutNotificationPriority);
#undef RINGPLANE_HANDLE
}

ioloop::Task<absl::Status> AdminService::IngestEvents(
    rpc::CallContext&, const admin::IngestEventsRequest& request,
    admin::IngestEventsResponse* response) {
  if (request.lines_size() > options_.items_max) {
    co_return Bad(
        "lines", Cat(request.lines_size(), ", more than ", options_.items_max));
  }
  std::vector<ingest::Event> events;
  std::vector<int> line_of_event;
  int skipped = 0;
  for (int i = 0; i < request.lines_size(); ++i) {
    ingest::Event event;
    absl::StatusOr<ingest::JetstreamParser::Outcome> parsed =
        parser_.Parse(request.lines(i), &event);
    if (!parsed.ok()) {
      admin::ItemError* error = response->add_errors();
      error->set_index(i);
      error->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
      error->set_message(std::string(parsed.status().message()));
    } else if (*parsed == ingest::JetstreamParser::Outcome::kSkipped) {
      ++skipped;
    } else {
      last_time_us_ = std::max(last_time_us_, event.time_us);
      events.push_back(std::move(event));
      line_of_event.push_back(i);
    }
  }
  absl::StatusOr<std::vector<ingest::EventSink::Rejection>> rejections =
      co_await scheduler_->Apply(events);
  if (!rejections.ok()) co_return rejections.status();
  for (const ingest::EventSink::Rejection& rejection : *rejections) {
    admin::ItemError* error = response->add_errors();
    error->set_index(line_of_event[rejection.index]);
    error->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
    error->set_message(rejection.reason);
  }
  std::sort(response->mutable_errors()->pointer_begin(),
            response->mutable_errors()->pointer_end(),
            [](const admin::ItemError* a, const admin::ItemError* b) {
              return a->index() < b->index();
            });
  response->set_applied(static_cast<int>(events.size() - rejections->size()));
  response->set_skipped(skipped);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> AdminService::GetStatus(
    rpc::CallContext&, const admin::GetStatusRequest&,
    admin::GetStatusResponse* response) {
  response->set_version(options_.version);
  FromTime(started_at_, response->mutable_started_at());
  response->set_store_connections(
      static_cast<int>(writer_.session()->connections()));
  const ingest::SchedulerStats& stats = scheduler_->stats();
  admin::IngestStatus* ingest = response->mutable_ingest();
  ingest->set_applied(stats.applied);
  ingest->set_no_news(stats.no_news);
  ingest->set_rejected(stats.rejected);
  ingest->set_failed(stats.failed);
  ingest->set_retries(stats.retries);
  ingest->set_last_time_us(last_time_us_);
  co_return absl::OkStatus();
}

template <auto Apply, typename Items>
ioloop::Task<absl::Status> AdminService::ForEach(
    rpc::CallContext& call, const Items& items,
    admin::ItemsResponse* response) {
  if (items.size() > options_.items_max) {
    co_return absl::InvalidArgumentError(Cat(
        items.size(), " items in one request, more than ", options_.items_max));
  }
  for (int next = 0; next < items.size();) {
    if (call.cancelled) co_return absl::CancelledError("the caller left");
    ioloop::TaskGroup group;
    const int end = std::min(items.size(), next + options_.items_in_flight);
    for (; next < end; ++next) {
      group.Spawn(ApplyOne<Apply>(items.Get(next), next, response));
    }
    co_await group.Join();
  }
  std::sort(response->mutable_errors()->pointer_begin(),
            response->mutable_errors()->pointer_end(),
            [](const admin::ItemError* a, const admin::ItemError* b) {
              return a->index() < b->index();
            });
  response->set_applied(items.size() - response->errors_size());
  co_return absl::OkStatus();
}

template <auto Apply, typename Item>
ioloop::Task<void> AdminService::ApplyOne(const Item& item, int index,
                                          admin::ItemsResponse* response) {
  ingest::KeySet keys;
  keys.AddExclusive(OrderKey(item));
  ingest::KeyedOrder::Place place(&order_);
  place.Enter(keys);
  co_await place;
  absl::Status status = co_await (this->*Apply)(item);
  if (status.ok()) co_return;
  admin::ItemError* error = response->add_errors();
  error->set_index(index);
  error->set_code(static_cast<int>(status.code()));
  error->set_message(std::string(status.message()));
}

#define RINGPLANE_ITEMS_RPC(name, items, apply)                            \
  ioloop::Task<absl::Status> AdminService::name(                           \
      rpc::CallContext& call, const admin::name##Request& request,         \
      admin::ItemsResponse* response) {                                    \
    return ForEach<&AdminService::apply>(call, request.items(), response); \
  }
RINGPLANE_ITEMS_RPC(PutActors, actors, PutActor)
RINGPLANE_ITEMS_RPC(PutIdentities, identities, PutIdentity)
RINGPLANE_ITEMS_RPC(DeleteIdentities, dids, DeleteIdentity)
RINGPLANE_ITEMS_RPC(PutTrustedVerifiers, dids, PutTrustedVerifier)
RINGPLANE_ITEMS_RPC(DeleteTrustedVerifiers, dids, DeleteTrustedVerifier)
RINGPLANE_ITEMS_RPC(PutLabels, labels, PutLabel)
RINGPLANE_ITEMS_RPC(PutTakedowns, takedowns, PutTakedown)
RINGPLANE_ITEMS_RPC(PutMutes, mutes, PutMute)
RINGPLANE_ITEMS_RPC(DeleteMutes, mutes, DeleteMute)
RINGPLANE_ITEMS_RPC(PutListMutes, mutes, PutListMute)
RINGPLANE_ITEMS_RPC(DeleteListMutes, mutes, DeleteListMute)
RINGPLANE_ITEMS_RPC(PutThreadMutes, mutes, PutThreadMute)
RINGPLANE_ITEMS_RPC(DeleteThreadMutes, mutes, DeleteThreadMute)
RINGPLANE_ITEMS_RPC(PutBookmarks, bookmarks, PutBookmark)
RINGPLANE_ITEMS_RPC(DeleteBookmarks, bookmarks, DeleteBookmark)
RINGPLANE_ITEMS_RPC(PutActivitySubscriptions, subscriptions, PutSubscription)
RINGPLANE_ITEMS_RPC(DeleteActivitySubscriptions, subscriptions,
                    DeleteSubscription)
RINGPLANE_ITEMS_RPC(PutNotificationSeen, seen, PutSeen)
RINGPLANE_ITEMS_RPC(PutNotificationPriority, priorities, PutPriority)
#undef RINGPLANE_ITEMS_RPC

ioloop::Task<absl::Status> AdminService::PutActor(const admin::Actor& actor) {
  absl::Status status = CheckDid("did", actor.did());
  if (!status.ok()) co_return status;
  std::string handle = actor.handle();
  std::transform(handle.begin(), handle.end(), handle.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
  });
  if (!handle.empty() && !ingest::IsHandle(handle)) {
    co_return Bad("handle", "not a handle");
  }
  status = CheckText("upstream_status", actor.upstream_status());
  if (status.ok()) status = CheckText("takedown_ref", actor.takedown_ref());
  if (!status.ok()) co_return status;
  absl::StatusOr<int64_t> indexed_ms =
      ToMs("indexed_at", actor.has_indexed_at(), actor.indexed_at());
  if (!indexed_ms.ok()) co_return indexed_ms.status();

  ingest::SideBySide work;
  work.Run(writer_.Write(statements_.make_known, actor.did()));
  if (actor.has_indexed_at()) {
    work.Run(writer_.Write(statements_.set_indexed_at, Ms(*indexed_ms),
                           actor.did()));
  }
  if (actor.has_upstream_status()) {
    work.Run(writer_.Write(statements_.set_upstream_status,
                           OrNull(actor.upstream_status()), actor.did()));
  }
  if (actor.has_takedown_ref()) {
    work.Run(writer_.Write(statements_.set_actor_takedown,
                           OrNull(actor.takedown_ref()), actor.did()));
  }
  if (actor.has_handle()) {
    work.Run(indexer_->SetHandle(actor.did(), handle));
  }
  status = co_await work.Join();
  indexer_->ForgetActor(actor.did());
  co_return status;
}

ioloop::Task<absl::Status> AdminService::PutIdentity(
    const admin::Identity& identity) {
  absl::Status status = CheckDid("did", identity.did());
  if (status.ok() && !identity.keys().empty()) {
    status = CheckJsonObject("keys", identity.keys());
  }
  if (status.ok() && !identity.services().empty()) {
    status = CheckJsonObject("services", identity.services());
  }
  if (!status.ok()) co_return status;
  absl::StatusOr<int64_t> updated_ms =
      ToMs("updated_at", identity.has_updated_at(), identity.updated_at());
  if (!updated_ms.ok()) co_return updated_ms.status();
  co_return co_await writer_.Write(
      statements_.write_identity, identity.did(), OrNull(identity.keys()),
      OrNull(identity.services()), Ms(*updated_ms));
}

ioloop::Task<absl::Status> AdminService::DeleteIdentity(
    const std::string& did) {
  absl::Status status = CheckDid("dids", did);
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.remove_identity, did);
}

ioloop::Task<absl::Status> AdminService::PutTrustedVerifier(
    const std::string& did) {
  absl::Status status = CheckDid("dids", did);
  if (status.ok()) {
    // Every DID is greater than this.
    status =
        co_await CheckRoom(statements_.count_trusted, "",
                           options_.trusted_verifiers_max, "trusted verifiers");
  }
  if (!status.ok()) co_return status;
  co_return co_await indexer_->SetTrustedVerifier(did, true);
}

ioloop::Task<absl::Status> AdminService::DeleteTrustedVerifier(
    const std::string& did) {
  absl::Status status = CheckDid("dids", did);
  if (!status.ok()) co_return status;
  co_return co_await indexer_->SetTrustedVerifier(did, false);
}

ioloop::Task<absl::Status> AdminService::PutLabel(const admin::Label& label) {
  absl::Status status = CheckDid("src", label.src());
  if (!status.ok()) co_return status;
  if (!ingest::IsDid(label.uri())) {
    status = CheckUri("uri", label.uri());
    if (!status.ok()) co_return status;
  }
  if (label.val().empty()) co_return Bad("val", "missing");
  status = CheckText("val", label.val());
  if (status.ok()) status = CheckText("cid", label.cid());
  if (!status.ok()) co_return status;
  std::optional<int64_t> cts_ms = ingest::ParseDatetimeMs(label.cts());
  if (!cts_ms) co_return Bad("cts", "not a time");
  std::optional<int64_t> exp_ms;
  if (!label.exp().empty()) {
    exp_ms = ingest::ParseDatetimeMs(label.exp());
    if (!exp_ms) co_return Bad("exp", "not a time");
  }
  // The time of the statement decides which of two holds.
  const int64_t cts_us = *cts_ms * 1000;
  co_return co_await writer_.Write(statements_.write_label, label.uri(),
                                   label.src(), label.val(), label.cid(),
                                   label.neg(), label.cts(),
                                   OrNull(label.exp()), Ms(exp_ms), cts_us);
}

ioloop::Task<absl::Status> AdminService::PutTakedown(
    const admin::Takedown& takedown) {
  absl::Status status = CheckText("ref", takedown.ref());
  if (!status.ok()) co_return status;
  if (takedown.has_actor_did()) {
    status = CheckDid("actor_did", takedown.actor_did());
    if (!status.ok()) co_return status;
    co_return co_await writer_.Write(statements_.set_actor_takedown,
                                     OrNull(takedown.ref()),
                                     takedown.actor_did());
  }
  if (takedown.has_record_uri()) {
    status = CheckUri("record_uri", takedown.record_uri());
    if (!status.ok()) co_return status;
    co_return co_await indexer_->SetRecordTakedown(takedown.record_uri(),
                                                   takedown.ref());
  }
  if (!takedown.has_blob()) co_return Bad("subject", "missing");
  const admin::BlobRef& blob = takedown.blob();
  status = CheckDid("blob.did", blob.did());
  if (!status.ok()) co_return status;
  if (!ingest::IsCid(blob.cid())) co_return Bad("blob.cid", "not a CID");
  if (takedown.ref().empty()) {
    co_return co_await writer_.Write(statements_.remove_blob_takedown,
                                     blob.did(), blob.cid());
  }
  status = co_await CheckRoom(statements_.count_blob_takedowns, blob.did(),
                              options_.blob_takedowns_max, "blob takedowns");
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.write_blob_takedown, blob.did(),
                                   blob.cid(), takedown.ref());
}

ioloop::Task<absl::Status> AdminService::PutMute(const admin::Mute& mute) {
  absl::Status status = CheckDids(mute.actor_did(), mute.subject_did());
  if (!status.ok()) co_return status;
  absl::StatusOr<int64_t> created_ms =
      ToMs("created_at", mute.has_created_at(), mute.created_at());
  if (!created_ms.ok()) co_return created_ms.status();
  ingest::Indexer::Mute row;
  row.actor = mute.actor_did();
  row.subject = mute.subject_did();
  row.created_at_ms = *created_ms;
  row.only_reposts = mute.only_reposts();
  row.only_quoteposts = mute.only_quoteposts();
  co_return co_await indexer_->PutMute(row);
}

ioloop::Task<absl::Status> AdminService::DeleteMute(const admin::Mute& mute) {
  absl::Status status = CheckDids(mute.actor_did(), mute.subject_did());
  if (!status.ok()) co_return status;
  co_return co_await indexer_->DeleteMute(mute.actor_did(), mute.subject_did());
}

ioloop::Task<absl::Status> AdminService::PutListMute(
    const admin::ListMute& mute) {
  absl::Status status =
      CheckDidAndUri(mute.actor_did(), "list_uri", mute.list_uri());
  if (!status.ok()) co_return status;
  absl::StatusOr<int64_t> created_ms =
      ToMs("created_at", mute.has_created_at(), mute.created_at());
  if (!created_ms.ok()) co_return created_ms.status();
  status = co_await CheckRoom(statements_.count_list_mutes, mute.actor_did(),
                              options_.list_mutes_max, "list mutes");
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.write_list_mute,
                                   mute.actor_did(), mute.list_uri(),
                                   Ms(*created_ms));
}

ioloop::Task<absl::Status> AdminService::DeleteListMute(
    const admin::ListMute& mute) {
  absl::Status status =
      CheckDidAndUri(mute.actor_did(), "list_uri", mute.list_uri());
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.remove_list_mute,
                                   mute.actor_did(), mute.list_uri());
}

ioloop::Task<absl::Status> AdminService::PutThreadMute(
    const admin::ThreadMute& mute) {
  absl::Status status =
      CheckDidAndUri(mute.actor_did(), "root_uri", mute.root_uri());
  if (!status.ok()) co_return status;
  absl::StatusOr<int64_t> created_ms =
      ToMs("created_at", mute.has_created_at(), mute.created_at());
  if (!created_ms.ok()) co_return created_ms.status();
  co_return co_await writer_.Write(statements_.write_thread_mute,
                                   mute.actor_did(), mute.root_uri(),
                                   Ms(*created_ms));
}

ioloop::Task<absl::Status> AdminService::DeleteThreadMute(
    const admin::ThreadMute& mute) {
  absl::Status status =
      CheckDidAndUri(mute.actor_did(), "root_uri", mute.root_uri());
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.remove_thread_mute,
                                   mute.actor_did(), mute.root_uri());
}

ioloop::Task<absl::Status> AdminService::PutBookmark(
    const admin::Bookmark& bookmark) {
  absl::Status status = CheckDidAndUri(bookmark.actor_did(), "subject_uri",
                                       bookmark.subject_uri());
  if (!status.ok()) co_return status;
  if (!ingest::IsRecordKey(bookmark.key())) {
    co_return Bad("key", "not a record key");
  }
  status = CheckText("subject_cid", bookmark.subject_cid());
  if (!status.ok()) co_return status;
  absl::StatusOr<int64_t> indexed_ms =
      ToMs("indexed_at", bookmark.has_indexed_at(), bookmark.indexed_at());
  if (!indexed_ms.ok()) co_return indexed_ms.status();
  ingest::Indexer::Bookmark row;
  row.actor = bookmark.actor_did();
  row.subject = bookmark.subject_uri();
  row.subject_cid = bookmark.subject_cid();
  row.key = bookmark.key();
  row.indexed_at_ms = *indexed_ms;
  co_return co_await indexer_->PutBookmark(row);
}

ioloop::Task<absl::Status> AdminService::DeleteBookmark(
    const admin::Bookmark& bookmark) {
  absl::Status status = CheckDidAndUri(bookmark.actor_did(), "subject_uri",
                                       bookmark.subject_uri());
  if (!status.ok()) co_return status;
  co_return co_await indexer_->DeleteBookmark(bookmark.actor_did(),
                                              bookmark.subject_uri());
}

ioloop::Task<absl::Status> AdminService::PutSubscription(
    const admin::ActivitySubscription& subscription) {
  absl::Status status =
      CheckDids(subscription.actor_did(), subscription.subject_did());
  if (!status.ok()) co_return status;
  if (!ingest::IsRecordKey(subscription.key())) {
    co_return Bad("key", "not a record key");
  }
  absl::StatusOr<int64_t> indexed_ms = ToMs(
      "indexed_at", subscription.has_indexed_at(), subscription.indexed_at());
  if (!indexed_ms.ok()) co_return indexed_ms.status();
  status = co_await CheckRoom(
      statements_.count_subscriptions, subscription.actor_did(),
      options_.activity_subscriptions_max, "activity subscriptions");
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(
      statements_.write_subscription, subscription.actor_did(),
      subscription.subject_did(), subscription.key(), subscription.post(),
      subscription.reply(), Ms(*indexed_ms));
}

ioloop::Task<absl::Status> AdminService::DeleteSubscription(
    const admin::ActivitySubscription& subscription) {
  absl::Status status =
      CheckDids(subscription.actor_did(), subscription.subject_did());
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.remove_subscription,
                                   subscription.actor_did(),
                                   subscription.subject_did());
}

ioloop::Task<absl::Status> AdminService::PutSeen(
    const admin::NotificationSeen& seen) {
  absl::Status status = CheckDid("actor_did", seen.actor_did());
  if (!status.ok()) co_return status;
  if (!seen.has_seen_at()) co_return Bad("seen_at", "missing");
  absl::StatusOr<int64_t> seen_ms = ToMs("seen_at", true, seen.seen_at());
  if (!seen_ms.ok()) co_return seen_ms.status();
  // The time seen is the time of the write: the latest wins.
  const int64_t seen_us = *seen_ms * 1000;
  co_return co_await writer_.Write(statements_.write_seen, seen.actor_did(),
                                   Ms(*seen_ms), seen_us);
}

ioloop::Task<absl::Status> AdminService::PutPriority(
    const admin::NotificationPriority& priority) {
  absl::Status status = CheckDid("actor_did", priority.actor_did());
  if (!status.ok()) co_return status;
  co_return co_await writer_.Write(statements_.set_priority,
                                   priority.priority(), priority.actor_did());
}

ioloop::Task<absl::Status> AdminService::CheckRoom(
    const cql::PreparedStatement* count, std::string_view key, int max,
    std::string_view what) {
  cql::Query query = writer_.session()->Execute(*count, key);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  int64_t there = 0;
  absl::StatusOr<bool> found = rows->ReadFirst(&there);
  if (!found.ok()) co_return found.status();
  if (there < max) co_return absl::OkStatus();
  co_return absl::ResourceExhaustedError(
      Cat("there are ", there, " ", what, ", as many as may be"));
}

}  // namespace dataplane
