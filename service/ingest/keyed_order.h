// Lets work run side by side unless it touches the same thing: of two pieces
// that name a common key, and not both as shared, the one that entered first
// finishes first.
//
// Thread-safety: none.
#ifndef RINGPLANE_SERVICE_INGEST_KEYED_ORDER_H_
#define RINGPLANE_SERVICE_INGEST_KEYED_ORDER_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace ingest {

// What a piece of work touches. Keys are hashes: two things with one hash only
// wait for each other more than they need to.
class KeySet {
 public:
  void clear() { keys_.clear(); }
  // Work that names `name` as shared runs beside other such work.
  void AddShared(std::string_view name) { Add(name, false); }
  void AddExclusive(std::string_view name) { Add(name, true); }
  size_t size() const { return keys_.size(); }

 private:
  friend class KeyedOrder;
  struct Key {
    uint64_t hash;
    bool exclusive;
  };
  void Add(std::string_view name, bool exclusive);

  std::vector<Key> keys_;  // Each hash once.
};

class KeyedOrder {
 public:
  // A place in the order, held from Enter() to Leave() by a coroutine frame.
  class Place {
   public:
    explicit Place(KeyedOrder* order) : order_(order) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // Leaves, if it was entered.
    ~Place();

    // Takes the place, behind everybody who did before.
    void Enter(const KeySet& keys);
    // Resumes once nobody in front is in the way.
    bool await_ready() const noexcept { return blocked_ == 0; }
    void await_suspend(std::coroutine_handle<> waiter) noexcept {
      waiter_ = waiter;
    }
    void await_resume() const noexcept {}
    // Gives the place up: those behind may be resumed inside this call.
    void Leave();

   private:
    friend class KeyedOrder;
    KeyedOrder* const order_;
    std::vector<KeySet::Key> keys_;
    size_t blocked_ = 0;  // Keys that somebody in front holds.
    std::coroutine_handle<> waiter_;
  };

  KeyedOrder() = default;
  KeyedOrder(const KeyedOrder&) = delete;
  KeyedOrder& operator=(const KeyedOrder&) = delete;
  ~KeyedOrder();  // REQUIRES: every place was left.

  size_t keys() const { return lines_.size(); }

 private:
  struct Waiter {
    Place* place;
    bool exclusive;
    bool granted;
  };
  // In order of entry. Those granted are a prefix.
  using Line = std::vector<Waiter>;

  absl::flat_hash_map<uint64_t, Line> lines_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_KEYED_ORDER_H_
