#include "ioloop/buffer_pool.h"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

#include "absl/strings/str_cat.h"
#include "ioloop/backend.h"
#include "ioloop/internal/asan.h"
#include "ioloop/stats.h"

namespace ioloop {
namespace {

// The backend's buffers beyond one for each receive, for those that bring more
// than fits one.
constexpr uint64_t kSpareBuffers = 64;

// Of buffers that receives share, few are enough.
constexpr uint64_t kReceivesPerBuffer = 16;
constexpr uint64_t kSpareIncremental = 16;

constexpr size_t kPiecesPerBlock = 128;

}  // namespace

absl::StatusOr<std::unique_ptr<BufferPool>> BufferPool::Create(
    uint32_t count, uint32_t buffer_bytes, LoopStats* stats) {
  if (!std::has_single_bit(count) || count > 32768) {
    return absl::InvalidArgumentError(absl::StrCat(
        "buffer_count must be a power of two of 1 to 32768, not ", count));
  }
  if (buffer_bytes == 0 || buffer_bytes > (1u << 30)) {
    return absl::InvalidArgumentError(
        absl::StrCat("buffer_bytes must be 1 to 2^30, not ", buffer_bytes));
  }
  std::unique_ptr<BufferPool> pool(new BufferPool(count, buffer_bytes, stats));
  pool->memory_bytes_ = size_t{count} * buffer_bytes;
  // Pages that never receive anything are never touched and cost nothing.
  void* memory = mmap(nullptr, pool->memory_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", count,
                                                     " receive buffers of ",
                                                     buffer_bytes, " bytes"));
  }
  pool->memory_ = static_cast<char*>(memory);
  return pool;
}

BufferPool::BufferPool(uint32_t count, uint32_t buffer_bytes, LoopStats* stats)
    : count_(count),
      buffer_bytes_(buffer_bytes),
      copy_below_(std::max(1u, count / 4)),
      chunks_(std::make_unique<internal::Chunk[]>(count)),
      stats_(stats) {}

BufferPool::~BufferPool() {
  RINGPLANE_CHECK(lent_ == 0 && pieces_lent_ == 0 && copies_ == 0,
                  "ReceivedBytes outlived their loop");
  if (memory_ == nullptr) return;
  internal::Unpoison(memory_, memory_bytes_);
  munmap(memory_, memory_bytes_);
}

void BufferPool::Attach(Backend* backend, bool incremental) {
  backend_ = backend;
  if (incremental) pieces_ = std::make_unique<Pieces[]>(count_);
  for (uint32_t id = count_; id-- > 0;) {
    chunks_[id].pool = this;
    chunks_[id].id = id;
    chunks_[id].next = free_;
    free_ = &chunks_[id];
    PoisonBuffer(id);
  }
  ProvideMore();
}

void BufferPool::ProvideMore() {
  if (incremental()) [[unlikely]] {
    ProvideIncremental();
    return;
  }
  const uint64_t wanted = receives_ + messages_ + kSpareBuffers;
  while (provided_ < wanted && free_ != nullptr) ProvideOne(/*whole=*/false);
}

// REQUIRES: free_ != nullptr.
void BufferPool::ProvideOne(bool whole) {
  internal::Chunk* chunk = free_;
  free_ = chunk->next;
  if (incremental()) {
    pieces_[chunk->id] = {.whole = whole};
    if (whole) ++whole_;
  }
  Provide(chunk->id);
}

void BufferPool::Provide(uint32_t id) {
  ++provided_;
  backend_->ProvideBuffer(id);
}

internal::Chunk* BufferPool::Take(uint32_t id, uint32_t size, bool more) {
  RINGPLANE_CHECK(id < count_ && size <= buffer_bytes_,
                  "the kernel filled a buffer that is not ours");
  if (incremental()) [[unlikely]] {
    return TakePiece(id, size, more);
  }
  --provided_;
  UnpoisonBuffer(id, size);
  if (Scarce()) [[unlikely]] {
    internal::Chunk* copy = Copy(buffer(id), size);
    PoisonBuffer(id);
    Provide(id);
    return copy;
  }
  ++lent_;
  internal::Chunk* chunk = &chunks_[id];
  chunk->next = nullptr;
  chunk->data = buffer(id);
  chunk->size = size;
  ProvideMore();
  return chunk;
}

internal::Chunk* BufferPool::Copy(const char* data, uint32_t size) {
  stats_->buffers_copied.Add(1);
  void* memory = ::operator new(sizeof(internal::Chunk) + size);
  auto* copy = new (memory) internal::Chunk;
  copy->pool = this;
  copy->data = static_cast<char*>(memory) + sizeof(internal::Chunk);
  copy->size = size;
  copy->id = internal::Chunk::kCopied;
  memcpy(copy->data, data, size);
  ++copies_;
  return copy;
}

void BufferPool::Return(internal::Chunk* chunk) {
  if (chunk->id == internal::Chunk::kCopied) {
    --copies_;
    ::operator delete(chunk);
    return;
  }
  if (incremental()) [[unlikely]] {
    ReturnPiece(chunk);
    return;
  }
  --lent_;
  Recycle(chunk->id);
}

void BufferPool::Recycle(uint32_t id) {
  PoisonBuffer(id);
  chunks_[id].next = free_;
  free_ = &chunks_[id];
  if (backend_ != nullptr) ProvideMore();
}

// A quarter of the buffers is not given to streams: datagrams need some, and
// what was provided is not had back before it is full.
void BufferPool::ProvideIncremental() {
  const uint64_t shared = std::min<uint64_t>(
      receives_ / kReceivesPerBuffer + kSpareIncremental, count_ - count_ / 4);
  while (provided_ - whole_ < shared && free_ != nullptr) {
    ProvideOne(/*whole=*/false);
  }
  if (messages_ == 0) return;
  while (whole_ < messages_ + kSpareBuffers && free_ != nullptr) {
    ProvideOne(/*whole=*/true);
  }
}

// A buffer counts as lent when the backend is done with it and pieces are out.
internal::Chunk* BufferPool::TakePiece(uint32_t id, uint32_t size, bool more) {
  Pieces& pieces = pieces_[id];
  // A receive that brought nothing has left the buffer as it was, whatever some
  // kernels say; a datagram's is its own.
  const bool full = pieces.whole || (!more && size > 0);
  char* const data = buffer(id) + pieces.filled;
  RINGPLANE_CHECK(!pieces.full && size <= buffer_bytes_ - pieces.filled,
                  "the kernel filled a buffer past its end");
  pieces.filled += size;
  internal::Unpoison(data, size);
  internal::Chunk* chunk;
  if (Scarce()) [[unlikely]] {
    chunk = Copy(data, size);
    internal::Poison(data, size);
  } else {
    chunk = NewPiece();
    chunk->next = nullptr;
    chunk->data = data;
    chunk->size = size;
    chunk->id = id;
    ++pieces.lent;
    ++pieces_lent_;
  }
  if (full) {
    pieces.full = true;
    --provided_;
    if (pieces.whole) --whole_;
    if (pieces.lent > 0) {
      ++lent_;
      ProvideMore();
    } else {
      Recycle(id);
    }
  }
  return chunk;
}

internal::Chunk* BufferPool::NewPiece() {
  if (free_pieces_ == nullptr) {
    piece_blocks_.push_back(
        std::make_unique<internal::Chunk[]>(kPiecesPerBlock));
    for (size_t i = 0; i < kPiecesPerBlock; ++i) {
      internal::Chunk* chunk = &piece_blocks_.back()[i];
      chunk->pool = this;
      chunk->next = free_pieces_;
      free_pieces_ = chunk;
    }
  }
  return std::exchange(free_pieces_, free_pieces_->next);
}

void BufferPool::ReturnPiece(internal::Chunk* chunk) {
  Pieces& pieces = pieces_[chunk->id];
  internal::Poison(chunk->data, chunk->size);
  chunk->next = free_pieces_;
  free_pieces_ = chunk;
  --pieces_lent_;
  if (--pieces.lent > 0 || !pieces.full) return;
  --lent_;
  Recycle(chunk->id);
}

void BufferPool::AddStarved(internal::Starved* starved) {
  if (starved->queued_) return;
  starved->queued_ = true;
  starved->place_ = static_cast<uint32_t>(starved_.size());
  starved_.push_back(starved);
  ++starving_;
}

void BufferPool::RemoveStarved(internal::Starved* starved) {
  if (!starved->queued_) return;
  starved->queued_ = false;
  starved_[starved->place_] = nullptr;
  --starving_;
}

bool BufferPool::WakeStarved() {
  const uint32_t free = count_ - lent_;
  for (uint32_t i = 0; i < free && starved_from_ < starved_.size();) {
    internal::Starved* starved = starved_[starved_from_++];
    if (starved == nullptr) continue;
    starved->queued_ = false;
    --starving_;
    starved->handler_(starved);
    ++i;
  }
  if (starving_ == 0) {
    starved_.clear();
    starved_from_ = 0;
  } else if (starved_from_ > starved_.size() / 2) {
    // A queue that is never quite empty must not grow for ever.
    starved_.erase(starved_.begin(),
                   starved_.begin() + static_cast<ptrdiff_t>(starved_from_));
    starved_from_ = 0;
    for (size_t i = 0; i < starved_.size(); ++i) {
      if (starved_[i]) starved_[i]->place_ = static_cast<uint32_t>(i);
    }
  }
  return free > 0 && starving_ > 0;
}

void BufferPool::PoisonBuffer(uint32_t id) {
  internal::Poison(buffer(id), buffer_bytes_);
}

void BufferPool::UnpoisonBuffer(uint32_t id, uint32_t size) {
  internal::Unpoison(buffer(id), size);
}

}  // namespace ioloop
