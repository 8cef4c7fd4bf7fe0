// Whose memory is it: in ASan builds every backend of the real kernel has this
// in front, because ASan sees neither what the kernel reads nor what it writes.
#ifndef RINGPLANE_IOLOOP_INTERNAL_OWNERSHIP_CHECKER_H_
#define RINGPLANE_IOLOOP_INTERNAL_OWNERSHIP_CHECKER_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ioloop/check.h"
#include "ioloop/internal/forwarding_backend.h"

namespace ioloop::internal {

// Not operator new's memory: who counts a program's allocations does not count
// the checker's.
template <typename T>
struct UncountedAllocator {
  using value_type = T;
  UncountedAllocator() = default;
  template <typename U>
  UncountedAllocator(const UncountedAllocator<U>&) {}  // NOLINT
  T* allocate(size_t count) {
    void* memory = malloc(count * sizeof(T));
    RINGPLANE_CHECK(memory != nullptr, "no memory to check ownership");
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { free(memory); }
  bool operator==(const UncountedAllocator&) const { return true; }
};

// Ends the process, with the stack of whoever broke the rule where it can, when
// memory that a request points at
//   - is no longer ours when the request is made;
//   - is freed before the final completion;
//   - is written meanwhile, where the kernel reads it (found at the final
//     completion), or touched at all, where the kernel writes it (ASan's
//     "use-after-poison").
// Receive buffers are BufferPool's to check.
class OwnershipChecker final : public ForwardingBackend {
 public:
  explicit OwnershipChecker(std::unique_ptr<Backend> inner);
  ~OwnershipChecker() override;

  void Submit(Operation* op, const Request& request) override;
  absl::Status Turn(const Wait& wait, std::vector<Harvested>* batch) override;

 private:
  struct Lent {
    const void* data;
    size_t size;
    bool written;       // By the kernel: nobody else may touch it.
    uint64_t hash = 0;  // Of what the kernel reads.
  };

  void Lend(Operation* op, const void* data, size_t size, bool written);
  void TakeBack(Operation* op);

  // An operation lends several.
  std::unordered_multimap<Operation*, Lent, std::hash<Operation*>,
                          std::equal_to<Operation*>,
                          UncountedAllocator<std::pair<Operation* const, Lent>>>
      lent_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_OWNERSHIP_CHECKER_H_
