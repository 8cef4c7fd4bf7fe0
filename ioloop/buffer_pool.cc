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
  RINGPLANE_CHECK(lent_ == 0 && copies_ == 0,
                  "ReceivedBytes outlived their loop");
  if (memory_ == nullptr) return;
  internal::Unpoison(memory_, memory_bytes_);
  munmap(memory_, memory_bytes_);
}

void BufferPool::Attach(Backend* backend) {
  backend_ = backend;
  for (uint32_t id = 0; id < count_; ++id) {
    chunks_[id].pool = this;
    chunks_[id].id = id;
    PoisonBuffer(id);
    backend_->ProvideBuffer(id);
  }
}

internal::Chunk* BufferPool::Take(uint32_t id, uint32_t size) {
  RINGPLANE_CHECK(id < count_ && size <= buffer_bytes_,
                  "the kernel filled a buffer that is not ours");
  UnpoisonBuffer(id, size);
  if (count_ - lent_ - 1 < copy_below_) [[unlikely]] {
    stats_->buffers_copied.Add(1);
    void* memory = ::operator new(sizeof(internal::Chunk) + size);
    auto* copy = new (memory) internal::Chunk;
    copy->pool = this;
    copy->data = static_cast<char*>(memory) + sizeof(internal::Chunk);
    copy->size = size;
    copy->id = internal::Chunk::kCopied;
    memcpy(copy->data, buffer(id), size);
    ++copies_;
    PoisonBuffer(id);
    backend_->ProvideBuffer(id);
    return copy;
  }
  ++lent_;
  internal::Chunk* chunk = &chunks_[id];
  chunk->next = nullptr;
  chunk->data = buffer(id);
  chunk->size = size;
  return chunk;
}

void BufferPool::Return(internal::Chunk* chunk) {
  if (chunk->id == internal::Chunk::kCopied) {
    --copies_;
    ::operator delete(chunk);
    return;
  }
  --lent_;
  PoisonBuffer(chunk->id);
  if (backend_ != nullptr) backend_->ProvideBuffer(chunk->id);
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
