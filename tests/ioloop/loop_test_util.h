// What the loop's tests share: a loop on a real ring, and socket pairs whose
// far ends the test drives with plain system calls.
#ifndef RINGPLANE_TESTS_IOLOOP_LOOP_TEST_UTIL_H_
#define RINGPLANE_TESTS_IOLOOP_LOOP_TEST_UTIL_H_

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace ioloop {

// A connected pair: `near` is for a Stream to adopt, `far` for plain calls.
struct SocketPair {
  int near = -1;
  int far = -1;

  SocketPair() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0) {
      near = fds[0];
      far = fds[1];
    }
  }
  SocketPair(SocketPair&& other) noexcept
      : near(std::exchange(other.near, -1)),
        far(std::exchange(other.far, -1)) {}
  SocketPair& operator=(SocketPair&&) = delete;
  ~SocketPair() {
    if (near >= 0) close(near);
    if (far >= 0) close(far);
  }
  int TakeNear() { return std::exchange(near, -1); }
  void WriteFar(std::string_view bytes) const {
    ASSERT_EQ(write(far, bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  // What is there now, without waiting.
  std::string ReadFar() const {
    std::string bytes(1 << 16, '\0');
    const ssize_t got = recv(far, bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }
  void CloseFar() { close(std::exchange(far, -1)); }
};

// Whoever runs the tests says on which backend they run, one way or another;
// what was meant is in EXPECTED_IO_BACKEND.
inline std::unique_ptr<Loop> MakeLoop(const Loop::Options& options) {
  auto loop = Loop::Create(options);
  EXPECT_TRUE(loop.ok()) << loop.status();
  if (!loop.ok()) abort();
  const char* expected = getenv("EXPECTED_IO_BACKEND");
  if (expected != nullptr && options.backend == BackendKind::kAuto) {
    EXPECT_EQ((*loop)->backend_name(), expected) << (*loop)->backend_reason();
  }
  return *std::move(loop);
}

inline bool IsSet(const char* variable) {
  const char* value = getenv(variable);
  return value != nullptr && *value != '\0';
}
// Whether this run is on a bad kernel (see Loop::Options::fault_seed), or on
// queues of four. Tests that count what a good one does, or how large queues
// are, have nothing to say then, and are skipped.
inline bool KernelIsBad() { return IsSet("RINGPLANE_FAULT_SEED"); }
inline bool QueuesAreTiny() { return IsSet("RINGPLANE_TINY_RING"); }
inline bool KernelIsGood() { return !KernelIsBad() && !QueuesAreTiny(); }

// How often to try what differs from time to time; less where turns are many.
inline int Rounds(int on_a_good_kernel) {
  return KernelIsGood() ? on_a_good_kernel : on_a_good_kernel / 50;
}

// As many turns as it takes until all is done that a good kernel does in one:
// FaultyBackend bounds how late anything is.
inline absl::Status RunTurn(Loop* loop, absl::Duration max_wait) {
  absl::Status status = loop->RunOnce(max_wait);
  const int more = KernelIsGood() ? 0 : 64;
  for (int i = 0; i < more && status.ok(); ++i) {
    status = loop->RunOnce(absl::ZeroDuration());
  }
  return status;
}

inline Loop::Options SmallLoop() {
  Loop::Options options;
  options.sq_entries = 256;
  options.cq_entries = 4096;
  options.buffer_count = 256;
  options.buffer_bytes = 4096;
  // Sanitizers on a busy machine stall; report_test asks for the watchdog.
  options.stall_threshold = absl::ZeroDuration();
  return options;
}

class LoopTest : public ::testing::Test {
 protected:
  LoopTest() : LoopTest(SmallLoop()) {}
  explicit LoopTest(const Loop::Options& options) : loop_(MakeLoop(options)) {}

  void Turn(absl::Duration max_wait = absl::ZeroDuration()) {
    absl::Status status = RunTurn(loop_.get(), max_wait);
    ASSERT_TRUE(status.ok()) << status;
  }
  // Runs turns until `group` is idle. A test that hangs is ended by ctest.
  void RunUntilIdle(TaskGroup* group) {
    while (group->running() > 0) Turn(absl::InfiniteDuration());
  }

  std::unique_ptr<Loop> loop_;
};

// A deterministic stream of bytes: every position has its own value, so that
// loss and reordering show.
inline std::string Pattern(size_t bytes, uint64_t seed = 1) {
  std::string text(bytes, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& c : text) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    c = static_cast<char>(state);
  }
  return text;
}

// Receives until the end of the stream.
inline Task<void> ReceiveAll(Stream* stream, std::string* into,
                             absl::Status* status) {
  for (;;) {
    absl::StatusOr<ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok()) {
      *status = bytes.status();
      co_return;
    }
    if (bytes->empty()) co_return;
    into->append(bytes->view());
  }
}

}  // namespace ioloop

#endif  // RINGPLANE_TESTS_IOLOOP_LOOP_TEST_UTIL_H_
