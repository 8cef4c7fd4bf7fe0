// Accounts: what they are, how they are found.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "service/dataplane/answers.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/json_field.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/records.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

// Longest domain name: what a handle is.
constexpr size_t kHandleBytesMax = 253;

std::string String(std::string_view text) { return std::string(text); }

void FillActor(const cql::Rows& rows, bsky::ActorInfo* actor) {
  for (const cql::Row& row : rows) {
    // A takedown may be known of an account that is not.
    const bool known = BoolAt(row, 0);
    actor->set_exists(known);
    if (!known) continue;
    actor->set_handle(String(TextAt(row, 1)));
    actor->set_upstream_status(String(TextAt(row, 2)));
    const std::string_view takedown = TextAt(row, 3);
    actor->set_taken_down(!takedown.empty());
    actor->set_takedown_ref(String(takedown));
    actor->set_priority_notifications(BoolAt(row, 4));
    actor->set_trusted_verifier(BoolAt(row, 5));
  }
}

// The declarations' values travel in fields of their own.
void FillActorRecords(const cql::Rows& rows, bsky::ActorInfo* actor) {
  constexpr size_t kRecord = 1;
  SetMissingRecord(actor->mutable_profile());
  SetMissingRecord(actor->mutable_status_record());
  SetMissingRecord(actor->mutable_germ_record());
  std::string subscriptions;
  for (const cql::Row& row : rows) {
    if (TextAt(row, kRecord + RecordColumns::kCid).empty()) continue;
    const std::string_view collection = TextAt(row, 0);
    const std::string_view json = TextAt(row, kRecord + RecordColumns::kJson);
    if (collection == "app.bsky.actor.profile") {
      FillRecord(row, kRecord, actor->mutable_profile());
    } else if (collection == "app.bsky.actor.status") {
      FillRecord(row, kRecord, actor->mutable_status_record());
    } else if (collection == "com.germnetwork.declaration") {
      FillRecord(row, kRecord, actor->mutable_germ_record());
    } else if (collection == "app.bsky.labeler.service") {
      actor->set_labeler(true);
    } else if (collection == "chat.bsky.actor.declaration") {
      actor->set_allow_incoming_chats_from(
          JsonStringField(json, "allowIncoming"));
      actor->set_allow_group_chat_invites_from(
          JsonStringField(json, "allowGroupInvites"));
    } else if (collection == "app.bsky.notification.declaration") {
      subscriptions = JsonStringField(json, "allowSubscriptions");
    }
  }
  const bool meant = subscriptions == "followers" ||
                     subscriptions == "mutuals" || subscriptions == "none";
  actor->set_allow_activity_subscriptions_from(meant ? subscriptions
                                                     : "followers");
  if (actor->profile().has_created_at()) {
    *actor->mutable_created_at() = actor->profile().created_at();
  }
}

void FillVerifications(const cql::Rows& rows, bsky::ActorInfo* actor) {
  for (const cql::Row& row : rows) {
    bsky::VerificationMeta& meta =
        (*actor->mutable_verified_by())[String(TextAt(row, 0))];
    meta.set_rkey(String(TextAt(row, 1)));
    meta.set_handle(String(TextAt(row, 2)));
    meta.set_display_name(String(TextAt(row, 3)));
    SetTimestamp(MsAt(row, 4).value_or(0), meta.mutable_sorted_at());
  }
}

}  // namespace

ioloop::Task<absl::Status> Dataplane::GetActors(
    rpc::CallContext& call, const bsky::GetActorsRequest& request,
    bsky::GetActorsResponse* response) {
  absl::Status status = CheckKeys(request.dids_size(), "dids");
  if (!status.ok()) co_return status;
  const KeySet dids(request.dids());
  std::vector<bsky::ActorInfo> actors(dids.size());
  std::vector<uint32_t> known;
  for (uint32_t i = 0; i < dids.size(); ++i) {
    if (IsDid(dids[i])) {
      known.push_back(i);
    } else {
      FillActorRecords(cql::Rows(), &actors[i]);
    }
  }
  // Three queries an account, side by side.
  constexpr size_t kQueries = 3;
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    const std::string_view did = dids[known[i / kQueries]];
    switch (i % kQueries) {
      case 0:
        return session_->Execute(options, *queries_.actor, did);
      case 1:
        return session_->Execute(options, *queries_.actor_records, did);
      default:
        return session_->Execute(options, *queries_.verifications, did);
    }
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    bsky::ActorInfo* actor = &actors[known[i / kQueries]];
    switch (i % kQueries) {
      case 0:
        return FillActor(rows, actor);
      case 1:
        return FillActorRecords(rows, actor);
      default:
        return FillVerifications(rows, actor);
    }
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             kQueries * known.size(), &start, &use);
  if (!status.ok()) co_return status;
  Spread(request.dids(), dids, &actors, response->mutable_actors());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::ReadKnown(rpc::CallContext* call,
                                                const KeySet* dids,
                                                std::vector<char>* known) {
  known->assign(dids->size(), false);
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < dids->size(); ++i) {
    if (IsDid((*dids)[i])) asked.push_back(i);
  }
  const cql::RequestOptions options = OptionsOf(*call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.actor_known, (*dids)[asked[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) (*known)[asked[i]] = BoolAt(row, 0);
  };
  absl::Status status = co_await ReadEach(
      call, session_, options_.queries_in_flight, asked.size(), &start, &use);
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::GetDidsByHandles(
    rpc::CallContext& call, const bsky::GetDidsByHandlesRequest& request,
    bsky::GetDidsByHandlesResponse* response) {
  absl::Status status = CheckKeys(request.handles_size(), "handles");
  if (!status.ok()) co_return status;
  const KeySet handles(request.handles());
  std::vector<std::string> dids(handles.size());
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < handles.size(); ++i) {
    if (!handles[i].empty() && handles[i].size() <= kHandleBytesMax) {
      asked.push_back(i);
    }
  }
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    std::string handle(handles[asked[i]]);
    absl::AsciiStrToLower(&handle);
    return session_->Execute(options, *queries_.handle, handle);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) dids[asked[i]] = TextAt(row, 0);
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             asked.size(), &start, &use);
  if (!status.ok()) co_return status;
  for (const std::string& handle : request.handles()) {
    response->add_dids(dids[handles.IndexOf(handle)]);
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetIdentityByDid(
    rpc::CallContext& call, const bsky::GetIdentityByDidRequest& request,
    bsky::GetIdentityByDidResponse* response) {
  absl::Status missing = absl::NotFoundError("identity not found");
  if (!IsDid(request.did())) co_return missing;
  const cql::RequestOptions options = OptionsOf(call);
  cql::Query identity =
      session_->Execute(options, *queries_.identity, request.did());
  cql::Query actor = session_->Execute(options, *queries_.actor, request.did());
  absl::StatusOr<cql::Rows> identity_rows = co_await identity;
  if (!identity_rows.ok()) co_return identity_rows.status();
  absl::StatusOr<cql::Rows> actor_rows = co_await actor;
  if (!actor_rows.ok()) co_return actor_rows.status();

  bool found = false;
  response->set_keys("{}");
  response->set_services("{}");
  for (const cql::Row& row : *identity_rows) {
    found = true;
    const std::string_view keys = TextAt(row, 0);
    if (!keys.empty()) response->set_keys(keys.data(), keys.size());
    const std::string_view services = TextAt(row, 1);
    if (!services.empty()) {
      response->set_services(services.data(), services.size());
    }
    const std::optional<int64_t> updated_at = MsAt(row, 2);
    if (updated_at.has_value()) {
      SetTimestamp(*updated_at, response->mutable_updated());
    }
  }
  for (const cql::Row& row : *actor_rows) {
    if (!BoolAt(row, 0)) continue;
    found = true;
    response->set_handle(String(TextAt(row, 1)));
  }
  if (!found) co_return missing;
  response->set_did(request.did());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetLatestRev(
    rpc::CallContext& call, const bsky::GetLatestRevRequest& request,
    bsky::GetLatestRevResponse* response) {
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  cql::Query query = session_->Execute(OptionsOf(call), *queries_.repo_rev,
                                       request.actor_did());
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  for (const cql::Row& row : *rows) {
    response->set_rev(String(TextAt(row, 0)));
  }
  co_return absl::OkStatus();
}

// Says that this process serves; readiness of the store is not asked for here.
ioloop::Task<absl::Status> Dataplane::Ping(rpc::CallContext&,
                                           const bsky::PingRequest&,
                                           bsky::PingResponse*) {
  co_return absl::OkStatus();
}

}  // namespace dataplane
