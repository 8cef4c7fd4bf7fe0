#include "service/app/process_metrics.h"

#include <new>
#include <string>

#include "gmock/gmock.h"
#include "ioloop/stats.h"

namespace app {
namespace {

using ::testing::HasSubstr;

std::string Text(const ioloop::LoopStats& stats) {
  server::MetricsWriter writer;
  CollectLoopStats(3, stats, writer);
  return writer.Text();
}

// Whatever a loop counts shows, also what is added to LoopStats one day: it is
// counters all over, and each of them changes the text.
TEST(ProcessMetricsTest, EveryNumberOfALoopIsExported) {
  static_assert(sizeof(ioloop::StatCounter) == sizeof(uint64_t));
  static_assert(sizeof(ioloop::LoopStats) % sizeof(ioloop::StatCounter) == 0);
  constexpr size_t kCounters =
      sizeof(ioloop::LoopStats) / sizeof(ioloop::StatCounter);
  ioloop::LoopStats stats;
  auto* counters = std::launder(reinterpret_cast<ioloop::StatCounter*>(&stats));
  const std::string nothing = Text(stats);
  for (size_t i = 0; i < kCounters; ++i) {
    counters[i].Set(12345678);
    EXPECT_NE(Text(stats), nothing) << "counter " << i;
    counters[i].Set(0);
  }
  EXPECT_EQ(Text(stats), nothing);
}

TEST(ProcessMetricsTest, NamesKindsAndLoops) {
  ioloop::LoopStats stats;
  stats.Of(ioloop::HandlerOf(ioloop::OpKind::kReceive)).count.Set(7);
  stats.Of(ioloop::HandlerKind::kTurnEnd).ns.Set(1500000000);
  stats.in_flight[static_cast<size_t>(ioloop::OpKind::kAccept)].Set(2);
  stats.stalls.Set(4);
  stats.CountBusy(3000);  // 3 us.
  const std::string text = Text(stats);
  for (const char* line :
       {"ringplane_loop_handlers_total{loop=\"3\",kind=\"receive\"} 7\n",
        "ringplane_loop_handler_seconds_total{loop=\"3\",kind=\"turn_end\"} "
        "1.5\n",
        "ringplane_loop_operations_in_flight{loop=\"3\",kind=\"accept\"} 2\n",
        "ringplane_loop_stalls_total{loop=\"3\"} 4\n",
        "ringplane_loop_turn_seconds_count{loop=\"3\"} 1\n",
        "# TYPE ringplane_loop_turn_seconds histogram\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace app
