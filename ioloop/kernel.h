// What this kernel and its guards allow, in words; and constants that are
// newer than Debian 12's liburing.
#ifndef RINGPLANE_IOLOOP_KERNEL_H_
#define RINGPLANE_IOLOOP_KERNEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ioloop {

// Whether a loop can be made here and now: sets a small ring up, asks which
// operations the kernel knows, and registers one buffer ring. OK, or the one
// line that Loop::Create would give for BackendKind::kUring, and the reason of
// a fallback to epoll: what refused, why, and what to do.
absl::Status ProbeKernel();

// Something of io_uring that not every kernel has.
struct KernelFeature {
  std::string_view name;
  std::string_view since;    // The Linux it came with.
  std::string_view without;  // What is lost where it is missing.
  bool present = false;
};

// The ladder from the least that a loop on io_uring needs. Each rung is tried,
// not concluded from the version: distributions move features both ways, and
// configurations leave some out. All are missing where io_uring is refused.
struct KernelFeatures {
  KernelFeature io_uring = {
      "io_uring", "6.1",
      "loops run on epoll: a system call for each receive and each send"};
  KernelFeature no_sq_array = {
      "submission queue without an index array", "6.6",
      "submissions go through an array; measured, that costs next to nothing"};
  KernelFeature napi = {
      "busy polling of network queues", "6.9",
      "packets wait for an interrupt, however short the wanted latency"};
  KernelFeature receive_bundles = {
      "bundled receives", "6.10",
      "each buffer that a receive fills is a completion of its own"};
  KernelFeature min_wait = {
      "minimum wait", "6.12",
      "under partial load a turn starts with the first completion, and "
      "harvests little"};
  KernelFeature incremental_buffers = {
      "incremental buffers", "6.12",
      "a receive takes a whole buffer, however little it fills"};
  KernelFeature no_iowait = {
      "waiting without iowait", "6.15",
      "idle loops look like waiting for a disk in the system's CPU figures"};

  // From the oldest to the newest.
  std::array<const KernelFeature*, 7> All() const {
    return {&io_uring, &no_sq_array,         &napi,     &receive_bundles,
            &min_wait, &incremental_buffers, &no_iowait};
  }
};
// A few rings are set up and torn down: some 100 us.
KernelFeatures ProbeKernelFeatures();

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

// Turns the errno of io_uring_setup, or of the `call` that failed after it,
// into a status that names the cause.
absl::Status Diagnose(int error, const KernelState& state,
                      const char* call = "io_uring_setup");

// Below 6.1: DEFER_TASKRUN is missing.
bool ReleaseIsTooOld(std::string_view release);

// linux/io_uring.h, newer than liburing 2.3.
inline constexpr uint32_t kEnterNoIowait = 1u << 7;          // Linux 6.15
inline constexpr uint32_t kFeatureReceiveBundle = 1u << 14;  // Linux 6.10
inline constexpr uint32_t kFeatureMinWait = 1u << 15;        // Linux 6.12
inline constexpr uint32_t kFeatureNoIowait = 1u << 17;       // Linux 6.15
inline constexpr uint32_t kSetupNoSqArray = 1u << 16;        // Linux 6.6
inline constexpr uint32_t kRegisterNapi = 27;                // Linux 6.9
inline constexpr uint32_t kUnregisterNapi = 28;
// IORING_CQE_F_BUF_MORE. Linux 6.12.
inline constexpr uint32_t kCompletionBufferIncremental = 1u << 4;
// io_uring_buf_reg::flags, which liburing 2.3 calls `pad`. Linux 6.12.
inline constexpr uint16_t kBufferRingIncremental = 2;

// The argument of kRegisterNapi.
struct Napi {
  uint32_t busy_poll_us = 0;
  uint8_t prefer_busy_poll = 0;
  uint8_t reserved[11] = {};
};
static_assert(sizeof(Napi) == 16);

}  // namespace internal
}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_KERNEL_H_
