#include "ioloop/internal/stack_sample.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "absl/debugging/symbolize.h"
#include "absl/strings/str_cat.h"

namespace ioloop::internal {
namespace {

constexpr int kFramesMax = 40;
// The handler, and what the kernel returns to from it.
constexpr int kOwnFrames = 2;

// Of the process: a handler has no other way to its data. Filled by the thread
// that is asked, which says so by `filled`.
struct Sample {
  Sample() { sem_init(&filled, /*pshared=*/0, 0); }
  std::atomic<pid_t> asked{0};  // The thread; 0: nobody.
  void* frames[kFramesMax];
  int depth = 0;
  sem_t filled;
};

Sample& TheSample() {
  static Sample* const sample = new Sample;  // Signals may come late.
  return *sample;
}

void OnSignal(int, siginfo_t* info, void*) {
  const int error = errno;
  Sample& sample = TheSample();
  auto self = static_cast<pid_t>(syscall(SYS_gettid));
  // Whoever gets the question out of `asked` goes on with it: not a thread
  // that comes too late.
  if (info->si_code == SI_TKILL &&
      sample.asked.compare_exchange_strong(self, 0)) {
    sample.depth = backtrace(sample.frames, kFramesMax);
    sem_post(&sample.filled);
  }
  errno = error;
}

bool IsOurs(int signal) {
  struct sigaction current = {};
  return sigaction(signal, nullptr, &current) == 0 &&
         (current.sa_flags & SA_SIGINFO) != 0 &&
         current.sa_sigaction == &OnSignal;
}

bool WaitASecond(sem_t* semaphore) {
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1;
  int result = -1;
  do {
    result = sem_timedwait(semaphore, &until);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

void AppendFrame(const void* address, bool returns_here, std::string* text) {
  // A call may be the last of its function: what it returns to is the next.
  const auto* pc = static_cast<const char*>(address) - (returns_here ? 1 : 0);
  char symbol[256];
  Dl_info module = {};
  if (absl::Symbolize(pc, symbol, sizeof(symbol))) {
    absl::StrAppend(text, symbol);
  } else if (dladdr(pc, &module) != 0 && module.dli_fname != nullptr) {
    std::string file = module.dli_fname;
    file.erase(0, file.rfind('/') + 1);
    const auto offset =
        static_cast<uint64_t>(pc - static_cast<const char*>(module.dli_fbase));
    absl::StrAppend(text, file, "+0x", absl::Hex(offset));
  } else {
    absl::StrAppend(text, "0x", absl::Hex(reinterpret_cast<uint64_t>(pc)));
  }
}

}  // namespace

bool PrepareStackSignal(int signal) {
  static_cast<void>(TheSample());
  // The first call loads a library, which a handler must not.
  void* frame = nullptr;
  backtrace(&frame, 1);
  if (IsOurs(signal)) return true;
  struct sigaction action = {};
  if (sigaction(signal, nullptr, &action) != 0 ||
      (action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL) {
    return false;
  }
  action = {};
  action.sa_sigaction = &OnSignal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  return sigaction(signal, &action, nullptr) == 0;
}

std::string SampleStack(pid_t tid, int signal) {
  if (!IsOurs(signal)) return {};
  Sample& sample = TheSample();
  sample.asked.store(tid);
  if (syscall(SYS_tgkill, getpid(), tid, signal) != 0) {
    sample.asked.store(0);
    return {};
  }
  if (!WaitASecond(&sample.filled)) {
    // Took the question at the last moment: the answer is on its way.
    if (sample.asked.exchange(0) == tid || !WaitASecond(&sample.filled)) {
      return {};
    }
  }
  std::string text;
  for (int i = kOwnFrames; i < sample.depth; ++i) {
    if (i > kOwnFrames) text.append(" < ");
    AppendFrame(sample.frames[i], /*returns_here=*/i > kOwnFrames, &text);
  }
  return text;
}

}  // namespace ioloop::internal
