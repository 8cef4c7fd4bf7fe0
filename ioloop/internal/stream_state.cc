#include "ioloop/internal/stream_state.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"

namespace ioloop::internal {
namespace {

// One send is no longer than this; the rest follows.
constexpr size_t kSendMax = 1 << 30;

// After so many receives at once the kernel goes on by waiting for an event.
constexpr uint8_t kKernelBurst = 32;

absl::Status Broken(const char* what, int error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(error)));
}

}  // namespace

StreamState::StreamState(Loop* owner, int socket,
                         const Stream::Options& options)
    : StreamReceive(&OnReceived),
      StreamSend(&OnSent),
      StreamFlush(&OnFlush),
      StreamNextTurn(&OnNextTurn),
      StreamStarved(&OnBuffersBack),
      loop(owner),
      send_buffer_max(options.send_buffer_max),
      fd(socket),
      chunks_max(std::max(1u, options.receive_queue_max)),
      turn_chunks_max(std::max(1u, options.receive_turn_max)) {}

// Receiving.

void StreamState::ArmReceive() {
  if (receive_op()->in_flight() || starved()->queued() || eof || closing ||
      abandoned || !error.ok()) {
    return;
  }
  Request request;
  request.kind = OpKind::kReceive;
  request.fd = fd;
  loop->Submit(receive_op(), request);
}

void StreamState::OnReceived(Operation* op, Completion completion) {
  auto* self = static_cast<StreamState*>(static_cast<StreamReceive*>(op));
  self->TakeCompletion(completion);
  if (!op->in_flight() && self->MaybeFinish()) return;
  // Last of all: the waiter may end the stream.
  self->ResumeReceiver();
}

void StreamState::OnNextTurn(TurnEnd* work) {
  static_cast<StreamState*>(static_cast<StreamNextTurn*>(work))
      ->ResumeReceiver();
}

void StreamState::ResumeReceiver() {
  if (!receive_waiter) return;
  if (ReceiveReady()) {
    std::exchange(receive_waiter, nullptr).resume();
  } else if (chunks_head != nullptr) {
    loop->AtNextTurn(next_turn());
  }
}

void StreamState::TakeCompletion(Completion completion) {
  const int32_t result = completion.result;
  if ((completion.flags & kCompletionBuffer) != 0) {
    const uint32_t id = completion.flags >> kCompletionBufferShift;
    Chunk* chunk =
        loop->buffers().Take(id, result > 0 ? static_cast<uint32_t>(result) : 0,
                             (completion.flags & kCompletionBufferMore) != 0);
    if (result <= 0 || closing || abandoned) {
      loop->buffers().Return(chunk);
    } else {
      (chunks_tail ? chunks_tail->next : chunks_head) = chunk;
      chunks_tail = chunk;
      ++chunks;
    }
  }
  if (closing || abandoned) return;
  if (receive_op()->in_flight()) {
    const bool hides = MayHideTheEnd(completion.flags);
    if (pausing) return;
    if (hides || (chunks >= chunks_max && (!receive_waiter || !MayTake()))) {
      pausing = true;
      loop->Cancel(receive_op());
    }
    return;
  }
  // The multishot has ended; unless the stream has, it goes on when there is a
  // buffer and room.
  pausing = false;
  if (result == 0) {
    eof = true;
  } else if (result == -ENOBUFS) {
    loop->mutable_stats()->buffers_exhausted.Add(1);
    // Else it goes on when its receiver has taken some: buffers that come back
    // meanwhile must not fill up one who does not read.
    if (chunks <= chunks_max / 2) loop->buffers().AddStarved(starved());
  } else if (result < 0 && result != -ECANCELED && result != -EAGAIN &&
             result != -EINTR) {
    Fail(Broken("receive", -result));
  } else if (chunks <= chunks_max / 2) {
    ArmReceive();
  }
}

// Where a receive finds more than the kernel takes at once, and behind it the
// end of a unix socket, Linux up to 6.18 at least waits for an event that has
// been: the end is never told. Armed anew, the receive finds it.
bool StreamState::MayHideTheEnd(uint32_t flags) {
  if ((flags & kCompletionSocketNonEmpty) != 0) {
    burst = static_cast<uint8_t>(std::min<int>(burst + 1, kKernelBurst));
    return false;
  }
  return std::exchange(burst, uint8_t{0}) == kKernelBurst;
}

void StreamState::OnBuffersBack(Starved* starved) {
  static_cast<StreamState*>(static_cast<StreamStarved*>(starved))->ArmReceive();
}

absl::StatusOr<ReceivedBytes> StreamState::TakeReceived() {
  if (closing || std::exchange(receive_cancelled, false)) {
    return absl::Status(absl::StatusCode::kCancelled, "");
  }
  if (chunks_head != nullptr) {
    Chunk* chunk = chunks_head;
    chunks_head = chunk->next;
    if (chunks_head == nullptr) chunks_tail = nullptr;
    --chunks;
    if (turn != loop->turn()) {
      turn = loop->turn();
      turn_chunks = 0;
    }
    ++turn_chunks;
    if (!receive_op()->in_flight() && chunks <= chunks_max / 2) ArmReceive();
    return ReceivedBytes(chunk);
  }
  if (eof) return ReceivedBytes();
  RINGPLANE_CHECK(!error.ok(), "a receive resumed with nothing to say");
  return error;
}

void StreamState::DropChunks() {
  while (chunks_head != nullptr) {
    Chunk* next = chunks_head->next;
    loop->buffers().Return(chunks_head);
    chunks_head = next;
  }
  chunks_tail = nullptr;
  chunks = 0;
}

// Sending.

void StreamState::Commit(size_t bytes) {
  RINGPLANE_CHECK(queue.size() + bytes <= queue.capacity(),
                  "more committed than reserved");
  if (closing || !error.ok() || shutdown_wanted) {
    // What came before a shutdown still goes out.
    if (queue.empty()) loop->send_buffers().Release(&queue);
    return;
  }
  queue.Grow(bytes);
  if (Unsent() > send_buffer_max) {
    Fail(absl::ResourceExhaustedError(
        absl::StrCat("more than ", send_buffer_max,
                     " bytes queued to a peer that does not read")));
    return;
  }
  if (!queue.empty()) loop->AtTurnEnd(flush());
}

// At the end of a turn: everything that was queued in it leaves in one send.
void StreamState::OnFlush(TurnEnd* work) {
  auto* self = static_cast<StreamState*>(static_cast<StreamFlush*>(work));
  if (self->closing || !self->error.ok()) return;
  if (self->send_op()->in_flight()) {
    // A silent send is over with the next submission, which must not wait.
    if (!self->send_waits) self->loop->SkipNextWait();
    return;  // Its completion flushes again.
  }
  if (self->queue.empty()) {
    if (self->shutdown_wanted) self->FinishShutdown();
    return;
  }
  self->sending = std::exchange(self->queue, SendBuffer{});
  self->sent = 0;
  self->SubmitSend(0);
}

void StreamState::SubmitSend(uint32_t flags) {
  Request request;
  request.kind = OpKind::kSend;
  request.fd = fd;
  request.address = sending.data() + sent;
  request.length =
      static_cast<uint32_t>(std::min(sending.size() - sent, kSendMax));
  request.flags = flags;
  send_waits = (flags & kSendWaits) != 0;
  loop->Submit(send_op(), request);
  SendBufferPool::LendToKernel(sending);
  if (!send_waits && (drain_waiter || shutdown_wanted)) loop->SkipNextWait();
}

void StreamState::OnSent(Operation* op, Completion completion) {
  auto* self = static_cast<StreamState*>(static_cast<StreamSend*>(op));
  SendBufferPool::TakeFromKernel(self->sending);
  self->TakeSent(completion.result);
  if (!op->in_flight() && self->MaybeFinish()) return;
  // Last of all: the waiter may end the stream.
  if (self->drain_waiter && self->DrainReady()) {
    std::exchange(self->drain_waiter, nullptr).resume();
  }
}

void StreamState::TakeSent(int32_t result) {
  if (closing || abandoned || !error.ok()) {
    loop->send_buffers().Release(&sending);
    sent = 0;
    return;
  }
  if (result < 0 && result != -EAGAIN && result != -EINTR) {
    Fail(Broken("send", -result));
    return;
  }
  if (result > 0) sent += static_cast<size_t>(result);
  if (sent < sending.size()) {
    // The socket is full: the rest waits in the kernel for room.
    if (!send_waits) loop->mutable_stats()->short_sends.Add(1);
    SubmitSend(kSendWaits);
    return;
  }
  loop->send_buffers().Release(&sending);
  sent = 0;
  if (!queue.empty() || shutdown_wanted) loop->AtTurnEnd(flush());
}

void StreamState::WantShutdown() {
  if (closing || shutdown_wanted) return;
  shutdown_wanted = true;
  loop->AtTurnEnd(flush());
}

void StreamState::FinishShutdown() {
  if (shut_down) return;
  shut_down = true;
  // A failure means that the peer is gone: receiving will say so.
  static_cast<void>(loop->sockets().Shutdown(fd, SHUT_WR));
}

// Ending.

void StreamState::DropQueue() {
  loop->RemoveTurnEnd(flush());
  loop->send_buffers().Release(&queue);
  if (!send_op()->in_flight()) {
    loop->send_buffers().Release(&sending);
    sent = 0;
  }
}

// Breaks the stream, once. What has arrived can still be received.
void StreamState::Fail(absl::Status status) {
  if (!error.ok()) return;
  error = std::move(status);
  DropQueue();
  loop->buffers().RemoveStarved(starved());
  loop->Cancel(receive_op());
  loop->Cancel(send_op());
  // Not inside the caller, which may be in Queue().
  if (drain_waiter) loop->Resume(std::exchange(drain_waiter, nullptr));
  if (receive_waiter && !receive_op()->in_flight() && chunks_head == nullptr) {
    loop->Resume(std::exchange(receive_waiter, nullptr));
  }
}

void StreamState::BeginClose() {
  closing = true;
  DropQueue();
  loop->buffers().RemoveStarved(starved());
  loop->RemoveTurnEnd(next_turn());
  DropChunks();
  loop->Cancel(receive_op());
  loop->Cancel(send_op());
  if (send_op()->in_flight() && !send_waits) loop->SkipNextWait();
  if (drain_waiter) loop->Resume(std::exchange(drain_waiter, nullptr));
  if (receive_waiter) loop->Resume(std::exchange(receive_waiter, nullptr));
}

void StreamState::Abandon() {
  RINGPLANE_CHECK(!close_waiter, "a Stream died while it was closed");
  RINGPLANE_CHECK(!receive_waiter && !drain_waiter, "a Stream died awaited");
  BeginClose();
  abandoned = true;
  loop->AddOrphan();
  static_cast<void>(MaybeFinish());
}

bool StreamState::MaybeFinish() {
  if (!closing || !Idle()) return false;
  if (abandoned) {
    loop->RemoveOrphan();
    CloseDescriptor();
    delete this;
    return true;
  }
  // Behind those whom closing has cancelled: they still look at the stream.
  if (close_waiter) loop->Resume(std::exchange(close_waiter, nullptr));
  return false;
}

void StreamState::CloseDescriptor() {
  if (fd >= 0) loop->sockets().Close(std::exchange(fd, -1));
}

}  // namespace ioloop::internal
