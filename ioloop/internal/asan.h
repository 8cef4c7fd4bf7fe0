// Memory in the kernel's hands is poisoned in ASan builds, which see our touches
// but not what the kernel reads and writes. See ownership_checker.h.
#ifndef RINGPLANE_IOLOOP_INTERNAL_ASAN_H_
#define RINGPLANE_IOLOOP_INTERNAL_ASAN_H_

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define RINGPLANE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGPLANE_ASAN 1
#endif
#endif

#ifdef RINGPLANE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace ioloop::internal {

inline void Poison(const void* memory, size_t bytes) {
#ifdef RINGPLANE_ASAN
  __asan_poison_memory_region(memory, bytes);
#else
  static_cast<void>(memory), static_cast<void>(bytes);
#endif
}

inline void Unpoison(const void* memory, size_t bytes) {
#ifdef RINGPLANE_ASAN
  __asan_unpoison_memory_region(memory, bytes);
#else
  static_cast<void>(memory), static_cast<void>(bytes);
#endif
}

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_ASAN_H_
