#include "service/dataplane/admin_service.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/scheduler.h"
#include "service/ingest/text.h"
#include "tests/service/ingest/indexed_store.h"

namespace dataplane {
namespace {

using ingest::Cat;
using ingest::EventMaker;
using testing::ElementsAre;
using testing::IsEmpty;

std::string Did(std::string_view name) { return EventMaker::Did(name); }

class AdminServiceTest : public testing::Test {
 protected:
  AdminServiceTest()
      : scheduler_(store_.loop(), store_.indexer(),
                   ingest::SchedulerOptions()) {
    AdminService::Options options;
    options.version = "1.2.3";
    options.items_max = 100;
    options.list_mutes_max = 2;
    auto service = store_.loop()->RunUntilDone(AdminService::Create(
        store_.session(), store_.indexer(), &scheduler_, options));
    EXPECT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
  }

  template <typename Request, typename Response>
  absl::Status Call(ioloop::Task<absl::Status> (AdminService::*method)(
                        rpc::CallContext&, const Request&, Response*),
                    const Request& request, Response* response) {
    rpc::CallContext call;
    call.loop = store_.loop();
    response->Clear();
    return store_.loop()->RunUntilDone(
        (service_.get()->*method)(call, request, response));
  }
  // The errors: "index code message".
  template <typename Request>
  std::vector<std::string> Put(
      ioloop::Task<absl::Status> (AdminService::*method)(rpc::CallContext&,
                                                         const Request&,
                                                         admin::ItemsResponse*),
      const Request& request) {
    admin::ItemsResponse response;
    absl::Status status = Call(method, request, &response);
    EXPECT_TRUE(status.ok()) << status;
    std::vector<std::string> errors;
    for (const admin::ItemError& error : response.errors()) {
      errors.push_back(
          Cat(error.index(), " ", error.code(), " ", error.message()));
    }
    return errors;
  }

  ingest::IndexedStore store_;
  ingest::Scheduler scheduler_;
  std::unique_ptr<AdminService> service_;
  EventMaker make_;
};

TEST_F(AdminServiceTest, IngestsLinesAndSaysWhichItCouldNot) {
  admin::IngestEventsRequest request;
  auto commit = [](std::string_view collection, std::string_view record) {
    return Cat(R"({"did":")", Did("alice"),
               R"(","time_us":1740000000000000,"kind":"commit","commit":{)"
               R"("rev":"3k2aaaaaaaa2a","operation":"create","collection":")",
               collection, R"(","rkey":"3k2aaaaaaaa2a","record":)", record,
               R"(,"cid":")", EventMaker::Cid(1), R"("}})");
  };
  request.add_lines(
      commit("app.bsky.feed.post",
             R"({"text":"hi","createdAt":"2025-03-01T00:00:00Z"})"));
  request.add_lines("not json");
  request.add_lines(commit("com.example.other", "{}"));
  request.add_lines(commit("app.bsky.graph.follow", "{}"));
  admin::IngestEventsResponse response;
  for (int i = 0; i < 2; ++i) {
    absl::Status status = Call(&AdminService::IngestEvents, request, &response);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(response.applied(), 1);
    EXPECT_EQ(response.skipped(), 1);
    ASSERT_EQ(response.errors_size(), 2);
    EXPECT_EQ(response.errors(0).index(), 1);
    EXPECT_EQ(response.errors(1).index(), 3);
    EXPECT_EQ(response.errors(1).message(), "createdAt: missing");
  }
  EXPECT_EQ(store_.Value("SELECT posts FROM actor_counts"), "1");

  admin::GetStatusResponse status;
  ASSERT_TRUE(
      Call(&AdminService::GetStatus, admin::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.version(), "1.2.3");
  EXPECT_EQ(status.ingest().applied(), 1u);
  EXPECT_EQ(status.ingest().no_news(), 1u);
  EXPECT_EQ(status.ingest().rejected(), 2u);
  EXPECT_EQ(status.ingest().last_time_us(), 1740000000000000);
  EXPECT_GT(status.store_connections(), 0);
}

TEST_F(AdminServiceTest, PutsActorsAndLeavesWhatIsNotSaid) {
  admin::PutActorsRequest request;
  admin::Actor* alice = request.add_actors();
  alice->set_did(Did("alice"));
  alice->set_handle("Alice.Test");
  alice->set_takedown_ref("REF");
  admin::Actor* bob = request.add_actors();
  bob->set_did("bob");
  admin::Actor* carol = request.add_actors();
  carol->set_did(Did("carol"));
  carol->set_handle("no handle");
  EXPECT_THAT(Put(&AdminService::PutActors, request),
              ElementsAre("1 3 did: not a DID", "2 3 handle: not a handle"));

  request.Clear();
  alice = request.add_actors();
  alice->set_did(Did("alice"));
  alice->set_upstream_status("deactivated");
  EXPECT_THAT(Put(&AdminService::PutActors, request), IsEmpty());
  EXPECT_THAT(store_.Query("SELECT known, handle, upstream_status, "
                           "takedown_ref FROM actors"),
              ElementsAre("true|alice.test|deactivated|REF"));
  EXPECT_EQ(store_.Value("SELECT did FROM handles"), Did("alice"));
  // An empty value is said, too.
  alice->set_upstream_status("");
  alice->set_takedown_ref("");
  alice->set_handle("");
  EXPECT_THAT(Put(&AdminService::PutActors, request), IsEmpty());
  EXPECT_THAT(store_.Query("SELECT known, handle, upstream_status, "
                           "takedown_ref FROM actors"),
              ElementsAre("true|null|null|null"));
  EXPECT_THAT(store_.Query("SELECT did FROM handles"), IsEmpty());
}

TEST_F(AdminServiceTest, TheLatestStatementOfALabelHolds) {
  auto put = [this](bool neg, std::string_view cts) {
    admin::PutLabelsRequest request;
    admin::Label* label = request.add_labels();
    label->set_src(Did("labeler"));
    label->set_uri(Did("alice"));
    label->set_val("spam");
    label->set_neg(neg);
    label->set_cts(std::string(cts));
    EXPECT_THAT(Put(&AdminService::PutLabels, request), IsEmpty());
  };
  auto labels = [this] {
    return store_.Query("SELECT val, neg, cts, exp FROM labels");
  };
  put(true, "2025-03-02T00:00:00Z");
  put(false, "2025-03-01T00:00:00Z");
  EXPECT_THAT(labels(), ElementsAre("spam|true|2025-03-02T00:00:00Z|null"));
  put(false, "2025-03-03T00:00:00Z");
  EXPECT_THAT(labels(), ElementsAre("spam|false|2025-03-03T00:00:00Z|null"));

  admin::PutLabelsRequest bad;
  bad.add_labels()->set_src("x");
  EXPECT_THAT(Put(&AdminService::PutLabels, bad),
              ElementsAre("0 3 src: not a DID"));
}

TEST_F(AdminServiceTest, SeenNeverMovesBack) {
  for (int64_t at : {2000, 3000, 1000}) {
    admin::PutNotificationSeenRequest request;
    admin::NotificationSeen* seen = request.add_seen();
    seen->set_actor_did(Did("alice"));
    seen->mutable_seen_at()->set_seconds(at);
    EXPECT_THAT(Put(&AdminService::PutNotificationSeen, request), IsEmpty());
  }
  EXPECT_EQ(store_.Value("SELECT seen_at FROM notification_seen"), "3000000");
}

TEST_F(AdminServiceTest, PutsAndTakesPrivateThings) {
  const std::string list = EventMaker::Uri("bob", "app.bsky.graph.list", "1");
  const std::string post = EventMaker::PostUri("bob", "1");
  admin::PutMutesRequest mutes;
  admin::Mute* mute = mutes.add_mutes();
  mute->set_actor_did(Did("alice"));
  mute->set_subject_did(Did("bob"));
  mute->set_only_reposts(true);
  EXPECT_THAT(Put(&AdminService::PutMutes, mutes), IsEmpty());
  EXPECT_THAT(
      store_.Query("SELECT subject, only_reposts, only_quoteposts FROM mutes"),
      ElementsAre(Cat(Did("bob"), "|true|false")));
  admin::DeleteMutesRequest unmute;
  *unmute.mutable_mutes() = mutes.mutes();
  EXPECT_THAT(Put(&AdminService::DeleteMutes, unmute), IsEmpty());
  EXPECT_THAT(store_.Query("SELECT subject FROM mutes"), IsEmpty());

  admin::PutThreadMutesRequest threads;
  threads.add_mutes()->set_actor_did(Did("alice"));
  threads.mutable_mutes(0)->set_root_uri(post);
  EXPECT_THAT(Put(&AdminService::PutThreadMutes, threads), IsEmpty());
  EXPECT_EQ(store_.Value("SELECT root FROM thread_mutes"), post);

  admin::PutBookmarksRequest bookmarks;
  admin::Bookmark* bookmark = bookmarks.add_bookmarks();
  bookmark->set_actor_did(Did("alice"));
  bookmark->set_key("3k2a");
  bookmark->set_subject_uri(post);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Put(&AdminService::PutBookmarks, bookmarks), IsEmpty());
  }
  EXPECT_EQ(store_.Value("SELECT bookmarks FROM record_counts"), "1");

  admin::PutActivitySubscriptionsRequest subscriptions;
  admin::ActivitySubscription* one = subscriptions.add_subscriptions();
  one->set_actor_did(Did("alice"));
  one->set_subject_did(Did("bob"));
  one->set_key("3k2a");
  one->set_post(true);
  EXPECT_THAT(Put(&AdminService::PutActivitySubscriptions, subscriptions),
              IsEmpty());
  EXPECT_THAT(store_.Query("SELECT key, post, reply FROM "
                           "activity_subscriptions"),
              ElementsAre("3k2a|true|false"));

  admin::PutListMutesRequest lists;
  for (int i = 0; i < 3; ++i) {
    admin::ListMute* item = lists.add_mutes();
    item->set_actor_did(Did("alice"));
    item->set_list_uri(list + std::to_string(i));
  }
  EXPECT_THAT(Put(&AdminService::PutListMutes, lists),
              ElementsAre("2 8 there are 2 list mutes, as many as may be"));
}

TEST_F(AdminServiceTest, TakesDownAccountsRecordsAndBlobs) {
  const ingest::Event event = make_.Post("alice", "1");
  ASSERT_TRUE(store_.Apply(event).ok());
  admin::PutTakedownsRequest request;
  request.add_takedowns()->set_actor_did(Did("alice"));
  request.add_takedowns()->set_record_uri(ingest::EventUri(event));
  admin::BlobRef* blob = request.add_takedowns()->mutable_blob();
  blob->set_did(Did("alice"));
  blob->set_cid(EventMaker::Cid(9));
  request.add_takedowns();
  for (admin::Takedown& takedown : *request.mutable_takedowns()) {
    takedown.set_ref("REF");
  }
  const std::vector<std::string> queries = {
      "SELECT takedown_ref FROM actors", "SELECT takedown_ref FROM records",
      "SELECT takedown_ref FROM blob_takedowns"};
  EXPECT_THAT(Put(&AdminService::PutTakedowns, request),
              ElementsAre("3 3 subject: missing"));
  for (const std::string& query : queries) {
    EXPECT_EQ(store_.Value(query), "REF") << query;
  }
  for (admin::Takedown& takedown : *request.mutable_takedowns()) {
    takedown.clear_ref();
  }
  Put(&AdminService::PutTakedowns, request);
  EXPECT_EQ(store_.Value(queries[0]), "null");
  EXPECT_EQ(store_.Value(queries[1]), "null");
  EXPECT_EQ(store_.Value(queries[2]), "");
}

TEST_F(AdminServiceTest, IdentitiesAreJsonObjects) {
  admin::PutIdentitiesRequest request;
  admin::Identity* identity = request.add_identities();
  identity->set_did(Did("alice"));
  identity->set_keys(R"({"atproto":{"Type":"Multikey"}})");
  identity = request.add_identities();
  identity->set_did(Did("bob"));
  identity->set_keys("[]");
  EXPECT_THAT(Put(&AdminService::PutIdentities, request),
              ElementsAre("1 3 keys: not a JSON object"));
  EXPECT_THAT(store_.Query("SELECT keys, services FROM identities"),
              ElementsAre(R"({"atproto":{"Type":"Multikey"}}|null)"));
}

TEST_F(AdminServiceTest, TooManyItemsAreRefusedAtOnce) {
  admin::PutTrustedVerifiersRequest request;
  for (int i = 0; i < 101; ++i) request.add_dids(Did("alice"));
  admin::ItemsResponse response;
  EXPECT_EQ(Call(&AdminService::PutTrustedVerifiers, request, &response).code(),
            absl::StatusCode::kInvalidArgument);
  request.mutable_dids()->DeleteSubrange(1, 100);
  EXPECT_THAT(Put(&AdminService::PutTrustedVerifiers, request), IsEmpty());
  EXPECT_EQ(store_.Value("SELECT trusted_verifier FROM actors"), "true");
}

}  // namespace
}  // namespace dataplane
