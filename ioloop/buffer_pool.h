// Receive buffers that all streams of a loop share, and the bytes that a
// stream lends out of them.
//
// The kernel picks a free buffer only when data has arrived, so ten thousand
// idle sockets hold none. It is given one for each receive that is armed and
// some more, not all there are: it uses them in turn, and few stay in the
// cache. Whoever received bytes holds their buffer until the `ReceivedBytes`
// dies: hold it to parse, not across a query. When few buffers are free the
// pool hands out copies instead, so that holders slow themselves and not
// everyone else.
//
// Where the backend fills buffers incrementally, the receives of all streams
// share a buffer until it is full: many small messages lie close together. It
// is used again when the last of its pieces is back. A datagram always has a
// buffer to itself.
//
// Thread-safety: none; a pool belongs to its loop.
#ifndef RINGPLANE_IOLOOP_BUFFER_POOL_H_
#define RINGPLANE_IOLOOP_BUFFER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/check.h"
#include "ioloop/operation.h"

namespace ioloop {

class Backend;
class BufferPool;
class LoopStats;

namespace internal {

// What one receive completion brought: a lent buffer or a copy. Streams chain
// those that wait for their consumer.
struct Chunk {
  BufferPool* pool = nullptr;
  Chunk* next = nullptr;
  char* data = nullptr;
  uint32_t size = 0;
  uint32_t id = 0;  // kCopied: memory of its own.
  static constexpr uint32_t kCopied = UINT32_MAX;
};

// A stream whose receive ended because no buffer was free.
class Starved {
 public:
  using Handler = void (*)(Starved*);
  explicit Starved(Handler handler) : handler_(handler) {}
  Starved(const Starved&) = delete;
  Starved& operator=(const Starved&) = delete;
  ~Starved() { RINGPLANE_CHECK(!queued(), "a Starved died in the queue"); }
  bool queued() const { return queued_; }

 private:
  friend class ioloop::BufferPool;
  Handler handler_;
  bool queued_ = false;
  uint32_t place_ = 0;  // In the queue.
};

}  // namespace internal

// Bytes lent from a loop's pool; the buffer goes back when this dies. Empty at
// the end of a stream. Must not outlive the loop, may outlive the stream.
class ReceivedBytes {
 public:
  ReceivedBytes() = default;
  explicit ReceivedBytes(internal::Chunk* chunk)
      : chunk_(chunk), bytes_(chunk->data, chunk->size) {}
  ReceivedBytes(ReceivedBytes&& other) noexcept
      : chunk_(std::exchange(other.chunk_, nullptr)),
        bytes_(std::exchange(other.bytes_, {})) {}
  ReceivedBytes& operator=(ReceivedBytes&& other) noexcept {
    if (this != &other) {
      Return();
      chunk_ = std::exchange(other.chunk_, nullptr);
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }
  ~ReceivedBytes() { Return(); }

  const char* data() const { return bytes_.data(); }
  // The memory is the holder's alone until it is returned: decoding in place
  // is fine.
  char* mutable_data() { return const_cast<char*>(bytes_.data()); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  std::string_view view() const { return bytes_; }
  operator std::string_view() const { return bytes_; }  // NOLINT

  // Drops what was consumed from the front.
  void RemovePrefix(size_t bytes) { bytes_.remove_prefix(bytes); }

  // Gives the buffer back now; empty afterwards.
  inline void Return();

 private:
  internal::Chunk* chunk_ = nullptr;
  std::string_view bytes_;
};

class BufferPool {
 public:
  // `count` is a power of two, at most 32768; kInvalidArgument otherwise.
  static absl::StatusOr<std::unique_ptr<BufferPool>> Create(
      uint32_t count, uint32_t buffer_bytes, LoopStats* stats);

  // REQUIRES: every buffer is back.
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  uint32_t count() const { return count_; }
  uint32_t buffer_bytes() const { return buffer_bytes_; }
  // Buffers that streams and their users hold.
  uint32_t lent() const { return lent_; }
  // Copies that streams and their users hold.
  uint32_t copies() const { return copies_; }
  // Buffers that the backend may fill.
  uint32_t provided() const { return provided_; }

  // For backends: where buffer `id` begins, and who takes returned buffers.
  char* buffer(uint32_t id) const {
    return memory_ + static_cast<size_t>(id) * buffer_bytes_;
  }
  // `incremental`: the backend says `more` for all pieces of a buffer but the
  // last, in the order in which it has filled them.
  // REQUIRES: not incremental with fewer than kIncrementalMin buffers.
  static constexpr uint32_t kIncrementalMin = 4;
  void Attach(Backend* backend, bool incremental = false);
  void Detach() { backend_ = nullptr; }
  bool incremental() const { return pieces_ != nullptr; }
  // Of an incremental pool: whether buffer `id` is for a datagram.
  bool whole(uint32_t id) const { return pieces_[id].whole; }

  // For streams: takes what a receive completion brought, out of the kernel's
  // buffer `id`; a copy when free buffers are scarce. `more`: as Attach() says.
  internal::Chunk* Take(uint32_t id, uint32_t size, bool more = false);
  // Gives it back; starved streams are told at the end of the turn.
  void Return(internal::Chunk* chunk);
  // For loops, before the backend's turn: how many receives of streams and of
  // datagrams are in flight. The backend gets what it lacks of a buffer for
  // each, and some more, then and as buffers come and go.
  void ProvideFor(uint64_t receives, uint64_t messages) {
    if (receives == receives_ && messages == messages_) return;
    receives_ = receives;
    messages_ = messages;
    ProvideMore();
  }

  // Queues a stream whose receive ran out of buffers. Handlers run from
  // WakeStarved, first come first served, as many as buffers are free.
  void AddStarved(internal::Starved* starved);
  void RemoveStarved(internal::Starved* starved);
  bool starving() const { return starving_ > 0; }
  // True if some still wait although buffers are free: call again next turn.
  bool WakeStarved();

 private:
  BufferPool(uint32_t count, uint32_t buffer_bytes, LoopStats* stats);
  // What became of a buffer that is filled incrementally.
  struct Pieces {
    uint32_t filled = 0;  // Bytes.
    uint32_t lent = 0;    // Pieces that are not back.
    bool full = false;    // The backend is done with it.
    bool whole = false;   // For a datagram.
  };

  void ProvideMore();
  void ProvideOne(bool whole);
  void Provide(uint32_t id);
  internal::Chunk* Copy(const char* data, uint32_t size);
  bool Scarce() const { return count_ - lent_ - 1 < copy_below_; }
  void ProvideIncremental();
  internal::Chunk* TakePiece(uint32_t id, uint32_t size, bool more);
  internal::Chunk* NewPiece();
  void ReturnPiece(internal::Chunk* chunk);
  void Recycle(uint32_t id);
  // Marks memory as the kernel's or ours in ASan builds, where a touch of the
  // kernel's is then reported: ASan does not see what the kernel writes.
  void PoisonBuffer(uint32_t id);
  void UnpoisonBuffer(uint32_t id, uint32_t size);

  uint32_t count_;
  uint32_t buffer_bytes_;
  uint32_t copy_below_;  // Free buffers below which copies are handed out.
  uint32_t lent_ = 0;
  uint32_t copies_ = 0;
  uint64_t receives_ = 0;  // In flight, as last told.
  uint64_t messages_ = 0;
  uint32_t provided_ = 0;
  uint32_t whole_ = 0;      // Of those, for datagrams; when incremental.
  size_t pieces_lent_ = 0;  // When incremental.
  internal::Chunk* free_ = nullptr;  // Neither lent nor provided.
  char* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  std::unique_ptr<internal::Chunk[]> chunks_;
  std::unique_ptr<Pieces[]> pieces_;  // Null: not incremental.
  std::vector<std::unique_ptr<internal::Chunk[]>> piece_blocks_;
  internal::Chunk* free_pieces_ = nullptr;
  LoopStats* stats_;
  Backend* backend_ = nullptr;
  // First come first served; those before `starved_from_` are served, null is
  // removed.
  std::vector<internal::Starved*> starved_;
  size_t starved_from_ = 0;
  size_t starving_ = 0;
};

inline void ReceivedBytes::Return() {
  if (chunk_ == nullptr) return;
  bytes_ = {};
  internal::Chunk* chunk = std::exchange(chunk_, nullptr);
  chunk->pool->Return(chunk);
}

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_BUFFER_POOL_H_
