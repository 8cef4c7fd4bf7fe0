#include "service/ingest/indexer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/text.h"
#include "tests/service/ingest/indexed_store.h"

namespace ingest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kPost = "app.bsky.feed.post";
constexpr std::string_view kLike = "app.bsky.feed.like";
constexpr std::string_view kFollow = "app.bsky.graph.follow";

std::string Did(std::string_view name) { return EventMaker::Did(name); }

class IndexerTest : public testing::Test {
 protected:
  // Applies an event that has to have an effect; gives its URI.
  std::string Apply(const Event& event) {
    absl::StatusOr<Indexer::Outcome> outcome = store_.Apply(event);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Indexer::Outcome::kApplied);
    return event.kind == EventKind::kCommit ? EventUri(event) : "";
  }
  // Counts of a record: "likes|reposts|replies|quotes".
  std::string Counts(const std::string& uri) {
    std::vector<std::string> rows = store_.Query(
        Cat("SELECT likes, reposts, replies, quotes FROM record_counts "
            "WHERE uri = '",
            uri, "'"));
    return rows.empty() ? "" : rows[0];
  }
  std::string ActorCount(std::string_view name, std::string_view column) {
    return store_.Value(Cat(
        "SELECT ", column, " FROM actor_counts WHERE did = '", Did(name), "'"));
  }
  std::vector<std::string> Timeline(std::string_view name) {
    return store_.Query(
        Cat("SELECT uri FROM timelines WHERE actor = '", Did(name), "'"));
  }
  std::vector<std::string> Feed(std::string_view name, int feed_type) {
    return store_.Query(Cat("SELECT uri FROM author_feed WHERE actor = '",
                            Did(name), "' AND feed_type = ", feed_type,
                            " AND bucket = 0"));
  }
  // Newest first: "reason|author's record".
  std::vector<std::string> Notifications(std::string_view name) {
    return store_.Query(
        Cat("SELECT reason, uri FROM notifications WHERE did = '", Did(name),
            "' AND bucket = 0"));
  }
  std::string Relation(std::string_view name, std::string_view kind,
                       const std::string& subject) {
    return store_.Value(Cat("SELECT uri FROM relations WHERE actor = '",
                            Did(name), "' AND kind = '", kind,
                            "' AND subject = '", subject, "'"));
  }
  std::string OfRecord(const std::string& uri, std::string_view column) {
    return store_.Value(
        Cat("SELECT ", column, " FROM records WHERE uri = '", uri, "'"));
  }

  IndexedStore store_;
  EventMaker make_;
};

TEST_F(IndexerTest, KeepsARecordWordForWord) {
  Event event = make_.Post("alice", "1");
  event.record.insert(1, "  ");
  const std::string uri = Apply(event);
  EXPECT_EQ(OfRecord(uri, "record"), event.record);
  EXPECT_EQ(OfRecord(uri, "cid"), event.cid);
  EXPECT_EQ(OfRecord(uri, "indexed_at"), Cat(event.time_us / 1000));
  EXPECT_EQ(store_.Value(Cat("SELECT rev FROM repo_revs WHERE did = '",
                             Did("alice"), "'")),
            event.rev);
  EXPECT_EQ(store_.Value(Cat("SELECT known FROM actors WHERE did = '",
                             Did("alice"), "'")),
            "true");
}

TEST_F(IndexerTest, SortsByTheEarlierOfCreatedAndIndexed) {
  Event early =
      make_.Post("alice", "1", R"("createdAt":"2020-01-01T00:00:00Z")");
  Event late =
      make_.Post("alice", "2", R"("createdAt":"2050-01-01T00:00:00Z")");
  EXPECT_EQ(OfRecord(Apply(early), "sort_at"), "1577836800000");
  EXPECT_EQ(OfRecord(Apply(late), "sort_at"), Cat(late.time_us / 1000));
}

TEST_F(IndexerTest, OnlyTheFirstLikeOfAPairCounts) {
  const std::string post = Apply(make_.Post("alice", "1"));
  const std::string first = Apply(make_.Like("bob", "1", post));
  const std::string second = Apply(make_.Like("bob", "2", post));
  const std::string third = Apply(make_.Like("bob", "3", post));
  Apply(make_.Like("carol", "1", post));
  EXPECT_EQ(Counts(post), "2|null|null|null");
  EXPECT_EQ(Relation("bob", kLike, post), first);
  EXPECT_THAT(Notifications("alice"), SizeIs(2));
  EXPECT_NE(OfRecord(second, "cid"), "null") << "it is a record all the same";

  // The oldest of the others takes over, without a notification of its own.
  Apply(make_.Delete("bob", kLike, "1"));
  EXPECT_EQ(Relation("bob", kLike, post), second);
  EXPECT_EQ(Counts(post), "2|null|null|null");
  EXPECT_THAT(Notifications("alice"), SizeIs(2));

  Apply(make_.Delete("bob", kLike, "2"));
  EXPECT_EQ(Relation("bob", kLike, post), third);
  Apply(make_.Delete("bob", kLike, "3"));
  EXPECT_EQ(Relation("bob", kLike, post), "");
  EXPECT_EQ(Counts(post), "1|null|null|null");
}

TEST_F(IndexerTest, ADuplicateThatGoesChangesNothing) {
  const std::string post = Apply(make_.Post("alice", "1"));
  const std::string first = Apply(make_.Like("bob", "1", post));
  Apply(make_.Like("bob", "2", post));
  Apply(make_.Delete("bob", kLike, "2"));
  EXPECT_EQ(Relation("bob", kLike, post), first);
  EXPECT_EQ(Counts(post), "1|null|null|null");
  EXPECT_THAT(store_.Query("SELECT uri FROM duplicates"), IsEmpty());
}

TEST_F(IndexerTest, ADeletedLikeTakesItsNotificationAlong) {
  const std::string post = Apply(make_.Post("alice", "1"));
  Apply(make_.Like("bob", "1", post));
  EXPECT_THAT(Notifications("alice"), SizeIs(1));
  Apply(make_.Delete("bob", kLike, "1"));
  EXPECT_THAT(Notifications("alice"), ElementsAre("null|null"));
  EXPECT_EQ(Counts(post), "0|null|null|null");
}

TEST_F(IndexerTest, NobodyIsToldOfTheirOwnDoings) {
  const std::string post = Apply(make_.Post("alice", "1"));
  Apply(make_.Like("alice", "1", post));
  Apply(make_.Repost("alice", "1", post));
  Apply(make_.Reply("alice", "2", post, post));
  EXPECT_THAT(Notifications("alice"), IsEmpty());
}

TEST_F(IndexerTest, ALikeThroughARepostTellsBoth) {
  const std::string post = Apply(make_.Post("alice", "1"));
  const std::string repost = Apply(make_.Repost("bob", "1", post));
  Apply(
      make_.Create("carol", kLike, "1",
                   Cat(R"("subject":)", Ref(post), R"(,"via":)", Ref(repost))));
  EXPECT_THAT(Notifications("bob"),
              ElementsAre(Cat("like-via-repost|",
                              EventMaker::Uri("carol", kLike, "1"))));
  EXPECT_THAT(Notifications("alice"), SizeIs(2));
}

TEST_F(IndexerTest, AFollowCopiesAndAnUnfollowTakesAway) {
  const std::string old = Apply(make_.Post("alice", "1"));
  const std::string other = Apply(make_.Post("carol", "1"));
  Apply(make_.Follow("bob", "1", "carol"));
  Apply(make_.Follow("bob", "2", "alice"));
  const std::string fresh = Apply(make_.Post("alice", "2"));
  const std::string repost = Apply(make_.Repost("alice", "1", other));
  EXPECT_THAT(Timeline("bob"), ElementsAre(repost, fresh, other, old));
  EXPECT_EQ(ActorCount("alice", "followers"), "1");
  EXPECT_EQ(ActorCount("bob", "following"), "2");

  Apply(make_.Delete("alice", kPost, "1"));
  EXPECT_THAT(Timeline("bob"), ElementsAre(repost, fresh, other));
  Apply(make_.Delete("bob", kFollow, "2"));
  EXPECT_THAT(Timeline("bob"), ElementsAre(other));
  EXPECT_EQ(ActorCount("alice", "followers"), "0");
}

TEST_F(IndexerTest, AFollowThatIsTakenOverKeepsTheTimeline) {
  const std::string post = Apply(make_.Post("alice", "1"));
  Apply(make_.Follow("bob", "1", "alice"));
  Apply(make_.Follow("bob", "2", "alice"));
  Apply(make_.Delete("bob", kFollow, "1"));
  EXPECT_THAT(Timeline("bob"), ElementsAre(post));
  EXPECT_EQ(ActorCount("alice", "followers"), "1");
  EXPECT_EQ(ActorCount("bob", "following"), "1");
}

TEST_F(IndexerTest, ADeletedPostLeavesEveryFeed) {
  const std::string post = Apply(make_.Post("alice", "1"));
  Apply(make_.Follow("dan", "1", "bob"));
  Apply(make_.Repost("bob", "1", post));
  Apply(make_.Repost("bob", "2", post));  // Does not count, but is shown.
  const std::string quote = Apply(
      make_.Post("carol", "1",
                 Cat(R"("embed":{"$type":"app.bsky.embed.record","record":)",
                     Ref(post), "}")));
  EXPECT_THAT(Timeline("dan"), SizeIs(2));
  EXPECT_THAT(Feed("bob", 0), SizeIs(2));
  EXPECT_EQ(Counts(post), "null|1|null|1");

  Apply(make_.Delete("alice", kPost, "1"));
  EXPECT_THAT(Timeline("dan"), IsEmpty());
  EXPECT_THAT(Feed("bob", 0), ElementsAre("null"));
  EXPECT_EQ(Counts(post), "null|1|null|0") << "the repost is still there";
  EXPECT_EQ(ActorCount("alice", "posts"), "0");
  // The quote's own place in the list is gone; taking it out again is nothing.
  Apply(make_.Delete("carol", kPost, "1"));
  EXPECT_EQ(Counts(post), "null|1|null|0");
}

TEST_F(IndexerTest, PostsAreInTheFeedsTheyBelongTo) {
  const std::string root = Apply(make_.Post("alice", "1"));
  const std::string others = Apply(make_.Post("bob", "1"));
  const std::string own = Apply(make_.Reply("alice", "2", root, root));
  const std::string reply = Apply(make_.Reply("alice", "3", others, others));
  const std::string media = Apply(
      make_.Post("alice", "4", R"("embed":{"$type":"app.bsky.embed.images"})"));
  const std::string video = Apply(make_.Post(
      "alice", "5",
      Cat(R"("embed":{"$type":"app.bsky.embed.recordWithMedia","media":)"
          R"({"$type":"app.bsky.embed.video"},"record":{"record":)",
          Ref(others), "}}")));
  const std::string repost = Apply(make_.Repost("alice", "1", others));
  EXPECT_THAT(Feed("alice", 0),
              ElementsAre(repost, video, media, reply, own, root));
  EXPECT_THAT(Feed("alice", 1), ElementsAre(repost, video, media, own, root));
  EXPECT_THAT(Feed("alice", 2), ElementsAre(repost, video, media, root));
  EXPECT_THAT(Feed("alice", 3), ElementsAre(media));
  EXPECT_THAT(Feed("alice", 4), ElementsAre(video));
  EXPECT_EQ(ActorCount("alice", "posts"), "5");
}

TEST_F(IndexerTest, RepliesTellFourLevelsUpEachAccountOnce) {
  std::string root = Apply(make_.Post("a", "1"));
  std::string parent = root;
  for (std::string_view name : {"b", "c", "d", "e"}) {
    parent = Apply(make_.Reply(name, "1", root, parent));
  }
  // b is the fourth level above f; a the fifth.
  const std::string reply = Apply(make_.Reply("f", "1", root, parent));
  for (std::string_view name : {"b", "c", "d", "e"}) {
    EXPECT_EQ(Notifications(name)[0], Cat("reply|", reply)) << name;
  }
  EXPECT_THAT(Notifications("a"), SizeIs(4));

  const std::string again =
      Apply(make_.Reply("e", "2", root, reply,
                        Cat(R"("facets":[{"features":[{"$type":)"
                            R"("app.bsky.richtext.facet#mention","did":")",
                            Did("f"), R"("}]}])")));
  // Mentioned and replied to: told once, of the mention.
  EXPECT_THAT(Notifications("f"), ElementsAre(Cat("mention|", again)));
  EXPECT_EQ(Counts(root), "null|null|1|null");
}

TEST_F(IndexerTest, AMutedThreadIsSilent) {
  const std::string root = Apply(make_.Post("a", "1"));
  store_.Query(Cat("INSERT INTO thread_mutes (actor, root) VALUES ('", Did("a"),
                   "', '", root, "')"));
  const std::string reply = Apply(make_.Reply("b", "1", root, root));
  Apply(make_.Reply("c", "1", root, reply));
  Apply(make_.Like("b", "1", root));
  EXPECT_THAT(Notifications("a"), IsEmpty());
  EXPECT_THAT(Notifications("b"), SizeIs(1));
}

TEST_F(IndexerTest, AThreadGateHidesRepliesOfOthers) {
  const std::string root = Apply(make_.Post("a", "1"));
  Apply(make_.Follow("a", "1", "b"));
  const std::string list = Apply(
      make_.Create("a", "app.bsky.graph.list", "1",
                   R"("name":"x","purpose":"app.bsky.graph.defs#curatelist")"));
  Apply(make_.Create(
      "a", "app.bsky.graph.listitem", "1",
      Cat(R"("subject":")", Did("d"), R"(","list":")", list, R"(")")));
  Apply(make_.Create(
      "a", "app.bsky.feed.threadgate", "1",
      Cat(R"("post":")", root,
          R"(","allow":[{"$type":"app.bsky.feed.threadgate#followingRule"},)"
          R"({"$type":"app.bsky.feed.threadgate#listRule","list":")",
          list, R"("}])")));
  EXPECT_EQ(OfRecord(root, "has_thread_gate"), "true");
  const std::string followed = Apply(make_.Reply("b", "1", root, root));
  const std::string stranger = Apply(make_.Reply("c", "1", root, root));
  const std::string listed = Apply(make_.Reply("d", "1", root, root));
  const std::string own = Apply(make_.Reply("a", "2", root, stranger));
  EXPECT_EQ(OfRecord(followed, "violates_thread_gate"), "false");
  EXPECT_EQ(OfRecord(stranger, "violates_thread_gate"), "true");
  EXPECT_EQ(OfRecord(listed, "violates_thread_gate"), "false");
  EXPECT_EQ(OfRecord(own, "violates_thread_gate"), "false");
  EXPECT_EQ(Counts(root), "null|null|2|null");
  EXPECT_THAT(Notifications("a"), SizeIs(2));

  // What does not count does not stop to.
  Apply(make_.Delete("c", kPost, "1"));
  EXPECT_EQ(Counts(root), "null|null|2|null");
  Apply(make_.Delete("b", kPost, "1"));
  EXPECT_EQ(Counts(root), "null|null|1|null");
  Apply(make_.Delete("a", "app.bsky.feed.threadgate", "1"));
  EXPECT_EQ(OfRecord(root, "has_thread_gate"), "false");
}

TEST_F(IndexerTest, AGateMayComeBeforeItsPost) {
  const std::string root = EventMaker::PostUri("a", "1");
  Apply(make_.Create("a", "app.bsky.feed.threadgate", "1",
                     Cat(R"("post":")", root, R"(","allow":[])")));
  EXPECT_EQ(OfRecord(root, "has_thread_gate"), "");
  Apply(make_.Post("a", "1"));
  EXPECT_EQ(OfRecord(root, "has_thread_gate"), "true");
}

TEST_F(IndexerTest, APostGateForbidsQuotes) {
  const std::string post = Apply(make_.Post("a", "1"));
  Apply(make_.Create("a", "app.bsky.feed.postgate", "1",
                     Cat(R"("post":")", post,
                         R"(","embeddingRules":[{"$type":)"
                         R"("app.bsky.feed.postgate#disableRule"}])")));
  EXPECT_EQ(OfRecord(post, "has_post_gate"), "true");
  const std::string embed = Cat(
      R"("embed":{"$type":"app.bsky.embed.record","record":)", Ref(post), "}");
  const std::string others = Apply(make_.Post("b", "1", embed));
  const std::string own = Apply(make_.Post("a", "2", embed));
  EXPECT_EQ(OfRecord(others, "violates_embedding_rules"), "true");
  EXPECT_EQ(OfRecord(own, "violates_embedding_rules"), "false");
  EXPECT_THAT(Notifications("a"), IsEmpty());
  EXPECT_EQ(Counts(post), "null|null|null|2");
}

TEST_F(IndexerTest, AnAuthorsOwnRepliesKeepTheirPlaces) {
  const std::string root = Apply(make_.Post("a", "1"));
  const std::string first = Apply(make_.Reply("a", "2", root, root));
  Apply(make_.Reply("b", "1", root, root));
  Event removal = make_.Delete("a", kPost, "2");
  Apply(removal);
  EXPECT_THAT(
      store_.Query(Cat("SELECT uri, parent, deleted_at, row_count FROM "
                       "op_replies WHERE root = '",
                       root, "'")),
      ElementsAre(Cat(first, "|", root, "|", removal.time_us / 1000, "|1")));
}

TEST_F(IndexerTest, AnUpdateReplacesWhatWasIndexed) {
  const std::string post = Apply(make_.Post("alice", "1"));
  Apply(make_.Follow("bob", "1", "alice"));
  Event update = make_.Update("alice", kPost, "1", R"("text":"edited")");
  Apply(update);
  EXPECT_EQ(ActorCount("alice", "posts"), "1");
  EXPECT_THAT(Timeline("bob"), ElementsAre(post));
  EXPECT_THAT(Feed("alice", 0), ElementsAre(post));
  EXPECT_EQ(OfRecord(post, "cid"), update.cid);
}

TEST_F(IndexerTest, AProfileIsOneRowOfItsAccount) {
  Apply(make_.Create("alice", "app.bsky.actor.profile", "self",
                     R"("displayName":"A")"));
  Event update = make_.Update("alice", "app.bsky.actor.profile", "self",
                              R"("displayName":"B")");
  Apply(update);
  EXPECT_THAT(
      store_.Query(Cat("SELECT collection, record FROM actor_records WHERE "
                       "did = '",
                       Did("alice"), "'")),
      ElementsAre(Cat("app.bsky.actor.profile|", update.record)));
  Apply(make_.Delete("alice", "app.bsky.actor.profile", "self"));
  EXPECT_THAT(store_.Query("SELECT did FROM actor_records"), IsEmpty());
}

TEST_F(IndexerTest, OlderEventsBringNothingBack) {
  Event create = make_.Post("alice", "1");
  Event update = make_.Update("alice", kPost, "1", R"("text":"edited")");
  Event removal = make_.Delete("alice", kPost, "1");
  Apply(create);
  Apply(update);
  EXPECT_EQ(*store_.Apply(create), Indexer::Outcome::kNoNews);
  EXPECT_EQ(OfRecord(EventUri(create), "cid"), update.cid);
  Apply(removal);
  EXPECT_EQ(*store_.Apply(create), Indexer::Outcome::kNoNews);
  EXPECT_EQ(*store_.Apply(update), Indexer::Outcome::kNoNews);
  EXPECT_EQ(OfRecord(EventUri(create), "cid"), "null");
  EXPECT_EQ(ActorCount("alice", "posts"), "0");
  EXPECT_EQ(store_.Value("SELECT rev FROM repo_revs"), removal.rev);
  // A record that comes again under its key is a new one.
  Apply(make_.Post("alice", "1"));
  EXPECT_EQ(ActorCount("alice", "posts"), "1");
}

TEST_F(IndexerTest, ARemovalThatComesFirstWins) {
  Event create = make_.Post("alice", "1");
  Apply(make_.Delete("alice", kPost, "1"));
  EXPECT_EQ(*store_.Apply(create), Indexer::Outcome::kNoNews);
  EXPECT_THAT(Feed("alice", 0), IsEmpty());
}

TEST_F(IndexerTest, MalformedRecordsAreRefusedWhole) {
  Event event = make_.Post("alice", "1");
  event.record = R"({"text":"x"})";
  const std::vector<std::string> before = store_.Dump();
  absl::StatusOr<Indexer::Outcome> outcome = store_.Apply(event);
  EXPECT_EQ(outcome.status(), absl::InvalidArgumentError("createdAt: missing"));
  event.record = std::string(2 << 20, ' ');
  EXPECT_EQ(store_.Apply(event).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.Dump(), before);
}

// A store that refuses is no fault of the event's, and the event not lost.
TEST_F(IndexerTest, WhatTheStoreRefusesIsNotMalformed) {
  cql::node::Rule rule;
  rule.nth = 3;
  rule.error.code = cql::ServerCode::kInvalid;
  rule.error.message = "unconfigured table";
  store_.node()->rules().Add(rule);
  const Event event = make_.Post("alice", "1");
  const absl::Status status = store_.Apply(event).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("unconfigured table"));
  Apply(event);
}

// One row that somebody broke must not stop the stream for good.
TEST_F(IndexerTest, AStoredRecordThatCannotBeReadCanBeRemoved) {
  const std::string uri = Apply(make_.Post("alice", "1"));
  store_.Query(Cat("UPDATE records SET record = '{' WHERE uri = '", uri, "'"));
  Apply(make_.Delete("alice", kPost, "1"));
  EXPECT_EQ(OfRecord(uri, "cid"), "null");
}

TEST_F(IndexerTest, AHandleThatMovesLeavesItsAccount) {
  Apply(make_.Identity("alice", "a.test"));
  Apply(make_.Identity("bob", "b.test"));
  Event again = make_.Identity("alice", "a.test");
  Apply(make_.Identity("bob", "a.test"));
  auto handle = [this](std::string_view name) {
    return store_.Value(
        Cat("SELECT handle FROM actors WHERE did = '", Did(name), "'"));
  };
  EXPECT_EQ(handle("alice"), "null");
  EXPECT_EQ(handle("bob"), "a.test");
  EXPECT_THAT(store_.Query("SELECT handle, did FROM handles"),
              ElementsAre(Cat("a.test|", Did("bob"))));
}

TEST_F(IndexerTest, AnAccountsStatusFollowsItsEvents) {
  auto status = [this] {
    return store_.Value("SELECT upstream_status FROM actors");
  };
  Event first = make_.Account("alice", false, "deactivated");
  Apply(first);
  EXPECT_EQ(status(), "deactivated");
  Apply(make_.Account("alice", true, ""));
  EXPECT_EQ(status(), "null");
  EXPECT_EQ(*store_.Apply(first), Indexer::Outcome::kNoNews);
  EXPECT_EQ(status(), "null");
}

TEST_F(IndexerTest, ADeletedAccountLeavesNothing) {
  const std::string theirs = Apply(make_.Post("bob", "1"));
  Apply(make_.Follow("bob", "1", "alice"));
  Apply(make_.Identity("alice", "a.test"));
  Event post = make_.Post("alice", "1");
  Apply(post);
  Apply(make_.Reply("alice", "2", theirs, theirs));
  Apply(make_.Like("alice", "1", theirs));
  Apply(make_.Like("alice", "2", theirs));
  Apply(make_.Repost("alice", "1", theirs));
  Apply(make_.Follow("alice", "1", "bob"));
  Apply(make_.Like("bob", "1", EventUri(post)));
  Apply(make_.Create("alice", "app.bsky.actor.profile", "self", ""));
  Apply(make_.Account("alice", false, "deleted"));

  EXPECT_EQ(Counts(theirs), "0|0|0|null");
  EXPECT_EQ(ActorCount("bob", "followers"), "0");
  EXPECT_EQ(ActorCount("alice", "posts"), "0");
  EXPECT_THAT(Timeline("bob"), IsEmpty());
  EXPECT_THAT(Timeline("alice"), IsEmpty());
  EXPECT_THAT(store_.Query("SELECT did FROM actor_records"), IsEmpty());
  EXPECT_THAT(store_.Query("SELECT handle FROM handles"), IsEmpty());
  EXPECT_EQ(store_.Value(Cat("SELECT known FROM actors WHERE did = '",
                             Did("alice"), "'")),
            "false");
  EXPECT_EQ(Notifications("bob"), std::vector<std::string>{"null|null"});
  for (const std::string& row : store_.Query("SELECT uri, cid FROM records")) {
    if (row.find(Did("alice")) != row.npos) {
      EXPECT_THAT(row, testing::EndsWith("|null"));
    }
  }
  // Not even by a replay that has forgotten all.
  store_.Restart();
  EXPECT_EQ(*store_.Apply(post), Indexer::Outcome::kNoNews);
  // But it may come back.
  Apply(make_.Post("alice", "9"));
  EXPECT_EQ(ActorCount("alice", "posts"), "1");
}

TEST_F(IndexerTest, OnlyTrustedVerifiersVerify) {
  auto verify = [this](std::string_view issuer) {
    return make_.Create(issuer, "app.bsky.graph.verification", "1",
                        Cat(R"("subject":")", Did("alice"),
                            R"(","handle":"a.test","displayName":"A")"));
  };
  auto issuers = [this] {
    return store_.Query("SELECT issuer, handle FROM verifications_by_subject");
  };
  Apply(verify("bob"));
  Apply(verify("carol"));
  EXPECT_THAT(issuers(), IsEmpty());
  ASSERT_TRUE(
      store_.loop()
          ->RunUntilDone(store_.indexer()->SetTrustedVerifier(Did("bob"), true))
          .ok());
  EXPECT_THAT(issuers(), ElementsAre(Cat(Did("bob"), "|a.test")));
  Apply(make_.Delete("bob", "app.bsky.graph.verification", "1"));
  EXPECT_THAT(issuers(), IsEmpty());
  Apply(make_.Create("bob", "app.bsky.graph.verification", "2",
                     Cat(R"("subject":")", Did("alice"),
                         R"(","handle":"a.test","displayName":"A")")));
  EXPECT_THAT(issuers(), SizeIs(1));
  ASSERT_TRUE(store_.loop()
                  ->RunUntilDone(
                      store_.indexer()->SetTrustedVerifier(Did("bob"), false))
                  .ok());
  EXPECT_THAT(issuers(), IsEmpty());
}

TEST_F(IndexerTest, JoiningThroughAStarterPackIsToldOnce) {
  const std::string pack =
      EventMaker::Uri("bob", "app.bsky.graph.starterpack", "1");
  const std::string fields = Cat(R"("joinedViaStarterPack":)", Ref(pack));
  Apply(make_.Create("alice", "app.bsky.actor.profile", "self", fields));
  Apply(make_.Update("alice", "app.bsky.actor.profile", "self",
                     Cat(fields, R"(,"displayName":"A")")));
  EXPECT_THAT(Notifications("bob"), SizeIs(1));
  Apply(make_.Delete("alice", "app.bsky.actor.profile", "self"));
  EXPECT_THAT(Notifications("bob"), ElementsAre("null|null"));
}

// What is beyond the documented size is dropped, the newest kept.
TEST_F(IndexerTest, TimelinesAreCutBack) {
  IndexerOptions options;
  options.timeline_rows = 16;
  store_.Restart(options);
  Apply(make_.Follow("bob", "1", "alice"));
  std::vector<std::string> newest;
  for (int i = 0; i < 100; ++i) {
    newest.insert(newest.begin(), Apply(make_.Post("alice", Cat(i))));
  }
  std::vector<std::string> timeline = Timeline("bob");
  ASSERT_GE(timeline.size(), 16u);
  EXPECT_LE(timeline.size(), 48u);
  newest.resize(timeline.size());
  EXPECT_EQ(timeline, newest);
  // A follow copies no more than that.
  Apply(make_.Follow("carol", "1", "alice"));
  newest.resize(16);
  EXPECT_EQ(Timeline("carol"), newest);
}

TEST_F(IndexerTest, BookmarksCountOncePerActor) {
  const std::string post = Apply(make_.Post("alice", "1"));
  auto put = [&](std::string_view name, std::string_view key, int64_t at) {
    Indexer::Bookmark bookmark{};
    const std::string did = Did(name);
    bookmark.actor = did;
    bookmark.subject = post;
    bookmark.key = key;
    bookmark.indexed_at_ms = at;
    EXPECT_TRUE(store_.loop()
                    ->RunUntilDone(store_.indexer()->PutBookmark(bookmark))
                    .ok());
  };
  auto count = [&] {
    return store_.Value("SELECT bookmarks FROM record_counts");
  };
  put("bob", "k1", 1000);
  put("bob", "k1", 1000);
  put("bob", "k2", 2000);
  put("carol", "k1", 1000);
  EXPECT_EQ(count(), "2");
  EXPECT_THAT(store_.Query(Cat("SELECT tie FROM records_by_actor WHERE actor "
                               "= '",
                               Did("bob"),
                               "' AND kind = 'bookmark' AND "
                               "bucket = 0")),
              ElementsAre("k2"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(
        store_.loop()
            ->RunUntilDone(store_.indexer()->DeleteBookmark(Did("bob"), post))
            .ok());
    EXPECT_EQ(count(), "1");
  }
}

TEST_F(IndexerTest, ATakedownStaysThroughAnUpdate) {
  Event profile = make_.Create("alice", "app.bsky.actor.profile", "self", "");
  const std::string uri = Apply(profile);
  ASSERT_TRUE(
      store_.loop()
          ->RunUntilDone(store_.indexer()->SetRecordTakedown(uri, "REF"))
          .ok());
  Apply(make_.Update("alice", "app.bsky.actor.profile", "self",
                     R"("displayName":"A")"));
  EXPECT_EQ(OfRecord(uri, "takedown_ref"), "REF");
  EXPECT_EQ(store_.Value("SELECT takedown_ref FROM actor_records"), "REF");
  ASSERT_TRUE(store_.loop()
                  ->RunUntilDone(store_.indexer()->SetRecordTakedown(uri, ""))
                  .ok());
  EXPECT_EQ(OfRecord(uri, "takedown_ref"), "null");
}

}  // namespace
}  // namespace ingest
