// What was done with posts and by accounts: counts, and who did what.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/dataplane/answers.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

// The distinct uris of refs, and those of them that may name something.
struct RefSet {
  template <typename Refs>
  explicit RefSet(const Refs& refs) {
    uris.Reserve(static_cast<size_t>(refs.size()));
    for (const bsky::RecordRef& ref : refs) uris.Add(ref.uri());
    for (uint32_t i = 0; i < uris.size(); ++i) {
      if (ParseAtUri(uris[i]).has_value()) known.push_back(i);
    }
  }

  KeySet uris;
  std::vector<uint32_t> known;
};

// The columns of a row of counts; missing ones are 0.
template <size_t kColumns>
struct Counts {
  int32_t values[kColumns] = {};

  void Read(const cql::Rows& rows) {
    for (const cql::Row& row : rows) {
      for (size_t i = 0; i < kColumns; ++i) values[i] = IntAt(row, i);
    }
  }
};

}  // namespace

ioloop::Task<absl::Status> Dataplane::GetInteractionCounts(
    rpc::CallContext& call, const bsky::GetInteractionCountsRequest& request,
    bsky::GetInteractionCountsResponse* response) {
  absl::Status status = CheckKeys(request.refs_size(), "refs");
  if (!status.ok()) co_return status;
  const RefSet refs(request.refs());
  std::vector<Counts<5>> counts(refs.uris.size());
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.record_counts,
                             refs.uris[refs.known[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    counts[refs.known[i]].Read(rows);
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             refs.known.size(), &start, &use);
  if (!status.ok()) co_return status;
  for (const bsky::RecordRef& ref : request.refs()) {
    const Counts<5>& count = counts[refs.uris.IndexOf(ref.uri())];
    response->add_likes(count.values[0]);
    response->add_reposts(count.values[1]);
    response->add_replies(count.values[2]);
    response->add_quotes(count.values[3]);
    response->add_bookmarks(count.values[4]);
  }
  co_return absl::OkStatus();
}

// `reposts` stays empty: nothing reads it. Drafts are not kept here.
ioloop::Task<absl::Status> Dataplane::GetCountsForUsers(
    rpc::CallContext& call, const bsky::GetCountsForUsersRequest& request,
    bsky::GetCountsForUsersResponse* response) {
  absl::Status status = CheckKeys(request.dids_size(), "dids");
  if (!status.ok()) co_return status;
  const KeySet dids(request.dids());
  std::vector<uint32_t> known;
  for (uint32_t i = 0; i < dids.size(); ++i) {
    if (IsDid(dids[i])) known.push_back(i);
  }
  std::vector<Counts<6>> counts(dids.size());
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.actor_counts, dids[known[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) { counts[known[i]].Read(rows); };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             known.size(), &start, &use);
  if (!status.ok()) co_return status;
  for (const std::string& did : request.dids()) {
    const Counts<6>& count = counts[dids.IndexOf(did)];
    response->add_posts(count.values[0]);
    response->add_following(count.values[1]);
    response->add_followers(count.values[2]);
    response->add_lists(count.values[3]);
    response->add_feeds(count.values[4]);
    response->add_starter_packs(count.values[5]);
    response->add_drafts(0);
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetRelationUris(
    rpc::CallContext* call, std::string_view actor, std::string_view kind,
    const std::vector<std::string_view>* subjects,
    google::protobuf::RepeatedPtrField<std::string>* uris) {
  const KeySet distinct(*subjects);
  std::vector<RelationKey> keys;
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < distinct.size() && IsDid(actor); ++i) {
    if (!ParseAtUri(distinct[i]).has_value()) continue;
    asked.push_back(i);
    keys.push_back({actor, kind, distinct[i]});
  }
  std::vector<std::string> found;
  absl::Status status = co_await ReadRelations(call, &keys, &found);
  if (!status.ok()) co_return status;
  std::vector<std::string> answers(distinct.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    answers[asked[i]] = std::move(found[i]);
  }
  uris->Reserve(static_cast<int>(subjects->size()));
  for (std::string_view subject : *subjects) {
    *uris->Add() = answers[distinct.IndexOf(subject)];
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetLikesByActorAndSubjects(
    rpc::CallContext& call,
    const bsky::GetLikesByActorAndSubjectsRequest& request,
    bsky::GetLikesByActorAndSubjectsResponse* response) {
  absl::Status status = CheckKeys(request.refs_size(), "refs");
  if (!status.ok()) co_return status;
  std::vector<std::string_view> subjects;
  for (const bsky::RecordRef& ref : request.refs()) {
    subjects.push_back(ref.uri());
  }
  status = co_await GetRelationUris(&call, request.actor_did(), kLike,
                                    &subjects, response->mutable_uris());
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::GetRepostsByActorAndSubjects(
    rpc::CallContext& call,
    const bsky::GetRepostsByActorAndSubjectsRequest& request,
    bsky::GetRepostsByActorAndSubjectsResponse* response) {
  absl::Status status = CheckKeys(request.refs_size(), "refs");
  if (!status.ok()) co_return status;
  std::vector<std::string_view> subjects;
  for (const bsky::RecordRef& ref : request.refs()) {
    subjects.push_back(ref.uri());
  }
  status = co_await GetRelationUris(&call, request.actor_did(), kRepost,
                                    &subjects, response->mutable_uris());
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::GetBookmarksByActorAndSubjects(
    rpc::CallContext& call,
    const bsky::GetBookmarksByActorAndSubjectsRequest& request,
    bsky::GetBookmarksByActorAndSubjectsResponse* response) {
  absl::Status status = CheckKeys(request.uris_size(), "uris");
  if (!status.ok()) co_return status;
  const KeySet uris(request.uris());
  std::vector<bsky::Bookmark> bookmarks(uris.size());
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < uris.size() && IsDid(request.actor_did()); ++i) {
    if (ParseAtUri(uris[i]).has_value()) asked.push_back(i);
  }
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.bookmark, request.actor_did(),
                             uris[asked[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) {
      bsky::Bookmark& bookmark = bookmarks[asked[i]];
      bsky::StashRef* ref = bookmark.mutable_ref();
      ref->set_actor_did(request.actor_did());
      ref->set_namespace_("app.bsky.bookmark.defs#bookmark");
      ref->set_key(std::string(TextAt(row, 0)));
      bookmark.set_subject_uri(std::string(uris[asked[i]]));
      bookmark.set_subject_cid(std::string(TextAt(row, 1)));
      const std::optional<int64_t> indexed_at = MsAt(row, 2);
      if (indexed_at.has_value()) {
        SetTimestamp(*indexed_at, bookmark.mutable_indexed_at());
      }
    }
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             asked.size(), &start, &use);
  if (!status.ok()) co_return status;
  Spread(request.uris(), uris, &bookmarks, response->mutable_bookmarks());
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetThreadMutesOnSubjects(
    rpc::CallContext& call,
    const bsky::GetThreadMutesOnSubjectsRequest& request,
    bsky::GetThreadMutesOnSubjectsResponse* response) {
  absl::Status status = CheckKeys(request.thread_roots_size(), "thread_roots");
  if (!status.ok()) co_return status;
  const KeySet roots(request.thread_roots());
  std::vector<char> muted(roots.size(), false);
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < roots.size() && IsDid(request.actor_did()); ++i) {
    if (ParseAtUri(roots[i]).has_value()) asked.push_back(i);
  }
  const cql::RequestOptions options = OptionsOf(call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.thread_mute,
                             request.actor_did(), roots[asked[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    muted[asked[i]] = !rows.empty();
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             asked.size(), &start, &use);
  if (!status.ok()) co_return status;
  for (const std::string& root : request.thread_roots()) {
    response->add_muted(muted[roots.IndexOf(root)]);
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetLikesBySubjectSorted(
    rpc::CallContext& call, const bsky::GetLikesBySubjectSortedRequest& request,
    bsky::GetLikesBySubjectSortedResponse* response) {
  ListId list;
  list.queries = &queries_.likes_by_subject;
  list.directory = "likes_by_subject";
  list.owner = request.subject().uri();
  absl::Status status =
      co_await PageOfUris(&call, &list, request.limit(), &request.cursor(),
                          response->mutable_uris(), response->mutable_cursor());
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::GetRepostsBySubject(
    rpc::CallContext& call, const bsky::GetRepostsBySubjectRequest& request,
    bsky::GetRepostsBySubjectResponse* response) {
  ListId list;
  list.queries = &queries_.reposts_by_subject;
  list.directory = "reposts_by_subject";
  list.owner = request.subject().uri();
  absl::Status status =
      co_await PageOfUris(&call, &list, request.limit(), &request.cursor(),
                          response->mutable_uris(), response->mutable_cursor());
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::PageOfUris(
    rpc::CallContext* call, const ListId* list, int32_t limit,
    const std::string* cursor,
    google::protobuf::RepeatedPtrField<std::string>* uris,
    std::string* next_cursor) {
  absl::StatusOr<std::optional<Position>> after = ParseCursor(*cursor);
  if (!after.ok()) co_return after.status();
  if (!ParseAtUri(list->owner).has_value()) co_return absl::OkStatus();
  KeepAll keep;
  ListPage page;
  absl::Status status = co_await ReadPage(&lists_, call, list, *after,
                                          LimitOf(limit), &keep, &page);
  if (!status.ok()) co_return status;
  for (ListRow& row : page.rows) *uris->Add() = std::move(row.position.key);
  *next_cursor = page.cursor();
  co_return absl::OkStatus();
}

}  // namespace dataplane
