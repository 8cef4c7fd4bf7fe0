// How a page of a timeline is made of two lists.
#ifndef RINGPLANE_SERVICE_DATAPLANE_TIMELINE_MERGE_H_
#define RINGPLANE_SERVICE_DATAPLANE_TIMELINE_MERGE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "service/dataplane/cursor.h"

namespace dataplane {

// A post or repost in somebody's feed. Its position's key is the uri of the
// record that put it there.
struct FeedItem {
  Position position;
  std::string post_uri;
  bool is_repost = false;

  const std::string& uri() const { return position.key; }
};

struct TimelinePage {
  std::vector<FeedItem> items;
  bool more = false;
};

// Merges `followed` and `own`, each newest first and read up to limit + 1
// items, into one page. Own items take at most ten places, or those that the
// followed leave free: who posts much still sees others.
//
// REQUIRES: limit > 0.
TimelinePage MergeTimeline(std::vector<FeedItem> followed,
                           std::vector<FeedItem> own, size_t limit);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_TIMELINE_MERGE_H_
