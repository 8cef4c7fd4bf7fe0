// What the environment changes about every loop of a process, so that programs
// can be tested unchanged on a bad kernel.
#ifndef RINGPLANE_IOLOOP_INTERNAL_TEST_ENVIRONMENT_H_
#define RINGPLANE_IOLOOP_INTERNAL_TEST_ENVIRONMENT_H_

#include "absl/status/statusor.h"
#include "ioloop/loop.h"

namespace ioloop::internal {

//   RINGPLANE_FAULT_SEED=7  is Options::fault_seed, whatever the program says
//   RINGPLANE_TINY_RING=1   makes queues, buffers and epoll's batch four at
//   most
//
// kInvalidArgument, naming the variable, for other values. Unset or empty they
// change nothing.
absl::StatusOr<Loop::Options> WithTestEnvironment(Loop::Options options);

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_TEST_ENVIRONMENT_H_
