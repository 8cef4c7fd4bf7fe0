// A simulated kernel: loops of one thread run on it deterministically, with a
// clock and a network of its own, so that a whole client and server live in one
// process, hours pass in milliseconds, and a run that fails replays from its
// seed.
//
//   SimKernel kernel({.seed = seed, .trouble = SimTrouble::ForSeed(seed)});
//   auto server = kernel.NewLoop(options);    // absl::StatusOr
//   auto client = kernel.NewLoop(options);
//   ... Listener::Bind(server->get(), ...), tasks.Spawn(...)
//   absl::Status status = kernel.RunUntil([&] { return tasks.running() == 0;
//   });
//
// It does what a bad kernel may do (SimTrouble), and checks what a kernel only
// relies on: memory in its hands is scribbled on and must not be touched until
// the completion, which is when it is read and written; a file has one send and
// one receive at a time. A broken rule ends the process.
//
// Stream and unix sockets, datagrams and files in memory are its own. Other
// descriptors, like the eventfd of a loop's mailbox, are the real kernel's: it
// reads and polls those, and never waits for them.
#ifndef RINGPLANE_IOLOOP_SIM_KERNEL_H_
#define RINGPLANE_IOLOOP_SIM_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/loop.h"
#include "ioloop/sim_options.h"

namespace ioloop {

class SimBackend;

namespace internal {
class SimFile;
class SimNetwork;
class SimSocket;
}  // namespace internal

// Thread-safety: none; the kernel and its loops belong to one thread.
class SimKernel {
 public:
  explicit SimKernel(const SimOptions& options);
  // REQUIRES: its loops are gone, and every descriptor is closed.
  ~SimKernel();
  SimKernel(const SimKernel&) = delete;
  SimKernel& operator=(const SimKernel&) = delete;

  // A loop on this kernel. Errors as Loop::CreateOn.
  absl::StatusOr<std::unique_ptr<Loop>> NewLoop(const Loop::Options& options);

  // Turns its loops, in an order that the seed decides, until `done`. When all
  // sleep, time jumps to what comes next. kDeadlineExceeded after
  // SimOptions::turns_max turns; kInternal when every loop sleeps and nothing
  // will ever wake one. (A loop that runs by its own Run() or RunUntilDone() is
  // alone: the others' timers do not bound its sleep.)
  absl::Status RunUntil(absl::FunctionRef<bool()> done);

  // Descriptors of its own: a connected pair of unix sockets, and a file with
  // `bytes` in it. Negated errno when there are none left.
  std::pair<int, int> OpenPair();
  int OpenFile(std::string bytes);
  // What a file holds. REQUIRES: OpenFile() gave `fd`, and it is open.
  std::string_view FileBytes(int fd) const;
  // Resets the connection of `fd`, as a broken network does.
  void ResetConnection(int fd);

  int64_t now_ns() const;
  const SimOptions& options() const { return options_; }
  const SimCounts& counts() const { return counts_; }
  // Two runs of one seed and one program have the same.
  uint64_t trace_hash() const;
  // Descriptors open; sockets and files, also those closed but not yet through
  // with their last bytes.
  size_t descriptors() const;
  size_t files() const;

 private:
  friend class SimBackend;
  // Its own descriptors begin here; smaller ones are the real kernel's.
  static constexpr int kFirstDescriptor = 1 << 20;
  // What a sleep came to.
  enum class Sleep { kOver, kOthersFirst, kDead };

  // A descriptor for `file`; without one left removes it: -EMFILE.
  int Install(internal::SimFile* file);
  bool HasRoom() const;  // For one more descriptor.
  internal::SimFile* Lookup(int fd) const;
  internal::SimSocket* LookupSocket(int fd) const;
  int Close(int fd);

  void BeginTurn();
  // `backend` has nothing to do until `until_ns`. Moves the clock to the next
  // event if nobody else has either.
  Sleep SleepUntil(SimBackend* backend, int64_t until_ns);
  std::string Describe() const;  // What is in flight, loop by loop.
  // Something happened that another loop may have to see.
  void Stir() { ++stirred_; }

  const SimOptions options_;
  SimCounts counts_;
  std::unique_ptr<internal::SimNetwork> network_;
  std::vector<internal::SimFile*> descriptors_;
  std::vector<SimBackend*> backends_;
  uint64_t stirred_ = 0;
  bool driving_ = false;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_SIM_KERNEL_H_
