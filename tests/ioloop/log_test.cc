#include "ioloop/log.h"

#include <algorithm>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ioloop/check.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

template <typename Body>
std::string Logged(Body body) {
  ::testing::internal::CaptureStderr();
  body();
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogTest, ALineHasTimeLevelMessageAndFields) {
  const std::string line = Logged([] {
    RINGPLANE_LOG(kInfo, "loop started", {"backend", "uring"}, {"cpu", 3},
                  {"text", std::string("two words")}, {"empty", ""});
  });
  EXPECT_THAT(line, MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\."
                                 "[0-9]{6}Z INFO  loop started backend=uring "
                                 "cpu=3 text=\"two words\" empty=\"\"\n"));
}

// What a peer sent cannot forge a second line.
TEST(LogTest, ControlCharactersAreEscaped) {
  const std::string line = Logged([] {
    RINGPLANE_LOG(kWarning, "bad\nrequest", {"path", "/a\n\x01\"b\\"});
  });
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_THAT(line, HasSubstr("WARN  bad\\nrequest"));
  EXPECT_THAT(line, HasSubstr("path=\"/a\\n\\x01\\\"b\\\\\""));
}

TEST(LogTest, LinesBelowTheLevelCostNothing) {
  int evaluated = 0;
  const std::string text = Logged([&evaluated] {
    RINGPLANE_LOG(kDebug, "hidden", {"n", ++evaluated});
    SetLogLevel(LogLevel::kDebug);
    RINGPLANE_LOG(kDebug, "shown");
    SetLogLevel(LogLevel::kInfo);
  });
  EXPECT_EQ(evaluated, 0);
  EXPECT_THAT(text, Not(HasSubstr("hidden")));
  EXPECT_THAT(text, HasSubstr("DEBUG shown"));
}

TEST(LogTest, ASiteIsLimitedAndSaysHowMuchWasLeftOut) {
  const uint64_t before = LogLinesSuppressed();
  const std::string text = Logged([] {
    for (int i = 0; i < 1000; ++i) {
      RINGPLANE_LOG(kError, "again", {"i", i});
    }
  });
  const auto lines = std::count(text.begin(), text.end(), '\n');
  EXPECT_GE(lines, 10);
  EXPECT_LT(lines, 100);
  EXPECT_EQ(LogLinesSuppressed() - before, 1000u - static_cast<size_t>(lines));
}

TEST(LogTest, LevelsHaveNames) {
  LogLevel level = LogLevel::kInfo;
  EXPECT_TRUE(ParseLogLevel("debug", &level));
  EXPECT_EQ(level, LogLevel::kDebug);
  EXPECT_TRUE(ParseLogLevel("error", &level));
  EXPECT_FALSE(ParseLogLevel("loud", &level));
  EXPECT_EQ(level, LogLevel::kError);
}

TEST(CheckDeathTest, SaysWhatWhereAndWhy) {
  const int one = 1;
  EXPECT_DEATH(RINGPLANE_CHECK(one == 2, "arithmetic"),
               "CHECK failed: one == 2 .*log_test.cc:[0-9]+. arithmetic");
  RINGPLANE_CHECK(one == 1);
}

}  // namespace
}  // namespace ioloop
