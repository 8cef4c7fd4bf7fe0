// Many lookups for one request: equal keys once, side by side, at most so many
// at a time.
#ifndef RINGPLANE_SERVICE_DATAPLANE_FAN_OUT_H_
#define RINGPLANE_SERVICE_DATAPLANE_FAN_OUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "ioloop/task.h"
#include "service/rpc/service.h"

namespace dataplane {

// The distinct keys of a request in order of appearance. Views: the request
// outlives it.
class KeySet {
 public:
  KeySet() = default;
  // Of a repeated field of strings.
  template <typename Strings>
  explicit KeySet(const Strings& keys) {
    Reserve(static_cast<size_t>(keys.size()));
    for (const auto& key : keys) Add(key);
  }

  void Reserve(size_t count) {
    index_.reserve(count);
    keys_.reserve(count);
  }

  // The index of `key`, which is new or not.
  uint32_t Add(std::string_view key) {
    auto [place, added] =
        index_.try_emplace(key, static_cast<uint32_t>(keys_.size()));
    if (added) keys_.push_back(key);
    return place->second;
  }

  // REQUIRES: `key` was added.
  uint32_t IndexOf(std::string_view key) const {
    return index_.find(key)->second;
  }

  size_t size() const { return keys_.size(); }
  std::string_view operator[](size_t index) const { return keys_[index]; }

 private:
  absl::flat_hash_map<std::string_view, uint32_t> index_;
  std::vector<std::string_view> keys_;
};

namespace internal {

struct FanOutState {
  rpc::CallContext* call;
  size_t next = 0;
  size_t count;
  absl::Status status;
};

template <typename Function>
ioloop::Task<void> FanOutWorker(FanOutState* state, Function* function) {
  while (state->next < state->count && state->status.ok()) {
    if (state->call->cancelled) {
      state->status = absl::CancelledError("the caller went away");
      break;
    }
    const size_t index = state->next++;
    absl::Status status = co_await (*function)(index);
    if (!status.ok()) state->status.Update(status);
  }
}

}  // namespace internal

// Awaits function(0) .. function(count - 1), each a Task<absl::Status>, at
// most `in_flight_max` at a time. After the first error no more are started;
// it is the result once those in flight have ended. `function` stays alive in
// the caller; its captures too.
template <typename Function>
ioloop::Task<absl::Status> FanOut(rpc::CallContext* call, size_t count,
                                  size_t in_flight_max, Function* function) {
  if (count == 0) co_return absl::OkStatus();
  if (count == 1) {
    absl::Status status = co_await (*function)(size_t{0});
    co_return status;
  }
  internal::FanOutState state{call, 0, count, absl::OkStatus()};
  ioloop::TaskGroup workers;
  const size_t worker_count =
      std::min(count, std::max<size_t>(1, in_flight_max));
  for (size_t i = 0; i < worker_count; ++i) {
    workers.Spawn(internal::FanOutWorker(&state, function));
  }
  co_await workers.Join();
  co_return state.status;
}

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_FAN_OUT_H_
