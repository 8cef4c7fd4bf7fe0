// The kinds of relations and of an account's records: collections.
#ifndef RINGPLANE_SERVICE_DATAPLANE_KINDS_H_
#define RINGPLANE_SERVICE_DATAPLANE_KINDS_H_

#include <string_view>

namespace dataplane {

inline constexpr std::string_view kPost = "app.bsky.feed.post";
inline constexpr std::string_view kLike = "app.bsky.feed.like";
inline constexpr std::string_view kRepost = "app.bsky.feed.repost";
inline constexpr std::string_view kThreadGate = "app.bsky.feed.threadgate";
inline constexpr std::string_view kPostgate = "app.bsky.feed.postgate";
inline constexpr std::string_view kFollow = "app.bsky.graph.follow";
inline constexpr std::string_view kBlock = "app.bsky.graph.block";
inline constexpr std::string_view kList = "app.bsky.graph.list";
inline constexpr std::string_view kListItem = "app.bsky.graph.listitem";
inline constexpr std::string_view kListBlock = "app.bsky.graph.listblock";
inline constexpr std::string_view kProfile = "app.bsky.actor.profile";

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_KINDS_H_
