#include "service/dataplane/timeline_merge.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dataplane {
namespace {

constexpr size_t kOwnPlaces = 10;

}  // namespace

TimelinePage MergeTimeline(std::vector<FeedItem> followed,
                           std::vector<FeedItem> own, size_t limit) {
  const size_t free_places = limit - std::min(followed.size(), limit);
  const size_t own_max = std::max(std::min(limit, kOwnPlaces), free_places);
  const bool own_left_out = own.size() > own_max;
  if (own_left_out) own.resize(own_max);

  TimelinePage page;
  page.items.reserve(followed.size() + own.size());
  std::merge(std::make_move_iterator(followed.begin()),
             std::make_move_iterator(followed.end()),
             std::make_move_iterator(own.begin()),
             std::make_move_iterator(own.end()), std::back_inserter(page.items),
             [](const FeedItem& a, const FeedItem& b) {
               return b.position.IsAfter(a.position);
             });
  page.more = own_left_out || page.items.size() > limit;
  if (page.items.size() > limit) page.items.resize(limit);
  return page;
}

}  // namespace dataplane
