#include "cql/internal/stream_table.h"

#include <algorithm>

namespace cql::internal {
namespace {
constexpr size_t kFirstIds = 64;
}  // namespace

StreamTable::StreamTable(uint32_t taken_max)
    : taken_max_(std::min(taken_max, kIdsMax)) {
  slots_.reserve(kFirstIds);
}

void StreamTable::Grow() {
  const size_t old_size = slots_.size();
  if (old_size >= kIdsMax) return;
  const size_t new_size =
      std::min<size_t>(std::max(kFirstIds, old_size * 2), kIdsMax);
  slots_.resize(new_size);
  for (size_t id = old_size; id < new_size; ++id) {
    Free(static_cast<uint32_t>(id));
  }
}

PendingRequest* StreamTable::First() {
  if (taken_ == 0) {
    first_hint_ = 0;
    return nullptr;
  }
  // Called until nothing is taken: going on where the last call stopped keeps
  // the whole sweep linear.
  for (size_t step = 0; step < slots_.size(); ++step) {
    if (first_hint_ >= slots_.size()) first_hint_ = 0;
    const uintptr_t slot = slots_[first_hint_];
    if ((slot & (kFree | kOrphan)) == 0) {
      return reinterpret_cast<PendingRequest*>(slot);
    }
    ++first_hint_;
  }
  return nullptr;
}

}  // namespace cql::internal
