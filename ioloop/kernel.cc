#include "ioloop/kernel.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ioloop/backend_uring.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/stats.h"

namespace ioloop {

absl::Status ProbeKernel() {
  LoopStats stats;
  auto pool = BufferPool::Create(8, 4096, &stats);
  if (!pool.ok()) return pool.status();
  return UringBackend::Create(8, 16, /*incremental_buffers=*/false,
                              /*fault_seed=*/0, pool->get(), &stats)
      .status();
}

namespace {

// A ring for trying things out; never entered.
class TrialRing {
 public:
  explicit TrialRing(uint32_t flags) {
    params_.flags =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | flags;
    fd_ = static_cast<int>(syscall(__NR_io_uring_setup, 4, &params_));
  }
  TrialRing(const TrialRing&) = delete;
  TrialRing& operator=(const TrialRing&) = delete;
  ~TrialRing() {
    if (fd_ >= 0) close(fd_);
  }
  bool ok() const { return fd_ >= 0; }
  bool Has(uint32_t feature) const {
    return ok() && (params_.features & feature) != 0;
  }
  bool Register(uint32_t what, const void* argument) const {
    return ok() && syscall(__NR_io_uring_register, fd_, what, argument, 1) == 0;
  }

 private:
  io_uring_params params_ = {};
  int fd_ = -1;
};

bool TakesIncrementalBuffers(const TrialRing& ring) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  io_uring_buf_reg buffers = {};
  buffers.ring_addr = reinterpret_cast<uint64_t>(memory);
  buffers.ring_entries = 4;
  buffers.pad = internal::kBufferRingIncremental;
  const bool taken = ring.Register(IORING_REGISTER_PBUF_RING, &buffers);
  if (taken) ring.Register(IORING_UNREGISTER_PBUF_RING, &buffers);
  munmap(memory, page);
  return taken;
}

}  // namespace

KernelFeatures ProbeKernelFeatures() {
  KernelFeatures features;
  features.io_uring.present = ProbeKernel().ok();
  if (!features.io_uring.present) return features;
  const TrialRing ring(0);
  features.receive_bundles.present = ring.Has(internal::kFeatureReceiveBundle);
  features.min_wait.present = ring.Has(internal::kFeatureMinWait);
  features.no_iowait.present = ring.Has(internal::kFeatureNoIowait);
  features.incremental_buffers.present = TakesIncrementalBuffers(ring);
  const internal::Napi napi;
  features.napi.present = ring.Register(internal::kRegisterNapi, &napi);
  features.no_sq_array.present = TrialRing(internal::kSetupNoSqArray).ok();
  return features;
}

namespace internal {
namespace {

bool HasSysAdmin() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[0].effective & (1u << CAP_SYS_ADMIN)) != 0;
}

uint64_t SoftLimit(__rlimit_resource resource) {
  rlimit limit = {};
  getrlimit(resource, &limit);
  return limit.rlim_cur;
}

absl::Status Refused(const std::string& cause, const char* cure) {
  return absl::UnavailableError(
      absl::StrCat("io_uring is refused: ", cause, "; ", cure));
}

constexpr char kSeccompCure[] =
    "run the container with a profile that allows io_uring_setup, "
    "io_uring_enter and io_uring_register, such as "
    "packaging/seccomp-ringplane.json";

}  // namespace

KernelState ReadKernelState() {
  KernelState state;
  utsname name;
  if (uname(&name) == 0) state.release = name.release;
  std::ifstream sysctl("/proc/sys/kernel/io_uring_disabled");
  if (!(sysctl >> state.io_uring_disabled)) state.io_uring_disabled = -1;
  state.privileged = HasSysAdmin();
  // 2: a filter. The call itself may be forbidden, by a filter.
  const int seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
  state.seccomp = seccomp == 2 || (seccomp < 0 && errno != EINVAL);
  state.memlock_bytes = SoftLimit(RLIMIT_MEMLOCK);
  state.descriptors = SoftLimit(RLIMIT_NOFILE);
  return state;
}

bool ReleaseIsTooOld(std::string_view release) {
  int major = 0;
  int minor = 0;
  if (sscanf(std::string(release).c_str(), "%d.%d", &major, &minor) != 2) {
    return false;
  }
  return major < 6 || (major == 6 && minor < 1);
}

absl::Status Diagnose(int error, const KernelState& state, const char* call) {
  switch (error) {
    case EPERM:
      if (state.io_uring_disabled == 2) {
        return Refused("the sysctl kernel.io_uring_disabled is 2",
                       "set it to 0: sysctl -w kernel.io_uring_disabled=0");
      }
      if (state.io_uring_disabled == 1 && !state.privileged) {
        return Refused(
            "the sysctl kernel.io_uring_disabled is 1 and this process has "
            "no CAP_SYS_ADMIN",
            "set it to 0 (sysctl -w kernel.io_uring_disabled=0) or join the "
            "group of kernel.io_uring_group");
      }
      if (state.seccomp || state.io_uring_disabled <= 0) {
        return Refused(
            absl::StrCat("a seccomp filter denies ", call,
                         " (EPERM), as the default profiles of container "
                         "engines do"),
            kSeccompCure);
      }
      return Refused(absl::StrCat(call, " gave EPERM"),
                     "look for a security module that denies it");
    case ENOSYS:
      if (ReleaseIsTooOld(state.release) || !state.seccomp) {
        return absl::UnimplementedError(absl::StrCat(
            "io_uring is missing: Linux ", state.release,
            " was built without it or is too old; use Linux 6.1 or newer "
            "with CONFIG_IO_URING"));
      }
      return Refused(absl::StrCat("a seccomp filter hides ", call, " (ENOSYS)"),
                     kSeccompCure);
    case EINVAL:
      return absl::UnimplementedError(absl::StrCat(
          "io_uring of Linux ", state.release,
          " lacks features that the loop needs; use Linux 6.1 or newer"));
    case ENOMEM:
      return absl::ResourceExhaustedError(absl::StrCat(
          "io_uring gets no memory: the limit on locked memory is ",
          state.memlock_bytes,
          " bytes; raise it (ulimit -l, LimitMEMLOCK= in systemd) or ask for "
          "fewer entries"));
    case EMFILE:
      return absl::ResourceExhaustedError(absl::StrCat(
          "no descriptor left for io_uring: the limit is ", state.descriptors,
          "; raise it (ulimit -n, LimitNOFILE= in systemd)"));
    case ENFILE:
      return absl::ResourceExhaustedError(
          "no descriptor left for io_uring on this machine; raise the sysctl "
          "fs.file-max");
    default:
      return absl::UnavailableError(absl::StrCat(call, ": ", strerror(error)));
  }
}

}  // namespace internal
}  // namespace ioloop
