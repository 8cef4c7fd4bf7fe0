// Rows as structs, and all pages as one list of rows.
#include "cql/row_as.h"

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "cql/paged_rows.h"
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;

struct KeyValue {
  int64_t key;
  std::string value;
};
struct One {
  std::optional<int64_t> key;
};
struct Every {
  bool a;
  int32_t b;
  double c;
  std::string d;
  std::string_view e;
  std::optional<std::string> f;
  std::optional<int64_t> g;
  std::vector<std::string> h;
  std::map<std::string, int64_t> i;
  Uuid j;
  absl::Time k;
  std::optional<Uuid> l;
  std::tuple<int32_t, std::string> m;
  Duration n;
  std::optional<std::vector<int32_t>> o;
  Inet p;
};
static_assert(internal::FieldCount<KeyValue>() == 2);
static_assert(internal::FieldCount<One>() == 1);
static_assert(internal::FieldCount<Every>() == 16);

constexpr StatementOptions kRead{.idempotent = true};

class RowAsTest : public ClientTest {};

TEST_F(RowAsTest, ARowIsAStructOrATuple) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    if (request.key() == 1) return false;
    request.ReplyRows({{Bigint(2), std::nullopt}});
    return true;
  };
  Run([](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    CO_ASSERT_OK(rows);
    absl::StatusOr<KeyValue> row = RowAs<KeyValue>(*rows->begin());
    CO_ASSERT_OK(row);
    EXPECT_EQ(row->key, 1);
    EXPECT_EQ(row->value, "v1");
    using Pair = std::tuple<int64_t, std::string_view>;
    EXPECT_EQ(RowAs<Pair>(*rows->begin()).value(), Pair(1, "v1"));
    absl::StatusOr<std::vector<KeyValue>> all = RowsAs<KeyValue>(*rows);
    CO_ASSERT_OK(all);
    EXPECT_EQ(all->size(), 1u);

    absl::StatusOr<One> too_few = RowAs<One>(*rows->begin());
    EXPECT_EQ(too_few.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(too_few.status().ToString(), HasSubstr("2 columns"));

    Query null = session->Execute(**select, int64_t{2});
    rows = co_await null;
    CO_ASSERT_OK(rows);
    absl::StatusOr<std::vector<KeyValue>> bad = RowsAs<KeyValue>(*rows);
    EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(bad.status().ToString(), HasSubstr("value"));
    using Nullable = std::tuple<int64_t, std::optional<std::string>>;
    EXPECT_EQ(RowAs<Nullable>(*rows->begin()).value(),
              Nullable(2, std::nullopt));
  });
}

// Pages of 3, 0, 2, 0 rows: the empty ones are passed over.
TEST_F(RowAsTest, PagesAreOneListOfRows) {
  FakeNode* node = AddNode();
  const std::vector<std::vector<int64_t>> pages = {{1, 2, 3}, {}, {4, 5}, {}};
  node->on_execute = [&](const FakeRequest& request) {
    const std::string_view state = request.execute->parameters.paging_state;
    const size_t page = state.empty() ? 0 : static_cast<size_t>(state[0] - '0');
    std::vector<Cells> rows;
    for (int64_t key : pages[page]) {
      rows.push_back({Bigint(key), absl::StrCat("v", key)});
    }
    request.ReplyRows(rows,
                      page + 1 < pages.size() ? absl::StrCat(page + 1) : "");
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    auto start = [&](const RequestOptions& page) {
      return session->Execute(page, **select, int64_t{1});
    };
    PagedRows rows(RequestOptions{}, start);
    std::vector<int64_t> keys;
    while (std::optional<Row> row = co_await rows.Next()) {
      keys.push_back(RowAs<KeyValue>(*row)->key);
    }
    EXPECT_TRUE(rows.status().ok());
    EXPECT_THAT(keys, ::testing::ElementsAre(1, 2, 3, 4, 5));
    EXPECT_EQ(node->executes, 4);
    std::optional<Row> after = co_await rows.Next();
    EXPECT_FALSE(after.has_value());
  });
}

TEST_F(RowAsTest, AnErrorEndsTheListAndIsKept) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    if (!request.execute->parameters.paging_state.empty()) {
      request.connection->ReplyError(request.stream, ServerCode::kReadTimeout,
                                     "slow replicas");
      return true;
    }
    request.ReplyRows({{Bigint(1), "v1"}}, "more");
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    auto start = [&](const RequestOptions& page) {
      return session->Execute(page, **select, int64_t{1});
    };
    PagedRows rows(RequestOptions{}, start);
    int count = 0;
    while (std::optional<Row> row = co_await rows.Next()) ++count;
    EXPECT_EQ(count, 1);
    EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kReadTimeout);
  });
}

}  // namespace
}  // namespace cql::testing
