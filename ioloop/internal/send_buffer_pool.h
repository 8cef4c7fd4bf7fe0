// Memory for queued sends: a free list per loop and size, so that a stream
// holds a buffer only between the first Queue() and the end of the send.
#ifndef RINGPLANE_IOLOOP_INTERNAL_SEND_BUFFER_POOL_H_
#define RINGPLANE_IOLOOP_INTERNAL_SEND_BUFFER_POOL_H_

#include <cstddef>
#include <cstdint>

namespace ioloop::internal {

// A handle of one word: an idle stream has two of them. What there is to know
// of a buffer stands in front of its bytes.
class SendBuffer {
 public:
  bool empty() const { return block_ == nullptr || block_->size == 0; }
  size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  size_t capacity() const { return block_ == nullptr ? 0 : block_->capacity; }
  char* data() const { return reinterpret_cast<char*>(block_ + 1); }
  // REQUIRES: within the capacity.
  void Grow(size_t bytes) {
    if (bytes > 0) block_->size += bytes;
  }

 private:
  friend class SendBufferPool;
  struct Block {
    size_t size;
    size_t capacity;
  };
  Block* block_ = nullptr;
};

class SendBufferPool {
 public:
  SendBufferPool() = default;
  ~SendBufferPool();
  SendBufferPool(const SendBufferPool&) = delete;
  SendBufferPool& operator=(const SendBufferPool&) = delete;

  // Makes room for `bytes` more at the end of `buffer`, moving what it holds
  // to a larger one if it must.
  void Reserve(SendBuffer* buffer, size_t bytes) {
    const size_t needed = buffer->size() + bytes;
    if (needed > buffer->capacity()) Move(buffer, needed);
  }
  // Empties `buffer` and takes its memory back.
  void Release(SendBuffer* buffer);

  // In ASan builds: the kernel reads the buffer now, nobody may touch it.
  static void LendToKernel(const SendBuffer& buffer);
  static void TakeFromKernel(const SendBuffer& buffer);

 private:
  static constexpr size_t kSmallest = 256;
  static constexpr uint32_t kKeptClasses = 13;  // Up to 1 MiB.
  static constexpr size_t kKeptBytesPerClass = 8 << 20;
  // Of memory that holds `bytes` and what stands in front of them.
  static uint32_t ClassOf(size_t bytes);
  static size_t ClassBytes(uint32_t size_class) {
    return kSmallest << size_class;
  }
  void Move(SendBuffer* buffer, size_t capacity);
  struct Free {
    Free* next;
  };
  Free* free_[kKeptClasses] = {};
  uint32_t kept_[kKeptClasses] = {};
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_SEND_BUFFER_POOL_H_
