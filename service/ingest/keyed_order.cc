#include "service/ingest/keyed_order.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "ioloop/check.h"
#include "service/ingest/text.h"

namespace ingest {

void KeySet::Add(std::string_view name, bool exclusive) {
  uint64_t hash = absl::Hash<absl::string_view>()(AbslView(name));
  for (Key& key : keys_) {
    if (key.hash == hash) {
      key.exclusive |= exclusive;
      return;
    }
  }
  keys_.push_back({hash, exclusive});
}

KeyedOrder::~KeyedOrder() {
  RINGPLANE_CHECK(lines_.empty(), "a KeyedOrder died with places taken");
}

KeyedOrder::Place::~Place() {
  if (!keys_.empty()) Leave();
}

void KeyedOrder::Place::Enter(const KeySet& keys) {
  RINGPLANE_CHECK(keys_.empty(), "a place is taken once");
  keys_ = keys.keys_;
  for (const KeySet::Key& key : keys_) {
    Line& line = order_->lines_[key.hash];
    bool granted =
        std::all_of(line.begin(), line.end(), [&key](const Waiter& waiter) {
          return waiter.granted && !waiter.exclusive && !key.exclusive;
        });
    line.push_back({this, key.exclusive, granted});
    if (!granted) ++blocked_;
  }
}

void KeyedOrder::Place::Leave() {
  std::vector<KeySet::Key> keys = std::exchange(keys_, {});
  std::vector<std::coroutine_handle<>> ready;
  for (const KeySet::Key& key : keys) {
    auto found = order_->lines_.find(key.hash);
    Line& line = found->second;
    auto self = std::find_if(
        line.begin(), line.end(),
        [this](const Waiter& waiter) { return waiter.place == this; });
    line.erase(self);
    // Whoever is first may go, and all shared ones behind a shared first.
    for (size_t i = 0; i < line.size(); ++i) {
      if (i > 0 && (line[i].exclusive || line[i - 1].exclusive)) break;
      if (std::exchange(line[i].granted, true)) continue;
      Place* place = line[i].place;
      if (--place->blocked_ == 0 && place->waiter_) {
        ready.push_back(std::exchange(place->waiter_, nullptr));
      }
    }
    if (line.empty()) order_->lines_.erase(found);
  }
  blocked_ = 0;
  for (std::coroutine_handle<> waiter : ready) waiter.resume();
}

}  // namespace ingest
