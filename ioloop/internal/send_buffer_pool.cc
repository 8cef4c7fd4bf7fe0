#include "ioloop/internal/send_buffer_pool.h"

#include <string.h>

#include <bit>
#include <new>

#include "ioloop/internal/asan.h"

namespace ioloop::internal {

SendBufferPool::~SendBufferPool() {
  for (Free*& head : free_) {
    while (head != nullptr) {
      Free* next = head->next;
      ::operator delete(head);
      head = next;
    }
  }
}

void SendBufferPool::Reserve(SendBuffer* buffer, size_t bytes) {
  const size_t needed = buffer->size + bytes;
  if (needed <= Capacity(*buffer)) return;
  uint32_t size_class = 0;
  if (needed > kSmallest) {
    size_class =
        static_cast<uint32_t>(std::bit_width((needed - 1) / kSmallest));
  }
  SendBuffer larger;
  larger.size_class = size_class;
  larger.size = buffer->size;
  if (size_class < kKeptClasses && free_[size_class] != nullptr) {
    Free* taken = free_[size_class];
    free_[size_class] = taken->next;
    --kept_[size_class];
    larger.data = reinterpret_cast<char*>(taken);
  } else {
    larger.data = static_cast<char*>(::operator new(ClassBytes(size_class)));
  }
  if (buffer->size > 0) memcpy(larger.data, buffer->data, buffer->size);
  Release(buffer);
  *buffer = larger;
}

void SendBufferPool::Release(SendBuffer* buffer) {
  if (buffer->data == nullptr) return;
  const uint32_t size_class = buffer->size_class;
  if (size_class < kKeptClasses &&
      (kept_[size_class] + 1) * ClassBytes(size_class) <= kKeptBytesPerClass) {
    auto* kept = reinterpret_cast<Free*>(buffer->data);
    kept->next = free_[size_class];
    free_[size_class] = kept;
    ++kept_[size_class];
  } else {
    ::operator delete(buffer->data);
  }
  *buffer = SendBuffer{};
}

void SendBufferPool::LendToKernel(const SendBuffer& buffer) {
  Poison(buffer.data, Capacity(buffer));
}

void SendBufferPool::TakeFromKernel(const SendBuffer& buffer) {
  Unpoison(buffer.data, Capacity(buffer));
}

}  // namespace ioloop::internal
