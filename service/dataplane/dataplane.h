// bsky.Service, answered from CQL. One object per loop; a method per RPC, in
// one file per family: records.cc, actors.cc, relationships.cc, graph.cc,
// lists.cc, feeds.cc, threads.cc, interactions.cc, notifications.cc,
// labels.cc.
//
// What holds for all of them. Answers are positional and repeats are legal:
// each distinct key is read once. A key that is not well-formed is missing,
// never an error. Requests with too many keys and cursors that we did not make
// are kInvalidArgument; limits are clamped to [1, page_items_max]. Every query
// carries the call's deadline, and at most `queries_in_flight` of one call run
// at once. An error of the store ends the call with that error.
//
// Thread-safety: none; a dataplane belongs to its session's loop.
#ifndef RINGPLANE_SERVICE_DATAPLANE_DATAPLANE_H_
#define RINGPLANE_SERVICE_DATAPLANE_DATAPLANE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/session.h"
#include "ioloop/task.h"
#include "proto/bsky.pb.h"
#include "service/dataplane/key_set.h"
#include "service/dataplane/list_reader.h"
#include "service/dataplane/options.h"
#include "service/dataplane/post_record_cache.h"
#include "service/dataplane/queries.h"
#include "service/redis/client.h"
#include "service/rpc/router.h"
#include "service/rpc/service.h"

namespace dataplane {

// A row of the table `relations`. Views: what they point at outlives the read.
struct RelationKey {
  std::string_view actor;
  std::string_view kind;
  std::string_view subject;
};

// The lists by which an account mutes or blocks, the oldest subscription
// first: of rows of `list_mutes`, and of listblocks in `records_by_actor`.
std::vector<std::string> MuteListsOf(const cql::Rows& rows);
std::vector<std::string> BlockListsOf(const cql::Rows& rows);

class Dataplane {
 public:
  // Prepares every query. `redis` may be nullptr. Both outlive the dataplane.
  static ioloop::Task<absl::StatusOr<std::unique_ptr<Dataplane>>> Create(
      cql::Session* session, redis::Client* redis, Options options,
      PostRecordCache::Options cache_options);

  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  // Adds bsky.Service with the methods below; the others stay unimplemented.
  void Register(rpc::Router* router);

  // Writers tell it what they wrote; nullptr is never returned.
  PostRecordCache* post_cache() { return &post_cache_; }

  // Requests that a limit refused.
  struct Stats {
    uint64_t keys_refused = 0;
    uint64_t relations_refused = 0;
  };
  const Stats& stats() const { return stats_; }

#define RINGPLANE_RPC(name)                                           \
  ioloop::Task<absl::Status> name(rpc::CallContext& call,             \
                                  const bsky::name##Request& request, \
                                  bsky::name##Response* response)
  // records.cc
  RINGPLANE_RPC(GetPostRecords);
  RINGPLANE_RPC(GetRepostRecords);
  RINGPLANE_RPC(GetLikeRecords);
  RINGPLANE_RPC(GetFollowRecords);
  RINGPLANE_RPC(GetThreadGateRecords);
  RINGPLANE_RPC(GetPostgateRecords);
  RINGPLANE_RPC(GetListRecords);
  RINGPLANE_RPC(GetProfileRecords);
  RINGPLANE_RPC(GetBlockRecords);
  RINGPLANE_RPC(GetListItemRecords);
  // actors.cc
  RINGPLANE_RPC(GetActors);
  RINGPLANE_RPC(GetDidsByHandles);
  RINGPLANE_RPC(GetIdentityByDid);
  RINGPLANE_RPC(GetLatestRev);
  RINGPLANE_RPC(Ping);
  // relationships.cc
  RINGPLANE_RPC(GetRelationships);
  RINGPLANE_RPC(GetBlockExistence);
  // graph.cc
  RINGPLANE_RPC(GetFollowers);
  RINGPLANE_RPC(GetFollows);
  RINGPLANE_RPC(GetFollowsFollowing);
  // lists.cc
  RINGPLANE_RPC(GetListMembers);
  RINGPLANE_RPC(GetListCounts);
  RINGPLANE_RPC(GetListMembership);
  RINGPLANE_RPC(GetMutelistSubscription);
  RINGPLANE_RPC(GetMutelistSubscriptions);
  RINGPLANE_RPC(GetBlocklistSubscription);
  RINGPLANE_RPC(GetBlocklistSubscriptions);
  // feeds.cc
  RINGPLANE_RPC(GetAuthorFeed);
  RINGPLANE_RPC(GetTimeline);
  // threads.cc
  RINGPLANE_RPC(GetThread);
  // interactions.cc
  RINGPLANE_RPC(GetInteractionCounts);
  RINGPLANE_RPC(GetCountsForUsers);
  RINGPLANE_RPC(GetLikesByActorAndSubjects);
  RINGPLANE_RPC(GetRepostsByActorAndSubjects);
  RINGPLANE_RPC(GetBookmarksByActorAndSubjects);
  RINGPLANE_RPC(GetThreadMutesOnSubjects);
  RINGPLANE_RPC(GetLikesBySubjectSorted);
  RINGPLANE_RPC(GetRepostsBySubject);
  // notifications.cc
  RINGPLANE_RPC(GetNotifications);
  RINGPLANE_RPC(GetNotificationSeen);
  RINGPLANE_RPC(GetUnreadNotificationCount);
  // labels.cc
  RINGPLANE_RPC(GetLabels);
#undef RINGPLANE_RPC

 private:
  Dataplane(cql::Session* session, redis::Client* redis, Options options,
            PostRecordCache::Options cache_options);

  // kInvalidArgument if there are more than keys_max.
  absl::Status CheckKeys(int count, std::string_view field);
  // The limit that holds for a request that asks for `limit`.
  size_t LimitOf(int32_t limit) const;

  // (*records)[i] of (*uris)[i]; of another collection is missing. records.cc
  ioloop::Task<absl::Status> ReadRecords(rpc::CallContext* call,
                                         const KeySet* uris,
                                         std::string_view collection,
                                         std::vector<bsky::Record>* records);
  template <typename Request, typename Response>
  ioloop::Task<absl::Status> GetRecords(rpc::CallContext* call,
                                        std::string_view collection,
                                        const Request* request,
                                        Response* response);
  // Posts by uri, nullptr where there is none; from the cache if it has them.
  ioloop::Task<absl::Status> ReadPosts(
      rpc::CallContext* call, const KeySet* uris,
      std::vector<std::unique_ptr<ringplane::cache::CachedPost>>* posts);
  ioloop::Task<absl::Status> ReadOpThreads(
      rpc::CallContext* call, const KeySet* roots,
      std::vector<std::vector<std::string>>* threads);

  // What other rows ask of a record.
  struct RecordState {
    bool exists = false;
    bool taken_down = false;
    int64_t sort_at_ms = 0;
    std::string cid;
    std::string reply_parent;
    std::string reply_root;
  };
  ioloop::Task<absl::Status> ReadRecordStates(rpc::CallContext* call,
                                              const KeySet* uris,
                                              std::vector<RecordState>* states);

  // Whether accounts exist. actors.cc
  ioloop::Task<absl::Status> ReadKnown(rpc::CallContext* call,
                                       const KeySet* dids,
                                       std::vector<char>* known);

  // The records that make actors stand in relations, "" where they do not.
  // relationships.cc
  ioloop::Task<absl::Status> ReadRelations(rpc::CallContext* call,
                                           const std::vector<RelationKey>* keys,
                                           std::vector<std::string>* uris);
  // The listblock records of `actor`, newest first.
  cql::Query StartBlockLists(const cql::RequestOptions& options,
                             std::string_view actor);
  // kResourceExhausted if there are more than relations_max.
  absl::Status CheckRelations(size_t count);

  // The relation of `actor` to each of `subjects`, positional.
  // interactions.cc
  ioloop::Task<absl::Status> GetRelationUris(
      rpc::CallContext* call, std::string_view actor, std::string_view kind,
      const std::vector<std::string_view>* subjects,
      google::protobuf::RepeatedPtrField<std::string>* uris);

  // graph.cc
  ListId FollowsOf(std::string_view actor) const;
  ioloop::Task<absl::Status> KeepKnownAccounts(rpc::CallContext* call,
                                               std::vector<ListRow>* rows);

  // feeds.cc
  ListId AuthorFeedOf(std::string_view actor, int32_t feed_type) const;
  ioloop::Task<absl::Status> KeepExistingPosts(rpc::CallContext* call,
                                               std::vector<ListRow>* rows);
  ioloop::Task<void> ReadInto(rpc::CallContext* call, const ListId* list,
                              const std::optional<Position>* after,
                              size_t limit, std::vector<ListRow>* rows,
                              absl::Status* status);

  // threads.cc
  ioloop::Task<absl::Status> ReadAncestors(rpc::CallContext* call,
                                           std::string_view anchor,
                                           size_t above,
                                           std::vector<std::string>* uris,
                                           std::string* root);
  ioloop::Task<absl::Status> ReadReplies(
      rpc::CallContext* call, const std::vector<std::string>* parents,
      size_t limit, std::vector<std::vector<ListRow>>* replies);
  ioloop::Task<absl::Status> ReadDescendants(rpc::CallContext* call,
                                             std::string_view anchor,
                                             size_t below,
                                             std::vector<Position>* found);
  ioloop::Task<void> ReadUpward(rpc::CallContext* call, std::string_view anchor,
                                size_t above, std::vector<std::string>* uris,
                                std::vector<std::string>* op_thread,
                                absl::Status* status);
  ioloop::Task<void> ReadDownward(rpc::CallContext* call,
                                  std::string_view anchor, size_t below,
                                  std::vector<Position>* found,
                                  absl::Status* status);

  // notifications.cc
  ListId NotificationsOf(std::string_view did) const;
  ioloop::Task<absl::Status> KeepLiveNotifications(
      rpc::CallContext* call, std::string_view actor, bool priority,
      absl::flat_hash_map<std::string, bool>* followed,
      std::vector<ListRow>* rows);
  ioloop::Task<absl::Status> ReadSeenAt(rpc::CallContext* call,
                                        std::string_view did,
                                        std::optional<int64_t>* seen_at_ms);

  // A list by its own (sort_at, cid), of those that `uris` name. lists.cc
  ioloop::Task<absl::Status> PageOfLists(
      rpc::CallContext* call, const std::vector<std::string>* uris,
      int32_t limit, const std::string* cursor,
      google::protobuf::RepeatedPtrField<std::string>* list_uris,
      std::string* next_cursor);

  ioloop::Task<absl::Status> PageOfUris(
      rpc::CallContext* call, const ListId* list, int32_t limit,
      const std::string* cursor,
      google::protobuf::RepeatedPtrField<std::string>* uris,
      std::string* next_cursor);

  cql::Session* const session_;
  const Options options_;
  Queries queries_;
  ListReader lists_;
  PostRecordCache post_cache_;
  Stats stats_;
};

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_DATAPLANE_H_
