// The io_uring backend: one ring, used by one thread.
#ifndef RINGPLANE_IOLOOP_BACKEND_URING_H_
#define RINGPLANE_IOLOOP_BACKEND_URING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

// Before any header that might include <linux/io_uring.h>: Debian 12's,
// compiled as C++, puts the buffers of a buffer ring 8 bytes too far.
#include <liburing.h>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/backend.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/internal/faults.h"
#include "ioloop/stats.h"

namespace ioloop {

class UringBackend final : public Backend {
 public:
  // `pool` and `stats` outlive the backend; the others as Loop::Options.
  // Errors as Loop::Create.
  static absl::StatusOr<std::unique_ptr<UringBackend>> Create(
      uint32_t sq_entries, uint32_t cq_entries, bool incremental_buffers,
      uint64_t fault_seed, BufferPool* pool, LoopStats* stats);
  ~UringBackend() override;

  // See Loop::Options::busy_poll; 0 or a negated errno.
  int SetBusyPoll(uint32_t microseconds);

  void Submit(Operation* op, const Request& request) override;
  void Cancel(Operation* op) override;
  absl::Status Turn(const Wait& wait, std::vector<Harvested>* batch) override;
  void ProvideBuffer(uint32_t id) override;
  int fd() const override;
  bool HasWork() const override;
  std::string_view name() const override { return "uring"; }

 private:
  // A send that leaves no CQE when the socket takes all of it.
  struct SilentSend {
    Operation* op;
    uint32_t length;
    uint32_t position;  // Of its SQE: submitted once the SQ head is past it.
  };
  // Buffers for the kernel to take, by group.
  struct BufferRing {
    io_uring_buf_ring* ring = nullptr;
    size_t bytes = 0;
    uint16_t tail = 0;
  };
  // What did not fit the SQ because the kernel would not take more.
  struct Waiting {
    Operation* op;
    Request request;
    bool cancel;
  };

  UringBackend(BufferPool* pool, LoopStats* stats)
      : pool_(pool), stats_(stats) {}
  absl::Status Init(uint32_t sq_entries, uint32_t cq_entries,
                    bool incremental_buffers);
  absl::Status RegisterBuffers(bool incremental);
  int RegisterBufferRing(uint16_t group, uint16_t flags);

  io_uring_sqe* NextSqe();
  bool MakeRoom();
  void SubmitWithoutRoom(Operation* op, const Request& request);
  void PrepareRequest(io_uring_sqe* sqe, Operation* op, const Request& request);
  void PrepareMore(io_uring_sqe* sqe, Operation* op, const Request& request);
  void PrepareCancel(io_uring_sqe* sqe, Operation* op);
  void SubmitWaiting();
  uint32_t Unsubmitted() const;
  uint32_t SqFlags() const;
  uint32_t Ready() const;
  absl::Status Sleep(const Wait& wait);
  // io_uring_enter(2). OK as well when the kernel wants us to come again.
  absl::Status Enter(uint32_t wait_nr, uint32_t flags, int64_t wait_ns);
  void Reap(std::vector<Harvested>* batch);
  absl::Status Drain(std::vector<Harvested>* batch);
  absl::Status FlushOverflow(std::vector<Harvested>* batch);
  void ResolveSilentSends(std::vector<Harvested>* batch);
  void CancelAgain();

  io_uring ring_ = {};
  bool ring_ready_ = false;
  uint32_t sq_tail_ = 0;
  uint32_t room_ = 0;  // SQEs to fill before the kernel has to be entered.
  uint32_t enter_flags_ = 0;
  uint32_t cq_entries_ = 0;
  bool try_again_ = false;    // The kernel was short of memory.
  bool silent_left_ = false;  // The last turn could not submit all sends.
  std::vector<SilentSend> silent_;
  std::vector<Waiting> waiting_;
  // Cancelled, and not yet ended.
  absl::flat_hash_set<Operation*> cancelling_;
  std::vector<Operation*> cancel_again_;
  std::optional<internal::EnterFaults> faults_;
  BufferPool* pool_;
  LoopStats* stats_;
  std::array<BufferRing, 2> buffer_rings_;
  uint16_t message_group_ = 0;  // Of kReceiveMessage.
  mutable int poll_fd_ = -1;    // An eventfd, once somebody asked for fd().
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_BACKEND_URING_H_
