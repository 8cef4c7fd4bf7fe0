#include "tests/ioloop/sim_test_util.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "ioloop/internal/asan.h"

namespace ioloop {
namespace {

// What to say when the process dies; a signal handler reads it.
char g_how_to_replay[96];

void SayHowToReplay() {
  static_cast<void>(
      !write(STDERR_FILENO, g_how_to_replay, strlen(g_how_to_replay)));
}

void OnAbort(int) { SayHowToReplay(); }  // The default follows.

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  if (text == nullptr) return otherwise;
  uint64_t value = 0;
  const char* end = text + strlen(text);
  const auto result = std::from_chars(text, end, value);
  if (result.ec != std::errc() || result.ptr != end) {
    ADD_FAILURE() << name << " is no number: " << text;
  }
  return value;
}

}  // namespace

void ForEachSeed(uint64_t seeds, absl::FunctionRef<void(uint64_t seed)> body) {
  uint64_t first = FromEnvironment("RINGPLANE_SIM_FIRST", 1);
  seeds = FromEnvironment("RINGPLANE_SIM_SEEDS", seeds);
  const uint64_t one = FromEnvironment("RINGPLANE_SIM_SEED", 0);
  if (one != 0) {
    first = one;
    seeds = 1;
  }
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = &OnAbort;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGABRT, &action, &before);
#ifdef RINGPLANE_ASAN
  __asan_set_death_callback(&SayHowToReplay);
#endif
  const char* test =
      ::testing::UnitTest::GetInstance()->current_test_info()->name();
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    snprintf(g_how_to_replay, sizeof(g_how_to_replay),
             "replay: RINGPLANE_SIM_SEED=%llu --gtest_filter=*%s\n",
             static_cast<unsigned long long>(seed), test);
    SCOPED_TRACE(g_how_to_replay);
    body(seed);
    if (::testing::Test::HasFailure()) {
      SayHowToReplay();
      break;
    }
  }
  g_how_to_replay[0] = '\0';
  sigaction(SIGABRT, &before, nullptr);
}

}  // namespace ioloop
