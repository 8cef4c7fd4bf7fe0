#include "ioloop/internal/stack_sample.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "absl/debugging/symbolize.h"
#include "absl/strings/str_cat.h"

namespace ioloop::internal {
namespace {

constexpr int kFramesMax = 40;

// Of the process: a handler has no other way to its data. Filled by the thread
// that is asked, which says so by `filled`.
struct Sample {
  Sample() { sem_init(&filled, /*pshared=*/0, 0); }
  std::atomic<pid_t> asked{0};  // The thread; 0: nobody.
  void* frames[kFramesMax];
  int depth = 0;
  const void* interrupted = nullptr;  // Above it are the handler's own frames.
  sem_t filled;
};

Sample& TheSample() {
  static Sample* const sample = new Sample;  // Signals may come late.
  return *sample;
}

const void* ProgramCounter(const void* context) {
  const mcontext_t& machine =
      static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(machine.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(machine.pc);
#else
  static_cast<void>(machine);
  return nullptr;
#endif
}

void OnSignal(int, siginfo_t* info, void* context) {
  const int error = errno;
  Sample& sample = TheSample();
  auto self = static_cast<pid_t>(syscall(SYS_gettid));
  // Whoever gets the question out of `asked` goes on with it: not a thread
  // that comes too late.
  if (info->si_code == SI_TKILL &&
      sample.asked.compare_exchange_strong(self, 0)) {
    sample.depth = backtrace(sample.frames, kFramesMax);
    sample.interrupted = ProgramCounter(context);
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
  void** const end = sample.frames + sample.depth;
  void** const top = std::find(sample.frames, end, sample.interrupted);
  void** const first = top == end ? sample.frames : top;
  std::string text;
  for (void** frame = first; frame != end; ++frame) {
    if (frame != first) text.append(" < ");
    AppendFrame(*frame, /*returns_here=*/frame != top, &text);
  }
  return text;
}

}  // namespace ioloop::internal
