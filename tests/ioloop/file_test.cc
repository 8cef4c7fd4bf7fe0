#include "ioloop/file.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ioloop/stop.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

class FileTest : public LoopTest {
 protected:
  FileTest() {
    char name[] = "/tmp/file_test_XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    folder_ = name;
  }
  ~FileTest() override {
    EXPECT_EQ(system(absl::StrCat("rm -rf ", folder_).c_str()), 0);
  }
  std::string At(const char* name) { return absl::StrCat(folder_, "/", name); }
  File MustOpen(const std::string& path, File::Mode mode) {
    absl::StatusOr<File> file = File::Open(loop_.get(), path, mode);
    EXPECT_TRUE(file.ok()) << file.status();
    if (!file.ok()) abort();
    return *std::move(file);
  }
  absl::StatusOr<std::string> Read(const std::string& path,
                                   size_t most = 1 << 30) {
    return loop_->RunUntilDone(ReadFile(loop_.get(), path, most));
  }
  absl::Status Replace(const std::string& path, const std::string& bytes) {
    return loop_->RunUntilDone(ReplaceFile(loop_.get(), path, bytes));
  }
  std::string folder_;
};

TEST_F(FileTest, WritesAndReadsBack) {
  const std::string sent = Pattern(3000000);
  {
    File file = MustOpen(At("f"), File::Mode::kCreate);
    ASSERT_TRUE(loop_->RunUntilDone(file.WriteAt(0, sent)).ok());
    ASSERT_TRUE(loop_->RunUntilDone(file.Sync()).ok());
    ASSERT_TRUE(loop_->RunUntilDone(file.Sync(/*data_only=*/true)).ok());
    EXPECT_EQ(*file.size(), sent.size());
  }
  const absl::StatusOr<std::string> got = Read(At("f"));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == sent);
}

Task<void> WritePiece(File* file, std::string_view all, size_t offset,
                      size_t length) {
  const absl::Status status =
      co_await file->WriteAt(offset, all.substr(offset, length));
  EXPECT_TRUE(status.ok()) << status;
}

Task<void> ReadPiece(const File* file, std::string_view all, size_t offset,
                     size_t length) {
  const std::string_view expected = all.substr(offset, length);
  std::string got(length, '\0');
  size_t bytes = 0;
  for (size_t more = 1; more > 0 && bytes < length;) {
    auto read = file->ReadAt(offset + bytes, std::span(got).subspan(bytes));
    absl::StatusOr<size_t> count = co_await read;
    EXPECT_TRUE(count.ok()) << count.status();
    more = count.value_or(0);
    bytes += more;
    // Fewer than asked for is the end, unless the kernel was interrupted.
    if (KernelIsGood()) break;
  }
  got.resize(bytes);
  EXPECT_TRUE(got == expected);
}

// Many operations on one file at once, each at its own place.
TEST_F(FileTest, OperationsRunSideBySide) {
  constexpr size_t kPiece = 1013;
  const std::string all = Pattern(500000);
  File file = MustOpen(At("f"), File::Mode::kReadWrite);
  TaskGroup group;
  for (size_t at = 0; at < all.size(); at += kPiece) {
    group.Spawn(WritePiece(&file, all, at, kPiece));
  }
  RunUntilIdle(&group);
  for (size_t at = 0; at < all.size(); at += kPiece) {
    group.Spawn(ReadPiece(&file, all, at, kPiece));
  }
  RunUntilIdle(&group);
  group.Spawn(ReadPiece(&file, all, all.size(), 100));  // The end.
  RunUntilIdle(&group);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(FileTest, ModesDecideWhatMayBeThere) {
  using Mode = File::Mode;
  EXPECT_EQ(File::Open(loop_.get(), At("f"), Mode::kRead).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(Replace(At("f"), "kept").ok());
  const absl::Status there =
      File::Open(loop_.get(), At("f"), Mode::kCreate).status();
  EXPECT_EQ(there.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(there.message().find(At("f").c_str()), absl::string_view::npos);
  EXPECT_EQ(*MustOpen(At("f"), Mode::kReadWrite).size(), 4u);
  EXPECT_EQ(*MustOpen(At("f"), Mode::kTruncate).size(), 0u);
  File read_only = MustOpen(At("f"), Mode::kRead);
  EXPECT_FALSE(loop_->RunUntilDone(read_only.WriteAt(0, "x")).ok());
}

TEST_F(FileTest, ReplacingIsAllOrNothing) {
  ASSERT_TRUE(Replace(At("f"), "old").ok());
  ASSERT_TRUE(Replace(At("f"), "new and longer").ok());
  EXPECT_EQ(*Read(At("f")), "new and longer");
  struct stat info;
  EXPECT_NE(stat(At("f.new").c_str(), &info), 0);
  // A folder stands in the way: nothing is left behind.
  ASSERT_EQ(mkdir(At("g").c_str(), 0755), 0);
  EXPECT_FALSE(Replace(At("g"), "x").ok());
  EXPECT_NE(stat(At("g.new").c_str(), &info), 0);
  EXPECT_EQ(Replace(At("nowhere/f"), "x").code(), absl::StatusCode::kNotFound);
}

// A disk that is full half-way: said as such, and the old file stays.
TEST_F(FileTest, NoRoomIsSaidAsSuch) {
  ASSERT_TRUE(Replace(At("f"), "old").ok());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {100000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = Replace(At("f"), Pattern(300000));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(*Read(At("f")), "old");
}

TEST_F(FileTest, ReadingIsBounded) {
  ASSERT_TRUE(Replace(At("f"), Pattern(100000)).ok());
  EXPECT_EQ(Read(At("f"), 100000)->size(), 100000u);
  EXPECT_EQ(Read(At("f"), 99999).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(Replace(At("empty"), "").ok());
  EXPECT_EQ(*Read(At("empty"), 0), "");
  // A file whose size is said to be 0.
  EXPECT_FALSE(Read("/proc/self/status")->empty());
}

Task<void> ReadStopped(const File* file, StopToken stop, absl::Status* status) {
  char bytes[10];
  absl::StatusOr<size_t> got = co_await WithStop(file->ReadAt(0, bytes), stop);
  *status = got.status();
}

TEST_F(FileTest, AStopFromBeforeStartsNothing) {
  ASSERT_TRUE(Replace(At("f"), "x").ok());
  File file = MustOpen(At("f"), File::Mode::kRead);
  StopSource source;
  source.RequestStop();
  absl::Status status;
  loop_->RunUntilDone(ReadStopped(&file, source.token(), &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ioloop
