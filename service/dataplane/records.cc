// Records by at-uri.
#include "service/dataplane/records.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/dataplane/answers.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/op_thread.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

using ringplane::cache::CachedPost;

bool IsIn(std::string_view collection, std::string_view uri) {
  const std::optional<AtUri> parsed = ParseAtUri(uri);
  return parsed.has_value() && parsed->collection == collection;
}

}  // namespace

void SetMissingRecord(bsky::Record* record) { record->set_record("null"); }

void FillRecord(const cql::Row& row, size_t column, bsky::Record* record) {
  const std::string_view cid = TextAt(row, column + RecordColumns::kCid);
  if (cid.empty()) return SetMissingRecord(record);
  record->set_cid(cid.data(), cid.size());
  const std::string_view json = TextAt(row, column + RecordColumns::kJson);
  record->set_record(json.data(), json.size());
  const int64_t indexed_at =
      MsAt(row, column + RecordColumns::kIndexedAt).value_or(0);
  const std::optional<int64_t> created_at =
      MsAt(row, column + RecordColumns::kCreatedAt);
  SetTimestamp(indexed_at, record->mutable_indexed_at());
  if (created_at.has_value()) {
    SetTimestamp(*created_at, record->mutable_created_at());
  }
  SetTimestamp(std::min(created_at.value_or(indexed_at), indexed_at),
               record->mutable_sorted_at());
  const std::string_view takedown =
      TextAt(row, column + RecordColumns::kTakedownRef);
  if (!takedown.empty()) {
    record->set_taken_down(true);
    record->set_takedown_ref(takedown.data(), takedown.size());
  }
}

void FillPost(const cql::Row& row, CachedPost* post) {
  FillRecord(row, 0, post->mutable_record());
  bsky::PostRecordMeta* meta = post->mutable_meta();
  meta->set_violates_thread_gate(BoolAt(row, PostColumns::kViolatesThreadGate));
  meta->set_violates_embedding_rules(
      BoolAt(row, PostColumns::kViolatesEmbeddingRules));
  meta->set_has_thread_gate(BoolAt(row, PostColumns::kHasThreadGate));
  meta->set_has_post_gate(BoolAt(row, PostColumns::kHasPostGate));
  const std::string_view parent = TextAt(row, PostColumns::kReplyParent);
  post->set_reply_parent(parent.data(), parent.size());
  const std::string_view root = TextAt(row, PostColumns::kReplyRoot);
  post->set_reply_root(root.data(), root.size());
}

ioloop::Task<absl::Status> Dataplane::ReadRecords(
    rpc::CallContext* call, const KeySet* uris, std::string_view collection,
    std::vector<bsky::Record>* records) {
  records->clear();
  records->resize(uris->size());
  std::vector<uint32_t> known;
  known.reserve(uris->size());
  for (uint32_t i = 0; i < uris->size(); ++i) {
    SetMissingRecord(&(*records)[i]);
    if (IsIn(collection, (*uris)[i])) known.push_back(i);
  }
  const cql::RequestOptions options = OptionsOf(*call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.record, (*uris)[known[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) FillRecord(row, 0, &(*records)[known[i]]);
  };
  absl::Status status = co_await ReadEach(
      call, session_, options_.queries_in_flight, known.size(), &start, &use);
  co_return status;
}

template <typename Request, typename Response>
ioloop::Task<absl::Status> Dataplane::GetRecords(rpc::CallContext* call,
                                                 std::string_view collection,
                                                 const Request* request,
                                                 Response* response) {
  absl::Status status = CheckKeys(request->uris_size(), "uris");
  if (!status.ok()) co_return status;
  const KeySet uris(request->uris());
  std::vector<bsky::Record> records;
  status = co_await ReadRecords(call, &uris, collection, &records);
  if (!status.ok()) co_return status;
  Spread(request->uris(), uris, &records, response->mutable_records());
  co_return absl::OkStatus();
}

#define RINGPLANE_GET_RECORDS(name, collection)                   \
  ioloop::Task<absl::Status> Dataplane::name(                     \
      rpc::CallContext& call, const bsky::name##Request& request, \
      bsky::name##Response* response) {                           \
    return GetRecords(&call, collection, &request, response);     \
  }
RINGPLANE_GET_RECORDS(GetRepostRecords, kRepost)
RINGPLANE_GET_RECORDS(GetLikeRecords, kLike)
RINGPLANE_GET_RECORDS(GetFollowRecords, kFollow)
RINGPLANE_GET_RECORDS(GetThreadGateRecords, kThreadGate)
RINGPLANE_GET_RECORDS(GetPostgateRecords, kPostgate)
RINGPLANE_GET_RECORDS(GetListRecords, kList)
RINGPLANE_GET_RECORDS(GetProfileRecords, kProfile)
RINGPLANE_GET_RECORDS(GetBlockRecords, kBlock)
RINGPLANE_GET_RECORDS(GetListItemRecords, kListItem)
#undef RINGPLANE_GET_RECORDS

// First the cache, then the store for what the cache did not have.
ioloop::Task<absl::Status> Dataplane::ReadPosts(
    rpc::CallContext* call, const KeySet* uris,
    std::vector<std::unique_ptr<CachedPost>>* posts) {
  posts->clear();
  posts->resize(uris->size());
  std::vector<uint32_t> known;
  std::vector<std::string_view> keys;
  for (uint32_t i = 0; i < uris->size(); ++i) {
    if (!IsIn(kPost, (*uris)[i])) continue;
    known.push_back(i);
    keys.push_back((*uris)[i]);
  }
  const absl::Time looked_up_at = call->loop->now();
  std::vector<uint32_t> missing;
  if (post_cache_.enabled()) {
    std::vector<std::unique_ptr<CachedPost>> cached;
    co_await post_cache_.Get(std::move(keys), &cached);
    for (size_t i = 0; i < known.size(); ++i) {
      if (cached[i] == nullptr) {
        missing.push_back(known[i]);
      } else {
        (*posts)[known[i]] = std::move(cached[i]);
      }
    }
  } else {
    missing = std::move(known);
  }

  const cql::RequestOptions options = OptionsOf(*call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.post, (*uris)[missing[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) {
      if (TextAt(row, RecordColumns::kCid).empty()) continue;
      auto post = std::make_unique<CachedPost>();
      const std::string_view uri = (*uris)[missing[i]];
      post->set_uri(uri.data(), uri.size());
      FillPost(row, post.get());
      post_cache_.Fill(*post, looked_up_at);
      (*posts)[missing[i]] = std::move(post);
    }
  };
  absl::Status status = co_await ReadEach(
      call, session_, options_.queries_in_flight, missing.size(), &start, &use);
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::GetPostRecords(
    rpc::CallContext& call, const bsky::GetPostRecordsRequest& request,
    bsky::GetPostRecordsResponse* response) {
  absl::Status status = CheckKeys(request.uris_size(), "uris");
  if (!status.ok()) co_return status;
  const KeySet uris(request.uris());
  std::vector<std::unique_ptr<CachedPost>> posts;
  status = co_await ReadPosts(&call, &uris, &posts);
  if (!status.ok()) co_return status;

  response->mutable_records()->Reserve(request.uris_size());
  response->mutable_meta()->Reserve(request.uris_size());
  const bool repeats = static_cast<size_t>(request.uris_size()) != uris.size();
  for (const std::string& uri : request.uris()) {
    CachedPost* post = posts[uris.IndexOf(uri)].get();
    bsky::Record* record = response->add_records();
    bsky::PostRecordMeta* meta = response->add_meta();
    if (post == nullptr) {
      SetMissingRecord(record);
    } else if (repeats) {
      *record = post->record();
      *meta = post->meta();
    } else {
      record->Swap(post->mutable_record());
      meta->Swap(post->mutable_meta());
    }
  }
  if (!request.include_op_thread_metadata()) co_return absl::OkStatus();

  KeySet roots;
  for (const std::unique_ptr<CachedPost>& post : posts) {
    if (post == nullptr) continue;
    roots.Add(post->reply_root().empty() ? post->uri() : post->reply_root());
  }
  std::vector<std::vector<std::string>> threads;
  status = co_await ReadOpThreads(&call, &roots, &threads);
  if (!status.ok()) co_return status;
  for (size_t i = 0; i < roots.size(); ++i) {
    if (threads[i].empty()) continue;
    bsky::OpThread* thread = response->add_op_threads();
    thread->set_root_uri(roots[i].data(), roots[i].size());
    for (std::string& uri : threads[i]) thread->add_uris(std::move(uri));
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::ReadOpThreads(
    rpc::CallContext* call, const KeySet* roots,
    std::vector<std::vector<std::string>>* threads) {
  threads->clear();
  threads->resize(roots->size());
  std::vector<uint32_t> known;
  for (uint32_t i = 0; i < roots->size(); ++i) {
    if (IsIn(kPost, (*roots)[i])) known.push_back(i);
  }
  const cql::RequestOptions options = OptionsOf(*call);
  const int32_t limit = static_cast<int32_t>(options_.op_replies_max);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.op_replies, (*roots)[known[i]],
                             limit);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    std::vector<OpReply> replies;
    for (const cql::Row& row : rows) {
      replies.push_back({std::string(TextAt(row, 0)),
                         std::string(TextAt(row, 1)), MsAt(row, 2)});
    }
    (*threads)[known[i]] = OpThreadOf((*roots)[known[i]], std::move(replies));
  };
  absl::Status status = co_await ReadEach(
      call, session_, options_.queries_in_flight, known.size(), &start, &use);
  co_return status;
}

ioloop::Task<absl::Status> Dataplane::ReadRecordStates(
    rpc::CallContext* call, const KeySet* uris,
    std::vector<RecordState>* states) {
  states->clear();
  states->resize(uris->size());
  std::vector<uint32_t> known;
  for (uint32_t i = 0; i < uris->size(); ++i) {
    if (ParseAtUri((*uris)[i]).has_value()) known.push_back(i);
  }
  const cql::RequestOptions options = OptionsOf(*call);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.record_state,
                             (*uris)[known[i]]);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) {
      RecordState& state = (*states)[known[i]];
      state.cid = TextAt(row, 0);
      state.exists = !state.cid.empty();
      state.sort_at_ms = MsAt(row, 1).value_or(0);
      state.taken_down = !TextAt(row, 2).empty();
      state.reply_parent = TextAt(row, 3);
      state.reply_root = TextAt(row, 4);
    }
  };
  absl::Status status = co_await ReadEach(
      call, session_, options_.queries_in_flight, known.size(), &start, &use);
  co_return status;
}

}  // namespace dataplane
