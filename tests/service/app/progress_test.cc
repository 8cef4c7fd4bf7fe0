#include "service/app/progress.h"

#include "gtest/gtest.h"

namespace app {
namespace {

TEST(ProgressTest, ShowsHowFarItIs) {
  ingest::IngestProgress progress;
  progress.applied = 1500;
  progress.bytes = 500;
  progress.input_bytes = 1000;
  EXPECT_EQ(FormatBar(progress, 250.7),
            "[###############...............]  50%  1500 events  250/s");
  EXPECT_EQ(FormatProgressLine(progress, 250.7), "1500 events, 250/s, 50%");
  progress.malformed = 2;
  progress.rejected = 1;
  // A file that grows while it is read.
  progress.bytes = 2000;
  EXPECT_EQ(FormatBar(progress, 0),
            "[##############################] 100%  1500 events  0/s  bad 3");
  // A pipe has no end to measure.
  progress.input_bytes = 0;
  EXPECT_EQ(FormatBar(progress, 9), "1500 events  9/s  bad 3");
}

TEST(ProgressTest, SumsUpWhatWasNotIngested) {
  ingest::IngestProgress progress;
  progress.lines = 10;
  progress.applied = 6;
  progress.skipped = 2;
  progress.malformed = 1;
  progress.rejected = 1;
  progress.elapsed = absl::Milliseconds(2000);
  EXPECT_EQ(FormatSummary(progress),
            "10 lines: 6 applied, 2 skipped (not served), 1 malformed, 1 "
            "rejected, in 2s (3/s)");
}

}  // namespace
}  // namespace app
