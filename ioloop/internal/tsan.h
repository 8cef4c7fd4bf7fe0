// liburing maps and unmaps rings by bare system calls, which ThreadSanitizer
// does not see: a ring at the address of another thread's former ring looks
// like a race. The kernel does order the two; this says so in TSan builds.
#ifndef RINGPLANE_IOLOOP_INTERNAL_TSAN_H_
#define RINGPLANE_IOLOOP_INTERNAL_TSAN_H_

#if defined(__SANITIZE_THREAD__)
#define RINGPLANE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RINGPLANE_TSAN 1
#endif
#endif

#ifdef RINGPLANE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace ioloop::internal {

#ifdef RINGPLANE_TSAN
inline char tsan_ring_memory;
#endif

// Before a ring is unmapped.
inline void ReleaseRingMemory() {
#ifdef RINGPLANE_TSAN
  __tsan_release(&tsan_ring_memory);
#endif
}

// After a ring was mapped.
inline void AcquireRingMemory() {
#ifdef RINGPLANE_TSAN
  __tsan_acquire(&tsan_ring_memory);
#endif
}

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_TSAN_H_
