#include "service/app/admin.h"

#include <string>

#include "gtest/gtest.h"
#include "service/app/process_metrics.h"

namespace app {
namespace {

http::Request Get(std::string target) {
  http::Request request;
  request.method = "GET";
  request.target = std::move(target);
  return request;
}

TEST(AdminAuthorizerTest, WithoutATokenEverybodyMay) {
  server::Authorizer authorize = MakeAdminAuthorizer("");
  EXPECT_TRUE(authorize(Get("/metrics")).ok());
}

TEST(AdminAuthorizerTest, WithATokenOnlyThoseWhoHaveIt) {
  server::Authorizer authorize = MakeAdminAuthorizer("secret");
  EXPECT_TRUE(authorize(Get("/healthz")).ok());
  EXPECT_TRUE(authorize(Get("/readyz?x")).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(authorize(Get("/metrics"))));
  for (const char* bad : {"secret", "Bearer ", "Bearer secre", "Bearer secret ",
                          "Bearer secrets", "bearer secret", "Basic secret"}) {
    http::Request request = Get("/ringplane.Admin/PutLabels");
    request.headers.Add("authorization", bad);
    EXPECT_TRUE(absl::IsUnauthenticated(authorize(request))) << bad;
  }
  http::Request request = Get("/metrics");
  request.headers.Add("authorization", "Bearer secret");
  EXPECT_TRUE(authorize(request).ok());
}

// A page in the operator's browser can reach loopback too.
TEST(AdminAuthorizerTest, RefusesWebPages) {
  http::Request request = Get("/healthz");
  request.headers.Add("origin", "https://evil.example");
  EXPECT_TRUE(absl::IsPermissionDenied(MakeAdminAuthorizer("")(request)));
}

class AdminHandlerTest : public testing::Test {
 protected:
  http::Response Ask(http::Request request) {
    http::Response response;
    handler_(request, &response);
    return response;
  }
  server::Registry registry_;
  QueryPage queries_;
  std::string not_ready_;
  server::HttpHandler handler_ =
      MakeAdminHandler(&registry_, &queries_, [this] { return not_ready_; });
};

TEST_F(AdminHandlerTest, SaysWhetherItIsReady) {
  EXPECT_EQ(Ask(Get("/readyz")).status, 200);
  not_ready_ = "draining";
  http::Response response = Ask(Get("/readyz"));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "not ready: draining\n");
  EXPECT_EQ(Ask(Get("/healthz")).status, 200);
}

TEST_F(AdminHandlerTest, ShowsTheQueries) {
  cql::QueryInFlight query;
  query.statement = "SELECT name FROM actors";
  queries_.Set(0, absl::UnixEpoch(), {query}, {});
  const http::Response response = Ask(Get("/queries"));
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find("SELECT name FROM actors"), std::string::npos);
}

TEST_F(AdminHandlerTest, ShowsTheMetrics) {
  server::Registry::Registration registration =
      registry_.AddCollector([](server::MetricsWriter& writer) {
        CollectProcess(writer);
        LoopSnapshot::Values values;
        values.cql.latency[0].Record(5'000'000);
        values.cql.shards.resize(2);
        values.cql.shards[0].node = values.cql.shards[1].node = "10.0.0.1:9042";
        values.cql.shards[0].timeouts = values.cql.shards[1].timeouts = 3;
        CollectSnapshot(values, writer);
        ioloop::LoopStats stats;
        stats.CountTurn(5);
        CollectLoopStats(0, stats, writer);
      });
  http::Response response = Ask(Get("/metrics"));
  EXPECT_EQ(response.status, 200);
  for (const char* line :
       {"process_resident_memory_bytes ", "ringplane_cql_requests_total 0",
        "ringplane_cql_latency_seconds_count{access=\"read\"} 1",
        "ringplane_cql_node_timeouts_total{node=\"10.0.0.1:9042\"} 6",
        "ringplane_loop_turns_total{loop=\"0\"} 1",
        "ringplane_loop_completions_total{loop=\"0\"} 5",
        "ringplane_loop_completions_per_turn_bucket{loop=\"0\",le=\"3\"} 0",
        "ringplane_loop_completions_per_turn_bucket{loop=\"0\",le=\"7\"} 1",
        "ringplane_build_info{version="}) {
    EXPECT_NE(response.body.find(line), std::string::npos) << line;
  }
}

TEST_F(AdminHandlerTest, RefusesTheRest) {
  EXPECT_EQ(Ask(Get("/")).status, 404);
  http::Request post = Get("/metrics");
  post.method = "POST";
  EXPECT_EQ(Ask(post).status, 405);
}

}  // namespace
}  // namespace app
