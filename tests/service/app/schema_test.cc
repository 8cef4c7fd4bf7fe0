#include "service/app/schema.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace app {
namespace {

TEST(SchemaTest, SplitsStatements) {
  using Statements = std::vector<std::string>;
  EXPECT_EQ(SplitStatements(""), Statements{});
  EXPECT_EQ(SplitStatements("a;\n b ;;\n -- c;\n"), (Statements{"a", "b"}));
  EXPECT_EQ(SplitStatements("a -- x ' ; \n b; c"), (Statements{"a \n b", "c"}));
  EXPECT_EQ(SplitStatements("a ';--' \";\" b;"),
            (Statements{"a ';--' \";\" b"}));
}

TEST(SchemaTest, EveryTableIsInTheKeyspaceAndMayExist) {
  std::vector<std::string> statements = SchemaStatements("ks1", "{'a': 'b'}");
  ASSERT_GT(statements.size(), 10u);
  EXPECT_EQ(statements[0],
            "CREATE KEYSPACE IF NOT EXISTS ks1 WITH replication = {'a': 'b'}");
  for (size_t i = 1; i < statements.size(); ++i) {
    EXPECT_EQ(statements[i].find("CREATE TABLE IF NOT EXISTS ks1."), 0u)
        << statements[i];
    EXPECT_EQ(statements[i].find("--"), std::string::npos) << statements[i];
    EXPECT_EQ(statements[i].find(';'), std::string::npos) << statements[i];
  }
}

TEST(SchemaTest, TheScriptIsSplitIntoTheSameTables) {
  std::vector<std::string> script = SplitStatements(SchemaScript("ks", "{}"));
  std::vector<std::string> applied = SchemaStatements("ks", "{}");
  ASSERT_EQ(script.size(), applied.size() + 1);
  EXPECT_EQ(script[1], "USE ks");
}

}  // namespace
}  // namespace app
