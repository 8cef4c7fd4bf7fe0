#include "service/dataplane/json_field.h"

#include <string>

#include "gtest/gtest.h"

namespace dataplane {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonFieldTest, GivesAStringOfAnObject) {
  EXPECT_EQ(JsonStringField(R"({"a":1,"b":"x\"y"})", "b"), "x\"y");
}

TEST(JsonFieldTest, WhatIsNotAStringIsEmpty) {
  for (const char* json : {"", "null", "[]", "{", R"({"a":1})", R"({"b":"x"})",
                           R"({"a":null})", R"({"a":{"a":"x"}})"}) {
    EXPECT_EQ(JsonStringField(json, "a"), "") << json;
  }
}

TEST(JsonFieldTest, WritesStringsThatAreJson) {
  EXPECT_EQ(Quoted("spam"), R"("spam")");
  EXPECT_EQ(Quoted("a\"b\\c\n\x01"), R"("a\"b\\c\u000a\u0001")");
  EXPECT_EQ(Quoted("h\xC3\xA9\xF0\x9F\x98\x80"),
            "\"h\xC3\xA9\xF0\x9F\x98\x80\"");
}

// Answers travel as JSON bytes: broken text must not break the whole.
TEST(JsonFieldTest, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(Quoted("a\xFF"
                   "b"),
            "\"a\xEF\xBF\xBD"
            "b\"");
  EXPECT_EQ(Quoted("\xC3"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(Quoted("\xED\xA0\x80").size(), 2 + 3 * 3u);
}

}  // namespace
}  // namespace dataplane
