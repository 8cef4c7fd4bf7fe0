// One request in the kernel, embedded in whatever awaits or owns it.
#ifndef RINGPLANE_IOLOOP_OPERATION_H_
#define RINGPLANE_IOLOOP_OPERATION_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ioloop/check.h"

namespace ioloop {

class Operation;

// The kernel's answer. `result` is a count or a negated errno.
struct Completion {
  int32_t result;
  // IORING_CQE_F_* of linux/io_uring.h; other backends use the same bits.
  uint32_t flags;
};

// What an operation asks for: the same words on every backend.
enum class OpKind : uint8_t {
  kNop,
  kAccept,   // multishot: one completion a connection, its fd as the result
  kConnect,  // address, length: sockaddr
  kReceive,  // multishot into the loop's buffer pool
  kSend,     // address, length; MSG_NOSIGNAL always; no more than one per fd
  kPoll,     // flags: POLLIN, POLLOUT; one shot
  kRead,     // address, length: memory to read into, from the file's position
  kReadAt,   // address: FileSpan, to fill from the file
  kWriteAt,  // address: FileSpan, to write to the file
  kSync,     // flags: kSyncData or 0
  // Datagrams. Multishot: address is a msghdr whose msg_namelen and
  // msg_controllen say how much room each datagram's sender and control data
  // get at the front of its buffer; as IORING_OP_RECVMSG lays it out
  // (io_uring_recvmsg_out, sender, control, payload).
  kReceiveMessage,
  kSendMessage,  // address: msghdr, valid until the completion
};
inline constexpr size_t kOpKinds = 12;

// "receive", "read_at", ...: for logs and metrics.
std::string_view OpKindName(OpKind kind);

// What a kReadAt or kWriteAt moves: memory, and where in the file.
struct FileSpan {
  void* data = nullptr;
  uint32_t length = 0;
  uint64_t offset = 0;
};

// Of a kSync: fdatasync(2), not fsync(2).
inline constexpr uint32_t kSyncData = 1;

// Of a kSend: waits until the socket has taken everything. Without it the
// send takes what fits now and may come back short or with -EAGAIN; that one
// costs no completion entry when all of it fits.
inline constexpr uint32_t kSendWaits = 1;

// Completion::flags. More completions of the operation follow:
inline constexpr uint32_t kCompletionMore = 1u << 1;
// The buffer of a receive is `flags >> kCompletionBufferShift`.
inline constexpr uint32_t kCompletionBuffer = 1u << 0;
inline constexpr uint32_t kCompletionBufferShift = 16;
// Of a receive into an incremental buffer: later ones go on in it.
inline constexpr uint32_t kCompletionBufferMore = 1u << 4;
// Of a receive on io_uring: the socket has more.
inline constexpr uint32_t kCompletionSocketNonEmpty = 1u << 2;

struct Request {
  OpKind kind = OpKind::kNop;
  int fd = -1;
  const void* address = nullptr;
  uint32_t length = 0;
  uint32_t flags = 0;
};

// An operation stays put and alive from `Loop::Submit` until its *final*
// completion (no IORING_CQE_F_MORE) has been dispatched; its destructor checks.
// `Loop::Cancel` only hurries the final completion along.
//
// The handler is a function pointer: a completion costs one indirect call.
class Operation {
 public:
  // May destroy the operation on a final completion.
  using Handler = void (*)(Operation*, Completion);

  explicit Operation(Handler handler) : handler_(handler) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() {
    RINGPLANE_CHECK(!in_flight_, "an Operation died in the kernel's hands");
  }

  // True from Submit() until just before the final completion is handled.
  bool in_flight() const { return in_flight_; }
  OpKind kind() const { return kind_; }

 private:
  friend class Loop;
  friend class UringBackend;
  friend class EpollBackend;
  Handler handler_;
  bool in_flight_ = false;
  // A send that leaves no completion entry when it succeeds.
  bool silent_ = false;
  // Its final completion is on its way to the handler.
  bool harvested_ = false;
  OpKind kind_ = OpKind::kNop;
  // Where a readiness backend keeps the request while it waits.
  uint32_t slot_ = UINT32_MAX;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_OPERATION_H_
