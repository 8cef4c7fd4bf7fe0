#include "service/dataplane/list_reader.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "cql/rows.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

struct Bucket {
  int32_t number = 0;
  std::optional<int64_t> min_ms;
  std::optional<int64_t> max_ms;
};

// Merges two lists that run newest first and keeps the first `limit` rows.
void Merge(std::vector<ListRow> more, size_t limit,
           std::vector<ListRow>* rows) {
  std::vector<ListRow> merged;
  merged.reserve(rows->size() + more.size());
  std::merge(std::make_move_iterator(rows->begin()),
             std::make_move_iterator(rows->end()),
             std::make_move_iterator(more.begin()),
             std::make_move_iterator(more.end()), std::back_inserter(merged),
             [](const ListRow& a, const ListRow& b) {
               return b.position.IsAfter(a.position);
             });
  *rows = std::move(merged);
  if (rows->size() > limit) rows->resize(limit);
}

}  // namespace

bool AppendListRows(const ListId& list, const cql::Rows& rows,
                    std::vector<ListRow>* out) {
  const bool bucketed = !list.directory.empty();
  const size_t extra = bucketed ? ListColumns::kExtra : ListColumns::kSplit;
  bool split = false;
  for (const cql::Row& row : rows) {
    split = split || (bucketed && BoolAt(row, ListColumns::kSplit));
    ListRow read;
    read.position.key = TextAt(row, ListColumns::kUri);
    // A partition may hold nothing but its static columns.
    if (read.position.key.empty()) continue;
    read.position.sort_at_ms = MsAt(row, ListColumns::kSortAt).value_or(0);
    read.position.cid = TextAt(row, ListColumns::kTie);
    for (size_t i = 0; i < list.extra_columns; ++i) {
      read.extra[i] = TextAt(row, extra + i);
    }
    out->push_back(std::move(read));
  }
  return split;
}

cql::Query ListReader::Start(const cql::RequestOptions& options,
                             const ListId& list, int32_t bucket,
                             const std::optional<Position>& after,
                             int32_t limit) {
  const cql::PreparedStatement& first = *list.queries->first;
  const cql::PreparedStatement& next = *list.queries->after;
  if (!after.has_value()) {
    if (list.directory.empty()) {
      return session_->Execute(options, first, list.owner, limit);
    }
    if (list.kind.has_value()) {
      return session_->Execute(options, first, list.owner, *list.kind, bucket,
                               limit);
    }
    if (list.feed_type.has_value()) {
      return session_->Execute(options, first, list.owner, *list.feed_type,
                               bucket, limit);
    }
    return session_->Execute(options, first, list.owner, bucket, limit);
  }
  const absl::Time sort_at = ToCqlTime(after->sort_at_ms);
  if (list.directory.empty()) {
    return session_->Execute(options, next, list.owner, sort_at, after->cid,
                             after->key, limit);
  }
  if (list.kind.has_value()) {
    return session_->Execute(options, next, list.owner, *list.kind, bucket,
                             sort_at, after->cid, after->key, limit);
  }
  if (list.feed_type.has_value()) {
    return session_->Execute(options, next, list.owner, *list.feed_type, bucket,
                             sort_at, after->cid, after->key, limit);
  }
  return session_->Execute(options, next, list.owner, bucket, sort_at,
                           after->cid, after->key, limit);
}

ioloop::Task<absl::Status> ListReader::Read(
    rpc::CallContext* call, const ListId* list,
    const std::optional<Position>* after, size_t limit,
    std::vector<ListRow>* rows) {
  rows->clear();
  const cql::RequestOptions options = OptionsOf(*call);
  const int32_t row_limit = static_cast<int32_t>(limit);
  cql::Query bucket_0 = Start(options, *list, 0, *after, row_limit);
  absl::StatusOr<cql::Rows> first = co_await bucket_0;
  if (!first.ok()) co_return first.status();
  const bool split = AppendListRows(*list, *first, rows);
  // Bucket 0 tells whether there are others, but not if it has no row after
  // the position.
  const bool told = !first->empty() || !after->has_value();
  if (list->directory.empty() || (told && !split)) co_return absl::OkStatus();

  cql::Query directory = session_->Execute(options, *queries_->list_buckets,
                                           list->directory, list->owner);
  absl::StatusOr<cql::Rows> found = co_await directory;
  if (!found.ok()) co_return found.status();
  std::vector<Bucket> buckets;
  for (const cql::Row& row : *found) {
    const Bucket bucket{IntAt(row, 0), MsAt(row, 1), MsAt(row, 2)};
    if (bucket.number != 0) buckets.push_back(bucket);
  }

  // The newest first: they fill the page, and spare the others the question.
  std::sort(buckets.begin(), buckets.end(),
            [](const Bucket& a, const Bucket& b) {
              constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();
              return a.max_ms.value_or(kUnknown) > b.max_ms.value_or(kUnknown);
            });
  for (const Bucket& bucket : buckets) {
    if (call->cancelled) {
      co_return absl::CancelledError("the caller went away");
    }
    if (after->has_value() && bucket.min_ms.has_value() &&
        *bucket.min_ms > (*after)->sort_at_ms) {
      continue;
    }
    if (rows->size() == limit && bucket.max_ms.has_value() &&
        *bucket.max_ms < rows->back().position.sort_at_ms) {
      break;
    }
    cql::Query query = Start(options, *list, bucket.number, *after, row_limit);
    absl::StatusOr<cql::Rows> more = co_await query;
    if (!more.ok()) co_return more.status();
    std::vector<ListRow> read;
    AppendListRows(*list, *more, &read);
    Merge(std::move(read), limit, rows);
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane
