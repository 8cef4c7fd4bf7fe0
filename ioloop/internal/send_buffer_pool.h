// Memory for queued sends: a free list per loop and size, so that a stream
// holds a buffer only between the first Queue() and the end of the send.
#ifndef RINGPLANE_IOLOOP_INTERNAL_SEND_BUFFER_POOL_H_
#define RINGPLANE_IOLOOP_INTERNAL_SEND_BUFFER_POOL_H_

#include <cstddef>
#include <cstdint>

namespace ioloop::internal {

struct SendBuffer {
  char* data = nullptr;
  size_t size = 0;
  uint32_t size_class = 0;
};

class SendBufferPool {
 public:
  SendBufferPool() = default;
  ~SendBufferPool();
  SendBufferPool(const SendBufferPool&) = delete;
  SendBufferPool& operator=(const SendBufferPool&) = delete;

  static size_t Capacity(const SendBuffer& buffer) {
    return buffer.data == nullptr ? 0 : ClassBytes(buffer.size_class);
  }
  // Makes room for `bytes` more at the end of `buffer`, moving what it holds
  // to a larger one if it must.
  void Reserve(SendBuffer* buffer, size_t bytes);
  // Empties `buffer` and takes its memory back.
  void Release(SendBuffer* buffer);

  // In ASan builds: the kernel reads the buffer now, nobody may touch it.
  static void LendToKernel(const SendBuffer& buffer);
  static void TakeFromKernel(const SendBuffer& buffer);

 private:
  static constexpr size_t kSmallest = 1024;
  static constexpr uint32_t kKeptClasses = 11;  // Up to 1 MiB.
  static constexpr size_t kKeptBytesPerClass = 8 << 20;
  static size_t ClassBytes(uint32_t size_class) {
    return kSmallest << size_class;
  }
  struct Free {
    Free* next;
  };
  Free* free_[kKeptClasses] = {};
  uint32_t kept_[kKeptClasses] = {};
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_SEND_BUFFER_POOL_H_
