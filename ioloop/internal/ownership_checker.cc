#include "ioloop/internal/ownership_checker.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "ioloop/check.h"
#include "ioloop/internal/asan.h"
#include "ioloop/internal/sim_memory.h"

#ifdef RINGPLANE_ASAN

// Of sanitizer/allocator_interface.h, which g++ does not ship.
extern "C" {
int __sanitizer_install_malloc_and_free_hooks(
    void (*malloc_hook)(const volatile void*, size_t),
    void (*free_hook)(const volatile void*));
size_t __sanitizer_get_allocated_size(const volatile void* memory);
void __sanitizer_print_stack_trace();
}

namespace ioloop::internal {
namespace {

// Longer memory is hashed this far.
constexpr size_t kHashedMax = 64 << 10;

// Memory in the kernel's hands, of all loops: the heap asks at every free.
class Registry {
 public:
  static Registry& Get() {
    static auto* registry = new Registry;
    return *registry;
  }
  void Add(const void* data, size_t size) {
    const Inside inside;
    std::lock_guard lock(mutex_);
    ranges_.emplace(reinterpret_cast<uintptr_t>(data), size);
    ++count_;
  }
  void Remove(const void* data, size_t size) {
    const Inside inside;
    std::lock_guard lock(mutex_);
    auto [from, to] = ranges_.equal_range(reinterpret_cast<uintptr_t>(data));
    while (from != to && from->second != size) ++from;
    RINGPLANE_CHECK(from != to, "memory came back that was not lent");
    ranges_.erase(from);
    --count_;
  }

 private:
  // What the registry itself frees is none of its business.
  struct Inside {
    Inside() { inside = true; }
    ~Inside() { inside = false; }
    static inline thread_local bool inside = false;
  };

  Registry() { __sanitizer_install_malloc_and_free_hooks(&OnMalloc, &OnFree); }
  static void OnMalloc(const volatile void*, size_t) {}
  static void OnFree(const volatile void* block) {
    Registry& registry = Get();
    if (block == nullptr || Inside::inside || registry.count_ == 0) return;
    const size_t size = __sanitizer_get_allocated_size(block);
    const auto begin = reinterpret_cast<uintptr_t>(block);
    bool lent;
    {
      const Inside inside;
      std::lock_guard lock(registry.mutex_);
      const auto next = registry.ranges_.lower_bound(begin);
      lent = next != registry.ranges_.end() && next->first < begin + size;
    }
    if (!lent) return;
    __sanitizer_print_stack_trace();
    RINGPLANE_CHECK(!lent, "memory in the kernel's hands was freed");
  }

  std::mutex mutex_;
  std::atomic<size_t> count_{0};
  std::multimap<uintptr_t, size_t, std::less<>,
                UncountedAllocator<std::pair<const uintptr_t, size_t>>>
      ranges_;
};

bool IsPoisoned(const void* data, size_t size) {
  return __asan_region_is_poisoned(const_cast<void*>(data), size) != nullptr;
}

uint64_t HashOf(const void* data, size_t size) {
  return HashOfUser(data, std::min(size, kHashedMax));
}

}  // namespace

OwnershipChecker::OwnershipChecker(std::unique_ptr<Backend> inner)
    : ForwardingBackend(std::move(inner)) {}

OwnershipChecker::~OwnershipChecker() {
  while (!lent_.empty()) TakeBack(lent_.begin()->first);
}

void OwnershipChecker::Submit(Operation* op, const Request& request) {
  const auto read = [&](const void* data, size_t size) {
    Lend(op, data, size, /*written=*/false);
  };
  const auto write = [&](const void* data, size_t size) {
    Lend(op, data, size, /*written=*/true);
  };
  switch (request.kind) {
    case OpKind::kSend:
    case OpKind::kConnect:
      read(request.address, request.length);
      break;
    case OpKind::kRead:
      write(request.address, request.length);
      break;
    case OpKind::kReadAt:
    case OpKind::kWriteAt: {
      const auto* span = static_cast<const FileSpan*>(request.address);
      read(span, sizeof(*span));
      Lend(op, span->data, span->length, request.kind == OpKind::kReadAt);
      break;
    }
    case OpKind::kReceiveMessage:
      read(request.address, sizeof(msghdr));
      break;
    case OpKind::kSendMessage: {
      const auto* message = static_cast<const msghdr*>(request.address);
      read(message, sizeof(*message));
      read(message->msg_name, message->msg_namelen);
      read(message->msg_iov, message->msg_iovlen * sizeof(iovec));
      read(message->msg_control, message->msg_controllen);
      for (size_t i = 0; i < message->msg_iovlen; ++i) {
        read(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
      }
      break;
    }
    case OpKind::kNop:
    case OpKind::kAccept:
    case OpKind::kReceive:
    case OpKind::kPoll:
    case OpKind::kSync:
      break;
  }
  ForwardingBackend::Submit(op, request);
}

absl::Status OwnershipChecker::Turn(const Wait& wait,
                                    std::vector<Harvested>* batch) {
  const size_t before = batch->size();
  absl::Status status = ForwardingBackend::Turn(wait, batch);
  for (size_t i = before; i < batch->size(); ++i) {
    const Harvested& harvested = (*batch)[i];
    if ((harvested.completion.flags & kCompletionMore) == 0) {
      TakeBack(harvested.op);
    }
  }
  return status;
}

void OwnershipChecker::Lend(Operation* op, const void* data, size_t size,
                            bool written) {
  if (data == nullptr || size == 0) return;
  if (IsPoisoned(data, size)) {
    __sanitizer_print_stack_trace();
    RINGPLANE_CHECK(false, "a request points at memory that is not its own");
  }
  Lent lent = {data, size, written};
  if (written) {
    Poison(data, size);
  } else {
    lent.hash = HashOf(data, size);
  }
  Registry::Get().Add(data, size);
  lent_.emplace(op, lent);
}

void OwnershipChecker::TakeBack(Operation* op) {
  const auto [from, to] = lent_.equal_range(op);
  for (auto next = from; next != to; ++next) {
    const Lent& lent = next->second;
    Registry::Get().Remove(lent.data, lent.size);
    if (lent.written) {
      Unpoison(lent.data, lent.size);
    } else {
      RINGPLANE_CHECK(HashOf(lent.data, lent.size) == lent.hash,
                      "memory in the kernel's hands was written");
    }
  }
  lent_.erase(from, to);
}

}  // namespace ioloop::internal

#endif
