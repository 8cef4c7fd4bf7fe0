#include "service/ingest/jetstream.h"

#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

using Outcome = JetstreamParser::Outcome;

constexpr std::string_view kCid =
    "bafyreibcqqr37d65wa4pzx2bt56z75mej44upeyccohxhexfrvlxturaae";

// `text` with every X turned into a valid CID.
std::string WithCid(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == 'X') {
      out.append(kCid);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

constexpr std::string_view kCreate =
    R"({"did":"did:plc:a","time_us":17,"kind":"commit","commit":{)"
    R"("rev":"3jhb2knk7yc2k","operation":"create",)"
    R"("collection":"app.bsky.feed.post","rkey":"3jhb2knk7yc2k",)"
    R"("record":{"text":"hi"},"cid":"X"}})";

class JetstreamTest : public testing::Test {
 protected:
  // The outcome of `line`, or why it is malformed.
  std::string Parse(std::string_view line) {
    absl::StatusOr<Outcome> outcome = parser_.Parse(line, &event_);
    if (!outcome.ok()) return std::string(outcome.status().message());
    return *outcome == Outcome::kEvent ? "event" : "skipped";
  }
  // The same of `kCreate` with `from` replaced by `to`.
  std::string ParseWith(std::string_view from, std::string_view to) {
    std::string line(kCreate);
    size_t at = line.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    line.replace(at, from.size(), to);
    return Parse(WithCid(line));
  }

  JetstreamParser parser_{{.line_bytes_max = 4096, .depth_max = 16}};
  Event event_;
};

TEST_F(JetstreamTest, ReadsACommit) {
  ASSERT_EQ(Parse(WithCid(kCreate)), "event");
  EXPECT_EQ(event_.kind, EventKind::kCommit);
  EXPECT_EQ(event_.did, "did:plc:a");
  EXPECT_EQ(event_.time_us, 17);
  EXPECT_EQ(event_.operation, CommitOperation::kCreate);
  EXPECT_EQ(event_.rev, "3jhb2knk7yc2k");
  EXPECT_EQ(event_.collection, "app.bsky.feed.post");
  EXPECT_EQ(event_.rkey, "3jhb2knk7yc2k");
  EXPECT_EQ(event_.cid, kCid);
  EXPECT_EQ(event_.record, R"({"text":"hi"})");
  EXPECT_EQ(EventUri(event_),
            "at://did:plc:a/app.bsky.feed.post/3jhb2knk7yc2k");
}

// Records are served as they were signed: spaces, order, escapes and all.
TEST_F(JetstreamTest, KeepsTheRecordByteForByte) {
  for (std::string_view record :
       {R"({})", R"({ "b" : 1 , "a" : [ ] })",
        R"({"text":"a \"quoted\" {brace} \\ \u00e9 \/ ]}","n":-1.50e+3})",
        R"({"a":{"record":{"x":1}},"commit":[[{"}":"{"}]],"t":true,"z":null})",
        "{\t\"emoji\"\r:\n\"\xf0\x9f\x99\x82\"}"}) {
    ASSERT_EQ(ParseWith(R"({"text":"hi"})", record), "event") << record;
    EXPECT_EQ(event_.record, record);
  }
}

TEST_F(JetstreamTest, FindsFieldsInAnyOrderAndSpacing) {
  std::string line = WithCid(
      " {\t\"extra\" : [1, {\"commit\": 2}] , \"commit\" :{ \"cid\":\"X\", "
      R"("x" : -1 ,"record" : {"a":[1,2,{"b":"}"}]} ,"rkey":"self","rev":"r",)"
      R"("collection":"app.bsky.actor.profile","operation":"update" },)"
      R"("kind":"commit","time_us": 5, "did":"did:web:x.y", "cursor":true } )");
  ASSERT_EQ(Parse(line), "event");
  EXPECT_EQ(event_.record, R"({"a":[1,2,{"b":"}"}]})");
  EXPECT_EQ(event_.operation, CommitOperation::kUpdate);
}

// Names of fields may be escaped like any string.
TEST_F(JetstreamTest, ReadsEscapedNames) {
  ASSERT_EQ(ParseWith("\"record\"", R"("\u0072ecord")"), "event");
  EXPECT_EQ(event_.record, R"({"text":"hi"})");
}

TEST_F(JetstreamTest, ReadsADelete) {
  ASSERT_EQ(Parse(WithCid(kCreate)), "event");
  ASSERT_EQ(
      Parse(R"({"did":"did:plc:a","time_us":18,"kind":"commit","commit":{)"
            R"("rev":"r","operation":"delete",)"
            R"("collection":"app.bsky.feed.like","rkey":"k"}})"),
      "event");
  EXPECT_EQ(event_.operation, CommitOperation::kDelete);
  EXPECT_EQ(event_.cid, "");
  EXPECT_EQ(event_.record, "");
}

TEST_F(JetstreamTest, ReadsAnIdentity) {
  ASSERT_EQ(
      Parse(R"({"did":"did:plc:a","time_us":1,"kind":"identity","identity":)"
            R"({"did":"did:plc:a","handle":"Jay.Bsky.Social","seq":1}})"),
      "event");
  EXPECT_EQ(event_.kind, EventKind::kIdentity);
  EXPECT_EQ(event_.handle, "jay.bsky.social");
  ASSERT_EQ(Parse(R"({"did":"did:plc:a","time_us":1,"kind":"identity",)"
                  R"("identity":{"did":"did:plc:a"}})"),
            "event");
  EXPECT_EQ(event_.handle, "");
}

TEST_F(JetstreamTest, ReadsAnAccount) {
  ASSERT_EQ(
      Parse(R"({"did":"did:plc:a","time_us":1,"kind":"account","account":)"
            R"({"active":false,"did":"did:plc:a","status":"takendown"}})"),
      "event");
  EXPECT_EQ(event_.kind, EventKind::kAccount);
  EXPECT_FALSE(event_.active);
  EXPECT_EQ(event_.status, "takendown");
  ASSERT_EQ(Parse(R"({"did":"did:plc:a","time_us":1,"kind":"account",)"
                  R"("account":{"active":true}})"),
            "event");
  EXPECT_TRUE(event_.active);
  EXPECT_EQ(event_.status, "");
}

// New kinds and other applications' records are no mistake of anybody's.
TEST_F(JetstreamTest, SkipsWhatIsNotServed) {
  EXPECT_EQ(ParseWith("app.bsky.feed.post", "com.example.other"), "skipped");
  EXPECT_EQ(Parse(R"({"did":"did:plc:a","time_us":1,"kind":"weather"})"),
            "skipped");
}

TEST_F(JetstreamTest, SaysWhatIsWrong) {
  struct Case {
    std::string_view from;
    std::string_view to;
    std::string_view reason;
  };
  const Case cases[] = {
      {"\"did:plc:a\"", "\"plc:a\"", "did: not a DID"},
      {"\"did:plc:a\"", "7", "did: not a string"},
      {"\"did\"", "\"DID\"", "did: missing"},
      {"\"did\":", "\"did\":\"did:plc:b\",\"did\":", "did: given twice"},
      {"17", "\"17\"", "time_us: not an integer"},
      {"17", "1.5", "time_us: not an integer"},
      {"17", "0", "time_us: not a time from 1970 to 9999"},
      {"17", "-4", "time_us: not a time from 1970 to 9999"},
      {"17", "999999999999999999", "time_us: not a time from 1970 to 9999"},
      {"17", "18446744073709551615", "time_us: not an integer"},
      {"17", "99999999999999999999999", "line: not JSON"},
      {"\"time_us\"", "\"time\"", "time_us: missing"},
      {"\"kind\"", "\"sort\"", "kind: missing"},
      {"\"commit\":{", "\"comit\":{", "commit: missing"},
      {R"("operation":"create")", R"("operation":"upsert")",
       "commit.operation: not create, update or delete"},
      {R"("operation":"create",)", "", "commit.operation: missing"},
      {"app.bsky.feed.post", "post", "commit.collection: not an NSID"},
      {R"("rkey":"3jhb2knk7yc2k")", R"("rkey":"a/b")",
       "commit.rkey: not a record key"},
      {R"("rkey":"3jhb2knk7yc2k")", R"("rkey":null)",
       "commit.rkey: not a string"},
      {R"("rev":"3jhb2knk7yc2k")", R"("rev":"")",
       "commit.rev: not a repository revision"},
      {"\"X\"", "\"Qm\"", "commit.cid: not a CID"},
      {",\"cid\":\"X\"", "", "commit.cid: missing"},
      {R"("record":{"text":"hi"},)", "", "commit.record: missing"},
      {R"({"text":"hi"})", "[]", "commit.record: not an object"},
      {R"({"text":"hi"})", "null", "commit.record: not an object"},
      {R"({"text":"hi"})", "{\"text\":\"hi\"", "line: not JSON"},
      {R"({"text":"hi"})", "{\"text\":tru}", "line: not JSON"},
      {R"({"text":"hi"})", "{\"text\":\"\\x\"}", "line: not JSON"},
      {R"({"text":"hi"})", "{\"text\":\"\xff\"}", "line: not UTF-8"},
      {R"({"text":"hi"})", "{\"text\":\"\xed\xa0\x80\"}", "line: not UTF-8"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ParseWith(c.from, c.to), c.reason) << c.from << " -> " << c.to;
  }
  EXPECT_EQ(Parse(""), "line: empty");
  EXPECT_EQ(Parse("   "), "line: empty");
  EXPECT_EQ(Parse("[]"), "line: not a JSON object");
  EXPECT_EQ(Parse("{} {}"), "line: not JSON");
  EXPECT_EQ(Parse(R"({"did":"did:plc:a","time_us":1,"kind":"account",)"
                  R"("account":{"active":1}})"),
            "account.active: not true or false");
  EXPECT_EQ(Parse(R"({"did":"did:plc:a","time_us":1,"kind":"account",)"
                  R"("account":{"active":true,"did":"did:plc:b"}})"),
            "account.did: not the line's own did");
  EXPECT_EQ(Parse(R"({"did":"did:plc:a","time_us":1,"kind":"identity",)"
                  R"("identity":{"handle":"no spaces.com"}})"),
            "identity.handle: not a handle");
}

// A line made of an event is that event.
TEST_F(JetstreamTest, WritesWhatItReads) {
  for (const std::string& line : {
           WithCid(kCreate),
           std::string(R"({"did":"did:plc:a","time_us":18,"kind":"commit",)"
                       R"("commit":{"rev":"r","operation":"delete",)"
                       R"("collection":"app.bsky.feed.like","rkey":"k"}})"),
           std::string(R"({"did":"did:plc:a","time_us":1,"kind":"identity",)"
                       R"("identity":{"handle":"A.b"}})"),
           std::string(R"({"did":"did:plc:a","time_us":1,"kind":"identity",)"
                       R"("identity":{}})"),
           std::string(R"({"did":"did:plc:a","time_us":1,"kind":"account",)"
                       R"("account":{"active":false,"status":"a\"b\n"}})"),
       }) {
    ASSERT_EQ(Parse(line), "event") << line;
    const Event event = event_;
    std::string written;
    AppendEventLine(event, &written);
    ASSERT_EQ(Parse(written), "event") << written;
    EXPECT_EQ(event_.kind, event.kind);
    EXPECT_EQ(event_.did, event.did);
    EXPECT_EQ(event_.time_us, event.time_us);
    if (event.kind == EventKind::kCommit) {
      EXPECT_EQ(event_.operation, event.operation);
      EXPECT_EQ(event_.rev, event.rev);
      EXPECT_EQ(EventUri(event_), EventUri(event));
      EXPECT_EQ(event_.cid, event.cid);
      EXPECT_EQ(event_.record, event.record);
    } else if (event.kind == EventKind::kIdentity) {
      EXPECT_EQ(event_.handle, event.handle);
    } else {
      EXPECT_EQ(event_.active, event.active);
      EXPECT_EQ(event_.status, event.status);
    }
  }
}

// Every shorter start of a line is malformed, and none reads past its end.
TEST_F(JetstreamTest, RefusesEveryTruncation) {
  std::string line = WithCid(kCreate);
  for (size_t bytes = 0; bytes < line.size(); ++bytes) {
    std::string start = line.substr(0, bytes);
    start.shrink_to_fit();
    EXPECT_NE(Parse(start), "event") << bytes;
  }
}

TEST_F(JetstreamTest, BoundsDepthAndLength) {
  // The line, the commit and the record are three deep.
  auto nested = [](int depth) {
    return "{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(ParseWith(R"({"text":"hi"})", nested(13)), "event");
  EXPECT_EQ(ParseWith(R"({"text":"hi"})", nested(14)),
            "line: nested too deeply");
  EXPECT_EQ(ParseWith(R"({"text":"hi"})", nested(1500)),
            "line: nested too deeply");
  EXPECT_EQ(Parse(std::string(4097, '[')), "line: longer than 4096 bytes");
  // What was refused leaves nothing behind.
  EXPECT_EQ(Parse(WithCid(kCreate)), "event");
}

}  // namespace
}  // namespace ingest
