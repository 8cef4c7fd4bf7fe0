#include "service/shell/statement_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace shell {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Statements(std::string_view text) {
  StatementReader reader;
  reader.Append(text);
  std::vector<std::string> found;
  while (auto statement = reader.Next()) found.push_back(*statement);
  return found;
}

TEST(StatementReaderTest, StatementsEndAtSemicolons) {
  EXPECT_THAT(Statements("SELECT 1; ;\n SELECT\n2 ;SELECT 3"),
              ElementsAre("SELECT 1", "SELECT\n2"));
}

TEST(StatementReaderTest, WhatIsQuotedEndsNothing) {
  EXPECT_THAT(Statements("INSERT 'a;b'; x \"c;d\"; y 'it''s;';"),
              ElementsAre("INSERT 'a;b'", "x \"c;d\"", "y 'it''s;'"));
  EXPECT_THAT(Statements("f $$ a; b $$; g"), ElementsAre("f $$ a; b $$"));
  EXPECT_THAT(Statements("'never; ended"), IsEmpty());
}

TEST(StatementReaderTest, CommentsEndNothing) {
  EXPECT_THAT(Statements("a -- b; c\n d; e /* f; */ g; // h;\n i;"),
              ElementsAre("a -- b; c\n d", "e /* f; */ g", "// h;\n i"));
}

TEST(StatementReaderTest, ABatchIsOneStatement) {
  EXPECT_THAT(Statements("begin unlogged batch\n insert a; insert b;\n"
                         "apply batch; select c;"),
              ElementsAre("begin unlogged batch\n insert a; insert b;\n"
                          "apply batch",
                          "select c"));
  EXPECT_THAT(Statements("BEGIN BATCH insert a;"), IsEmpty());
}

TEST(StatementReaderTest, CommandsEndWithTheirLine) {
  EXPECT_THAT(Statements("paging 5\nselect a;\nEXIT\n"),
              ElementsAre("paging 5", "select a", "EXIT"));
  EXPECT_THAT(Statements("-- about\nconsistency one;\n"),
              ElementsAre("-- about\nconsistency one"));
  EXPECT_THAT(Statements("HELP"), IsEmpty());
}

TEST(StatementReaderTest, TheEndOfTheInputEndsTheLastStatement) {
  StatementReader reader;
  reader.Append("SELECT 1");
  EXPECT_FALSE(reader.Next().has_value());
  EXPECT_TRUE(reader.mid_statement());
  EXPECT_EQ(reader.Finish(), "SELECT 1");
  EXPECT_FALSE(reader.mid_statement());
  reader.Append(" -- only said /* so */\n");
  EXPECT_EQ(reader.Finish(), std::nullopt);
}

TEST(StatementReaderTest, StatementsMayComeInPieces) {
  StatementReader reader;
  for (const char c : std::string_view("SELECT ';';")) {
    EXPECT_FALSE(reader.Next().has_value());
    reader.Append({&c, 1});
  }
  EXPECT_EQ(reader.Next(), "SELECT ';'");
}

TEST(LeadingWordsTest, SkipsCommentsAndEndsAtWhatIsNoWord) {
  EXPECT_EQ(LeadingWords(" /* a */ select -- b\n * from", 3), "SELECT");
  EXPECT_EQ(LeadingWords("Begin Unlogged Batch x", 3), "BEGIN UNLOGGED BATCH");
  EXPECT_EQ(LeadingWords("", 1), "");
}

}  // namespace
}  // namespace shell
