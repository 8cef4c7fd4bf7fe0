#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;

class EnginePagingTest : public EngineFixture {
 protected:
  EnginePagingTest() {
    CreateKeyspace();
    Run("CREATE TABLE t (k int, c int, s int STATIC, v int, PRIMARY KEY (k, "
        "c))");
    for (int k = 0; k < 5; ++k) {
      for (int c = 0; c < k * 3; ++c) {
        Bind("INSERT INTO t (k, c, v) VALUES (?, ?, ?)",
             {Int(k), Int(c), Int(c % 3)});
      }
    }
    Run("UPDATE t SET s = 1 WHERE k = 0");
    Run("UPDATE t SET s = 2 WHERE k = 3");
    Run("DELETE FROM t WHERE k = 4 AND c >= 2 AND c < 5");
  }

  // The rows of all pages, and that each but the last is full.
  std::string Pages(std::string_view text, int32_t page_size,
                    int* pages = nullptr) {
    std::string all;
    std::string state;
    int count = 0;
    do {
      ExecuteOptions options;
      options.page_size = page_size;
      options.paging_state = state;
      const absl::Status status = TryBind(text, {}, options);
      EXPECT_TRUE(status.ok()) << text << "\n" << status;
      if (!status.ok()) return "error";
      EXPECT_LE(result_.row_count, static_cast<uint32_t>(page_size));
      const std::string rows = ShowRows(result_);
      if (!all.empty() && !rows.empty()) all += "|";
      all += rows;
      state = result_.paging_state;
      ++count;
    } while (!state.empty() && count < 1000);
    if (pages != nullptr) *pages = count;
    return all;
  }
};

TEST_F(EnginePagingTest, PagesOfAnySizeGiveTheSameRows) {
  const char* const kSelects[] = {
      "SELECT * FROM t",
      "SELECT * FROM t WHERE k = 4",
      "SELECT * FROM t WHERE k = 4 ORDER BY c DESC",
      "SELECT * FROM t WHERE k IN (3, 0, 4, 1)",
      "SELECT * FROM t WHERE k = 4 AND c IN (0, 3, 6, 9, 10, 11)",
      "SELECT * FROM t WHERE k IN (3, 4) AND c > 2 AND c < 9",
      "SELECT * FROM t WHERE k IN (3, 4) LIMIT 7",
      "SELECT * FROM t LIMIT 12",
      "SELECT * FROM t PER PARTITION LIMIT 2",
      "SELECT * FROM t PER PARTITION LIMIT 2 LIMIT 5",
      "SELECT DISTINCT k, s FROM t",
      "SELECT * FROM t WHERE v = 1 ALLOW FILTERING",
      "SELECT * FROM t WHERE k = 4 AND v = 1 ALLOW FILTERING",
      "SELECT * FROM t WHERE token(k) > -5000000000000000000",
      "SELECT * FROM t WHERE k = 9",
      "SELECT count(*) FROM t",
  };
  for (const char* select : kSelects) {
    const std::string whole = Rows(select);
    for (int size : {1, 2, 3, 5, 7, 100}) {
      EXPECT_EQ(Pages(select, size), whole) << select << " by " << size;
    }
  }
}

TEST_F(EnginePagingTest, AFullLastPageIsTheLast) {
  int pages = 0;
  Pages("SELECT * FROM t WHERE k = 2", 3, &pages);
  EXPECT_EQ(pages, 2);
  Pages("SELECT * FROM t WHERE k = 2", 6, &pages);
  EXPECT_EQ(pages, 1);
}

TEST_F(EnginePagingTest, WritesBetweenPagesAreSeenOrNotButNothingRepeats) {
  ExecuteOptions options;
  options.page_size = 4;
  ASSERT_TRUE(TryBind("SELECT c FROM t WHERE k = 3", {}, options).ok());
  EXPECT_EQ(ShowRows(result_), "0|1|2|3");
  const std::string state = result_.paging_state;
  Run("DELETE FROM t WHERE k = 3 AND c IN (2, 3, 4)");
  Run("INSERT INTO t (k, c) VALUES (3, 100)");
  options.page_size = 100;
  options.paging_state = state;
  ASSERT_TRUE(TryBind("SELECT c FROM t WHERE k = 3", {}, options).ok());
  EXPECT_EQ(ShowRows(result_), "5|6|7|8|100");
  // The folder's seal, not the process, makes a state valid.
  Reopen();
  ASSERT_TRUE(TryBind("SELECT c FROM t WHERE k = 3", {}, options).ok());
  EXPECT_EQ(ShowRows(result_), "5|6|7|8|100");
}

TEST_F(EnginePagingTest, AStateThatLiesIsRefused) {
  ExecuteOptions options;
  options.page_size = 2;
  ASSERT_TRUE(TryBind("SELECT * FROM t WHERE k = 4", {}, options).ok());
  const std::string state = result_.paging_state;
  const auto refused = [&](std::string_view text, const std::string& lie) {
    ExecuteOptions again;
    again.page_size = 2;
    again.paging_state = lie;
    const absl::Status status = TryBind(text, {}, again);
    return !status.ok() && GetError(status).code == ServerCode::kProtocolError;
  };
  EXPECT_FALSE(refused("SELECT * FROM t WHERE k = 4", state));
  EXPECT_TRUE(refused("SELECT * FROM t WHERE k = 3", state));
  EXPECT_TRUE(refused("SELECT * FROM t", state));
  EXPECT_TRUE(refused("SELECT * FROM t WHERE k = 4", "x"));
  for (size_t i = 0; i < state.size(); ++i) {
    std::string lie = state;
    lie[i] = static_cast<char>(lie[i] ^ 1);
    EXPECT_TRUE(refused("SELECT * FROM t WHERE k = 4", lie)) << i;
    EXPECT_TRUE(refused("SELECT * FROM t WHERE k = 4",
                        state.substr(0, i) + (i == 0 ? "y" : "")))
        << i;
  }
}

TEST_F(EnginePagingTest, LongScansEndPagesEarly) {
  Limits limits;
  limits.page_rows_scanned_max = 5;
  Reopen(limits);
  int pages = 0;
  EXPECT_EQ(Pages("SELECT c FROM t WHERE k = 4 AND v = 1 ALLOW FILTERING", 100,
                  &pages),
            "1|7|10");
  EXPECT_GT(pages, 1);
  limits = Limits();
  limits.result_bytes_max = 64;
  Reopen(limits);
  EXPECT_EQ(Pages("SELECT c FROM t WHERE k = 3", 100, &pages),
            "0|1|2|3|4|5|6|7|8");
  EXPECT_GT(pages, 1);
}

TEST_F(EnginePagingTest, OrderOverPartitionsIsNotPaged) {
  ExecuteOptions options;
  options.page_size = 10;
  const absl::Status status =
      TryBind("SELECT * FROM t WHERE k IN (1, 2) ORDER BY c DESC", {}, options);
  EXPECT_THAT(GetError(status).message,
              HasSubstr("Cannot page queries with both ORDER BY and a IN"));
}

}  // namespace
}  // namespace cql::node
