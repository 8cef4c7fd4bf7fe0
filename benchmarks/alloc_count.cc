// Preloaded into a process, counts its allocations in a file that others can
// read while it runs: eight bytes, native order, at the start of the file that
// RINGPLANE_ALLOC_COUNT names.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

std::atomic<uint64_t> uncounted{0};
std::atomic<uint64_t>* counter = &uncounted;

[[gnu::constructor]] void MapCounter() {
  const char* path = std::getenv("RINGPLANE_ALLOC_COUNT");
  if (path == nullptr) return;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || ftruncate(fd, sizeof(uint64_t)) != 0) return;
  void* page = mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) counter = static_cast<std::atomic<uint64_t>*>(page);
}

void Count() { counter->fetch_add(1, std::memory_order_relaxed); }

}  // namespace

// glibc's own entry points, under the names that it exports for this.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
  Count();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  Count();
  return __libc_calloc(count, bytes);
}
void* realloc(void* block, size_t bytes) {
  Count();
  return __libc_realloc(block, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  Count();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  Count();
  *block = __libc_memalign(alignment, bytes);
  return *block == nullptr ? 12 : 0;
}
}
