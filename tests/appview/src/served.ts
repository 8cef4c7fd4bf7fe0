// The RPCs that are served from CQL, by the client's method names. Any other
// answers Unimplemented.
export const served = new Set([
  'ping', 'getActors', 'getDidsByHandles', 'getIdentityByDid', 'getLatestRev',
  'getPostRecords', 'getRepostRecords', 'getLikeRecords', 'getFollowRecords',
  'getThreadGateRecords', 'getPostgateRecords', 'getListRecords',
  'getProfileRecords', 'getBlockRecords', 'getListItemRecords', 'getLabels',
  'getRelationships', 'getBlockExistence', 'getCountsForUsers',
  'getInteractionCounts', 'getAuthorFeed', 'getTimeline', 'getThread',
  'getLikesByActorAndSubjects', 'getRepostsByActorAndSubjects',
  'getBookmarksByActorAndSubjects', 'getThreadMutesOnSubjects',
  'getLikesBySubjectSorted', 'getRepostsBySubject', 'getFollowers',
  'getFollows', 'getFollowsFollowing', 'getListMembers', 'getListCounts',
  'getListMembership', 'getMutelistSubscription', 'getMutelistSubscriptions',
  'getBlocklistSubscription', 'getBlocklistSubscriptions', 'getNotifications',
  'getNotificationSeen', 'getUnreadNotificationCount',
])
