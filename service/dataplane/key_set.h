// The keys of a request, each once.
#ifndef RINGPLANE_SERVICE_DATAPLANE_KEY_SET_H_
#define RINGPLANE_SERVICE_DATAPLANE_KEY_SET_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

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

  bool Contains(std::string_view key) const { return index_.contains(key); }

  size_t size() const { return keys_.size(); }
  std::string_view operator[](size_t index) const { return keys_[index]; }

 private:
  // Callers choose the keys: the hash is seeded.
  struct Hash {
    size_t operator()(std::string_view key) const {
      return absl::Hash<absl::string_view>()({key.data(), key.size()});
    }
  };

  absl::flat_hash_map<std::string_view, uint32_t, Hash> index_;
  std::vector<std::string_view> keys_;
};

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_KEY_SET_H_
