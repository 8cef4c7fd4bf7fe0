// The seam between a loop and whatever carries its requests out: io_uring, or
// another backend that gives the same answers.
#ifndef RINGPLANE_IOLOOP_BACKEND_H_
#define RINGPLANE_IOLOOP_BACKEND_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "ioloop/operation.h"
#include "ioloop/sockets.h"

namespace ioloop {

class BufferPool;

// One completion with the operation it belongs to.
struct Harvested {
  // Leaves its members as they are: a batch that grows to be written is not
  // to be zeroed first.
  Harvested() {}  // NOLINT(modernize-use-equals-default)
  Harvested(Operation* operation, Completion what)
      : op(operation), completion(what) {}
  Operation* op;
  Completion completion;
};

// How long a turn may sleep.
struct Wait {
  static constexpr int64_t kForever = INT64_MAX;
  // Until the first completion.
  int64_t ns = 0;
  // First this long, for `gather` completions; at most `ns`. Completions that
  // are there are kept waiting meanwhile.
  int64_t gather_ns = 0;
  uint32_t gather = 0;
};

// A backend belongs to one loop and its thread; the loop's sockets are its own.
//
// Every submitted operation gets completions, the last of them without
// kCompletionMore. None is ever lost: a backend that cannot keep this promise
// fails its Turn(). Operations are touched only until their final completion
// is in the batch.
class Backend : public Sockets {
 public:
  static constexpr int64_t kForever = Wait::kForever;

  // Remembers `request` for the next Turn(); may also start it at once.
  virtual void Submit(Operation* op, const Request& request) = 0;
  // Asks for an early end of an operation in flight.
  virtual void Cancel(Operation* op) = 0;
  // Hands over what was queued, waits, and appends every completion there is to
  // `batch`.
  virtual absl::Status Turn(const Wait& wait,
                            std::vector<Harvested>* batch) = 0;
  // Buffer `id` of the attached pool may be filled again.
  virtual void ProvideBuffer(uint32_t id) = 0;
  // Readable when a turn would find a completion that was not there when the
  // last one ended; -1 if there is no descriptor left for it. What was queued
  // since then does not show: see HasWork().
  virtual int fd() const = 0;
  // Whether a turn has something to do without waiting: requests to hand over,
  // completions to take.
  virtual bool HasWork() const = 0;
  virtual std::string_view name() const = 0;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_BACKEND_H_
