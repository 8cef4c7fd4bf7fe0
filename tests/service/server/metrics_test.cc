// The registry and Prometheus's text format.
#include "service/server/metrics.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace server {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, WritesFamiliesInOrderWithHelpAndType) {
  Registry registry;
  Counter* counter = registry.AddCounter("b_total", "Bees.\nAnd \\ more.",
                                         {{"kind", "a\"b\\c\nd"}});
  Gauge* gauge = registry.AddGauge("a", "Apples.");
  counter->Add(3);
  gauge->Set(-2);
  EXPECT_EQ(registry.Text(),
            "# HELP a Apples.\n# TYPE a gauge\na -2\n"
            "# HELP b_total Bees.\\nAnd \\\\ more.\n# TYPE b_total counter\n"
            "b_total{kind=\"a\\\"b\\\\c\\nd\"} 3\n");
}

TEST(MetricsTest, LoopsOfOneProcessAreAddedUp) {
  Registry registry;
  for (int loop = 1; loop <= 3; ++loop) {
    registry.AddCounter("n_total", "N.", {{"x", "1"}})->Add(loop);
    registry.AddHistogram("h", "H.")->ObserveNanos(loop * 1'000'000);
  }
  std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("n_total{x=\"1\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("h_bucket{le=\"0.0005\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("h_bucket{le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("h_bucket{le=\"0.0025\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("h_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("h_sum 0.006\nh_count 3\n"));
}

TEST(MetricsTest, ACollectorEndsWithItsRegistration) {
  Registry registry;
  {
    Registry::Registration registration = registry.AddCollector(
        [](MetricsWriter& writer) { writer.Gauge("g", "G.", {}, 1.5); });
    EXPECT_THAT(registry.Text(), HasSubstr("g 1.5\n"));
    Registry::Registration moved = std::move(registration);
    EXPECT_THAT(registry.Text(), HasSubstr("g 1.5\n"));
  }
  EXPECT_EQ(registry.Text(), "");
}

TEST(MetricsTest, AScrapeRunsBesideTheLoopThatCounts) {
  Registry registry;
  Counter* counter = registry.AddCounter("c_total", "C.");
  LatencyHistogram* histogram = registry.AddHistogram("l_seconds", "L.");
  std::thread loop([&] {
    for (int i = 0; i < 100'000; ++i) {
      counter->Add();
      histogram->ObserveNanos(i);
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(registry.Text().empty());
  loop.join();
  EXPECT_THAT(registry.Text(), HasSubstr("c_total 100000\n"));
}

}  // namespace
}  // namespace server
