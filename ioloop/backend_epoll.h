// The readiness backend: one epoll instance, used by one thread, for machines
// that refuse io_uring; and the baseline that io_uring is measured against.
#ifndef RINGPLANE_IOLOOP_BACKEND_EPOLL_H_
#define RINGPLANE_IOLOOP_BACKEND_EPOLL_H_

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/backend.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/internal/faults.h"
#include "ioloop/internal/file_worker.h"
#include "ioloop/stats.h"

namespace ioloop {

// What io_uring does in the kernel happens here in user space: an operation is
// tried when it is submitted (sends, connects) or when its descriptor is
// reported ready (everything else), with calls that do not block, whatever the
// descriptor's own mode. Files go to a thread: epoll cannot wait for them.
//
// Descriptors are registered edge-triggered, once, and stay so until they are
// closed. An operation that begins to wait has the kernel look again
// (EPOLL_CTL_MOD), so no readiness from before is missed, and a descriptor
// that was closed behind our back is noticed. A receive or accept waits once
// and then costs no epoll_ctl(2) however much arrives.
//
// A descriptor that Close() is asked to close while operations wait for it
// stays open, its number with it, until the last of them has ended: as with
// io_uring, they end on their own file. One closed with close(2) instead ends
// them with -EBADF when its number is used again, or as cancelled before.
class EpollBackend final : public Backend {
 public:
  struct Options {
    // See Loop::Options.
    uint32_t batch = 1024;
    bool drain = true;
    uint64_t fault_seed = 0;
  };

  // `pool` and `stats` outlive the backend. kInvalidArgument for a batch of 0
  // or beyond 65536; kResourceExhausted for want of descriptors or memory.
  static absl::StatusOr<std::unique_ptr<EpollBackend>> Create(
      const Options& options, BufferPool* pool, LoopStats* stats);
  ~EpollBackend() override;

  void Submit(Operation* op, const Request& request) override;
  void Cancel(Operation* op) override;
  absl::Status Turn(const Wait& wait, std::vector<Harvested>* batch) override;
  void ProvideBuffer(uint32_t id) override { free_buffers_.push_back(id); }
  int fd() const override;
  bool HasWork() const override {
    return urgent_ || !done_.empty() || !again_.empty();
  }
  std::string_view name() const override { return "epoll"; }
  int Close(int fd) override;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  // Beside epoll's events: a turn left something for the next; and the event
  // that it began with said that an end, an error or urgent data is there.
  static constexpr uint32_t kGoOn = 1u << 24;
  static constexpr uint32_t kGoOnToEnd = 1u << 25;
  // With any of these a short receive has not taken all there is.
  static constexpr uint32_t kEnding =
      EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI | kGoOnToEnd;
  // How often a multishot operation goes on in one turn, as in the kernel.
  static constexpr int kRepeatsMax = 32;

  // A descriptor by number. What waits for it is a ring of slots.
  struct Descriptor {
    uint32_t first = kNone;
    // Of the file behind the number: events of an earlier one are dropped.
    uint32_t generation = 0;
    uint32_t interest = 0;  // What epoll reports; 0: not registered.
    bool closing = false;   // Close() waits for the last operation.
    bool full = false;      // The last send found no room for all of it.
    uint32_t again = 0;     // In again_, to go on with these events.
    // Whether a short receive means that nothing is left: true of TCP alone.
    enum : uint8_t { kUnknown, kYes, kNo } short_is_all = kUnknown;
  };

  // An operation that has not ended.
  struct Waiting {
    Operation* op;
    const void* address;
    uint32_t length;
    uint32_t done;   // Of a send: what the socket has taken.
    uint32_t flags;  // Of the request.
    uint32_t wants;  // Events that let it go on.
    int fd;
    uint32_t next;  // Of its descriptor; or the next free slot.
    uint32_t previous;
    OpKind kind;
    bool in_worker;
    bool was_blocking;  // To be made so again.
  };

  // What one try at an operation came to.
  enum class Progress {
    kEnded,
    kBlocked,  // Its descriptor has to become ready again.
    kPaused,   // There may be more, but not in this turn.
  };

  EpollBackend(const Options& options, BufferPool* pool, LoopStats* stats);
  absl::Status Init();

  // What waits, and for which descriptor.
  bool Known(int fd) const {
    return fd >= 0 && static_cast<size_t>(fd) < descriptors_.size();
  }
  bool Admit(int fd);
  uint32_t Link(Operation* op, const Request& request, uint32_t wants);
  void Unlink(uint32_t slot);
  void Complete(Operation* op, int32_t result, uint32_t flags);
  void Finish(uint32_t slot, int32_t result, uint32_t flags = 0);
  void Forget(int fd);
  void EndStale(int fd, uint32_t but);

  // Submitting.
  void SubmitSend(Operation* op, const Request& send);
  void SubmitSendMessage(Operation* op, const Request& request);
  void SubmitConnect(Operation* op, const Request& request);
  void Start(uint32_t slot);
  int Register(uint32_t slot);
  int Control(int operation, int fd, uint32_t events, uint64_t data);
  void ToWorker(uint32_t slot);
  void RetryLater(uint32_t slot);
  bool MakeNonBlocking(int fd);
  void MakeBlocking(int fd);
  long ConnectNow(const Waiting& waiting);

  // Turning.
  int64_t Gather(const Wait& wait);
  int WaitForEvents(int64_t wait_ns);
  void TakeEvents(int count);
  void OnEvent(int fd, uint32_t events);
  void GoOnLater(int fd, uint32_t events);
  void TakeFromWorker();
  void RetryConnects();
  void Nudge() const;

  // Trying; in backend_epoll_io.cc.
  Progress Try(uint32_t slot, uint32_t events);
  Progress TryReceive(uint32_t slot, uint32_t events);
  Progress TryReceiveMessage(uint32_t slot);
  Progress TryAccept(uint32_t slot);
  Progress TrySend(uint32_t slot);
  Progress TryConnect(uint32_t slot);
  Progress TryRead(uint32_t slot);
  bool ShortIsAll(int fd, uint32_t events);
  Progress OutOfBuffers(uint32_t slot);
  long SendMessage(int fd, const void* message);

  // A system call, counted; its result or a negated errno. Not libc's
  // function: sanitizers would take it for our own touch of the memory.
  template <typename... Arguments>
  long Call(long number, Arguments... arguments) {
    stats_->system_calls.Add(1);
    const long result = syscall(number, Word(arguments)...);
    return result < 0 ? -errno : result;
  }
  static long Word(const void* pointer) {
    return reinterpret_cast<long>(pointer);
  }
  template <typename Number>
    requires(!std::is_pointer_v<Number>)
  static long Word(Number number) {
    return static_cast<long>(number);
  }

  BufferPool* const pool_;
  LoopStats* const stats_;
  const bool drain_;
  int epoll_fd_ = -1;
  bool no_pwait2_ = false;

  std::vector<Descriptor> descriptors_;
  std::vector<Waiting> slots_;
  uint32_t free_slot_ = kNone;
  uint32_t registered_ = 0;
  std::vector<uint32_t> free_buffers_;
  bool had_buffers_ = false;  // When this turn began.
  std::vector<epoll_event> events_;

  // Completions go to the turn's batch, or here between turns.
  std::vector<Harvested>* batch_ = nullptr;
  std::vector<Harvested> done_;
  bool urgent_ = false;  // done_ has what a turn must not wait beside.
  // Descriptors with more to give than one turn may take.
  std::vector<int> again_;
  std::vector<int> going_on_;
  // Connects that no event announces: the listener's queue was full.
  std::vector<uint32_t> retries_;
  int retry_fd_ = -1;

  // Once somebody has asked for fd(): readable while done_ or again_ hold
  // something, which epoll knows nothing of.
  int nudge_fd_ = -1;
  mutable bool watched_ = false;
  mutable bool nudged_ = false;

  std::unique_ptr<internal::FileWorker> worker_;
  std::vector<internal::FileJob> from_worker_;
  std::optional<internal::EnterFaults> faults_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_BACKEND_EPOLL_H_
