// The backend that a loop's options ask for.
#ifndef RINGPLANE_IOLOOP_INTERNAL_MAKE_BACKEND_H_
#define RINGPLANE_IOLOOP_INTERNAL_MAKE_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ioloop/backend.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/loop.h"
#include "ioloop/stats.h"

namespace ioloop::internal {

// `*reason` gets why it is this one. The first of each kind in a process is
// logged.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
    const Loop::Options& options, BufferPool* pool, LoopStats* stats,
    std::string* reason);

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_MAKE_BACKEND_H_
