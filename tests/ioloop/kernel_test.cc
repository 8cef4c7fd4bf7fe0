#include "ioloop/kernel.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ioloop/loop.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(KernelTest, ProbeAcceptsThisKernel) {
  absl::Status status = ProbeKernel();
  EXPECT_TRUE(status.ok()) << status;
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

// Denies io_uring_setup with `error`, as container engines do.
void DenyIoUring(int error) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K,
               SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

// Runs `body` in a child; the child's answer comes back as text.
template <typename Body>
std::string InChild(Body body) {
  int fds[2];
  if (pipe(fds) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    close(fds[0]);
    const std::string text = body();
    static_cast<void>(!write(fds[1], text.data(), text.size()));
    _exit(0);
  }
  close(fds[1]);
  std::string text(4096, '\0');
  const ssize_t got = read(fds[0], text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  close(fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return "the child crashed";
  return text;
}

// Real refusals end in one line, from the probe and from the loop alike.
TEST(RefusalTest, SeccompWithEpermIsNamed) {
  const std::string text = InChild([] {
    DenyIoUring(EPERM);
    absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Create({});
    return ProbeKernel().ToString() + "\n" + loop.status().ToString();
  });
  EXPECT_THAT(text, HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(text, HasSubstr("seccomp filter denies io_uring_setup"));
  EXPECT_THAT(text, HasSubstr("run the container with a profile"));
}

TEST(RefusalTest, SeccompWithEnosysIsNamed) {
  const std::string text = InChild([] {
    DenyIoUring(ENOSYS);
    return ProbeKernel().ToString();
  });
  EXPECT_THAT(text, HasSubstr("seccomp filter hides io_uring_setup"));
}

TEST(RefusalTest, NoDescriptorLeftIsNamed) {
  const std::string text = InChild([] {
    // UBSan needs a descriptor when it sees an object first.
    if (!ProbeKernel().ok()) return std::string("refused already");
    static_cast<void>(internal::ReadKernelState());
    rlimit limit = {};
    getrlimit(RLIMIT_NOFILE, &limit);
    const int next = dup(0);
    close(next);
    limit.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &limit);
    return ProbeKernel().ToString();
  });
  EXPECT_THAT(text, HasSubstr("RESOURCE_EXHAUSTED"));
  EXPECT_THAT(text, HasSubstr("ulimit -n"));
}

}  // namespace
}  // namespace ioloop
