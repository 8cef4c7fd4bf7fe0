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

uint32_t SendBufferPool::ClassOf(size_t bytes) {
  const size_t total = bytes + sizeof(SendBuffer::Block);
  if (total <= kSmallest) return 0;
  return static_cast<uint32_t>(std::bit_width((total - 1) / kSmallest));
}

void SendBufferPool::Move(SendBuffer* buffer, size_t capacity) {
  const uint32_t size_class = ClassOf(capacity);
  void* memory;
  if (size_class < kKeptClasses && free_[size_class] != nullptr) {
    Free* taken = free_[size_class];
    free_[size_class] = taken->next;
    --kept_[size_class];
    memory = taken;
  } else {
    memory = ::operator new(ClassBytes(size_class));
  }
  SendBuffer larger;
  larger.block_ = new (memory) SendBuffer::Block{
      buffer->size(), ClassBytes(size_class) - sizeof(SendBuffer::Block)};
  if (!buffer->empty()) memcpy(larger.data(), buffer->data(), buffer->size());
  Release(buffer);
  *buffer = larger;
}

void SendBufferPool::Release(SendBuffer* buffer) {
  SendBuffer::Block* block = buffer->block_;
  if (block == nullptr) return;
  buffer->block_ = nullptr;
  const uint32_t size_class = ClassOf(block->capacity);
  if (size_class < kKeptClasses &&
      (kept_[size_class] + 1) * ClassBytes(size_class) <= kKeptBytesPerClass) {
    auto* kept = new (block) Free{free_[size_class]};
    free_[size_class] = kept;
    ++kept_[size_class];
  } else {
    ::operator delete(block);
  }
}

void SendBufferPool::LendToKernel(const SendBuffer& buffer) {
  Poison(buffer.data(), buffer.capacity());
}

void SendBufferPool::TakeFromKernel(const SendBuffer& buffer) {
  Unpoison(buffer.data(), buffer.capacity());
}

}  // namespace ioloop::internal
