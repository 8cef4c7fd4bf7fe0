#include "ioloop/internal/make_backend.h"

#include <string.h>

#include <atomic>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/backend_choice.h"
#include "ioloop/backend_epoll.h"
#include "ioloop/backend_uring.h"
#include "ioloop/internal/asan.h"
#include "ioloop/internal/faulty_backend.h"
#include "ioloop/internal/ownership_checker.h"
#include "ioloop/log.h"

namespace ioloop::internal {
namespace {

using Made = absl::StatusOr<std::unique_ptr<Backend>>;

// Every loop of a process says the same: one line is enough.
void NoBusyPoll(const std::string& why, std::string* lost) {
  static std::atomic<bool> logged{false};
  *lost = absl::StrCat("; without busy polling of network queues: ", why);
  if (logged.exchange(true)) return;
  RINGPLANE_LOG(kWarning, "no busy polling of network queues", {"why", why});
}

Made MakeUring(const Loop::Options& options, BufferPool* pool, LoopStats* stats,
               std::string* lost) {
  auto backend = UringBackend::Create(options.sq_entries, options.cq_entries,
                                      options.incremental_buffers,
                                      options.fault_seed, pool, stats);
  if (!backend.ok()) return backend.status();
  if (options.busy_poll > absl::ZeroDuration()) {
    const int error =
        (*backend)->SetBusyPoll(static_cast<uint32_t>(absl::ToInt64Microseconds(
            absl::Ceil(options.busy_poll, absl::Microseconds(1)))));
    if (error != 0) {
      NoBusyPoll(absl::StrCat("io_uring_register: ", strerror(-error),
                              "; it came with Linux 6.9"),
                 lost);
    }
  }
  return backend;
}

Made MakeEpoll(const Loop::Options& options, BufferPool* pool, LoopStats* stats,
               std::string* lost) {
  if (options.busy_poll > absl::ZeroDuration()) {
    NoBusyPoll("it takes io_uring", lost);
  }
  EpollBackend::Options epoll;
  epoll.batch = options.epoll_batch;
  epoll.drain = options.epoll_drain;
  epoll.fault_seed = options.fault_seed;
  return EpollBackend::Create(epoll, pool, stats);
}

// Every loop of a process says the same: one line is enough.
void LogOnce(const Backend& backend, const std::string& reason, bool refused) {
  static std::atomic<bool> logged_refusal{false};
  static std::atomic<bool> logged_choice{false};
  if (refused) {
    if (logged_refusal.exchange(true)) return;
    RINGPLANE_LOG(kWarning, "io_uring is refused, loops run on epoll",
                  {"backend", backend.name()}, {"why", reason});
  } else if (!logged_choice.exchange(true)) {
    RINGPLANE_LOG(kInfo, "backend chosen", {"backend", backend.name()},
                  {"why", reason});
  }
}

}  // namespace

Made MakeBackend(const Loop::Options& options, BufferPool* pool,
                 LoopStats* stats, std::string* reason) {
  absl::StatusOr<BackendKind> kind = ResolveBackendKind(options.backend);
  if (!kind.ok()) return kind.status();
  if (options.busy_poll < absl::ZeroDuration() ||
      options.busy_poll > absl::Seconds(1)) {
    return absl::InvalidArgumentError("busy_poll is not between 0 and 1 s");
  }
  bool refused = false;
  std::string lost;
  Made backend;
  *reason = options.backend == *kind ? "asked for by option"
                                     : "asked for by RINGPLANE_IO_BACKEND";
  switch (*kind) {
    case BackendKind::kUring:
      backend = MakeUring(options, pool, stats, &lost);
      break;
    case BackendKind::kEpoll:
      backend = MakeEpoll(options, pool, stats, &lost);
      break;
    case BackendKind::kAuto:
      *reason = "io_uring works here";
      backend = MakeUring(options, pool, stats, &lost);
      if (backend.ok()) break;
      refused = true;
      *reason = std::string(backend.status().message());
      backend = MakeEpoll(options, pool, stats, &lost);
      if (!backend.ok() && !absl::IsInvalidArgument(backend.status())) {
        return absl::Status(
            backend.status().code(),
            absl::StrCat(*reason, "; and epoll: ", backend.status().message()));
      }
      break;
  }
  *reason += lost;
  if (!backend.ok()) return backend;
  LogOnce(**backend, *reason, refused);
  if (options.fault_seed != 0) {
    backend = std::make_unique<FaultyBackend>(options.fault_seed, pool,
                                              *std::move(backend));
  }
#ifdef RINGPLANE_ASAN
  backend = std::make_unique<OwnershipChecker>(*std::move(backend));
#endif
  return backend;
}

}  // namespace ioloop::internal
