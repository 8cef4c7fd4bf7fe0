#include "service/dataplane/queries.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace dataplane {
namespace {

struct Text {
  const cql::PreparedStatement* Queries::* query;
  const char* name;
  const char* text;
};

constexpr Text kTexts[] = {
    // Get*Records but for posts.
    {&Queries::record, "record",
     "SELECT cid, record, indexed_at, created_at, takedown_ref FROM records "
     "WHERE uri = ?"},
    // GetPostRecords; GetThread: ancestors.
    {&Queries::post, "post",
     "SELECT cid, record, indexed_at, created_at, takedown_ref, reply_parent, "
     "reply_root, violates_thread_gate, violates_embedding_rules, "
     "has_thread_gate, has_post_gate FROM records WHERE uri = ?"},
    // Whether a record exists, and where it stands in a list: GetAuthorFeed
    // (reposted posts), GetThread, GetNotifications,
    // GetUnreadNotificationCount, Get{Mute,Block}listSubscriptions.
    {&Queries::record_state, "record_state",
     "SELECT cid, sort_at, takedown_ref, reply_parent, reply_root FROM records "
     "WHERE uri = ?"},
    // GetPostRecords, GetThread: op threads.
    {&Queries::op_replies, "op_replies",
     "SELECT uri, parent, deleted_at FROM op_replies WHERE root = ? LIMIT ?"},

    // GetActors, GetIdentityByDid.
    {&Queries::actor, "actor",
     "SELECT known, handle, upstream_status, takedown_ref, "
     "priority_notifications, trusted_verifier FROM actors WHERE did = ?"},
    // GetRelationships, GetFollowers, GetFollows.
    {&Queries::actor_known, "actor_known",
     "SELECT known FROM actors WHERE did = ?"},
    // GetActors.
    {&Queries::actor_records, "actor_records",
     "SELECT collection, cid, record, indexed_at, created_at, takedown_ref "
     "FROM actor_records WHERE did = ?"},
    {&Queries::verifications, "verifications",
     "SELECT issuer, rkey, handle, display_name, sort_at FROM "
     "verifications_by_subject WHERE subject = ?"},
    // GetDidsByHandles.
    {&Queries::handle, "handle", "SELECT did FROM handles WHERE handle = ?"},
    // GetIdentityByDid.
    {&Queries::identity, "identity",
     "SELECT keys, services, updated_at FROM identities WHERE did = ?"},
    // GetLatestRev.
    {&Queries::repo_rev, "repo_rev", "SELECT rev FROM repo_revs WHERE did = ?"},

    // GetRelationships, GetBlockExistence, {Likes,Reposts}ByActorAndSubjects,
    // GetListMembership, GetBlocklistSubscription, GetFollowsFollowing,
    // GetNotifications (priority).
    {&Queries::relation, "relation",
     "SELECT uri FROM relations WHERE actor = ? AND kind = ? AND subject = ?"},
    // GetRelationships.
    {&Queries::mute, "mute",
     "SELECT only_reposts, only_quoteposts FROM mutes WHERE actor = ? AND "
     "subject = ?"},
    // GetThreadMutesOnSubjects.
    {&Queries::thread_mute, "thread_mute",
     "SELECT root FROM thread_mutes WHERE actor = ? AND root = ?"},
    // GetBookmarksByActorAndSubjects.
    {&Queries::bookmark, "bookmark",
     "SELECT key, subject_cid, indexed_at FROM bookmarks WHERE actor = ? AND "
     "subject = ?"},
    // GetMutelistSubscription.
    {&Queries::list_mute, "list_mute",
     "SELECT list FROM list_mutes WHERE actor = ? AND list = ?"},
    // GetMutelistSubscriptions, GetRelationships.
    {&Queries::list_mutes, "list_mutes",
     "SELECT list, created_at FROM list_mutes WHERE actor = ? LIMIT ?"},

    // GetInteractionCounts.
    {&Queries::record_counts, "record_counts",
     "SELECT likes, reposts, replies, quotes, bookmarks FROM record_counts "
     "WHERE uri = ?"},
    // GetCountsForUsers; GetFollowsFollowing.
    {&Queries::actor_counts, "actor_counts",
     "SELECT posts, following, followers, lists, feeds, starter_packs FROM "
     "actor_counts WHERE did = ?"},
    // GetListCounts.
    {&Queries::list_counts, "list_counts",
     "SELECT items FROM list_counts WHERE uri = ?"},

    // GetNotificationSeen, GetUnreadNotificationCount.
    {&Queries::notification_seen, "notification_seen",
     "SELECT seen_at FROM notification_seen WHERE did = ?"},
    // GetLabels.
    {&Queries::labels, "labels",
     "SELECT src, val, cid, neg, cts, exp, exp_at FROM labels WHERE subject = "
     "? LIMIT ?"},
    // Lists that are split: their buckets.
    {&Queries::list_buckets, "list_buckets",
     "SELECT bucket, min_sort_at, max_sort_at FROM list_buckets WHERE list = ? "
     "AND owner = ?"},
};

struct ListText {
  ListQueries Queries::* queries;
  const char* table;
  // What follows sort_at, tie, uri.
  const char* columns;
  const char* key;
};

constexpr ListText kListTexts[] = {
    // GetFollows, GetBlocklistSubscriptions, GetRelationships (list blocks).
    {&Queries::records_by_actor, "records_by_actor", "split, subject",
     "actor = ? AND kind = ? AND bucket = ?"},
    // GetAuthorFeed, GetTimeline (own items).
    {&Queries::author_feed, "author_feed", "split, post_uri",
     "actor = ? AND feed_type = ? AND bucket = ?"},
    // GetTimeline.
    {&Queries::timeline, "timelines", "post_uri", "actor = ?"},
    // GetLikesBySubjectSorted.
    {&Queries::likes_by_subject, "likes_by_subject", "split, actor",
     "subject = ? AND bucket = ?"},
    // GetRepostsBySubject.
    {&Queries::reposts_by_subject, "reposts_by_subject", "split, actor",
     "subject = ? AND bucket = ?"},
    // GetThread: descendants.
    {&Queries::replies_by_parent, "replies_by_parent", "split, actor",
     "subject = ? AND bucket = ?"},
    // GetFollowers, GetFollowsFollowing.
    {&Queries::followers, "followers", "split, actor",
     "subject = ? AND bucket = ?"},
    // GetListMembers.
    {&Queries::list_members, "list_members", "split, actor",
     "subject = ? AND bucket = ?"},
    // GetNotifications, GetUnreadNotificationCount.
    {&Queries::notifications, "notifications",
     "split, author, reason, reason_subject", "did = ? AND bucket = ?"},
};

ioloop::Task<absl::Status> PrepareOne(cql::Session* session, const char* name,
                                      std::string text,
                                      const cql::PreparedStatement** query) {
  cql::StatementOptions options;
  options.idempotent = true;
  absl::StatusOr<const cql::PreparedStatement*> prepared =
      co_await session->Prepare(std::move(text), options);
  if (!prepared.ok()) {
    co_return absl::Status(
        prepared.status().code(),
        absl::StrCat("prepare ", name, ": ", prepared.status().message()));
  }
  *query = *prepared;
  co_return absl::OkStatus();
}

}  // namespace

ioloop::Task<absl::Status> PrepareQueries(cql::Session* session,
                                          Queries* queries) {
  for (const Text& text : kTexts) {
    absl::Status status = co_await PrepareOne(session, text.name, text.text,
                                              &(queries->*text.query));
    if (!status.ok()) co_return status;
  }
  for (const ListText& text : kListTexts) {
    const std::string select =
        absl::StrCat("SELECT sort_at, tie, uri, ", text.columns, " FROM ",
                     text.table, " WHERE ", text.key);
    ListQueries* list = &(queries->*text.queries);
    absl::Status status = co_await PrepareOne(
        session, text.table, absl::StrCat(select, " LIMIT ?"), &list->first);
    if (!status.ok()) co_return status;
    status = co_await PrepareOne(
        session, text.table,
        absl::StrCat(select, " AND (sort_at, tie, uri) < (?, ?, ?) LIMIT ?"),
        &list->after);
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane
