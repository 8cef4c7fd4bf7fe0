// RPCs on rows as the write side leaves them.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/dataplane/dataplane_fixture.h"

namespace dataplane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const std::string kAlice = "did:plc:alice";
const std::string kBob = "did:plc:bob";
const std::string kCarol = "did:plc:carol";

std::string Uri(const std::string& did, const std::string& collection,
                const std::string& rkey) {
  return absl::StrCat("at://", did, "/", collection, "/", rkey);
}
std::string PostUri(const std::string& did, const std::string& rkey) {
  return Uri(did, "app.bsky.feed.post", rkey);
}

class DataplaneTest : public DataplaneFixture {
 protected:
  void AddLike(const std::string& subject, int bucket, int at_ms,
               const std::string& who, bool split = false) {
    Write(absl::StrCat(
        "INSERT INTO likes_by_subject (subject, bucket, sort_at, tie, uri, "
        "actor) VALUES ('",
        subject, "', ", bucket, ", ", at_ms, ", 'cid', '",
        Uri(who, "app.bsky.feed.like", "l"), "', '", who, "')"));
    Write(absl::StrCat("INSERT INTO likes_by_subject (subject, bucket, ",
                       "row_count, split) VALUES ('", subject, "', ", bucket,
                       ", 1, ", split ? "true" : "null", ")"));
  }
  void Relate(const std::string& actor, const std::string& kind,
              const std::string& subject, const std::string& uri) {
    Write(absl::StrCat(
        "INSERT INTO relations (actor, kind, subject, uri) VALUES ('", actor,
        "', '", kind, "', '", subject, "', '", uri, "')"));
  }
  void AddToList(const std::string& table, const std::string& subject,
                 int at_ms, const std::string& uri, const std::string& actor) {
    Write(absl::StrCat("INSERT INTO ", table,
                       " (subject, bucket, sort_at, tie, uri, actor) VALUES ('",
                       subject, "', 0, ", at_ms, ", 'cid', '", uri, "', '",
                       actor, "')"));
  }

  // Every uri of a paged list, and whether all pages but the last were full.
  std::vector<std::string> AllLikes(const std::string& subject, int limit) {
    std::vector<std::string> uris;
    bsky::GetLikesBySubjectSortedRequest request;
    bsky::GetLikesBySubjectSortedResponse response;
    request.mutable_subject()->set_uri(subject);
    request.set_limit(limit);
    for (int page = 0; page < 1000; ++page) {
      absl::Status status =
          Call(&Dataplane::GetLikesBySubjectSorted, request, &response);
      EXPECT_TRUE(status.ok()) << status;
      for (const std::string& uri : response.uris()) uris.push_back(uri);
      if (response.cursor().empty()) return uris;
      EXPECT_EQ(response.uris_size(), limit);
      request.set_cursor(response.cursor());
    }
    ADD_FAILURE() << "the pages have no end";
    return uris;
  }
};

TEST_F(DataplaneTest, RecordsAreAnsweredInPlaceRepeatsIncluded) {
  const std::string like = Uri(kAlice, "app.bsky.feed.like", "1");
  AddRecord(like, "bafylike", 1740790000123);
  const std::string post = PostUri(kAlice, "1");
  AddRecord(post, "bafypost", 1740790000123);
  bsky::GetLikeRecordsRequest request;
  for (const std::string& uri :
       {like, post, std::string("nonsense"), std::string(), like}) {
    request.add_uris(uri);
  }
  bsky::GetLikeRecordsResponse response;
  absl::Status status = Call(&Dataplane::GetLikeRecords, request, &response);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(response.records_size(), 5);
  EXPECT_EQ(response.records(0).cid(), "bafylike");
  EXPECT_EQ(response.records(0).sorted_at().seconds(), 1740790000);
  EXPECT_EQ(response.records(0).sorted_at().nanos(), 123'000'000);
  EXPECT_EQ(response.records(4).record(), "{\"a\":1}");
  for (int i : {1, 2, 3}) {
    EXPECT_EQ(response.records(i).cid(), "");
    EXPECT_EQ(response.records(i).record(), "null");
  }
}

// A deletion leaves a row without a CID, a takedown may come before its record.
TEST_F(DataplaneTest, ARowWithoutACidIsNoRecord) {
  const std::string post = PostUri(kAlice, "1");
  Write(absl::StrCat("INSERT INTO records (uri, rev, takedown_ref, ",
                     "has_thread_gate) VALUES ('", post,
                     "', '3k', 'x', true)"));
  bsky::GetPostRecordsRequest request;
  request.add_uris(post);
  bsky::GetPostRecordsResponse response;
  ASSERT_TRUE(Call(&Dataplane::GetPostRecords, request, &response).ok());
  EXPECT_EQ(response.records(0).record(), "null");
  EXPECT_FALSE(response.records(0).taken_down());
  EXPECT_FALSE(response.meta(0).has_thread_gate());
}

TEST_F(DataplaneTest, TooManyKeysAreRefused) {
  bsky::GetPostRecordsRequest request;
  for (size_t i = 0; i <= options_.keys_max; ++i) request.add_uris("x");
  bsky::GetPostRecordsResponse response;
  EXPECT_EQ(Call(&Dataplane::GetPostRecords, request, &response).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(DataplaneTest, ThousandsOfKeysInOneRequestAreAnswered) {
  bsky::GetPostRecordsRequest request;
  for (int i = 0; i < 3000; ++i) {
    request.add_uris(PostUri(kAlice, std::to_string(i)));
  }
  AddRecord(PostUri(kAlice, "2999"), "bafy", 1);
  bsky::GetPostRecordsResponse response;
  absl::Status status = Call(&Dataplane::GetPostRecords, request, &response);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(response.records_size(), 3000);
  EXPECT_EQ(response.records(2999).cid(), "bafy");
  EXPECT_EQ(response.records(0).cid(), "");
}

TEST_F(DataplaneTest, ListsAreGivenWholeWhateverThePageSize) {
  const std::string subject = PostUri(kAlice, "1");
  std::vector<std::string> expected;
  for (int i = 20; i > 0; --i) {
    // Pairs share a time and a CID.
    AddLike(subject, 0, i / 2, absl::StrCat("did:plc:", 100 + i));
    expected.push_back(
        Uri(absl::StrCat("did:plc:", 100 + i), "app.bsky.feed.like", "l"));
  }
  for (int limit : {1, 2, 3, 7, 19, 20, 21, 100}) {
    EXPECT_EQ(AllLikes(subject, limit), expected) << limit;
  }
}

TEST_F(DataplaneTest, ListsRunAcrossBuckets) {
  const std::string subject = PostUri(kAlice, "1");
  std::vector<std::pair<int, std::string>> rows;
  auto add = [&](int bucket, int at_ms) {
    const std::string who = absl::StrCat("did:plc:", 1000 + at_ms);
    AddLike(subject, bucket, at_ms, who, bucket == 0);
    rows.emplace_back(at_ms, Uri(who, "app.bsky.feed.like", "l"));
  };
  // In order of arrival, which is not quite that of time.
  for (int at : {1, 2, 3, 30, 5}) add(0, at);
  for (int at : {10, 11, 4, 13, 14}) add(1, at);
  for (int at : {20, 21, 6, 31}) add(2, at);
  auto directory = [&](int bucket, const std::string& bounds) {
    Write(
        absl::StrCat("INSERT INTO list_buckets (list, owner, bucket, "
                     "min_sort_at, max_sort_at) VALUES ('likes_by_subject', "
                     "'",
                     subject, "', ", bucket, ", ", bounds, ")"));
  };
  directory(0, "1, 30");
  directory(1, "4, 14");
  directory(2, "null, null");
  std::sort(rows.rbegin(), rows.rend());
  std::vector<std::string> expected;
  for (auto& [at, uri] : rows) expected.push_back(uri);
  for (int limit : {1, 2, 4, 13, 14, 15}) {
    EXPECT_EQ(AllLikes(subject, limit), expected) << limit;
  }
}

// Bucket 0 may have lost its rows to deletions.
TEST_F(DataplaneTest, AnEmptyFirstBucketDoesNotHideTheOthers) {
  const std::string subject = PostUri(kAlice, "1");
  Write(
      absl::StrCat("INSERT INTO likes_by_subject (subject, bucket, row_count,"
                   " split) VALUES ('",
                   subject, "', 0, 0, true)"));
  AddLike(subject, 1, 5, kBob);
  AddLike(subject, 1, 4, kCarol);
  for (int bucket : {0, 1}) {
    Write(
        absl::StrCat("INSERT INTO list_buckets (list, owner, bucket) VALUES "
                     "('likes_by_subject', '",
                     subject, "', ", bucket, ")"));
  }
  for (int limit : {1, 10}) {
    EXPECT_THAT(AllLikes(subject, limit),
                ElementsAre(Uri(kBob, "app.bsky.feed.like", "l"),
                            Uri(kCarol, "app.bsky.feed.like", "l")));
  }
}

TEST_F(DataplaneTest, CursorsThatWeDidNotMakeAreRefused) {
  bsky::GetLikesBySubjectSortedRequest request;
  request.mutable_subject()->set_uri(PostUri(kAlice, "1"));
  request.set_cursor("nonsense");
  bsky::GetLikesBySubjectSortedResponse response;
  EXPECT_EQ(
      Call(&Dataplane::GetLikesBySubjectSorted, request, &response).code(),
      absl::StatusCode::kInvalidArgument);
}

// Pages stay full although most followers do not exist as accounts.
TEST_F(DataplaneTest, FollowersThatAreNoAccountsAreLeftOut) {
  for (int i = 0; i < 30; ++i) {
    const std::string who = absl::StrCat("did:plc:f", 100 + i);
    if (i % 5 == 0) AddActor(who, absl::StrCat("f", i, ".test"));
    AddToList("followers", kAlice, i, Uri(who, "app.bsky.graph.follow", "1"),
              who);
  }
  bsky::GetFollowersRequest request;
  bsky::GetFollowersResponse response;
  request.set_actor_did(kAlice);
  request.set_limit(2);
  std::vector<std::string> followers;
  std::vector<int> sizes;
  do {
    request.set_cursor(response.cursor());
    absl::Status status = Call(&Dataplane::GetFollowers, request, &response);
    ASSERT_TRUE(status.ok()) << status;
    sizes.push_back(response.followers_size());
    for (const bsky::FollowInfo& follower : response.followers()) {
      EXPECT_EQ(follower.subject_did(), kAlice);
      followers.push_back(follower.actor_did());
    }
  } while (!response.cursor().empty());
  EXPECT_THAT(sizes, ElementsAre(2, 2, 2));
  EXPECT_THAT(followers,
              ElementsAre("did:plc:f125", "did:plc:f120", "did:plc:f115",
                          "did:plc:f110", "did:plc:f105", "did:plc:f100"));
}

TEST_F(DataplaneTest, RelationshipsByRecordAndByList) {
  AddActor(kBob, "bob.test");
  const std::string follow = Uri(kAlice, "app.bsky.graph.follow", "1");
  const std::string block = Uri(kBob, "app.bsky.graph.block", "1");
  Relate(kAlice, "app.bsky.graph.follow", kBob, follow);
  Relate(kBob, "app.bsky.graph.block", kAlice, block);
  Relate(kAlice, "app.bsky.graph.follow", kCarol, follow);
  // Alice blocks by two lists; Bob is on the second.
  const std::string lists[] = {Uri(kCarol, "app.bsky.graph.list", "1"),
                               Uri(kCarol, "app.bsky.graph.list", "2")};
  for (int i = 0; i < 2; ++i) {
    Write(absl::StrCat(
        "INSERT INTO records_by_actor (actor, kind, bucket, sort_at, tie, uri, "
        "subject) VALUES ('",
        kAlice, "', 'app.bsky.graph.listblock', 0, ", i, ", 'c', '",
        Uri(kAlice, "app.bsky.graph.listblock", std::to_string(i)), "', '",
        lists[i], "')"));
  }
  Relate(lists[1], "app.bsky.graph.listitem", kBob, "at://x/y/z");
  Write(
      absl::StrCat("INSERT INTO list_mutes (actor, list, created_at) VALUES "
                   "('",
                   kAlice, "', '", lists[1], "', 1)"));
  Write(
      absl::StrCat("INSERT INTO mutes (actor, subject, only_reposts) VALUES "
                   "('",
                   kAlice, "', '", kBob, "', true)"));

  bsky::GetRelationshipsRequest request;
  request.set_actor_did(kAlice);
  // Carol is not an account: nothing is said of her.
  for (const std::string& did : {kBob, kCarol, std::string("x"), kBob}) {
    request.add_target_dids(did);
  }
  bsky::GetRelationshipsResponse response;
  absl::Status status = Call(&Dataplane::GetRelationships, request, &response);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(response.relationships_size(), 4);
  for (int i : {0, 3}) {
    const bsky::Relationships& bob = response.relationships(i);
    EXPECT_EQ(bob.following(), follow);
    EXPECT_EQ(bob.followed_by(), "");
    EXPECT_EQ(bob.blocked_by(), block);
    EXPECT_EQ(bob.blocking(), "");
    EXPECT_EQ(bob.blocking_by_list(), lists[1]);
    EXPECT_EQ(bob.muted_by_list(), lists[1]);
    EXPECT_FALSE(bob.muted());
    EXPECT_TRUE(bob.muted_only_reposts());
  }
  EXPECT_EQ(response.relationships(1).ByteSizeLong(), 0u);
  EXPECT_EQ(response.relationships(2).ByteSizeLong(), 0u);

  bsky::GetBlockExistenceRequest pairs;
  pairs.add_pairs()->set_a(kBob);
  pairs.mutable_pairs(0)->set_b(kAlice);
  pairs.add_pairs()->set_a(kBob);
  pairs.mutable_pairs(1)->set_b(kCarol);
  pairs.add_pairs();
  bsky::GetBlockExistenceResponse blocks;
  ASSERT_TRUE(Call(&Dataplane::GetBlockExistence, pairs, &blocks).ok());
  EXPECT_THAT(blocks.exists(), ElementsAre(true, false, false));
  EXPECT_EQ(blocks.blocks(0).blocking(), block);
  EXPECT_EQ(blocks.blocks(0).blocked_by_list(), lists[1]);
}

TEST_F(DataplaneTest, KnownFollowersByEitherWayOfReading) {
  std::vector<std::string> followed;
  for (int i = 0; i < 4; ++i) {
    followed.push_back(absl::StrCat("did:plc:f", i));
    Write(absl::StrCat(
        "INSERT INTO records_by_actor (actor, kind, bucket, sort_at, tie, uri, "
        "subject) VALUES ('",
        kAlice, "', 'app.bsky.graph.follow', 0, ", i, ", 'c', '",
        Uri(kAlice, "app.bsky.graph.follow", std::to_string(i)), "', '",
        followed[i], "')"));
    // The even ones follow both.
    for (const std::string& target : {kBob, kCarol}) {
      if (i % 2 != 0) continue;
      const std::string uri = Uri(followed[i], "app.bsky.graph.follow", "1");
      Relate(followed[i], "app.bsky.graph.follow", target, uri);
      AddToList("followers", target, i, uri, followed[i]);
    }
  }
  AddToList("followers", kBob, 9, Uri("did:plc:z", "a.b.c", "1"), "did:plc:z");
  Write(absl::StrCat("INSERT INTO actor_counts (did, followers) VALUES ('",
                     kCarol, "', 1000)"));
  bsky::GetFollowsFollowingRequest request;
  request.set_actor_did(kAlice);
  request.add_target_dids(kBob);
  request.add_target_dids(kCarol);
  request.add_target_dids("did:plc:nobody");
  bsky::GetFollowsFollowingResponse response;
  absl::Status status =
      Call(&Dataplane::GetFollowsFollowing, request, &response);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(response.results_size(), 3);
  for (int i : {0, 1}) {
    EXPECT_THAT(response.results(i).dids(),
                UnorderedElementsAre("did:plc:f0", "did:plc:f2"));
  }
  EXPECT_EQ(response.results(2).target_did(), "did:plc:nobody");
  EXPECT_THAT(response.results(2).dids(), IsEmpty());
}

TEST_F(DataplaneTest, ThreadsRunUpToTheRootAndDownNewestFirst) {
  // root <- a <- b <- c; a <- d; and one that answers itself.
  auto add = [&](const std::string& rkey, const std::string& parent, int at) {
    const std::string uri = PostUri(kAlice, rkey);
    AddRecord(uri, "cid", at);
    if (parent.empty()) return uri;
    Write(absl::StrCat("UPDATE records SET reply_parent = '", parent,
                       "', reply_root = '", PostUri(kAlice, "root"),
                       "' WHERE uri = '", uri, "'"));
    AddToList("replies_by_parent", parent, at, uri, kAlice);
    return uri;
  };
  const std::string root = add("root", "", 1);
  const std::string a = add("a", root, 2);
  const std::string b = add("b", a, 3);
  const std::string c = add("c", b, 4);
  const std::string d = add("d", a, 5);
  const std::string loop = PostUri(kAlice, "loop");
  add("loop", loop, 6);
  Write(absl::StrCat("INSERT INTO op_replies (root, uri, parent) VALUES ('",
                     root, "', '", a, "', '", root, "')"));

  bsky::GetThreadRequest request;
  bsky::GetThreadResponse response;
  auto thread = [&](const std::string& uri, int above, int below) {
    request.set_post_uri(uri);
    request.set_above(above);
    request.set_below(below);
    absl::Status status = Call(&Dataplane::GetThread, request, &response);
    EXPECT_TRUE(status.ok()) << status;
    return response.uris();
  };
  EXPECT_THAT(thread(a, 10, 10), ElementsAre(a, root, d, c, b));
  EXPECT_THAT(response.op_thread(), ElementsAre(root, a));
  EXPECT_THAT(thread(a, 0, 1), ElementsAre(a, d, b));
  EXPECT_THAT(thread(c, 1, 5), ElementsAre(c, b));
  EXPECT_THAT(thread(loop, 10, 10), ElementsAre(loop));
  EXPECT_THAT(thread("nonsense", 10, 10), IsEmpty());
  EXPECT_THAT(thread(root, -1, -1), ElementsAre(root));
}

TEST_F(DataplaneTest, RepostsOfUnknownPostsAreInTimelinesButNotInAuthorFeeds) {
  const std::string known = PostUri(kCarol, "1");
  const std::string unknown = PostUri(kCarol, "2");
  AddRecord(known, "cid", 1);
  int at = 10;
  for (const std::string& post : {known, unknown}) {
    const std::string repost =
        Uri(kBob, "app.bsky.feed.repost", std::to_string(++at));
    Write(absl::StrCat(
        "INSERT INTO author_feed (actor, feed_type, bucket, sort_at, tie, uri, "
        "post_uri) VALUES ('",
        kBob, "', 0, 0, ", at, ", 'c', '", repost, "', '", post, "')"));
    Write(absl::StrCat(
        "INSERT INTO timelines (actor, sort_at, tie, uri, post_uri) VALUES ('",
        kAlice, "', ", at, ", 'c', '", repost, "', '", post, "')"));
  }
  bsky::GetAuthorFeedRequest author;
  author.set_actor_did(kBob);
  author.set_limit(1);
  bsky::GetAuthorFeedResponse feed;
  ASSERT_TRUE(Call(&Dataplane::GetAuthorFeed, author, &feed).ok());
  ASSERT_EQ(feed.items_size(), 1);
  EXPECT_EQ(feed.items(0).uri(), known);
  EXPECT_EQ(feed.items(0).repost(), Uri(kBob, "app.bsky.feed.repost", "11"));
  EXPECT_EQ(feed.cursor(), "");

  bsky::GetTimelineRequest request;
  request.set_actor_did(kAlice);
  request.set_limit(1);
  bsky::GetTimelineResponse timeline;
  ASSERT_TRUE(Call(&Dataplane::GetTimeline, request, &timeline).ok());
  ASSERT_EQ(timeline.items_size(), 1);
  EXPECT_EQ(timeline.items(0).uri(), unknown);
  ASSERT_NE(timeline.cursor(), "");
  request.set_cursor(timeline.cursor());
  ASSERT_TRUE(Call(&Dataplane::GetTimeline, request, &timeline).ok());
  ASSERT_EQ(timeline.items_size(), 1);
  EXPECT_EQ(timeline.items(0).uri(), known);
  EXPECT_EQ(timeline.cursor(), "");
}

TEST_F(DataplaneTest, NotificationsAboutWhatIsGoneAreLeftOut) {
  const std::string post = PostUri(kAlice, "1");
  AddRecord(post, "cid", 1);
  const std::string like = Uri(kBob, "app.bsky.feed.like", "1");
  AddRecord(like, "cid", 5);
  Relate(kAlice, "app.bsky.graph.follow", kBob, "at://did:plc:alice/f/1");
  auto notify = [&](int at, const std::string& uri, const std::string& author,
                    const std::string& subject) {
    Write(absl::StrCat(
        "INSERT INTO notifications (did, bucket, sort_at, tie, uri, author, "
        "reason, reason_subject) VALUES ('",
        kAlice, "', 0, ", at, ", '1/like', '", uri, "', '", author,
        "', 'like', ", subject.empty() ? "null" : "'" + subject + "'", ")"));
  };
  notify(5, like, kBob, post);
  notify(6, Uri(kCarol, "app.bsky.feed.like", "1"), kCarol,
         PostUri(kAlice, "gone"));
  notify(7, Uri(kCarol, "app.bsky.graph.follow", "1"), kCarol, "");

  bsky::GetNotificationsRequest request;
  bsky::GetNotificationsResponse response;
  request.set_actor_did(kAlice);
  request.set_limit(10);
  ASSERT_TRUE(Call(&Dataplane::GetNotifications, request, &response).ok());
  ASSERT_EQ(response.notifications_size(), 2);
  EXPECT_FALSE(response.notifications(0).priority());
  EXPECT_EQ(response.notifications(1).uri(), like);
  EXPECT_TRUE(response.notifications(1).priority());
  EXPECT_EQ(response.notifications(1).reason_subject(), post);

  request.set_priority(true);
  ASSERT_TRUE(Call(&Dataplane::GetNotifications, request, &response).ok());
  ASSERT_EQ(response.notifications_size(), 1);
  EXPECT_EQ(response.notifications(0).uri(), like);

  request.set_priority(false);
  request.set_cursor("1970-01-01T00:00:00.007Z");
  ASSERT_TRUE(Call(&Dataplane::GetNotifications, request, &response).ok());
  EXPECT_EQ(response.notifications_size(), 1);

  // The follow's record is not there, the like's is.
  bsky::GetUnreadNotificationCountRequest count;
  bsky::GetUnreadNotificationCountResponse counted;
  count.set_actor_did(kAlice);
  ASSERT_TRUE(
      Call(&Dataplane::GetUnreadNotificationCount, count, &counted).ok());
  EXPECT_EQ(counted.count(), 1);
  Write(absl::StrCat("INSERT INTO notification_seen (did, seen_at) VALUES ('",
                     kAlice, "', 5)"));
  ASSERT_TRUE(
      Call(&Dataplane::GetUnreadNotificationCount, count, &counted).ok());
  EXPECT_EQ(counted.count(), 0);
}

TEST_F(DataplaneTest, LabelsOfTheIssuersThatHaveNotExpired) {
  auto label = [&](const std::string& src, const std::string& val,
                   const std::string& more_columns, const std::string& more) {
    Write(absl::StrCat("INSERT INTO labels (subject, src, val, cid, cts",
                       more_columns, ") VALUES ('", kBob, "', '", src, "', '",
                       val, "', '', '2025-03-01T00:00:00Z'", more, ")"));
  };
  label("did:plc:l1", "spam", "", "");
  label("did:plc:l1", "old", ", exp, exp_at", ", '2001-01-01T00:00:00Z', 1");
  label("did:plc:l1", "porn", ", neg", ", true");
  label("did:plc:l2", "spam", "", "");
  bsky::GetLabelsRequest request;
  request.add_subjects(kBob);
  request.add_subjects("nonsense");
  bsky::GetLabelsResponse response;
  ASSERT_TRUE(Call(&Dataplane::GetLabels, request, &response).ok());
  EXPECT_THAT(response.labels(), IsEmpty());
  request.add_issuers("did:plc:l1");
  ASSERT_TRUE(Call(&Dataplane::GetLabels, request, &response).ok());
  EXPECT_THAT(response.labels(),
              UnorderedElementsAre(
                  R"({"src":"did:plc:l1","uri":"did:plc:bob","val":"spam",)"
                  R"("cts":"2025-03-01T00:00:00Z"})",
                  R"({"src":"did:plc:l1","uri":"did:plc:bob","val":"porn",)"
                  R"("neg":true,"cts":"2025-03-01T00:00:00Z"})"));
}

TEST_F(DataplaneTest, AnActorIsItsRowAndItsOwnRecords) {
  AddActor(kBob, "bob.test");
  auto own = [&](const std::string& collection, const std::string& json) {
    Write(absl::StrCat(
        "INSERT INTO actor_records (did, collection, cid, record, indexed_at, "
        "created_at) VALUES ('",
        kBob, "', '", collection, "', 'bafy', '", json, "', 2000, 1000)"));
  };
  own("app.bsky.actor.profile", "{}");
  own("chat.bsky.actor.declaration", R"({"allowIncoming":"all"})");
  own("app.bsky.notification.declaration", R"({"allowSubscriptions":"none"})");
  bsky::GetActorsRequest request;
  request.add_dids(kBob);
  request.add_dids(kCarol);
  request.add_dids("x");
  bsky::GetActorsResponse response;
  absl::Status status = Call(&Dataplane::GetActors, request, &response);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(response.actors_size(), 3);
  const bsky::ActorInfo& bob = response.actors(0);
  EXPECT_TRUE(bob.exists());
  EXPECT_EQ(bob.handle(), "bob.test");
  EXPECT_EQ(bob.profile().cid(), "bafy");
  EXPECT_EQ(bob.created_at().seconds(), 1);
  EXPECT_EQ(bob.allow_incoming_chats_from(), "all");
  EXPECT_EQ(bob.allow_activity_subscriptions_from(), "none");
  EXPECT_EQ(bob.status_record().record(), "null");
  EXPECT_FALSE(bob.labeler());
  for (int i : {1, 2}) {
    const bsky::ActorInfo& nobody = response.actors(i);
    EXPECT_FALSE(nobody.exists());
    EXPECT_EQ(nobody.profile().record(), "null");
    EXPECT_EQ(nobody.allow_activity_subscriptions_from(), "followers");
    EXPECT_FALSE(nobody.has_created_at());
  }

  bsky::GetIdentityByDidRequest identity;
  bsky::GetIdentityByDidResponse found;
  identity.set_did(kCarol);
  EXPECT_EQ(Call(&Dataplane::GetIdentityByDid, identity, &found).code(),
            absl::StatusCode::kNotFound);
  identity.set_did(kBob);
  ASSERT_TRUE(Call(&Dataplane::GetIdentityByDid, identity, &found).ok());
  EXPECT_EQ(found.handle(), "bob.test");
}

// The client went away: nobody waits for the rest.
TEST_F(DataplaneTest, ACancelledCallStops) {
  bsky::GetPostRecordsRequest request;
  request.add_uris(PostUri(kAlice, "1"));
  bsky::GetPostRecordsResponse response;
  rpc::CallContext call;
  call.loop = loop_.get();
  call.deadline = loop_->now() + absl::Seconds(60);
  call.cancelled = true;
  EXPECT_EQ(
      loop_->RunUntilDone(dataplane_->GetPostRecords(call, request, &response))
          .code(),
      absl::StatusCode::kCancelled);
}

TEST_F(DataplaneTest, TheStoresErrorsAreTheCallsErrors) {
  bsky::GetLatestRevRequest request;
  request.set_actor_did(kBob);
  bsky::GetLatestRevResponse response;
  loop_->RunUntilDone(node_->Stop());
  node_.reset();
  EXPECT_FALSE(Call(&Dataplane::GetLatestRev, request, &response).ok());
}

}  // namespace
}  // namespace dataplane
