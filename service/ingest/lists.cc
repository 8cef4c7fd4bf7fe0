#include "service/ingest/lists.h"

#include <algorithm>
#include <utility>

#include "service/ingest/text.h"

namespace ingest {
namespace {

struct TableShape {
  std::string_view name;
  // Without the bucket.
  std::string_view key_columns;
  std::string_view key_condition;
  std::string_view key_markers;
  std::string_view value_columns;
  std::string_view value_markers;
};

constexpr TableShape BySubject(std::string_view name) {
  return {name, "subject", "subject = ?", "?", "actor", "?"};
}

constexpr std::array<TableShape, kListTableCount> kShapes = {{
    {"records_by_actor", "actor, kind", "actor = ? AND kind = ?", "?, ?",
     "subject", "?"},
    {"author_feed", "actor, feed_type", "actor = ? AND feed_type = ?", "?, ?",
     "post_uri", "?"},
    BySubject("likes_by_subject"),
    BySubject("reposts_by_subject"),
    BySubject("quotes_by_subject"),
    BySubject("replies_by_parent"),
    BySubject("followers"),
    BySubject("list_members"),
    BySubject("bookmarks_by_subject"),
    {"notifications", "did", "did = ?", "?", "author, reason, reason_subject",
     "?, ?, ?"},
}};

struct TotalColumn {
  std::string_view table;
  std::string_view column;
  std::string_view key;
};

constexpr std::array<TotalColumn, kTotalCount> kTotals = {{
    {"", "", ""},
    {"record_counts", "likes", "uri"},
    {"record_counts", "reposts", "uri"},
    {"record_counts", "replies", "uri"},
    {"record_counts", "quotes", "uri"},
    {"record_counts", "bookmarks", "uri"},
    {"actor_counts", "posts", "did"},
    {"actor_counts", "following", "did"},
    {"actor_counts", "followers", "did"},
    {"actor_counts", "lists", "did"},
    {"actor_counts", "feeds", "did"},
    {"actor_counts", "starter_packs", "did"},
    {"list_counts", "items", "uri"},
}};

Total TotalOfKind(std::string_view kind) {
  std::optional<Collection> collection = FindCollection(kind);
  if (!collection) return Total::kNone;
  switch (*collection) {
    case Collection::kPost:
      return Total::kPosts;
    case Collection::kFollow:
      return Total::kFollowing;
    case Collection::kList:
      return Total::kLists;
    case Collection::kGenerator:
      return Total::kFeeds;
    case Collection::kStarterpack:
      return Total::kStarterPacks;
    default:
      return Total::kNone;
  }
}

absl::Status ReadRows(const cql::Rows& rows, std::vector<ListRow>* out) {
  for (const cql::Row& row : rows) {
    absl::Time sort_at;
    std::optional<std::string_view> tie, uri, value;
    // A partition without rows gives one for its static columns.
    if (row.is_null(2)) continue;
    absl::Status status = row.Read(&sort_at, &tie, &uri, &value);
    if (!status.ok()) return status;
    out->emplace_back(absl::ToUnixMillis(sort_at), tie.value_or(""),
                      uri.value_or(""), value.value_or(""));
  }
  return absl::OkStatus();
}

bool Newer(const ListRow& a, const ListRow& b) {
  if (a.sort_ms != b.sort_ms) return a.sort_ms > b.sort_ms;
  if (a.tie != b.tie) return a.tie > b.tie;
  return a.uri > b.uri;
}

}  // namespace

std::string ListKey::ListName() const {
  const std::string_view name = kShapes[static_cast<size_t>(table)].name;
  if (table == ListTable::kRecordsByActor) return Cat(name, ":", kind);
  if (table == ListTable::kAuthorFeed) return Cat(name, ":", feed_type);
  return std::string(name);
}

Total ListKey::FollowedBy() const {
  switch (table) {
    case ListTable::kRecordsByActor:
      return TotalOfKind(kind);
    case ListTable::kLikesBySubject:
      return Total::kLikes;
    case ListTable::kRepostsBySubject:
      return Total::kReposts;
    case ListTable::kQuotesBySubject:
      return Total::kQuotes;
    case ListTable::kRepliesByParent:
      return Total::kReplies;
    case ListTable::kFollowers:
      return Total::kFollowers;
    case ListTable::kListMembers:
      return Total::kListItems;
    case ListTable::kBookmarksBySubject:
      return Total::kBookmarks;
    case ListTable::kAuthorFeed:
    case ListTable::kNotifications:
      return Total::kNone;
  }
  return Total::kNone;
}

std::string DuplicateKind(std::string_view kind) {
  return Cat(kind, "#duplicate");
}

ioloop::Task<absl::Status> Lists::Prepare() {
  SideBySide work;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    const TableShape& shape = kShapes[i];
    TableStatements& table = tables_[i];
    const std::string where =
        Cat(" WHERE ", shape.key_condition, " AND bucket = ?");
    const std::string from = Cat(" FROM ", shape.name, where);
    const std::string at_row = " AND sort_at = ? AND tie = ? AND uri = ?";
    work.Run(writer_->PrepareRead(
        Cat("SELECT row_count, counted, split", from, " LIMIT 1"),
        &table.numbers));
    work.Run(
        writer_->PrepareRead(Cat("SELECT uri", from, at_row), &table.find));
    work.Run(writer_->PrepareWrite(
        Cat("INSERT INTO ", shape.name, " (", shape.key_columns,
            ", bucket, sort_at, tie, uri, ", shape.value_columns,
            ", row_count, counted) VALUES (", shape.key_markers,
            ", ?, ?, ?, ?, ", shape.value_markers, ", ?, ?)"),
        &table.insert));
    work.Run(writer_->PrepareWrite(Cat("DELETE", from, at_row), &table.remove));
    work.Run(writer_->PrepareWrite(
        Cat("UPDATE ", shape.name, " SET row_count = ?, counted = ?", where),
        &table.set_numbers));
    work.Run(writer_->PrepareWrite(
        Cat("UPDATE ", shape.name, " SET split = true", where),
        &table.set_split));
    work.Run(writer_->PrepareRead(Cat("SELECT sort_at", from, " LIMIT 1"),
                                  &table.newest));
    work.Run(writer_->PrepareRead(
        Cat("SELECT sort_at", from, " ORDER BY sort_at ASC LIMIT 1"),
        &table.oldest));
    work.Run(writer_->PrepareRead(
        Cat("SELECT sort_at, tie, uri, ", shape.value_columns, from),
        &table.rows));
    work.Run(writer_->PrepareWrite(Cat("DELETE", from), &table.drop));
  }
  for (size_t i = 1; i < kTotals.size(); ++i) {
    const TotalColumn& total = kTotals[i];
    work.Run(
        writer_->PrepareWrite(Cat("UPDATE ", total.table, " SET ", total.column,
                                  " = ? WHERE ", total.key, " = ?"),
                              &totals_[i]));
  }
  work.Run(writer_->PrepareRead(
      "SELECT bucket, min_sort_at, max_sort_at, row_count, counted"
      " FROM list_buckets WHERE list = ? AND owner = ?",
      &read_directory_));
  work.Run(writer_->PrepareWrite(
      "INSERT INTO list_buckets (list, owner, bucket, min_sort_at,"
      " max_sort_at, row_count, counted) VALUES (?, ?, ?, ?, ?, ?, ?)",
      &write_directory_));
  work.Run(writer_->PrepareWrite(
      "DELETE FROM list_buckets WHERE list = ? AND owner = ?",
      &drop_directory_));
  co_return co_await work.Join();
}

template <typename... V>
cql::Query Lists::Execute(const cql::RequestOptions& options,
                          const cql::PreparedStatement& statement,
                          const ListKey& key, int bucket, const V&... values) {
  cql::Session* session = writer_->session();
  switch (key.table) {
    case ListTable::kRecordsByActor:
      return session->Execute(options, statement, key.owner, key.kind, bucket,
                              values...);
    case ListTable::kAuthorFeed:
      return session->Execute(options, statement, key.owner, key.feed_type,
                              bucket, values...);
    default:
      return session->Execute(options, statement, key.owner, bucket, values...);
  }
}

template <typename... V>
void Lists::AddToBatch(cql::Batch* batch,
                       const cql::PreparedStatement& statement,
                       const ListKey& key, int bucket, const V&... values) {
  switch (key.table) {
    case ListTable::kRecordsByActor:
      return batch->Add(statement, key.owner, key.kind, bucket, values...);
    case ListTable::kAuthorFeed:
      return batch->Add(statement, key.owner, key.feed_type, bucket, values...);
    default:
      return batch->Add(statement, key.owner, bucket, values...);
  }
}

void Lists::AddNumbersToBatch(cql::Batch* batch,
                              const cql::PreparedStatement& statement,
                              const ListKey& key, const Bucket& bucket) {
  switch (key.table) {
    case ListTable::kRecordsByActor:
      return batch->Add(statement, bucket.row_count, bucket.counted, key.owner,
                        key.kind, bucket.number);
    case ListTable::kAuthorFeed:
      return batch->Add(statement, bucket.row_count, bucket.counted, key.owner,
                        key.feed_type, bucket.number);
    default:
      return batch->Add(statement, bucket.row_count, bucket.counted, key.owner,
                        bucket.number);
  }
}

cql::Query Lists::Insert(const ListKey& key, int bucket, const ListRow& row,
                         int row_count, int counted) {
  const cql::PreparedStatement& insert = *StatementsOf(key).insert;
  const cql::RequestOptions options = writer_->WriteOptions();
  if (key.table == ListTable::kNotifications) {
    return Execute(options, insert, key, bucket, Ms(row.sort_ms), row.tie,
                   row.uri, OrNull(row.value), OrNull(row.reason),
                   OrNull(row.reason_subject), row_count, counted);
  }
  return Execute(options, insert, key, bucket, Ms(row.sort_ms), row.tie,
                 row.uri, OrNull(row.value), row_count, counted);
}

ioloop::Task<absl::StatusOr<Lists::Bucket>> Lists::ReadNumbers(
    const ListKey& key, int bucket) {
  cql::Query query = Execute({}, *StatementsOf(key).numbers, key, bucket);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<int> row_count, counted;
  std::optional<bool> split;
  absl::StatusOr<bool> found = rows->ReadFirst(&row_count, &counted, &split);
  if (!found.ok()) co_return found.status();
  Bucket numbers;
  numbers.number = bucket;
  numbers.row_count = row_count.value_or(0);
  numbers.counted = counted.value_or(0);
  numbers.split = split.value_or(false);
  co_return numbers;
}

ioloop::Task<absl::StatusOr<bool>> Lists::Holds(const ListKey& key, int bucket,
                                                const ListRow& row) {
  cql::Query query = Execute({}, *StatementsOf(key).find, key, bucket,
                             Ms(row.sort_ms), row.tie, row.uri);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  co_return !rows->empty();
}

ioloop::Task<absl::StatusOr<std::vector<Lists::Bucket>>> Lists::ReadBuckets(
    const ListKey& key, Bucket first) {
  std::vector<Bucket> buckets;
  if (!first.split) {
    buckets.push_back(first);
    co_return buckets;
  }
  const std::string name = key.ListName();
  cql::Query query =
      writer_->session()->Execute(*read_directory_, name, key.owner);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  for (const cql::Row& row : *rows) {
    std::optional<absl::Time> min, max;
    std::optional<int> row_count, counted;
    Bucket bucket;
    absl::Status status =
        row.Read(&bucket.number, &min, &max, &row_count, &counted);
    if (!status.ok()) co_return status;
    if (min) bucket.min_ms = absl::ToUnixMillis(*min);
    if (max) bucket.max_ms = absl::ToUnixMillis(*max);
    bucket.row_count = row_count.value_or(0);
    bucket.counted = counted.value_or(0);
    buckets.push_back(bucket);
  }
  if (rows->has_more_pages() || buckets.size() < 2) {
    co_return absl::DataLossError(
        Cat("list_buckets of ", name, " of ", key.owner, ": ", buckets.size(),
            " buckets where bucket 0 says there are more"));
  }
  co_return buckets;
}

ioloop::Task<absl::StatusOr<std::optional<int64_t>>> Lists::ReadEnd(
    const ListKey& key, int bucket, bool newest) {
  const TableStatements& table = StatementsOf(key);
  cql::Query query =
      Execute({}, newest ? *table.newest : *table.oldest, key, bucket);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  std::optional<absl::Time> at;
  absl::StatusOr<bool> found = rows->ReadFirst(&at);
  if (!found.ok()) co_return found.status();
  std::optional<int64_t> end;
  if (at) end = absl::ToUnixMillis(*at);
  co_return end;
}

ioloop::Task<absl::Status> Lists::WriteDirectory(const ListKey& key,
                                                 Bucket bucket) {
  const std::string name = key.ListName();
  cql::Query query = writer_->StartWrite(
      write_directory_, name, key.owner, bucket.number, Ms(bucket.min_ms),
      Ms(bucket.max_ms), bucket.row_count, bucket.counted);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<absl::Status> Lists::Open(const ListKey& key,
                                       std::vector<Bucket>* buckets) {
  // The directory is complete before bucket 0 tells of it, and that before the
  // new bucket has a row. A bucket gets its bounds before there is a next one:
  // if this is broken off in between, they say that it takes no more rows.
  Bucket& last = buckets->back();
  absl::StatusOr<std::optional<int64_t>> newest =
      co_await ReadEnd(key, last.number, true);
  if (!newest.ok()) co_return newest.status();
  absl::StatusOr<std::optional<int64_t>> oldest =
      co_await ReadEnd(key, last.number, false);
  if (!oldest.ok()) co_return oldest.status();
  last.max_ms = *newest;
  last.min_ms = *oldest;
  Bucket next;
  next.number = last.number + 1;

  absl::Status status = co_await WriteDirectory(key, last);
  if (!status.ok()) co_return status;
  status = co_await WriteDirectory(key, next);
  if (!status.ok()) co_return status;
  if (last.number == 0) {
    cql::Query query =
        Execute(writer_->WriteOptions(), *StatementsOf(key).set_split, key, 0);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
  }
  buckets->push_back(next);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Lists::Refresh(const ListKey& key, Bucket* bucket) {
  absl::StatusOr<Bucket> numbers = co_await ReadNumbers(key, bucket->number);
  if (!numbers.ok()) co_return numbers.status();
  bucket->row_count = numbers->row_count;
  bucket->counted = numbers->counted;
  co_return absl::OkStatus();
}

ioloop::Task<absl::StatusOr<std::optional<size_t>>> Lists::Locate(
    const ListKey& key, const ListRow& row, std::vector<Bucket>* buckets) {
  // Both questions about bucket 0 at once: nearly every list has no other.
  cql::Query find = Execute({}, *StatementsOf(key).find, key, 0,
                            Ms(row.sort_ms), row.tie, row.uri);
  absl::StatusOr<Bucket> first = co_await ReadNumbers(key, 0);
  absl::StatusOr<cql::Rows> found = co_await find;
  if (!first.ok()) co_return first.status();
  if (!found.ok()) co_return found.status();
  absl::StatusOr<std::vector<Bucket>> all = co_await ReadBuckets(key, *first);
  if (!all.ok()) co_return all.status();
  *buckets = *std::move(all);

  std::optional<size_t> at;
  if (!found->empty()) {
    at = 0;
  } else {
    for (size_t i = 1; i < buckets->size() && !at; ++i) {
      if (!(*buckets)[i].MayHold(row.sort_ms)) continue;
      absl::StatusOr<bool> holds =
          co_await Holds(key, (*buckets)[i].number, row);
      if (!holds.ok()) co_return holds.status();
      if (*holds) at = i;
    }
  }
  // What follows works on the numbers of the row's bucket, or of the last.
  const size_t current = at.value_or(buckets->size() - 1);
  if (current > 0 || buckets->size() > 1) {
    absl::Status status = co_await Refresh(key, &(*buckets)[current]);
    if (!status.ok()) co_return status;
  }
  co_return at;
}

ioloop::Task<absl::Status> Lists::Publish(const ListKey& key,
                                          const std::vector<Bucket>& buckets,
                                          size_t changed) {
  if (buckets.size() > 1) {
    absl::Status status = co_await WriteDirectory(key, buckets[changed]);
    if (!status.ok()) co_return status;
  }
  const Total total = key.FollowedBy();
  if (total == Total::kNone) co_return absl::OkStatus();
  int64_t sum = 0;
  for (const Bucket& bucket : buckets) sum += bucket.counted;
  sum = std::min<int64_t>(sum, INT32_MAX);
  cql::Query query = writer_->StartWrite(totals_[static_cast<size_t>(total)],
                                         static_cast<int>(sum), key.owner);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<absl::Status> Lists::Add(ListKey key, ListRow row, bool counts) {
  KeySet keys;
  keys.AddExclusive(Cat(key.ListName(), " ", key.owner));
  KeyedOrder::Place place(&order_);
  place.Enter(keys);
  co_await place;

  std::vector<Bucket> buckets;
  absl::StatusOr<std::optional<size_t>> at =
      co_await Locate(key, row, &buckets);
  if (!at.ok()) co_return at.status();
  if (at->has_value()) co_return co_await Publish(key, buckets, **at);
  const Bucket& last = buckets.back();
  if (last.row_count >= bucket_rows_ || last.closed()) {
    absl::Status status = co_await Open(key, &buckets);
    if (!status.ok()) co_return status;
  }
  Bucket& bucket = buckets.back();
  ++bucket.row_count;
  bucket.counted += counts ? 1 : 0;
  // Side by side: whichever of them is missing afterwards, doing it again looks
  // at the bucket itself and writes both.
  cql::Query insert =
      Insert(key, bucket.number, row, bucket.row_count, bucket.counted);
  absl::Status published = co_await Publish(key, buckets, buckets.size() - 1);
  absl::StatusOr<cql::Rows> inserted = co_await insert;
  co_return inserted.ok() ? published : inserted.status();
}

ioloop::Task<absl::Status> Lists::Remove(ListKey key, ListRow row,
                                         bool counts) {
  KeySet keys;
  keys.AddExclusive(Cat(key.ListName(), " ", key.owner));
  KeyedOrder::Place place(&order_);
  place.Enter(keys);
  co_await place;

  std::vector<Bucket> buckets;
  absl::StatusOr<std::optional<size_t>> at =
      co_await Locate(key, row, &buckets);
  if (!at.ok()) co_return at.status();
  if (at->has_value()) {
    Bucket& bucket = buckets[**at];
    bucket.row_count = std::max(0, bucket.row_count - 1);
    bucket.counted = std::max(0, bucket.counted - (counts ? 1 : 0));
    const TableStatements& table = StatementsOf(key);
    cql::Batch batch(cql::BatchType::kUnlogged);
    AddToBatch(&batch, *table.remove, key, bucket.number, Ms(row.sort_ms),
               row.tie, row.uri);
    // SET comes before WHERE: the numbers are bound first.
    AddNumbersToBatch(&batch, *table.set_numbers, key, bucket);
    cql::Query remove =
        writer_->session()->ExecuteBatch(writer_->WriteOptions(), batch);
    absl::Status published = co_await Publish(key, buckets, **at);
    absl::StatusOr<cql::Rows> removed = co_await remove;
    co_return removed.ok() ? published : removed.status();
  }
  if (buckets.size() > 1) {
    // It may have gone before, when the directory could not be told.
    for (Bucket& bucket : buckets) {
      if (!bucket.MayHold(row.sort_ms)) continue;
      absl::Status status = co_await Refresh(key, &bucket);
      if (status.ok()) status = co_await WriteDirectory(key, bucket);
      if (!status.ok()) co_return status;
    }
  }
  co_return co_await Publish(key, buckets, buckets.size() - 1);
}

ioloop::Task<absl::Status> Lists::Drop(ListKey key) {
  KeySet keys;
  keys.AddExclusive(Cat(key.ListName(), " ", key.owner));
  KeyedOrder::Place place(&order_);
  place.Enter(keys);
  co_await place;

  const std::string name = key.ListName();
  cql::Query numbers = Execute({}, *StatementsOf(key).numbers, key, 0);
  cql::Query directory =
      writer_->session()->Execute(*read_directory_, name, key.owner);
  absl::StatusOr<cql::Rows> first = co_await numbers;
  absl::StatusOr<cql::Rows> others = co_await directory;
  if (!first.ok()) co_return first.status();
  if (!others.ok()) co_return others.status();
  if (first->empty() && others->empty()) co_return absl::OkStatus();

  // The total first: a list that is gone is not looked at again. The directory
  // last: it says where the buckets are, also when bucket 0 is gone.
  std::vector<Bucket> none(1);
  absl::Status status = co_await Publish(key, none, 0);
  if (!status.ok()) co_return status;
  std::vector<int> buckets = {0};
  for (const cql::Row& row : *others) {
    absl::StatusOr<int> bucket = row.Get<int>(0);
    if (!bucket.ok()) co_return bucket.status();
    if (*bucket != 0) buckets.push_back(*bucket);
  }
  for (size_t i = buckets.size(); i-- > 0;) {
    cql::Query query = Execute(writer_->WriteOptions(), *StatementsOf(key).drop,
                               key, buckets[i]);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
  }
  if (others->empty()) co_return absl::OkStatus();
  cql::Query query = writer_->StartWrite(drop_directory_, name, key.owner);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<absl::StatusOr<bool>> Lists::Walk::Next(
    std::vector<ListRow>* rows) {
  rows->clear();
  if (buckets_ == 0) {
    absl::StatusOr<Bucket> first = co_await lists_->ReadNumbers(key_, 0);
    if (!first.ok()) co_return first.status();
    absl::StatusOr<std::vector<Bucket>> all =
        co_await lists_->ReadBuckets(key_, *first);
    if (!all.ok()) co_return all.status();
    buckets_ = static_cast<int>(all->size());
  }
  while (bucket_ < buckets_ && rows->empty()) {
    cql::RequestOptions options;
    options.page_size = page_rows_;
    options.paging_state = paging_state_;
    cql::Query query = lists_->Execute(
        options, *lists_->StatementsOf(key_).rows, key_, bucket_);
    absl::StatusOr<cql::Rows> page = co_await query;
    if (!page.ok()) co_return page.status();
    absl::Status status = ReadRows(*page, rows);
    if (!status.ok()) co_return status;
    paging_state_.assign(page->paging_state());
    if (paging_state_.empty()) ++bucket_;
  }
  co_return !rows->empty();
}

ioloop::Task<absl::StatusOr<std::vector<ListRow>>> Lists::Newest(ListKey key,
                                                                 int limit) {
  absl::StatusOr<Bucket> first = co_await ReadNumbers(key, 0);
  if (!first.ok()) co_return first.status();
  absl::StatusOr<std::vector<Bucket>> buckets =
      co_await ReadBuckets(key, *first);
  if (!buckets.ok()) co_return buckets.status();

  std::vector<ListRow> newest;
  const size_t wanted = static_cast<size_t>(limit);
  for (size_t i = buckets->size(); i-- > 0;) {
    const Bucket& bucket = (*buckets)[i];
    if (newest.size() == wanted && bucket.max_ms &&
        *bucket.max_ms < newest.back().sort_ms) {
      continue;
    }
    cql::RequestOptions options;
    options.page_size = limit;
    cql::Query query =
        Execute(options, *StatementsOf(key).rows, key, bucket.number);
    absl::StatusOr<cql::Rows> page = co_await query;
    if (!page.ok()) co_return page.status();
    absl::Status status = ReadRows(*page, &newest);
    if (!status.ok()) co_return status;
    std::sort(newest.begin(), newest.end(), Newer);
    if (newest.size() > wanted) newest.resize(wanted);
  }
  co_return newest;
}

}  // namespace ingest
