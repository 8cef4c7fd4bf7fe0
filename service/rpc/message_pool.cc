#include "service/rpc/message_pool.h"

#include <algorithm>
#include <utility>

namespace rpc {

MessagePool::Pair MessagePool::Take(const Router::Method& method,
                                    size_t index) {
  std::vector<Pair>& free = free_[index];
  Pair pair;
  if (free.empty()) {
    pair.request.reset(method.request_prototype->New());
    pair.response.reset(method.response_prototype->New());
    return pair;
  }
  pair = std::move(free.back());
  free.pop_back();
  kept_bytes_ -= pair.largest_bytes;
  return pair;
}

void MessagePool::Return(Pair pair, size_t index, size_t bytes) {
  pair.largest_bytes = std::max(pair.largest_bytes, bytes);
  std::vector<Pair>& free = free_[index];
  if (pair.largest_bytes > options_.message_bytes_max ||
      free.size() >= options_.pairs_per_method_max ||
      kept_bytes_ + pair.largest_bytes > options_.total_bytes_max) {
    return;
  }
  // Cleared now, while its memory is warm, and not kept longer than needed.
  pair.request->Clear();
  pair.response->Clear();
  kept_bytes_ += pair.largest_bytes;
  free.push_back(std::move(pair));
}

size_t MessagePool::kept() const {
  size_t total = 0;
  for (const std::vector<Pair>& free : free_) total += free.size();
  return total;
}

}  // namespace rpc
