// Which backend a loop gets, and why: asked for, or what the machine allows.
#include "ioloop/backend_choice.h"

#include <errno.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "ioloop/kernel.h"
#include "ioloop/timer.h"
#include "tests/ioloop/loop_test_util.h"
#include "tests/ioloop/refusals.h"

namespace ioloop {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class BackendChoiceTest : public ::testing::Test {
 protected:
  BackendChoiceTest() { unsetenv("RINGPLANE_IO_BACKEND"); }
  ~BackendChoiceTest() override { unsetenv("RINGPLANE_IO_BACKEND"); }
};

TEST_F(BackendChoiceTest, NamesAreParsedAndPrinted) {
  for (const char* name : {"auto", "uring", "epoll"}) {
    absl::StatusOr<BackendKind> kind = ParseBackendKind(name);
    ASSERT_TRUE(kind.ok());
    EXPECT_EQ(BackendKindName(*kind), name);
  }
  for (const char* name : {"", "io_uring", "EPOLL", "auto "}) {
    EXPECT_EQ(ParseBackendKind(name).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

Loop::Options With(BackendKind kind) {
  Loop::Options options = SmallLoop();
  options.backend = kind;
  return options;
}

TEST_F(BackendChoiceTest, TheEnvironmentGoesOverAutoAlone) {
  EXPECT_EQ(*ResolveBackendKind(BackendKind::kAuto), BackendKind::kAuto);
  setenv("RINGPLANE_IO_BACKEND", "epoll", 1);
  EXPECT_EQ(*ResolveBackendKind(BackendKind::kAuto), BackendKind::kEpoll);
  EXPECT_EQ(*ResolveBackendKind(BackendKind::kUring), BackendKind::kUring);
  {
    std::unique_ptr<Loop> loop = MakeLoop(With(BackendKind::kAuto));
    EXPECT_EQ(loop->backend_name(), "epoll");
    EXPECT_EQ(loop->backend_reason(), "asked for by RINGPLANE_IO_BACKEND");
  }
  setenv("RINGPLANE_IO_BACKEND", "", 1);
  EXPECT_EQ(*ResolveBackendKind(BackendKind::kAuto), BackendKind::kAuto);
  setenv("RINGPLANE_IO_BACKEND", "kqueue", 1);
  const absl::Status status = Loop::Create(With(BackendKind::kAuto)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "environment variable RINGPLANE_IO_BACKEND=kqueue: not auto, "
            "uring or epoll");
  EXPECT_TRUE(Loop::Create(With(BackendKind::kEpoll)).ok());
}

TEST_F(BackendChoiceTest, AutoIsIoUringWhereItWorks) {
  if (!ProbeKernel().ok()) GTEST_SKIP() << ProbeKernel();
  std::unique_ptr<Loop> loop = MakeLoop(With(BackendKind::kAuto));
  EXPECT_EQ(loop->backend_name(), "uring");
  EXPECT_EQ(loop->backend_reason(), "io_uring works here");
  loop = MakeLoop(With(BackendKind::kUring));
  EXPECT_EQ(loop->backend_reason(), "asked for by option");
}

// A loop at work: timers, posts, streams. What it runs on, and why.
std::string UseLoop() {
  absl::StatusOr<std::unique_ptr<Loop>> made = Loop::Create(SmallLoop());
  if (!made.ok()) return made.status().ToString();
  Loop* loop = made->get();
  SocketPair pair;
  Stream stream = Stream::Adopt(loop, pair.TakeNear());
  std::string got;
  absl::Status status;
  TaskGroup group;
  group.Spawn(ReceiveAll(&stream, &got, &status));
  bool posted = false;
  loop->Post([&posted] { posted = true; });
  stream.Queue("sent");
  // Not a whole number of milliseconds: ends neither early nor in a spin.
  const absl::Time deadline = loop->now() + absl::Microseconds(2500);
  loop->RunUntilDone([](Loop* l, absl::Time until) -> Task<void> {
    co_await SleepUntil(l, until);
  }(loop, deadline));
  if (loop->now() < deadline) return "early";
  if (loop->stats().turns > 100) return "spins";
  if (!posted || pair.ReadFar() != "sent") return "lost";
  pair.WriteFar("received");
  pair.CloseFar();
  while (group.running() > 0) {
    if (!loop->RunOnce(absl::InfiniteDuration()).ok()) return "broken";
  }
  if (got != "received") return "lost";
  return std::string(loop->backend_name()) + ": " + loop->backend_reason();
}

// Under each refusal `auto` works on epoll and says why and what to do; asked
// for, io_uring is an error that says the same.
struct Refusal {
  bool (*refuse)();
  absl::StatusCode code;
  const char* cause;
  const char* cure;
};

class RefusedTest : public BackendChoiceTest,
                    public ::testing::WithParamInterface<Refusal> {};

TEST_P(RefusedTest, AutoFallsBackAndUringIsAnError) {
  const Refusal& refusal = GetParam();
  const std::string text = InChild([&] {
    if (!refusal.refuse()) return std::string("cannot be refused here");
    const absl::Status asked = Loop::Create(With(BackendKind::kUring)).status();
    return absl::StrCat(static_cast<int>(asked.code()), "\n", asked.message(),
                        "\n", UseLoop());
  });
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  ASSERT_EQ(lines.size(), 3u) << text;
  EXPECT_EQ(lines[0], absl::StrCat(static_cast<int>(refusal.code)));
  EXPECT_THAT(lines[1],
              AllOf(HasSubstr(refusal.cause), HasSubstr(refusal.cure)));
  // The reason is that very line.
  EXPECT_EQ(lines[2], "epoll: " + lines[1]);
}

INSTANTIATE_TEST_SUITE_P(
    , RefusedTest,
    ::testing::Values(
        Refusal{[] { return DenyCall(__NR_io_uring_setup, EPERM); },
                absl::StatusCode::kUnavailable, "seccomp filter denies",
                "packaging/seccomp-ringplane.json"},
        Refusal{[] { return DenyCall(__NR_io_uring_setup, ENOSYS); },
                absl::StatusCode::kUnavailable, "seccomp filter hides",
                "packaging/seccomp-ringplane.json"},
        // A profile that lets rings be made but not used.
        Refusal{[] { return DenyCall(__NR_io_uring_register, EPERM); },
                absl::StatusCode::kUnavailable, "seccomp filter denies",
                "io_uring_register"},
        Refusal{[] { return DenyCall(__NR_io_uring_enter, EPERM); },
                absl::StatusCode::kUnavailable, "seccomp filter denies",
                "io_uring_enter"},
        Refusal{[] { return TakeLockedMemory(); },
                absl::StatusCode::kResourceExhausted,
                "limit on locked memory is 0 bytes", "ulimit -l"}));

// The fallback needs descriptors as well: then the error names both.
TEST_F(BackendChoiceTest, WithoutDescriptorsBothSayWhy) {
  const std::string text = InChild([] {
    // UBSan needs a descriptor when it sees an object first.
    static_cast<void>(UseLoop());
    static_cast<void>(internal::ReadKernelState());
    if (!TakeDescriptors()) return std::string("cannot be refused here");
    return Loop::Create(SmallLoop()).status().ToString();
  });
  EXPECT_THAT(text, AllOf(StartsWith("RESOURCE_EXHAUSTED"),
                          HasSubstr("no descriptor left for io_uring"),
                          HasSubstr("ulimit -n"), HasSubstr("epoll")));
}

// Filters that are older than epoll_pwait2 refuse it.
TEST_F(BackendChoiceTest, EpollDoesWithoutNanoseconds) {
  setenv("RINGPLANE_IO_BACKEND", "epoll", 1);
  for (int error : {ENOSYS, EPERM}) {
    EXPECT_EQ(InChild([error] {
                if (!DenyCall(__NR_epoll_pwait2, error)) {
                  return std::string("cannot be refused here");
                }
                return UseLoop();
              }),
              "epoll: asked for by RINGPLANE_IO_BACKEND");
  }
}

// However many loops: one line for the choice.
TEST_F(BackendChoiceTest, AProcessLogsItsChoiceOnce) {
  const std::string text = InChild([] {
    if (!DenyCall(__NR_io_uring_setup, EPERM)) {
      return std::string("cannot be refused here");
    }
    ::testing::internal::CaptureStderr();
    for (int i = 0; i < 3; ++i) MakeLoop(SmallLoop());
    return ::testing::internal::GetCapturedStderr();
  });
  EXPECT_THAT(text, AllOf(HasSubstr(" WARN  "), HasSubstr("backend=epoll"),
                          HasSubstr("seccomp filter denies"),
                          HasSubstr("seccomp-ringplane.json")));
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
}

TEST(KernelFeaturesTest, EveryRungSaysWhatIsLostWithoutIt) {
  const KernelFeatures features = ProbeKernelFeatures();
  std::string before = "0.0";
  for (const KernelFeature* feature : features.All()) {
    EXPECT_THAT(feature->name, Not(IsEmpty()));
    EXPECT_THAT(feature->without, Not(IsEmpty()));
    int major = 0;
    int minor = 0;
    ASSERT_EQ(
        sscanf(std::string(feature->since).c_str(), "%d.%d", &major, &minor),
        2);
    // Padded, so that they compare as text.
    char padded[16];
    snprintf(padded, sizeof(padded), "%03d.%03d", major, minor);
    EXPECT_LE(before, padded) << feature->name;
    before = padded;
  }
}

// What the kernel itself says in the answer to a set-up.
TEST(KernelFeaturesTest, AgreeWithTheKernelsOwnBits) {
  uint32_t params[30] = {};
  const long ring = syscall(__NR_io_uring_setup, 4, params);
  if (ring < 0) GTEST_SKIP() << "io_uring is refused";
  close(static_cast<int>(ring));
  const uint32_t bits = params[5];
  const KernelFeatures features = ProbeKernelFeatures();
  EXPECT_TRUE(features.io_uring.present);
  EXPECT_EQ(features.receive_bundles.present, (bits & 1u << 14) != 0);
  EXPECT_EQ(features.min_wait.present, (bits & 1u << 15) != 0);
  EXPECT_EQ(features.no_iowait.present, (bits & 1u << 17) != 0);
  // Came with the same release as the minimum wait.
  EXPECT_EQ(features.incremental_buffers.present, features.min_wait.present);
  EXPECT_TRUE(!features.receive_bundles.present ||
              features.no_sq_array.present);
}

TEST(KernelFeaturesTest, AllAreMissingWhereIoUringIsRefused) {
  EXPECT_EQ(InChild([] {
              if (!DenyCall(__NR_io_uring_setup, EPERM)) {
                return std::string("cannot be refused here");
              }
              std::string present;
              const KernelFeatures features = ProbeKernelFeatures();
              for (const KernelFeature* feature : features.All()) {
                if (feature->present) present += feature->name;
              }
              return present;
            }),
            "");
}

}  // namespace
}  // namespace ioloop
