#include "ioloop/kernel.h"

#include <errno.h>

#include <string>

// Before anything that might include <linux/io_uring.h>.
#include <liburing.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/ioloop/refusals.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What a bare ring says.
TEST(KernelTest, ProbeAgreesWithTheKernel) {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  const long ring = syscall(__NR_io_uring_setup, 4, &params);
  if (ring >= 0) close(static_cast<int>(ring));
  absl::Status status = ProbeKernel();
  EXPECT_EQ(status.ok(), ring >= 0) << status;
}

TEST(KernelTest, KnowsWhichReleasesAreTooOld) {
  EXPECT_TRUE(internal::ReleaseIsTooOld("5.15.0-91-generic"));
  EXPECT_TRUE(internal::ReleaseIsTooOld("6.0.9"));
  EXPECT_FALSE(internal::ReleaseIsTooOld("6.1.0-18-amd64"));
  EXPECT_FALSE(internal::ReleaseIsTooOld("6.18"));
  EXPECT_FALSE(internal::ReleaseIsTooOld("10.0"));
  EXPECT_FALSE(internal::ReleaseIsTooOld("unknown"));
}

internal::KernelState Usual() {
  internal::KernelState state;
  state.release = "6.8.0";
  state.io_uring_disabled = 0;
  state.memlock_bytes = 65536;
  state.descriptors = 1024;
  return state;
}

TEST(DiagnoseTest, NamesTheSysctl) {
  internal::KernelState state = Usual();
  state.io_uring_disabled = 2;
  state.privileged = true;
  absl::Status status = internal::Diagnose(EPERM, state);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("kernel.io_uring_disabled is 2"));
  EXPECT_THAT(status.ToString(), HasSubstr("sysctl -w"));
  state.io_uring_disabled = 1;
  state.privileged = false;
  status = internal::Diagnose(EPERM, state);
  EXPECT_THAT(status.ToString(), HasSubstr("kernel.io_uring_disabled is 1"));
  EXPECT_THAT(status.ToString(), Not(HasSubstr("seccomp")));
}

TEST(DiagnoseTest, NamesSeccomp) {
  internal::KernelState state = Usual();
  state.seccomp = true;
  EXPECT_THAT(internal::Diagnose(EPERM, state).ToString(),
              HasSubstr("seccomp"));
  EXPECT_THAT(internal::Diagnose(ENOSYS, state).ToString(),
              HasSubstr("seccomp"));
  state.io_uring_disabled = 1;
  state.privileged = true;  // The sysctl does not bind us: the filter does.
  EXPECT_THAT(internal::Diagnose(EPERM, state).ToString(),
              HasSubstr("seccomp"));
}

// Profiles that let a ring be made and not used: then the call counts.
TEST(DiagnoseTest, NamesTheCallThatIsDenied) {
  for (int error : {EPERM, ENOSYS}) {
    internal::KernelState state = Usual();
    state.seccomp = true;
    EXPECT_THAT(internal::Diagnose(error, state, "io_uring_enter").ToString(),
                HasSubstr("s io_uring_enter ("));
  }
}

TEST(DiagnoseTest, NamesTheVersion) {
  internal::KernelState state = Usual();
  state.release = "5.10.0";
  for (int error : {ENOSYS, EINVAL}) {
    absl::Status status = internal::Diagnose(error, state);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(status.ToString(), HasSubstr("5.10.0"));
    EXPECT_THAT(status.ToString(), HasSubstr("6.1"));
  }
}

TEST(DiagnoseTest, NamesTheLimits) {
  absl::Status memlock = internal::Diagnose(ENOMEM, Usual());
  EXPECT_EQ(memlock.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(memlock.ToString(), HasSubstr("65536"));
  EXPECT_THAT(memlock.ToString(), HasSubstr("ulimit -l"));
  absl::Status descriptors = internal::Diagnose(EMFILE, Usual());
  EXPECT_EQ(descriptors.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(descriptors.ToString(), HasSubstr("1024"));
  EXPECT_THAT(descriptors.ToString(), HasSubstr("ulimit -n"));
}

// Real refusals; what loops make of them is in backend_choice_test.cc.
TEST(RefusalTest, SeccompIsNamed) {
  const std::string text = InChild([] {
    DenyCall(__NR_io_uring_setup, ENOSYS);
    return ProbeKernel().ToString();
  });
  EXPECT_THAT(text, HasSubstr("seccomp filter hides io_uring_setup"));
}

TEST(RefusalTest, NoDescriptorLeftIsNamed) {
  const std::string text = InChild([] {
    // UBSan needs a descriptor when it sees an object first.
    if (!ProbeKernel().ok()) return std::string("refused already");
    static_cast<void>(internal::ReadKernelState());
    TakeDescriptors();
    return ProbeKernel().ToString();
  });
  EXPECT_THAT(text, HasSubstr("RESOURCE_EXHAUSTED"));
  EXPECT_THAT(text, HasSubstr("ulimit -n"));
}

}  // namespace
}  // namespace ioloop
