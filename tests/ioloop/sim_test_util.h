// What simulations share: which seeds to run, and a way back to one that
// failed.
//
//   RINGPLANE_SIM_SEED=7       runs that seed alone
//   RINGPLANE_SIM_SEEDS=10000  runs as many, instead of each test's own number
//   RINGPLANE_SIM_FIRST=20001  where they begin (1)
#ifndef RINGPLANE_TESTS_IOLOOP_SIM_TEST_UTIL_H_
#define RINGPLANE_TESTS_IOLOOP_SIM_TEST_UTIL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"
#include "ioloop/loop.h"
#include "ioloop/sim_kernel.h"

namespace ioloop {

// Runs `body` for each seed until one fails; that one is printed, also when the
// process dies of it.
void ForEachSeed(uint64_t seeds, absl::FunctionRef<void(uint64_t seed)> body);

inline std::unique_ptr<Loop> MakeSimLoop(SimKernel* kernel,
                                         const Loop::Options& options) {
  auto loop = kernel->NewLoop(options);
  EXPECT_TRUE(loop.ok()) << loop.status();
  if (!loop.ok()) abort();
  return *std::move(loop);
}

}  // namespace ioloop

#endif  // RINGPLANE_TESTS_IOLOOP_SIM_TEST_UTIL_H_
