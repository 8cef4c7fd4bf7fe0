#include "service/dataplane/cursor.h"

#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace dataplane {
namespace {

TEST(CursorTest, APositionSurvivesTheRoundTrip) {
  const Position positions[] = {
      {1740790000000, "bafyreiabc", "at://did:plc:a/app.bsky.feed.like/3k"},
      {0, "c", "key__with__underscores"},
      {-5, "c", ":"},
  };
  for (const Position& position : positions) {
    auto parsed = ParseCursor(EncodeCursor(position));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ASSERT_TRUE(parsed->has_value());
    EXPECT_EQ((*parsed)->sort_at_ms, position.sort_at_ms);
    EXPECT_EQ((*parsed)->cid, position.cid);
    EXPECT_EQ((*parsed)->key, position.key);
  }
}

TEST(CursorTest, AnEmptyCursorIsTheFirstPage) {
  auto parsed = ParseCursor("");
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed->has_value());
}

// The AppView takes "::" for a cursor of an older service.
TEST(CursorTest, NeverLooksLikeACursorOfAnotherKind) {
  const std::string cursor = EncodeCursor(
      {1740790000000, "bafy", "at://did:plc:a/app.bsky.feed.like/3k"});
  EXPECT_EQ(cursor.find("::"), std::string::npos);
  EXPECT_FALSE(cursor.starts_with("did:"));
}

TEST(CursorTest, NonsenseIsInvalidArgument) {
  for (const char* cursor :
       {"x", "__", "1__", "__c", "1x__c", " 1__c", "1.5__c", "1__c__",
        "99999999999999999999__c", "8640000000000001__c", "1_c", "nan__c"}) {
    EXPECT_EQ(ParseCursor(cursor).status().code(),
              absl::StatusCode::kInvalidArgument)
        << cursor;
  }
  EXPECT_EQ(ParseCursor("1__" + std::string(100'000, 'c')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CursorTest, RowsRunFromNewToOld) {
  const Position row = {100, "m", "m"};
  EXPECT_TRUE((Position{99, "z", "z"}.IsAfter(row)));
  EXPECT_TRUE((Position{100, "l", "z"}.IsAfter(row)));
  EXPECT_TRUE((Position{100, "m", "l"}.IsAfter(row)));
  EXPECT_FALSE(row.IsAfter(row));
  EXPECT_FALSE((Position{100, "n", "a"}.IsAfter(row)));
}

TEST(TimeCursorTest, ReadsWhatCallersWrite) {
  const struct {
    const char* text;
    int64_t ms;
  } cases[] = {{"2025-03-01T08:10:17.423Z", 1740816617423},
               {"2025-03-01T08:10:17Z", 1740816617000},
               {"2025-03-01T09:10:17.4239+01:00", 1740816617423},
               {"1970-01-01T00:00:00.000Z", 0}};
  for (const auto& c : cases) {
    auto parsed = ParseTimeCursor(c.text);
    ASSERT_TRUE(parsed.ok()) << c.text;
    EXPECT_EQ(**parsed, c.ms) << c.text;
  }
  EXPECT_EQ(EncodeTimeCursor(1740816617423), "2025-03-01T08:10:17.423Z");
}

TEST(TimeCursorTest, NonsenseIsInvalidArgument) {
  for (const char* cursor : {"x", "1740816617423", "2025-13-01T00:00:00Z",
                             "infinite-future", "2025-03-01"}) {
    EXPECT_EQ(ParseTimeCursor(cursor).status().code(),
              absl::StatusCode::kInvalidArgument)
        << cursor;
  }
}

}  // namespace
}  // namespace dataplane
