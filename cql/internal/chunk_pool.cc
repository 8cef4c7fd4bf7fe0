#include "cql/internal/chunk_pool.h"

#include <new>

#ifdef RINGPLANE_CQL_POISON
#include <sanitizer/asan_interface.h>
#endif

namespace cql::internal {

#ifdef RINGPLANE_CQL_POISON
void ChunkPool::Poison(Chunk::Header* header) {
  ASAN_POISON_MEMORY_REGION(header + 1, header->capacity);
}
void ChunkPool::Unpoison(Chunk::Header* header) {
  ASAN_UNPOISON_MEMORY_REGION(header + 1, header->capacity);
}
#endif

Chunk ChunkPool::Allocate(size_t size_class, size_t bytes) {
  const size_t capacity =
      size_class < kClasses ? kClassBytes[size_class] : bytes;
  auto* header = static_cast<Chunk::Header*>(
      ::operator new(sizeof(Chunk::Header) + capacity));
  header->pool = this;
  header->capacity_class = size_class;
  header->capacity = capacity;
  header->owners = 1;
  ++lent_;
  return Chunk(header);
}

void ChunkPool::Free(Chunk::Header* header) {
  ::operator delete(header);
  if (released_ && lent_ == 0) delete this;
}

void ChunkPool::Release() {
  released_ = true;
  if (lent_ == 0) delete this;
}

ChunkPool::~ChunkPool() {
  for (Chunk::Header* header : free_) {
    while (header != nullptr) {
      Chunk::Header* next = header->next;
      Unpoison(header);
      ::operator delete(header);
      header = next;
    }
  }
}

}  // namespace cql::internal
