// What a Stream is: one object that stays put while requests of it are in the
// kernel. Owned by its Stream handle; by itself once the handle is gone.
#ifndef RINGPLANE_IOLOOP_INTERNAL_STREAM_STATE_H_
#define RINGPLANE_IOLOOP_INTERNAL_STREAM_STATE_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/internal/send_buffer_pool.h"
#include "ioloop/loop.h"
#include "ioloop/stream.h"

namespace ioloop::internal {

// The parts by which the loop calls back; each leads to its StreamState.
struct StreamReceive : Operation {
  using Operation::Operation;
};
struct StreamSend : Operation {
  using Operation::Operation;
};
struct StreamFlush : TurnEnd {
  using TurnEnd::TurnEnd;
};
struct StreamNextTurn : TurnEnd {
  using TurnEnd::TurnEnd;
};
struct StreamStarved : Starved {
  using Starved::Starved;
};

struct StreamState : StreamReceive,
                     StreamSend,
                     StreamFlush,
                     StreamNextTurn,
                     StreamStarved {
  StreamState(Loop* owner, int socket, const Stream::Options& options);

  Operation* receive_op() { return static_cast<StreamReceive*>(this); }
  Operation* send_op() { return static_cast<StreamSend*>(this); }
  TurnEnd* flush() { return static_cast<StreamFlush*>(this); }
  TurnEnd* next_turn() { return static_cast<StreamNextTurn*>(this); }
  Starved* starved() { return static_cast<StreamStarved*>(this); }

  // Receiving.
  static void OnReceived(Operation* op, Completion completion);
  static void OnBuffersBack(Starved* starved);
  void ResumeReceiver();
  void TakeCompletion(Completion completion);
  bool MayHideTheEnd(uint32_t flags);
  void ArmReceive();
  bool ReceiveReady() const {
    if (receive_cancelled || closing) return true;
    if (chunks_head != nullptr) return MayTake();
    return eof || !error.ok();
  }
  // One connection may take only so much of a turn.
  bool MayTake() const {
    return turn_chunks < turn_chunks_max || turn != loop->turn();
  }
  // The receiver has had its part of a turn: it goes on in the next one.
  static void OnNextTurn(TurnEnd* work);
  absl::StatusOr<ReceivedBytes> TakeReceived();
  void DropChunks();

  // Sending.
  static void OnFlush(TurnEnd* work);
  static void OnSent(Operation* op, Completion completion);
  void TakeSent(int32_t result);
  void SubmitSend(uint32_t flags);
  void Commit(size_t bytes);
  size_t Unsent() const { return queue.size() + sending.size() - sent; }
  bool DrainReady() const {
    return Unsent() <= drain_below || !error.ok() || closing;
  }
  void WantShutdown();
  void FinishShutdown();

  // Ending.
  void Fail(absl::Status status);
  bool Idle() { return !receive_op()->in_flight() && !send_op()->in_flight(); }
  void DropQueue();
  void BeginClose();
  void Abandon();
  // Ends an abandoned stream, or wakes who closes it, once the kernel has let
  // go. True if that was the end of `this`.
  bool MaybeFinish();
  void CloseDescriptor();

  Loop* loop;
  absl::Status error;
  std::coroutine_handle<> receive_waiter;
  std::coroutine_handle<> drain_waiter;
  std::coroutine_handle<> close_waiter;
  Chunk* chunks_head = nullptr;
  Chunk* chunks_tail = nullptr;
  SendBuffer queue;    // What the next send takes.
  SendBuffer sending;  // In the kernel's hands.
  size_t sent = 0;     // Of `sending`.
  size_t drain_below = 0;
  size_t send_buffer_max;
  int fd;
  uint32_t chunks = 0;
  uint32_t chunks_max;
  uint32_t turn_chunks = 0;  // Handed out in turn number `turn`.
  uint32_t turn_chunks_max;
  uint32_t turn = 0;
  uint8_t burst = 0;  // Completions in a row that said there was more.
  bool eof = false;
  bool pausing = false;  // The receive is being cancelled: too much waits.
  bool receive_cancelled = false;
  bool send_waits = false;  // The send in flight waits for room.
  bool shutdown_wanted = false;
  bool shut_down = false;
  bool closing = false;
  bool abandoned = false;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_STREAM_STATE_H_
