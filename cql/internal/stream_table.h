// Which request waits for the answer on which stream id of a connection.
#ifndef RINGPLANE_CQL_INTERNAL_STREAM_TABLE_H_
#define RINGPLANE_CQL_INTERNAL_STREAM_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cql::internal {

class PendingRequest;

// A flat table of stream ids. An id is free, taken by a request, or an orphan:
// its request left before the answer came. An orphan is not free until its
// answer has arrived, so a late answer can never reach another request.
//
// Free ids are used in turn, oldest first, and the table stays at least twice
// as large as what is in use: a server that answers twice is seen (the id is
// free) instead of its answer going to whoever took the id next.
class StreamTable {
 public:
  static constexpr uint32_t kIdsMax = 32768;  // Protocol v4: 0..32767.

  // At most `taken_max` requests at once; orphans come on top.
  explicit StreamTable(uint32_t taken_max);

  // From now on; what is taken stays.
  void set_taken_max(uint32_t taken_max) { taken_max_ = taken_max; }

  // No id is left at all.
  bool exhausted() const {
    return free_count_ == 0 && slots_.size() >= kIdsMax;
  }
  // `taken_max` requests have one, or none is left.
  bool full() const { return taken_ >= taken_max_ || exhausted(); }

  // Gives `request` an id. REQUIRES: !exhausted().
  int16_t Take(PendingRequest* request) {
    if (free_count_ * 2 <= slots_.size()) Grow();
    const uint32_t id = free_head_;
    free_head_ = static_cast<uint32_t>(slots_[id] >> 2);
    if (--free_count_ == 0) free_head_ = kNone;
    slots_[id] = reinterpret_cast<uintptr_t>(request);
    ++taken_;
    return static_cast<int16_t>(id);
  }

  // The request of `id` leaves; its answer is still to come.
  void Orphan(int16_t id) {
    slots_[static_cast<uint16_t>(id)] = kOrphan;
    --taken_;
    ++orphans_;
  }

  // `request` takes over `id` from the one that has it.
  void Replace(int16_t id, PendingRequest* request) {
    slots_[static_cast<uint16_t>(id)] = reinterpret_cast<uintptr_t>(request);
  }

  enum class Found { kRequest, kOrphan, kUnknown };
  // An answer on `id` has come: frees the id and says whose it was.
  Found Answer(int16_t id, PendingRequest** request) {
    if (id < 0 || static_cast<size_t>(id) >= slots_.size()) {
      return Found::kUnknown;
    }
    const uintptr_t slot = slots_[static_cast<uint16_t>(id)];
    if ((slot & kFree) != 0) return Found::kUnknown;
    Free(static_cast<uint32_t>(id));
    if (slot == kOrphan) {
      --orphans_;
      return Found::kOrphan;
    }
    --taken_;
    *request = reinterpret_cast<PendingRequest*>(slot);
    return Found::kRequest;
  }

  // Any one request that waits, or null; for ending all of them: each leaves
  // by Orphan().
  PendingRequest* First();

  uint32_t taken() const { return taken_; }
  uint32_t orphans() const { return orphans_; }

 private:
  static constexpr uintptr_t kFree = 1;    // | next free id << 2
  static constexpr uintptr_t kOrphan = 2;  // A request's address has neither.
  static constexpr uint32_t kNone = UINT32_MAX;

  void Grow();
  void Free(uint32_t id) {
    slots_[id] = kFree;
    if (free_count_++ == 0) {
      free_head_ = id;
    } else {
      slots_[free_tail_] = kFree | (static_cast<uintptr_t>(id) << 2);
    }
    free_tail_ = id;
  }

  uint32_t taken_max_;
  std::vector<uintptr_t> slots_;
  uint32_t free_head_ = kNone;
  uint32_t free_tail_ = kNone;
  uint32_t free_count_ = 0;
  uint32_t taken_ = 0;
  uint32_t orphans_ = 0;
  uint32_t first_hint_ = 0;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_STREAM_TABLE_H_
