#include "service/ingest/atproto_syntax.h"

#include <string>

#include "gtest/gtest.h"

namespace ingest {
namespace {

TEST(AtprotoSyntaxTest, Dids) {
  for (const char* good :
       {"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:example.com",
        "did:web:localhost%3A1234", "did:m:v", "did:m::::v", "did:m:a_b-c.d"}) {
    EXPECT_TRUE(IsDid(good)) << good;
  }
  for (const char* bad :
       {"", "did", "did:", "did:plc", "did:plc:", "did::x", "DID:plc:x",
        "did:Plc:x", "did:plc:x:", "did:plc:x%", "did:plc:x/y", "did:plc:x y",
        "did:plc:\xc3\xa9", "at://did:plc:x", "did:plc2:x"}) {
    EXPECT_FALSE(IsDid(bad)) << bad;
  }
  EXPECT_TRUE(IsDid("did:x:" + std::string(2042, 'a')));
  EXPECT_FALSE(IsDid("did:x:" + std::string(2043, 'a')));
}

TEST(AtprotoSyntaxTest, Nsids) {
  for (const char* good :
       {"app.bsky.feed.post", "com.example.fooBar", "a.b.c",
        "net.users.bob.ping", "a-0.b-1.c", "com.germnetwork.declaration"}) {
    EXPECT_TRUE(IsNsid(good)) << good;
  }
  for (const char* bad :
       {"", "app", "app.bsky", "app..post", ".app.bsky.post", "app.bsky.post.",
        "app.bsky.feed.*", "app.bsky.3post", "app.bsky.po-st", "-app.bsky.post",
        "4app.bsky.post", "app.bsky.post#main"}) {
    EXPECT_FALSE(IsNsid(bad)) << bad;
  }
  EXPECT_FALSE(IsNsid("a.b." + std::string(64, 'c')));
}

TEST(AtprotoSyntaxTest, RecordKeys) {
  for (const char* good : {"3jui7kd54zh2y", "self", "example.com", "~1.2-3_",
                           "dHJ1ZQ", "pre:fix", "_", "..."}) {
    EXPECT_TRUE(IsRecordKey(good)) << good;
  }
  for (const char* bad :
       {"", ".", "..", "a/b", "#x", "a b", "a@b", "(x)", "x\n", "\xc3\xa9"}) {
    EXPECT_FALSE(IsRecordKey(bad)) << bad;
  }
  EXPECT_TRUE(IsRecordKey(std::string(512, 'a')));
  EXPECT_FALSE(IsRecordKey(std::string(513, 'a')));
}

TEST(AtprotoSyntaxTest, Cids) {
  EXPECT_TRUE(
      IsCid("bafyreibcqqr37d65wa4pzx2bt56z75mej44upeyccohxhexfrvlxturaae"));
  EXPECT_TRUE(
      IsCid("bafkreibegjvmolkg6rzbumlt6lypvh5ngf7wsrxh5taus62fi5rblj5lvy"));
  for (const char* bad :
       {"", "bafyrei", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        "bafyreibcqqr37d65wa4pzx2bt56z75mej44upeyccohxhexfrvlxturaa1",
        "BAFYREIBCQQR37D65WA4PZX2BT56Z75MEJ44UPEYCCOHXHEXFRVLXTURAAE",
        "bbfyreibcqqr37d65wa4pzx2bt56z75mej44upeyccohxhexfrvlxturaae"}) {
    EXPECT_FALSE(IsCid(bad)) << bad;
  }
}

TEST(AtprotoSyntaxTest, Handles) {
  for (const char* good : {"jay.bsky.social", "8.cn", "XN--Ls8h.test",
                           "handle.invalid", "a-b.c-d.com"}) {
    EXPECT_TRUE(IsHandle(good)) << good;
  }
  for (const char* bad : {"", "jay", "jay.", ".social", "jay..social",
                          "-jay.social", "jay-.social", "jay.123", "jo@hn.test",
                          "john.test.", "\xf0\x9f\x99\x82.com"}) {
    EXPECT_FALSE(IsHandle(bad)) << bad;
  }
}

TEST(AtprotoSyntaxTest, ServedCollections) {
  EXPECT_TRUE(IsServedCollection("app.bsky.feed.post"));
  EXPECT_TRUE(IsServedCollection("app.bsky.actor.profile"));
  EXPECT_TRUE(IsServedCollection("com.germnetwork.declaration"));
  EXPECT_FALSE(IsServedCollection("app.bsky.feed.posts"));
  EXPECT_FALSE(IsServedCollection("com.example.thing"));
  EXPECT_FALSE(IsServedCollection(""));
}

}  // namespace
}  // namespace ingest
