#include "service/app/query_page.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

cql::QueryInFlight InFlight(std::string statement, int64_t age_ms) {
  cql::QueryInFlight query;
  query.statement = std::move(statement);
  query.node = "10.0.0.3:9042";
  query.shard = 7;
  query.state = cql::QueryInFlight::State::kSent;
  query.age = absl::Milliseconds(age_ms);
  query.left = absl::Milliseconds(250);
  return query;
}

TEST(QueryPageTest, ShowsTheOldestInFlightFirst) {
  QueryPage page;
  page.Set(0, absl::UnixEpoch(), {InFlight("SELECT young", 5)}, {});
  page.Set(1, absl::UnixEpoch(), {InFlight("SELECT old", 900)}, {});
  const std::string text = page.Text();
  EXPECT_THAT(text, HasSubstr("   1      900.0      250.0 sent     "
                              "10.0.0.3:9042/7          SELECT old\n"));
  EXPECT_LT(text.find("SELECT old"), text.find("SELECT young"));
}

TEST(QueryPageTest, ShowsTheLatestSlowFirst) {
  const absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  cql::SlowQuery early;
  early.statement = "SELECT early";
  early.ended = now - absl::Seconds(90);
  early.duration = absl::Seconds(2);
  early.outcome = absl::StatusCode::kDeadlineExceeded;
  cql::SlowQuery late = early;
  late.statement = "SELECT late";
  late.node = "10.0.0.3:9042";
  late.ended = now - absl::Seconds(1);
  late.sent = 2;
  QueryPage page;
  page.Set(0, now, {}, {early, late});
  const std::string text = page.Text();
  EXPECT_THAT(text, HasSubstr("   0       90.0     2000.0 DEADLINE_EXCEEDED    "
                              "   0 -                        SELECT early\n"));
  EXPECT_LT(text.find("SELECT late"), text.find("SELECT early"));
}

TEST(QueryPageTest, ForgetsWhatALoopNoLongerHas) {
  QueryPage page;
  page.Set(0, absl::UnixEpoch(), {InFlight("SELECT gone", 5)}, {});
  page.Set(0, absl::UnixEpoch(), {}, {});
  EXPECT_THAT(page.Text(), Not(HasSubstr("gone")));
}

}  // namespace
}  // namespace app
