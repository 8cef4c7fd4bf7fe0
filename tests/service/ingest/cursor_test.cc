#include "service/ingest/cursor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace ingest {
namespace {

class CursorTest : public testing::Test {
 protected:
  CursorTest() {
    char path[] = "/tmp/cursor_test.XXXXXX";
    folder_ = mkdtemp(path);
    path_ = folder_ + "/cursor";
  }
  ~CursorTest() override { std::filesystem::remove_all(folder_); }
  void Put(std::string_view text) { std::ofstream(path_) << text; }

  std::string folder_;
  std::string path_;
};

TEST_F(CursorTest, ReadsWhatItWrote) {
  EXPECT_EQ(*ReadCursor(path_), std::nullopt);
  Cursor cursor{
      .bytes = 12345678901, .lines = 77, .time_us = 17, .fingerprint = "ab"};
  ASSERT_TRUE(WriteCursor(path_, cursor).ok());
  cursor.lines = 78;
  ASSERT_TRUE(WriteCursor(path_, cursor).ok());
  absl::StatusOr<std::optional<Cursor>> read = ReadCursor(path_);
  ASSERT_TRUE(read.ok() && read->has_value());
  EXPECT_EQ((*read)->bytes, 12345678901u);
  EXPECT_EQ((*read)->lines, 78u);
  EXPECT_EQ((*read)->time_us, 17);
  EXPECT_EQ((*read)->fingerprint, "ab");
  // Nothing else is left in the folder.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

// Half a cursor must not pass for the start of the input.
TEST_F(CursorTest, NamesTheLineThatIsNoCursors) {
  Cursor cursor{.bytes = 5, .lines = 1, .time_us = 2, .fingerprint = "ab"};
  ASSERT_TRUE(WriteCursor(path_, cursor).ok());
  std::ifstream file(path_);
  std::string whole((std::istreambuf_iterator<char>(file)), {});
  for (size_t bytes = 0; bytes + 3 < whole.size(); ++bytes) {
    Put(whole.substr(0, bytes));
    EXPECT_FALSE(ReadCursor(path_).ok()) << bytes;
  }
  Put("ringplane cursor 1\nbytes=x\n");
  EXPECT_NE(ReadCursor(path_).status().message().find(":2: "),
            std::string::npos);
  Put(std::string(5000, 'x'));
  EXPECT_FALSE(ReadCursor(path_).ok());
}

TEST_F(CursorTest, SaysWhereItCannotWrite) {
  absl::Status status = WriteCursor(folder_ + "/none/cursor", {});
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_NE(status.message().find("/none/cursor"), std::string::npos);
}

TEST(CursorTrackerTest, StaysBeforeTheFirstThatIsNotDone) {
  CursorTracker tracker{Cursor()};
  uint64_t a = tracker.Begin({.bytes = 10, .lines = 1, .time_us = 5});
  uint64_t b = tracker.Begin({.bytes = 20, .lines = 2, .time_us = 9});
  uint64_t c = tracker.Begin({.bytes = 30, .lines = 3, .time_us = 7});
  tracker.Done(b);
  EXPECT_EQ(tracker.cursor().bytes, 0u);
  tracker.Done(a);
  EXPECT_EQ(tracker.cursor().bytes, 20u);
  EXPECT_EQ(tracker.pending(), 1u);
  uint64_t d = tracker.Begin({.bytes = 40, .lines = 4, .time_us = 6});
  tracker.Done(d);
  tracker.Done(c);
  EXPECT_EQ(tracker.cursor().bytes, 40u);
  // Of the newest event, in whatever order they stood.
  EXPECT_EQ(tracker.cursor().time_us, 9);
}

}  // namespace
}  // namespace ingest
