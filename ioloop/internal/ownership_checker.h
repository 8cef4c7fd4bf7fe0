// Whose memory is it: in ASan builds every backend of the real kernel has this
// in front, because ASan sees neither what the kernel reads nor what it writes.
#ifndef RINGPLANE_IOLOOP_INTERNAL_OWNERSHIP_CHECKER_H_
#define RINGPLANE_IOLOOP_INTERNAL_OWNERSHIP_CHECKER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ioloop/internal/forwarding_backend.h"

namespace ioloop::internal {

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

  std::unordered_map<Operation*, std::vector<Lent>> lent_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_OWNERSHIP_CHECKER_H_
