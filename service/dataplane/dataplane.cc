#include "service/dataplane/dataplane.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/log.h"
#include "service/dataplane/row_access.h"

namespace dataplane {

void LogUnreadable(const absl::Status& status) {
  RINGPLANE_LOG(kError, "a column is not what the schema says",
                {"reason", status.ToString()});
}

ioloop::Task<absl::StatusOr<std::unique_ptr<Dataplane>>> Dataplane::Create(
    cql::Session* session, redis::Client* redis, Options options,
    PostRecordCache::Options cache_options) {
  std::unique_ptr<Dataplane> dataplane(
      new Dataplane(session, redis, options, cache_options));
  absl::Status status = co_await PrepareQueries(session, &dataplane->queries_);
  if (!status.ok()) co_return status;
  co_return std::move(dataplane);
}

Dataplane::Dataplane(cql::Session* session, redis::Client* redis,
                     Options options, PostRecordCache::Options cache_options)
    : session_(session),
      options_(options),
      lists_(session, &queries_),
      post_cache_(redis, cache_options) {}

void Dataplane::Register(rpc::Router* router) {
  const google::protobuf::ServiceDescriptor* service =
      bsky::GetActorsRequest::descriptor()->file()->FindServiceByName(
          "Service");
  router->AddService(service);
#define RINGPLANE_HANDLE(name) \
  router->Handle<&Dataplane::name>("bsky.Service", #name, this)
  RINGPLANE_HANDLE(GetPostRecords);
  RINGPLANE_HANDLE(GetRepostRecords);
  RINGPLANE_HANDLE(GetLikeRecords);
  RINGPLANE_HANDLE(GetFollowRecords);
  RINGPLANE_HANDLE(GetThreadGateRecords);
  RINGPLANE_HANDLE(GetPostgateRecords);
  RINGPLANE_HANDLE(GetListRecords);
  RINGPLANE_HANDLE(GetProfileRecords);
  RINGPLANE_HANDLE(GetBlockRecords);
  RINGPLANE_HANDLE(GetListItemRecords);
  RINGPLANE_HANDLE(GetActors);
  RINGPLANE_HANDLE(GetDidsByHandles);
  RINGPLANE_HANDLE(GetIdentityByDid);
  RINGPLANE_HANDLE(GetLatestRev);
  RINGPLANE_HANDLE(Ping);
  RINGPLANE_HANDLE(GetRelationships);
  RINGPLANE_HANDLE(GetBlockExistence);
  RINGPLANE_HANDLE(GetFollowers);
  RINGPLANE_HANDLE(GetFollows);
  RINGPLANE_HANDLE(GetFollowsFollowing);
  RINGPLANE_HANDLE(GetListMembers);
  RINGPLANE_HANDLE(GetListCounts);
  RINGPLANE_HANDLE(GetListMembership);
  RINGPLANE_HANDLE(GetMutelistSubscription);
  RINGPLANE_HANDLE(GetMutelistSubscriptions);
  RINGPLANE_HANDLE(GetBlocklistSubscription);
  RINGPLANE_HANDLE(GetBlocklistSubscriptions);
  RINGPLANE_HANDLE(GetAuthorFeed);
  RINGPLANE_HANDLE(GetTimeline);
  RINGPLANE_HANDLE(GetThread);
  RINGPLANE_HANDLE(GetInteractionCounts);
  RINGPLANE_HANDLE(GetCountsForUsers);
  RINGPLANE_HANDLE(GetLikesByActorAndSubjects);
  RINGPLANE_HANDLE(GetRepostsByActorAndSubjects);
  RINGPLANE_HANDLE(GetBookmarksByActorAndSubjects);
  RINGPLANE_HANDLE(GetThreadMutesOnSubjects);
  RINGPLANE_HANDLE(GetLikesBySubjectSorted);
  RINGPLANE_HANDLE(GetRepostsBySubject);
  RINGPLANE_HANDLE(GetNotifications);
  RINGPLANE_HANDLE(GetNotificationSeen);
  RINGPLANE_HANDLE(GetUnreadNotificationCount);
  RINGPLANE_HANDLE(GetLabels);
#undef RINGPLANE_HANDLE
}

absl::Status Dataplane::CheckKeys(int count, std::string_view field) {
  if (static_cast<size_t>(count) <= options_.keys_max) {
    return absl::OkStatus();
  }
  ++stats_.keys_refused;
  return absl::InvalidArgumentError(
      absl::StrCat(count, " ", std::string(field), " in one request; at most ",
                   options_.keys_max, " are allowed"));
}

size_t Dataplane::LimitOf(int32_t limit) const {
  if (limit <= 0) return options_.page_items_max;
  return std::min(static_cast<size_t>(limit), options_.page_items_max);
}

}  // namespace dataplane
