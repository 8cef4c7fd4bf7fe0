// What this kernel and its guards allow, in words; and constants that are
// newer than Debian 12's liburing.
#ifndef RINGPLANE_IOLOOP_KERNEL_H_
#define RINGPLANE_IOLOOP_KERNEL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ioloop {

// Whether a loop can be made here and now: sets a small ring up, asks which
// operations the kernel knows, and registers one buffer ring. OK, or the one
// line that Loop::Create would give: what refused, why, and what to do.
absl::Status ProbeKernel();

namespace internal {

// What Diagnose() looks at; read from the system by ReadKernelState().
struct KernelState {
  std::string release;         // uname -r
  int io_uring_disabled = -1;  // kernel.io_uring_disabled; -1: no such sysctl
  bool privileged = false;     // CAP_SYS_ADMIN
  bool seccomp = false;        // a filter is installed on this thread
  uint64_t memlock_bytes = 0;  // soft limits
  uint64_t descriptors = 0;
};
KernelState ReadKernelState();

// Turns the errno of io_uring_setup into a status that names the cause.
absl::Status Diagnose(int error, const KernelState& state);

// Below 6.1: DEFER_TASKRUN is missing.
bool ReleaseIsTooOld(std::string_view release);

// linux/io_uring.h, newer than liburing 2.3.
inline constexpr uint32_t kEnterNoIowait = 1u << 7;     // Linux 6.15
inline constexpr uint32_t kFeatureNoIowait = 1u << 17;  // Linux 6.15

}  // namespace internal
}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_KERNEL_H_
