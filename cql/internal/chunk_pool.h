// Recycled memory for request bodies and result frames. A result is copied
// here out of the loop's receive buffers, so that a caller who keeps rows for
// a while never starves other connections of buffers.
#ifndef RINGPLANE_CQL_INTERNAL_CHUNK_POOL_H_
#define RINGPLANE_CQL_INTERNAL_CHUNK_POOL_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace cql::internal {

class ChunkPool;

// Owns a piece of memory, alone or together with those it was shared with; the
// last owner gives it back when it dies. Move-only. Empty after construction
// and after being moved from.
class Chunk {
 public:
  Chunk() = default;
  Chunk(Chunk&& other) noexcept
      : header_(std::exchange(other.header_, nullptr)) {}
  Chunk& operator=(Chunk&& other) noexcept {
    if (this != &other) {
      Reset();
      header_ = std::exchange(other.header_, nullptr);
    }
    return *this;
  }
  ~Chunk() { Reset(); }

  // Another owner of the same memory, which none of them may change any more.
  Chunk Share() const {
    if (header_ != nullptr) ++header_->owners;
    return Chunk(header_);
  }

  explicit operator bool() const { return header_ != nullptr; }
  char* data() const { return reinterpret_cast<char*>(header_ + 1); }
  size_t capacity() const { return header_ ? header_->capacity : 0; }
  inline void Reset();

 private:
  friend class ChunkPool;
  struct alignas(16) Header {
    ChunkPool* pool;
    union {
      Header* next;  // While it lies in a free list.
      size_t capacity_class;
    };
    size_t capacity;
    uint32_t owners;
  };
  explicit Chunk(Header* header) : header_(header) {}

  Header* header_ = nullptr;
};

// Free lists of five sizes. Larger chunks come from the heap and go back to
// it, as do those past `retained_bytes_max`.
//
// Chunks may outlive their owner's interest: Release() lets the pool live
// until the last of them is back. Thread-safety: none.
class ChunkPool {
 public:
  static ChunkPool* Create(size_t retained_bytes_max) {
    return new ChunkPool(retained_bytes_max);
  }
  // The owner's last call.
  void Release();

  // At least `bytes` of uninitialized memory.
  Chunk Take(size_t bytes) {
    const size_t size_class = ClassOf(bytes);
    if (size_class < kClasses && free_[size_class] != nullptr) {
      Chunk::Header* header = free_[size_class];
      free_[size_class] = header->next;
      retained_bytes_ -= kClassBytes[size_class];
      header->capacity_class = size_class;
      header->owners = 1;
      ++lent_;
      Unpoison(header);
      return Chunk(header);
    }
    return Allocate(size_class, bytes);
  }

  // Chunks that are with someone now.
  size_t lent() const { return lent_; }
  size_t retained_bytes() const { return retained_bytes_; }

  static constexpr size_t kClasses = 5;
  static constexpr std::array<size_t, kClasses> kClassBytes = {256, 1024, 4096,
                                                               16384, 65536};

 private:
  friend class Chunk;
  explicit ChunkPool(size_t retained_bytes_max)
      : retained_bytes_max_(retained_bytes_max) {}
  ~ChunkPool();

  static size_t ClassOf(size_t bytes) {
    // Each class is four times the one before.
    if (bytes <= kClassBytes[0]) return 0;
    if (bytes > kClassBytes[kClasses - 1]) return kClasses;
    return (static_cast<size_t>(std::bit_width(bytes - 1)) - 7) / 2;
  }
  Chunk Allocate(size_t size_class, size_t bytes);
  void Return(Chunk::Header* header) {
    const size_t size_class = header->capacity_class;
    --lent_;
    if (size_class < kClasses && !released_ &&
        retained_bytes_ + kClassBytes[size_class] <= retained_bytes_max_) {
      Poison(header);
      header->next = free_[size_class];
      free_[size_class] = header;
      retained_bytes_ += kClassBytes[size_class];
      return;
    }
    Free(header);
  }
  void Free(Chunk::Header* header);
  // Under AddressSanitizer, a view into rows that are gone is reported.
  static void Poison(Chunk::Header* header);
  static void Unpoison(Chunk::Header* header);

  std::array<Chunk::Header*, kClasses> free_ = {};
  size_t retained_bytes_ = 0;
  const size_t retained_bytes_max_;
  size_t lent_ = 0;
  bool released_ = false;
};

inline void Chunk::Reset() {
  if (header_ == nullptr) return;
  Header* header = std::exchange(header_, nullptr);
  if (--header->owners == 0) header->pool->Return(header);
}

#if defined(__SANITIZE_ADDRESS__)
#define RINGPLANE_CQL_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGPLANE_CQL_POISON 1
#endif
#endif

#ifndef RINGPLANE_CQL_POISON
inline void ChunkPool::Poison(Chunk::Header*) {}
inline void ChunkPool::Unpoison(Chunk::Header*) {}
#endif

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_CHUNK_POOL_H_
