// ringplane.admin.v1.Admin: what does not come with the network's records, and
// a way in for those. See proto/admin.proto.
//
// It writes beside the indexer, through it where lists and counts change; both
// belong to one loop, the only one of a process that writes.
//
// Thread-safety: none; it belongs to its session's loop.
#ifndef RINGPLANE_SERVICE_DATAPLANE_ADMIN_SERVICE_H_
#define RINGPLANE_SERVICE_DATAPLANE_ADMIN_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "proto/admin.pb.h"
#include "service/ingest/indexer.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/keyed_order.h"
#include "service/ingest/scheduler.h"
#include "service/ingest/writer.h"
#include "service/rpc/router.h"
#include "service/rpc/service.h"

namespace dataplane {

namespace admin = ::ringplane::admin::v1;

class AdminService {
 public:
  struct Options {
    // Items, or lines, of one request.
    int items_max = 10'000;
    // Items of one request that are applied at once.
    int items_in_flight = 32;
    // What one account may have; one more is kResourceExhausted.
    int list_mutes_max = 10'000;
    int activity_subscriptions_max = 10'000;
    int blob_takedowns_max = 10'000;
    // Of the whole service.
    int trusted_verifiers_max = 1'000;
    // GetStatus says it.
    std::string version;
    ingest::JetstreamParser::Options parser;
  };

  // Prepares the statements. All outlive the service.
  static ioloop::Task<absl::StatusOr<std::unique_ptr<AdminService>>> Create(
      cql::Session* session, ingest::Indexer* indexer,
      ingest::Scheduler* scheduler, Options options);
  ~AdminService();
  AdminService(const AdminService&) = delete;
  AdminService& operator=(const AdminService&) = delete;

  // Adds ringplane.admin.v1.Admin.
  void Register(rpc::Router* router);

#define RINGPLANE_ADMIN_RPC(name, answer)                              \
  ioloop::Task<absl::Status> name(rpc::CallContext& call,              \
                                  const admin::name##Request& request, \
                                  admin::answer* response)
  RINGPLANE_ADMIN_RPC(IngestEvents, IngestEventsResponse);
  RINGPLANE_ADMIN_RPC(GetStatus, GetStatusResponse);
  RINGPLANE_ADMIN_RPC(PutActors, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutIdentities, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteIdentities, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutTrustedVerifiers, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteTrustedVerifiers, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutLabels, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutTakedowns, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutMutes, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteMutes, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutListMutes, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteListMutes, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutThreadMutes, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteThreadMutes, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutBookmarks, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteBookmarks, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutActivitySubscriptions, ItemsResponse);
  RINGPLANE_ADMIN_RPC(DeleteActivitySubscriptions, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutNotificationSeen, ItemsResponse);
  RINGPLANE_ADMIN_RPC(PutNotificationPriority, ItemsResponse);
#undef RINGPLANE_ADMIN_RPC

 private:
  struct Statements {
    const cql::PreparedStatement* make_known = nullptr;
    const cql::PreparedStatement* set_indexed_at = nullptr;
    const cql::PreparedStatement* set_upstream_status = nullptr;
    const cql::PreparedStatement* set_actor_takedown = nullptr;
    const cql::PreparedStatement* set_priority = nullptr;
    const cql::PreparedStatement* write_identity = nullptr;
    const cql::PreparedStatement* remove_identity = nullptr;
    const cql::PreparedStatement* count_trusted = nullptr;
    const cql::PreparedStatement* write_label = nullptr;
    const cql::PreparedStatement* count_blob_takedowns = nullptr;
    const cql::PreparedStatement* write_blob_takedown = nullptr;
    const cql::PreparedStatement* remove_blob_takedown = nullptr;
    const cql::PreparedStatement* count_list_mutes = nullptr;
    const cql::PreparedStatement* write_list_mute = nullptr;
    const cql::PreparedStatement* remove_list_mute = nullptr;
    const cql::PreparedStatement* write_thread_mute = nullptr;
    const cql::PreparedStatement* remove_thread_mute = nullptr;
    const cql::PreparedStatement* count_subscriptions = nullptr;
    const cql::PreparedStatement* write_subscription = nullptr;
    const cql::PreparedStatement* remove_subscription = nullptr;
    const cql::PreparedStatement* write_seen = nullptr;
  };

  AdminService(cql::Session* session, ingest::Indexer* indexer,
               ingest::Scheduler* scheduler, Options options);
  ioloop::Task<absl::Status> Prepare();

  // Applies each of `items` with `Apply`.
  template <auto Apply, typename Items>
  ioloop::Task<absl::Status> ForEach(rpc::CallContext& call, const Items& items,
                                     admin::ItemsResponse* response);
  template <auto Apply, typename Item>
  ioloop::Task<void> ApplyOne(const Item& item, int index,
                              admin::ItemsResponse* response);

  using Result = ioloop::Task<absl::Status>;
  Result PutActor(const admin::Actor& actor);
  Result PutIdentity(const admin::Identity& identity);
  Result DeleteIdentity(const std::string& did);
  Result PutTrustedVerifier(const std::string& did);
  Result DeleteTrustedVerifier(const std::string& did);
  Result PutLabel(const admin::Label& label);
  Result PutTakedown(const admin::Takedown& takedown);
  Result PutMute(const admin::Mute& mute);
  Result DeleteMute(const admin::Mute& mute);
  Result PutListMute(const admin::ListMute& mute);
  Result DeleteListMute(const admin::ListMute& mute);
  Result PutThreadMute(const admin::ThreadMute& mute);
  Result DeleteThreadMute(const admin::ThreadMute& mute);
  Result PutBookmark(const admin::Bookmark& bookmark);
  Result DeleteBookmark(const admin::Bookmark& bookmark);
  Result PutSubscription(const admin::ActivitySubscription& subscription);
  Result DeleteSubscription(const admin::ActivitySubscription& subscription);
  Result PutSeen(const admin::NotificationSeen& seen);
  Result PutPriority(const admin::NotificationPriority& priority);

  // kResourceExhausted if a partition has `max` rows, as `count` says.
  Result CheckRoom(const cql::PreparedStatement* count, std::string_view key,
                   int max, std::string_view what);

  ingest::Indexer* const indexer_;
  ingest::Scheduler* const scheduler_;
  const Options options_;
  const absl::Time started_at_;
  ingest::Writer writer_;
  ingest::JetstreamParser parser_;
  // Items about the same account, one after the other.
  ingest::KeyedOrder order_;
  int64_t last_time_us_ = 0;
  Statements statements_;
};

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_ADMIN_SERVICE_H_
