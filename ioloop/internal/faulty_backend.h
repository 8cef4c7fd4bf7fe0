// A bad kernel in front of any backend, for tests.
#ifndef RINGPLANE_IOLOOP_INTERNAL_FAULTY_BACKEND_H_
#define RINGPLANE_IOLOOP_INTERNAL_FAULTY_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ioloop/buffer_pool.h"
#include "ioloop/internal/forwarding_backend.h"
#include "ioloop/internal/random.h"

namespace ioloop::internal {

// Does to operations what a kernel may do any day but seldom does:
//   - sends and file accesses move less than they could;
//   - receives, accepts, sends and file accesses end before they began, or are
//     cut off while they wait: -EINTR, -EAGAIN, -ECANCELED, -ENOBUFS;
//   - completions come some turns late, those of different operations in
//     another order; those of one operation keep theirs, and all do where
//     they share incremental buffers;
//   - cancellations take effect some turns late.
// A seed decides how often each happens; some kinds are absent. Everything is
// bounded: no completion and no cancellation is late by more than kTurnsLateMax
// turns that do not wait. Reads from a file's position, polls and connects get
// their own results: the kernel would not end them for nothing.
class FaultyBackend final : public ForwardingBackend {
 public:
  static constexpr uint32_t kTurnsLateMax = 3;

  // `pool` is the one the inner backend fills, and outlives this.
  FaultyBackend(uint64_t seed, const BufferPool* pool,
                std::unique_ptr<Backend> inner);

  void Submit(Operation* op, const Request& request) override;
  void Cancel(Operation* op) override;
  absl::Status Turn(const Wait& wait, std::vector<Harvested>* batch) override;
  bool HasWork() const override {
    return MustNotSleep() || ForwardingBackend::HasWork();
  }

 private:
  // An operation whose final completion has not been handed out.
  struct Flight {
    FileSpan span;         // The one it was shortened to.
    int32_t cut_with = 0;  // We have cancelled it, to end with this.
    uint32_t held = 0;     // Of its completions.
    bool asked_to_end = false;
    bool ended = false;  // For the inner backend.
    // A send cut short that does not wait: its completion ends a sleep, which
    // the inner backend, for whom it is whole, does not know.
    bool short_send = false;
  };
  struct Held {
    Harvested harvested;
    uint32_t turns;
  };
  struct LateCancel {
    Operation* op;
    uint32_t turns;
  };

  bool Strikes(uint64_t one_in) {
    return one_in != 0 && random_.Below(one_in) == 0;
  }
  // What is late needs turns.
  bool MustNotSleep() const {
    return !held_.empty() || !late_cancels_.empty() || short_sends_ > 0;
  }
  int32_t SpuriousEnd(OpKind kind);
  void Shorten(Flight* flight, Request* request);
  void Take(const Harvested& harvested, std::vector<Harvested>* batch);
  void HandOut(const Harvested& harvested, std::vector<Harvested>* batch);
  void ReleaseHeld(std::vector<Harvested>* batch);
  void CancelLate();

  const BufferPool* const pool_;
  Random random_;
  // One in so many; 0: never.
  const uint64_t shorts_;
  const uint64_t early_ends_;
  const uint64_t cuts_;
  const uint64_t delays_;
  const uint64_t late_;
  std::unordered_map<Operation*, Flight> flights_;
  size_t short_sends_ = 0;  // In the inner backend's hands.
  std::vector<Held> held_;  // In the order of their coming.
  std::vector<LateCancel> late_cancels_;
  std::vector<Harvested> harvest_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_FAULTY_BACKEND_H_
