// What survives: processes that are killed, folders that are taken or not ours,
// disks that are full.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>

#include "tests/cql/node/engine_fixture.h"

namespace cql::node {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<Engine>> OpenAt(const std::string& folder,
                                               SyncMode sync) {
  EngineOptions options;
  options.data_dir = folder;
  options.sync = sync;
  return Engine::Open(options);
}

absl::Status Cql(Engine* engine, std::string_view text, Result* result) {
  auto statement = engine->PrepareOnce(text, "ks");
  if (!statement.ok()) return statement.status();
  return engine->Execute(**statement, {}, {}, result);
}

constexpr std::string_view kKeyspace =
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy'}";
constexpr std::string_view kTable =
    "CREATE TABLE t (k int PRIMARY KEY, v text, n blob)";

std::string Insert(int key, size_t size = 10) {
  return "INSERT INTO t (k, v) VALUES (" + std::to_string(key) + ", '" +
         std::string(size, 'x') + "')";
}

int64_t Count(Engine* engine) {
  Result result;
  const absl::Status status = Cql(engine, "SELECT count(*) FROM t", &result);
  EXPECT_TRUE(status.ok()) << status;
  return status.ok() ? LoadBig<int64_t>(result.rows.data() + 4) : -1;
}

// What a process is told that runs one of this program's parts by itself: after
// a fork alone, RocksDB would wait for threads that are not there.
constexpr char kFolderVariable[] = "DURABILITY_FOLDER";
constexpr char kReportVariable[] = "DURABILITY_REPORT";
constexpr char kModeVariable[] = "DURABILITY_MODE";

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

// Runs the disabled test `part` in a process of its own.
pid_t RunPart(const std::string& part, const std::string& folder, int report,
              SyncMode mode, rlim_t file_size_max) {
  const std::string filter = "--gtest_filter=DISABLED_Part." + part;
  setenv(kFolderVariable, folder.c_str(), 1);
  setenv(kReportVariable, std::to_string(report).c_str(), 1);
  setenv(kModeVariable, mode == SyncMode::kDisk ? "disk" : "process", 1);
  const pid_t child = fork();
  if (child != 0) return child;
  if (file_size_max != RLIM_INFINITY) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit small = {file_size_max, file_size_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  execl("/proc/self/exe", "cql_node_durability_part", filter.c_str(),
        "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
  _exit(127);
}

// Writes rows, tells each that was made durable through `report`, and never
// comes back.
[[noreturn]] void WriteUntilKilled(const std::string& folder, SyncMode sync,
                                   int report) {
  auto engine = OpenAt(folder, sync);
  Result result;
  if (!engine.ok() || !Cql(engine->get(), kKeyspace, &result).ok() ||
      !Cql(engine->get(), kTable, &result).ok()) {
    _exit(1);
  }
  for (int32_t key = 0;; ++key) {
    if (!Cql(engine->get(), Insert(key), &result).ok()) _exit(2);
    if (key % 3 != 2) continue;  // Three writes become durable together.
    if (!(*engine)->Sync().ok()) _exit(3);
    if (write(report, &key, sizeof(key)) != sizeof(key)) _exit(4);
  }
}

TEST(DISABLED_Part, WriteUntilKilled) {
  if (Variable(kFolderVariable).empty()) GTEST_SKIP() << "a part of others";
  WriteUntilKilled(
      Variable(kFolderVariable),
      Variable(kModeVariable) == "disk" ? SyncMode::kDisk : SyncMode::kProcess,
      std::stoi(Variable(kReportVariable)));
}

class DurabilityTest : public ::testing::TestWithParam<SyncMode> {};

TEST_P(DurabilityTest, AcknowledgedWritesSurviveSigkill) {
  TemporaryFolder folder;
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t child = RunPart("WriteUntilKilled", folder.path(), pipe_fds[1],
                              GetParam(), RLIM_INFINITY);
  ASSERT_GE(child, 0);
  close(pipe_fds[1]);
  int32_t key = -1;
  int32_t acknowledged = -1;
  for (int i = 0; i < 100; ++i) {
    if (read(pipe_fds[0], &key, sizeof(key)) != sizeof(key)) break;
    acknowledged = key;
  }
  kill(child, SIGKILL);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  while (read(pipe_fds[0], &key, sizeof(key)) == sizeof(key)) {
    acknowledged = key;
  }
  close(pipe_fds[0]);
  ASSERT_GE(acknowledged, 200);

  auto engine = OpenAt(folder.path(), GetParam());
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_GE(Count(engine->get()), acknowledged + 1);
  Result result;
  EXPECT_TRUE(Cql(engine->get(), Insert(1), &result).ok());
  EXPECT_TRUE((*engine)->Sync().ok());
}

INSTANTIATE_TEST_SUITE_P(Modes, DurabilityTest,
                         ::testing::Values(SyncMode::kDisk,
                                           SyncMode::kProcess));

TEST(DurabilityFolderTest, SyncIsOnlyNeededAfterWrites) {
  TemporaryFolder folder;
  auto engine = OpenAt(folder.path(), SyncMode::kDisk);
  ASSERT_TRUE(engine.ok());
  Result result;
  ASSERT_TRUE(Cql(engine->get(), kKeyspace, &result).ok());
  ASSERT_TRUE(Cql(engine->get(), kTable, &result).ok());
  EXPECT_FALSE((*engine)->NeedsSync());
  ASSERT_TRUE(Cql(engine->get(), Insert(1), &result).ok());
  EXPECT_TRUE((*engine)->NeedsSync());
  EXPECT_EQ(Count(engine->get()), 1);
  ASSERT_TRUE((*engine)->Sync().ok());
  EXPECT_FALSE((*engine)->NeedsSync());
  // An orderly end keeps what was not made durable as well.
  ASSERT_TRUE(Cql(engine->get(), Insert(2), &result).ok());
  engine->reset();
  engine = OpenAt(folder.path(), SyncMode::kDisk);
  ASSERT_TRUE(engine.ok());
  EXPECT_EQ(Count(engine->get()), 2);
}

TEST(DurabilityFolderTest, AFolderInUseIsRefused) {
  TemporaryFolder folder;
  auto first = OpenAt(folder.path(), SyncMode::kDisk);
  ASSERT_TRUE(first.ok());
  auto second = OpenAt(folder.path(), SyncMode::kDisk);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("data folder " + folder.path() +
                        " is in use by another process"));
  const pid_t child = fork();
  if (child == 0) {
    _exit(OpenAt(folder.path(), SyncMode::kDisk).status().code() ==
                  absl::StatusCode::kFailedPrecondition
              ? 0
              : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  first->reset();
  EXPECT_TRUE(OpenAt(folder.path(), SyncMode::kDisk).ok());
}

TEST(DurabilityFolderTest, FoldersOfOthersAreLeftAlone) {
  TemporaryFolder folder;
  std::ofstream(folder.path() + "/thesis.txt") << "precious";
  auto engine = OpenAt(folder.path(), SyncMode::kDisk);
  ASSERT_EQ(engine.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(engine.status().message()),
              HasSubstr("holds something else (thesis.txt)"));

  TemporaryFolder other_version;
  std::ofstream(other_version.path() + "/ringplane.format")
      << "ringplane cql node 99\n";
  engine = OpenAt(other_version.path(), SyncMode::kDisk);
  ASSERT_EQ(engine.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(engine.status().message()),
              HasSubstr("was written by another version: ringplane.format says "
                        "\"ringplane cql node 99\""));

  engine = OpenAt(folder.path() + "/thesis.txt/data", SyncMode::kDisk);
  EXPECT_THAT(std::string(engine.status().message()),
              HasSubstr("cannot create data folder"));
  EXPECT_FALSE(OpenAt("", SyncMode::kDisk).ok());
}

TEST(DurabilityFolderTest, ACorruptedStoreIsSaid) {
  TemporaryFolder folder;
  {
    auto engine = OpenAt(folder.path(), SyncMode::kDisk);
    ASSERT_TRUE(engine.ok());
    Result result;
    ASSERT_TRUE(Cql(engine->get(), kKeyspace, &result).ok());
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(folder.path() + "/store")) {
    if (entry.path().filename().string().starts_with("MANIFEST")) {
      std::ofstream(entry.path(), std::ios::trunc) << "garbage";
    }
  }
  auto engine = OpenAt(folder.path(), SyncMode::kDisk);
  ASSERT_EQ(engine.status().code(), absl::StatusCode::kDataLoss)
      << engine.status();
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr(folder.path()));
}

// The one log of a store; what of it is not zeros at the end.
std::string LogOf(const std::string& folder) {
  std::string log;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder + "/store")) {
    if (entry.path().extension() != ".log") continue;
    EXPECT_TRUE(log.empty()) << log;
    log = entry.path().string();
  }
  return log;
}
size_t WrittenBytes(const std::string& log) {
  std::ifstream file(log, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(file), {});
  return content.find_last_not_of('\0') + 1;
}

// A log that is written grows ahead of itself. So it ends in zeros when the
// power goes, maybe in the middle of a write.
TEST(DurabilityLogTest, ALogThatEndsInZerosIsReadToItsEnd) {
  TemporaryFolder folder;
  auto engine = OpenAt(folder.path() + "/0", SyncMode::kDisk);
  ASSERT_TRUE(engine.ok()) << engine.status();
  Result result;
  ASSERT_TRUE(Cql(engine->get(), kKeyspace, &result).ok());
  ASSERT_TRUE(Cql(engine->get(), kTable, &result).ok());
  int rows = 0;
  for (int life = 0; life < 3; ++life) {
    // Past the first growth and the second.
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(Cql(engine->get(), Insert(rows++, 10'000), &result).ok());
      ASSERT_TRUE((*engine)->Sync().ok());
    }
    const std::string store = folder.path() + "/" + std::to_string(life);
    const std::string log = LogOf(store);
    const size_t written = WrittenBytes(log);
    EXPECT_GE(std::filesystem::file_size(log), written + 5000);

    // What is on the disk now, and the same with the last write half there.
    const std::string copy = folder.path() + "/" + std::to_string(life + 1);
    const std::string torn = copy + "torn";
    for (const std::string& to : {copy, torn}) {
      std::filesystem::copy(store, to,
                            std::filesystem::copy_options::recursive);
    }
    {
      std::fstream file(LogOf(torn), std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(written - 5000));
      file << std::string(5000, '\0');
    }
    auto half = OpenAt(torn, SyncMode::kDisk);
    ASSERT_TRUE(half.ok()) << half.status();
    EXPECT_EQ(Count(half->get()), rows - 1);

    engine->reset();
    // An orderly end leaves no more zeros than a record may end in.
    EXPECT_LE(std::filesystem::file_size(log), written + 16);
    engine = OpenAt(copy, SyncMode::kDisk);
    ASSERT_TRUE(engine.ok()) << engine.status();
    ASSERT_EQ(Count(engine->get()), rows);
  }
}

// In a process of its own, as a server would: writes until the engine refuses,
// checks how it behaves then, and gives the number of acknowledged rows.
void FillDisk(const std::string& folder, int report) {
  EngineOptions options;
  options.data_dir = folder;
  options.memtable_bytes = 1 << 20;
  auto engine = Engine::Open(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  Result result;
  ASSERT_TRUE(Cql(engine->get(), kKeyspace, &result).ok());
  ASSERT_TRUE(Cql(engine->get(), kTable, &result).ok());
  int64_t acknowledged = 0;
  absl::Status status;
  for (int key = 0; key < 100000; ++key) {
    status = Cql(engine->get(), Insert(key, 10000), &result);
    if (status.ok()) status = (*engine)->Sync();
    if (!status.ok()) break;
    ++acknowledged;
  }
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(GetError(status).message,
              HasSubstr("writes are refused until the node is restarted"));
  // It stays that way, says so, and still reads.
  EXPECT_FALSE((*engine)->write_status().ok());
  EXPECT_FALSE(Cql(engine->get(), Insert(0), &result).ok());
  EXPECT_FALSE(Cql(engine->get(), "DROP TABLE t", &result).ok());
  EXPECT_FALSE((*engine)->Sync().ok());
  EXPECT_GE(Count(engine->get()), acknowledged);
  engine->reset();
  ASSERT_EQ(write(report, &acknowledged, sizeof(acknowledged)),
            static_cast<ssize_t>(sizeof(acknowledged)));
}

TEST(DISABLED_Part, FillDisk) {
  if (Variable(kFolderVariable).empty()) GTEST_SKIP() << "a part of others";
  FillDisk(Variable(kFolderVariable), std::stoi(Variable(kReportVariable)));
}

void ExpectFullDiskLosesNothing(const std::string& folder, rlim_t file_size_max,
                                const std::function<void()>& make_room) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t child =
      RunPart("FillDisk", folder, pipe_fds[1], SyncMode::kDisk, file_size_max);
  ASSERT_GE(child, 0);
  close(pipe_fds[1]);
  int64_t acknowledged = 0;
  EXPECT_EQ(read(pipe_fds[0], &acknowledged, sizeof(acknowledged)),
            static_cast<ssize_t>(sizeof(acknowledged)));
  close(pipe_fds[0]);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_GT(acknowledged, 0);
  make_room();
  auto engine = OpenAt(folder, SyncMode::kDisk);
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_GE(Count(engine->get()), acknowledged);
  Result result;
  EXPECT_TRUE(Cql(engine->get(), Insert(1), &result).ok());
  EXPECT_TRUE((*engine)->Sync().ok());
}

TEST(DurabilityDiskTest, AFullDiskLosesNothingAcknowledged) {
  TemporaryFolder mount_point;
  if (mount("tmpfs", mount_point.path().c_str(), "tmpfs", 0, "size=8m") != 0) {
    GTEST_SKIP() << "mounting a small tmpfs needs root";
  }
  ExpectFullDiskLosesNothing(mount_point.path() + "/data", RLIM_INFINITY, [&] {
    ASSERT_EQ(mount("tmpfs", mount_point.path().c_str(), "tmpfs", MS_REMOUNT,
                    "size=256m"),
              0);
  });
  EXPECT_EQ(umount2(mount_point.path().c_str(), MNT_DETACH), 0);
}

// The same without root: no file may grow beyond a size.
TEST(DurabilityDiskTest, AFileThatCannotGrowLosesNothingAcknowledged) {
  TemporaryFolder folder;
  ExpectFullDiskLosesNothing(folder.path(), 300 * 1024, [] {});
}

}  // namespace
}  // namespace cql::node
