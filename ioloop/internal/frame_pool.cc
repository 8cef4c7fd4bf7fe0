// Memory of coroutine frames: a free list per thread and size class. Frames of
// one program come in few sizes and die soon, mostly on the thread that made
// them; one freed elsewhere joins that thread's list.
//
// Under ASan every frame comes from and returns to the heap, so that a use
// after the end of a coroutine is seen.
#include <cstddef>
#include <cstdint>
#include <new>

#include "ioloop/task.h"

#if defined(__SANITIZE_ADDRESS__)
#define RINGPLANE_FRAMES_FROM_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGPLANE_FRAMES_FROM_HEAP 1
#endif
#endif

namespace ioloop::internal {

#ifdef RINGPLANE_FRAMES_FROM_HEAP

void* PromiseBase::operator new(std::size_t bytes) {
  return ::operator new(bytes);
}
void PromiseBase::operator delete(void* frame, std::size_t) noexcept {
  ::operator delete(frame);
}

#else

namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 64;      // Frames up to 4 KiB are kept.
constexpr uint32_t kKeptPerClass = 1024;  // At most, per thread.

struct FreeFrame {
  FreeFrame* next;
};

struct FramePool {
  FreeFrame* free[kClasses];
  uint32_t kept[kClasses];
  // Once the thread's destructors ran, frames go straight to the heap.
  bool closed;
};

constinit thread_local FramePool t_pool = {};

// Frees the lists when the thread ends. Apart from the pool, so that the fast
// path needs no check whether the pool is constructed.
struct FramePoolCloser {
  ~FramePoolCloser() {
    t_pool.closed = true;
    for (FreeFrame*& head : t_pool.free) {
      while (head != nullptr) {
        FreeFrame* next = head->next;
        ::operator delete(head);
        head = next;
      }
    }
  }
  void Touch() {}
};
thread_local FramePoolCloser t_closer;

std::size_t ClassOf(std::size_t bytes) { return (bytes - 1) / kClassBytes; }

}  // namespace

void* PromiseBase::operator new(std::size_t bytes) {
  const std::size_t size_class = ClassOf(bytes);
  if (size_class >= kClasses) return ::operator new(bytes);
  FreeFrame*& head = t_pool.free[size_class];
  if (head == nullptr) {
    return ::operator new((size_class + 1) * kClassBytes);
  }
  FreeFrame* frame = head;
  head = frame->next;
  --t_pool.kept[size_class];
  return frame;
}

void PromiseBase::operator delete(void* frame, std::size_t bytes) noexcept {
  const std::size_t size_class = ClassOf(bytes);
  if (size_class >= kClasses || t_pool.closed ||
      t_pool.kept[size_class] >= kKeptPerClass) {
    ::operator delete(frame);
    return;
  }
  // The first frame of a class that a thread keeps registers the clean-up.
  if (t_pool.kept[size_class] == 0) t_closer.Touch();
  auto* kept = static_cast<FreeFrame*>(frame);
  kept->next = t_pool.free[size_class];
  t_pool.free[size_class] = kept;
  ++t_pool.kept[size_class];
}

#endif

}  // namespace ioloop::internal
