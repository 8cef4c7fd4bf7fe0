// Bounds of the dataplane. Each is what one request may cost the others.
#ifndef RINGPLANE_SERVICE_DATAPLANE_OPTIONS_H_
#define RINGPLANE_SERVICE_DATAPLANE_OPTIONS_H_

#include <cstddef>

namespace dataplane {

struct Options {
  // Most keys (uris, DIDs, refs, pairs) in one request, repeats counted; more
  // are refused with kInvalidArgument. Keys times issuers for labels.
  size_t keys_max = 25'000;
  // Most queries that one request has in flight.
  size_t queries_in_flight = 256;
  // Most items of one page; a limit of 0 or less asks for this many.
  size_t page_items_max = 1000;
  // Most ancestors, levels of replies and replies that GetThread gives; nearest
  // and newest first where there are more.
  size_t thread_ancestors_max = 1000;
  size_t thread_levels_max = 1000;
  size_t thread_replies_max = 10'000;
  // Most replies of an author in one thread that are looked at for its
  // op_thread.
  size_t op_replies_max = 5'000;
  // Most lists that an account may block or mute by and that count.
  size_t lists_per_actor_max = 1000;
  // Most relations (follows, blocks, list memberships) that one request reads;
  // more are refused with kResourceExhausted.
  size_t relations_max = 250'000;
  // Most follows of the viewer, and most followers of a target, that
  // GetFollowsFollowing looks at.
  size_t known_followers_scan_max = 5'000;
  // Most labels of one subject that are looked at.
  size_t labels_per_subject_max = 1000;
  // Most unread notifications that are counted.
  size_t unread_count_max = 5'000;
};

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_OPTIONS_H_
