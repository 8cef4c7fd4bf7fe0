// The simulated backend: one loop's view of a SimKernel. Made by
// SimKernel::NewLoop.
#ifndef RINGPLANE_IOLOOP_BACKEND_SIM_H_
#define RINGPLANE_IOLOOP_BACKEND_SIM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "ioloop/backend.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/sim_kernel.h"
#include "ioloop/stats.h"

namespace ioloop {

class SimBackend final : public Backend {
 public:
  // `kernel`, `pool` and `stats` outlive the backend.
  SimBackend(SimKernel* kernel, uint32_t sq_entries, uint32_t cq_entries,
             BufferPool* pool, LoopStats* stats);
  ~SimBackend() override;

  void Submit(Operation* op, const Request& request) override;
  void Cancel(Operation* op) override;
  absl::Status Turn(int64_t wait_ns, std::vector<Harvested>* batch) override;
  void ProvideBuffer(uint32_t id) override;
  int fd() const override { return -1; }  // Nothing to wait for outside.
  std::string_view name() const override { return "sim"; }

  int Open(int family, int type) override;
  int Bind(int fd, const sockaddr* address, socklen_t length) override;
  int Listen(int fd, int backlog) override;
  using Backend::SetOption;
  int SetOption(int fd, int level, int name, const void* value,
                socklen_t length) override;
  int Shutdown(int fd, int how) override;
  int Close(int fd) override;
  int LocalAddress(int fd, sockaddr* address, socklen_t* length) override;
  int PeerAddress(int fd, sockaddr* address, socklen_t* length) override;
  int64_t Now() override { return kernel_->now_ns(); }

  // For the kernel, which drives the loops.
  std::string Describe() const;  // What is in flight.
  Loop* loop = nullptr;
  int64_t sleeps_until_ns = 0;
  uint64_t slept_at = UINT64_MAX;

 private:
  // A request: queued, then in the kernel, then ended but not yet handed over.
  struct Pending {
    Operation* op = nullptr;
    Request request;
    uint64_t number = 0;
    internal::SimFile* file = nullptr;  // Held; nullptr: a real descriptor.
    bool issued = false;
    bool ended = false;
    bool delayed = false;   // Once is enough.
    bool silent = false;    // A send that leaves no completion if all is taken.
    bool spurious = false;  // Will end before its time.
    bool written = false;   // The result is in the user's memory.
    int64_t not_before_ns = 0;
    int64_t cancel_at_ns = kForever;
    size_t done = 0;           // Of a send that waits for room.
    uint64_t memory_hash = 0;  // Of what is sent; of what is scribbled.
  };
  struct Queued {
    Operation* op;
    bool cancel;
  };
  struct Posted {
    Pending* pending;
    Completion completion;
  };

  // Taking requests in: true if the turn must not wait.
  bool Enter();
  void Issue(size_t count);
  void IssueRequest(Pending* pending);
  void IssueSilentSend(Pending* pending);
  void IssueCancel(Operation* op);

  // Carrying them out.
  void Work();
  void Progress(Pending* pending);
  void Perform(Pending* pending);
  bool Ready(const Pending& pending) const;
  void PerformForeign(Pending* pending);
  void Accept(Pending* pending);
  void Receive(Pending* pending);
  void SendMore(Pending* pending);
  void ReceiveMessage(Pending* pending);
  void SendMessage(Pending* pending);
  void Read(Pending* pending);
  void AccessFile(Pending* pending);
  size_t ReceiveLength(size_t available, size_t most);
  bool BufferFree(Pending* pending);
  void PostBuffer(Pending* pending, std::string_view bytes);

  void Post(Pending* pending, int32_t result, uint32_t flags, bool last);
  void End(Pending* pending, int32_t result) { Post(pending, result, 0, true); }
  void HandOver(std::vector<Harvested>* batch);
  void Reorder();
  void Trace(uint64_t what, const Pending& pending, uint64_t detail);
  // Has the network wake this loop at that time.
  void WakeAt(int64_t when_ns);

  // What a kernel relies on.
  void LendMemory(Pending* pending);
  void CheckMemory(const Pending& pending) const;
  static uint64_t MemoryHash(const Request& request);
  void WriteResult(Pending* pending, const void* to, std::string_view bytes);

  SimKernel* const kernel_;
  internal::SimNetwork* const network_;
  const size_t sq_entries_;
  const size_t cq_entries_;
  BufferPool* const pool_;
  LoopStats* const stats_;
  uint64_t numbers_ = 0;
  std::unordered_map<Operation*, std::unique_ptr<Pending>> pending_;
  std::vector<Pending*> issued_;  // In the order of their issue.
  std::deque<Queued> queue_;
  bool left_behind_ = false;  // Requests, by the last turn.
  std::deque<Posted> posted_;
  std::vector<Pending*> silent_;       // Sent whole; told at the end of a turn.
  std::deque<uint32_t> buffers_;       // Free ones, first come first served.
  std::vector<uint64_t> buffer_keys_;  // What each is scribbled with.
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_BACKEND_SIM_H_
