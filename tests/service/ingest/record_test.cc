#include "service/ingest/record.h"

#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kDid = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
constexpr std::string_view kOther = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
constexpr std::string_view kCreated = R"("createdAt":"2025-03-01T00:00:00Z")";

class RecordTest : public testing::Test {
 protected:
  absl::Status Parse(Collection collection, std::string_view json,
                     std::string_view rkey = "3k2a") {
    return parser_.Parse(collection, kDid, rkey, json, &record_);
  }
  // What Parse() says about `json`.
  std::string Refusal(Collection collection, std::string_view json,
                      std::string_view rkey = "3k2a") {
    absl::Status status = Parse(collection, json, rkey);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json;
    return std::string(status.message());
  }

  RecordParser parser_;
  Record record_;
};

TEST_F(RecordTest, ReadsAPost) {
  const std::string json = Cat(
      R"({"$type":"app.bsky.feed.post","text":"hi",)", kCreated,
      R"(,"reply":{"root":{"uri":"at://)", kOther,
      R"(/app.bsky.feed.post/r","cid":"c"},"parent":{"uri":"at://)", kOther,
      R"(/app.bsky.feed.post/p","cid":"c"}},"facets":[{"index":{},"features":[)"
      R"({"$type":"app.bsky.richtext.facet#mention","did":")",
      kOther,
      R"("},{"$type":"app.bsky.richtext.facet#link","uri":"x"}]}],)"
      R"("embed":{"$type":"app.bsky.embed.recordWithMedia","media":{"$type":)"
      R"("app.bsky.embed.images"},"record":{"record":{"uri":"at://)",
      kOther, R"(/app.bsky.feed.post/q","cid":"c"}}}})");
  ASSERT_TRUE(Parse(Collection::kPost, json).ok());
  EXPECT_EQ(record_.created_at_ms, 1740787200000);
  EXPECT_EQ(record_.reply_root, Cat("at://", kOther, "/app.bsky.feed.post/r"));
  EXPECT_EQ(record_.reply_parent,
            Cat("at://", kOther, "/app.bsky.feed.post/p"));
  EXPECT_EQ(record_.quote, Cat("at://", kOther, "/app.bsky.feed.post/q"));
  EXPECT_THAT(record_.mentions, ElementsAre(std::string(kOther)));
  EXPECT_TRUE(record_.has_images);
  EXPECT_FALSE(record_.has_video);
}

TEST_F(RecordTest, OnlyAnEmbeddedPostIsAQuote) {
  ASSERT_TRUE(
      Parse(Collection::kPost,
            Cat(R"({"text":"",)", kCreated,
                R"(,"embed":{"$type":"app.bsky.embed.record","record":{"uri":)"
                R"("at://)",
                kOther, R"(/app.bsky.graph.list/q","cid":"c"}}})"))
          .ok());
  EXPECT_EQ(record_.quote, "");
}

TEST_F(RecordTest, SaysWhichFieldIsWrong) {
  EXPECT_EQ(Refusal(Collection::kPost, R"({"text":"hi"})"),
            "createdAt: missing");
  EXPECT_EQ(Refusal(Collection::kPost, R"({"text":"hi","createdAt":"now"})"),
            "createdAt: not a time");
  EXPECT_EQ(Refusal(Collection::kPost, R"({"text":"hi","createdAt":3})"),
            "createdAt: not a string");
  EXPECT_EQ(Refusal(Collection::kPost, Cat("{", kCreated, "}")),
            "text: missing");
  EXPECT_EQ(Refusal(Collection::kLike, Cat("{", kCreated, "}")),
            "subject: missing");
  EXPECT_EQ(Refusal(Collection::kLike,
                    Cat("{", kCreated, R"(,"subject":{"uri":"x"}})")),
            "subject.uri: not the URI of a record");
  EXPECT_EQ(Refusal(Collection::kFollow,
                    Cat("{", kCreated, R"(,"subject":"alice.test"})")),
            "subject: not a DID");
  EXPECT_EQ(Refusal(Collection::kPost,
                    Cat(R"({"text":"",)", kCreated,
                        R"(,"facets":[{"features":[{"$type":)"
                        R"("app.bsky.richtext.facet#mention","did":7}]}]})")),
            "facets[0].features[0].did: not a string");
  EXPECT_EQ(Refusal(Collection::kPost,
                    Cat(R"({"text":"",)", kCreated, R"(,"facets":{}})")),
            "facets: not a list");
  EXPECT_EQ(Refusal(Collection::kPost,
                    Cat(R"({"$type":"app.bsky.feed.like","text":"",)", kCreated,
                        "}")),
            "$type: not app.bsky.feed.post");
  EXPECT_EQ(Refusal(Collection::kPost, "[]"), "record: not an object");
  EXPECT_EQ(Refusal(Collection::kPost, "{"), "record: not JSON");
  EXPECT_EQ(Refusal(Collection::kPost, "{\"text\":\"\xff\"}"),
            "record: not UTF-8");
  EXPECT_EQ(Refusal(Collection::kPost,
                    std::string(100, '[') + std::string(100, ']')),
            "record: nested too deep");
}

TEST_F(RecordTest, AGateIsOfItsPost) {
  const std::string own = Cat(R"({"post":"at://)", kDid,
                              R"(/app.bsky.feed.post/3k2a",)", kCreated, "}");
  EXPECT_TRUE(Parse(Collection::kThreadgate, own).ok());
  EXPECT_FALSE(record_.has_allow);
  EXPECT_THAT(Refusal(Collection::kThreadgate, own, "3k2b"),
              HasSubstr("not of the gate's account and key"));
  EXPECT_THAT(Refusal(Collection::kPostgate,
                      Cat(R"({"post":"at://)", kOther,
                          R"(/app.bsky.feed.post/3k2a",)", kCreated, "}")),
              HasSubstr("not of the gate's account and key"));
}

TEST_F(RecordTest, ReadsTheRulesOfGates) {
  ASSERT_TRUE(
      Parse(
          Collection::kThreadgate,
          Cat(R"({"post":"at://)", kDid, R"(/app.bsky.feed.post/3k2a",)",
              kCreated,
              R"(,"allow":[{"$type":"app.bsky.feed.threadgate#mentionRule"},)"
              R"({"$type":"app.bsky.feed.threadgate#listRule","list":"at://)",
              kDid, R"(/app.bsky.graph.list/l"}],"hiddenReplies":["at://x"]})"))
          .ok());
  EXPECT_TRUE(record_.has_allow);
  EXPECT_TRUE(record_.allow_mentioned);
  EXPECT_FALSE(record_.allow_followed);
  EXPECT_THAT(record_.allow_lists,
              ElementsAre(Cat("at://", kDid, "/app.bsky.graph.list/l")));
  EXPECT_THAT(record_.hidden_replies, ElementsAre("at://x"));
}

TEST_F(RecordTest, NobodyAddsToAnothersList) {
  EXPECT_EQ(Refusal(Collection::kListitem,
                    Cat(R"({"subject":")", kOther, R"(","list":"at://)", kOther,
                        R"(/app.bsky.graph.list/l",)", kCreated, "}")),
            "list: belongs to another account");
}

TEST_F(RecordTest, DeclarationsAndProfilesNeedNoTime) {
  EXPECT_TRUE(Parse(Collection::kProfile, "{}", "self").ok());
  EXPECT_TRUE(Parse(Collection::kChatDeclaration, "{}", "self").ok());
  EXPECT_EQ(record_.created_at_ms, std::nullopt);
}

TEST(RecordUriTest, TakesOnlyRecordsOfDids) {
  std::optional<UriParts> parts =
      ParseRecordUri("at://did:web:a.test/app.bsky.feed.post/3k2a");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->did, "did:web:a.test");
  EXPECT_EQ(parts->collection, "app.bsky.feed.post");
  EXPECT_EQ(parts->rkey, "3k2a");
  for (std::string_view uri :
       {"", "at://", "at://did:web:a.test", "at://did:web:a.test/a.b.c",
        "at://alice.test/app.bsky.feed.post/1",
        "at://did:web:a.test/app.bsky.feed.post/",
        "at://did:web:a.test/app.bsky.feed.post/1/2",
        "http://did:web:a.test/app.bsky.feed.post/1"}) {
    EXPECT_FALSE(ParseRecordUri(uri)) << uri;
  }
}

}  // namespace
}  // namespace ingest
