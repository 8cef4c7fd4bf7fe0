// Reads lists newest first: across their buckets, from a position on.
//
// A list of one owner is cut into buckets of bounded size (schema.cql, LISTS).
// Nearly all lists have one; those of the famous have many, of which a page
// usually needs the last only.
#ifndef RINGPLANE_SERVICE_DATAPLANE_LIST_READER_H_
#define RINGPLANE_SERVICE_DATAPLANE_LIST_READER_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cql/query.h"
#include "cql/session.h"
#include "ioloop/task.h"
#include "service/dataplane/cursor.h"
#include "service/dataplane/queries.h"
#include "service/rpc/service.h"

namespace dataplane {

// One list: which table, whose. Views live as long as the reads.
struct ListId {
  const ListQueries* queries = nullptr;
  // Its name in list_buckets; empty for a table without buckets.
  std::string_view directory;
  std::string_view owner;
  // The second part of the partition key, where there is one.
  std::optional<std::string_view> kind;
  std::optional<int32_t> feed_type;
  // Columns after sort_at, tie and uri: at most three.
  size_t extra_columns = 1;
};

struct ListRow {
  Position position;
  std::array<std::string, 3> extra;

  const std::string& uri() const { return position.key; }
};

// Appends what `rows`, the answer of one bucket, hold of `list`. Whether they
// say that the list has more buckets.
bool AppendListRows(const ListId& list, const cql::Rows& rows,
                    std::vector<ListRow>* out);

class ListReader {
 public:
  ListReader(cql::Session* session, const Queries* queries)
      : session_(session), queries_(queries) {}

  // The first `limit` rows after `after` (all, if it is empty), or fewer if
  // there are no more.
  ioloop::Task<absl::Status> Read(rpc::CallContext* call, const ListId* list,
                                  const std::optional<Position>* after,
                                  size_t limit, std::vector<ListRow>* rows);

 private:
  cql::Query Start(const cql::RequestOptions& options, const ListId& list,
                   int32_t bucket, const std::optional<Position>& after,
                   int32_t limit);

  cql::Session* const session_;
  const Queries* const queries_;
};

// A page of a list, less what a filter takes away.
struct ListPage {
  std::vector<ListRow> rows;
  // Where the next page starts; nothing at the end.
  std::optional<Position> next;

  std::string cursor() const { return next ? EncodeCursor(*next) : ""; }
};

// A filter that takes nothing away.
struct KeepAll {
  ioloop::Task<absl::Status> operator()(std::vector<ListRow>*) const {
    co_return absl::OkStatus();
  }
};

// Rows that a page may read per row that it gives, at least, before it ends
// early with a cursor: what bounds a page whose filter takes nearly all away.
inline constexpr size_t kPageReadsMin = 1000;
inline constexpr size_t kPageReadsPerRow = 10;

// Fills `page` with the first `limit` rows after `after` that
// filter(std::vector<ListRow>*), a Task<absl::Status> that removes the others,
// leaves. A page is full, or the last, or the end of what one request reads.
template <typename Filter>
ioloop::Task<absl::Status> ReadPage(ListReader* reader, rpc::CallContext* call,
                                    const ListId* list,
                                    std::optional<Position> after, size_t limit,
                                    Filter* filter, ListPage* page) {
  page->rows.clear();
  page->next.reset();
  size_t reads_left = std::max(kPageReadsMin, kPageReadsPerRow * limit);
  for (;;) {
    const size_t want = std::min(limit + 1 - page->rows.size(), reads_left);
    std::vector<ListRow> rows;
    absl::Status status =
        co_await reader->Read(call, list, &after, want, &rows);
    if (!status.ok()) co_return status;
    const bool last = rows.size() < want;
    reads_left -= rows.size();
    if (!rows.empty()) after = rows.back().position;
    status = co_await (*filter)(&rows);
    if (!status.ok()) co_return status;
    for (ListRow& row : rows) page->rows.push_back(std::move(row));
    if (page->rows.size() > limit) {
      page->rows.resize(limit);
      page->next = page->rows.back().position;
      break;
    }
    if (last) break;
    if (reads_left == 0) {
      page->next = after;
      break;
    }
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_LIST_READER_H_
