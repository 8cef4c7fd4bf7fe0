// The bucketed lists of schema.cql, as their one writer changes them.
//
// A change is one atomic write of a row together with its bucket's numbers, so
// what is counted is what is there, whatever is done twice or only half. The
// total that readers see is written from the buckets' numbers, never added to.
#ifndef RINGPLANE_SERVICE_INGEST_LISTS_H_
#define RINGPLANE_SERVICE_INGEST_LISTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/task.h"
#include "service/ingest/keyed_order.h"
#include "service/ingest/record.h"
#include "service/ingest/writer.h"

namespace ingest {

enum class ListTable : uint8_t {
  kRecordsByActor,
  kAuthorFeed,
  kLikesBySubject,
  kRepostsBySubject,
  kQuotesBySubject,
  kRepliesByParent,
  kFollowers,
  kListMembers,
  kBookmarksBySubject,
  kNotifications,
};
inline constexpr size_t kListTableCount = 10;

// A total that follows a list.
enum class Total : uint8_t {
  kNone,
  kLikes,
  kReposts,
  kReplies,
  kQuotes,
  kBookmarks,
  kPosts,
  kFollowing,
  kFollowers,
  kLists,
  kFeeds,
  kStarterPacks,
  kListItems,
};
inline constexpr size_t kTotalCount = 13;

// Names one list. Has constructors, and so may be a temporary in a coroutine.
struct ListKey {
  ListKey(ListTable list_table, std::string_view list_owner,
          std::string_view list_kind = {}, int list_feed_type = 0)
      : table(list_table),
        owner(list_owner),
        kind(list_kind),
        feed_type(list_feed_type) {}

  ListTable table;
  std::string owner;
  std::string kind;   // kRecordsByActor
  int feed_type = 0;  // kAuthorFeed

  // As `list_buckets` calls it.
  std::string ListName() const;
  Total FollowedBy() const;
};

struct ListRow {
  ListRow() = default;
  ListRow(int64_t row_sort_ms, std::string_view row_tie,
          std::string_view row_uri, std::string_view row_value)
      : sort_ms(row_sort_ms), tie(row_tie), uri(row_uri), value(row_value) {}

  int64_t sort_ms = 0;
  std::string tie;
  std::string uri;
  // The column after these: subject, post_uri, actor, or author. Empty: null.
  std::string value;
  // kNotifications only.
  std::string reason;
  std::string reason_subject;
};

// What has happened to a kind of record that is not the one that counts.
std::string DuplicateKind(std::string_view kind);

class Lists {
 public:
  // Both outlive it.
  Lists(Writer* writer, int bucket_rows)
      : writer_(writer), bucket_rows_(bucket_rows) {}

  ioloop::Task<absl::Status> Prepare();

  // Puts a row in; nothing if it is there. `counts`: whether it is in the
  // total.
  ioloop::Task<absl::Status> Add(ListKey key, ListRow row, bool counts = true);
  // Takes a row out (`value` does not matter); nothing if it is not there.
  ioloop::Task<absl::Status> Remove(ListKey key, ListRow row,
                                    bool counts = true);
  // Takes all rows out.
  ioloop::Task<absl::Status> Drop(ListKey key);

  // Reads a list from page to page, in no order across buckets:
  //
  //   Lists::Walk walk(lists, key, 1000);
  //   while (true) {
  //     absl::StatusOr<bool> more = co_await walk.Next(&rows);
  //     if (!more.ok() || !*more) break;
  class Walk {
   public:
    Walk(Lists* lists, ListKey key, int page_rows)
        : lists_(lists), key_(std::move(key)), page_rows_(page_rows) {}
    // Fills `rows` with the next rows; false at the end.
    ioloop::Task<absl::StatusOr<bool>> Next(std::vector<ListRow>* rows);

   private:
    Lists* const lists_;
    const ListKey key_;
    const int page_rows_;
    int bucket_ = 0;
    int buckets_ = 0;  // 0: not known yet.
    std::string paging_state_;
  };

  // The newest `limit` rows, newest first.
  ioloop::Task<absl::StatusOr<std::vector<ListRow>>> Newest(ListKey key,
                                                            int limit);

 private:
  struct TableStatements {
    const cql::PreparedStatement* numbers = nullptr;
    const cql::PreparedStatement* find = nullptr;
    const cql::PreparedStatement* insert = nullptr;
    const cql::PreparedStatement* remove = nullptr;
    const cql::PreparedStatement* set_numbers = nullptr;
    const cql::PreparedStatement* set_split = nullptr;
    const cql::PreparedStatement* newest = nullptr;
    const cql::PreparedStatement* oldest = nullptr;
    const cql::PreparedStatement* rows = nullptr;
    const cql::PreparedStatement* drop = nullptr;
  };
  // One bucket, as its partition or the directory says.
  struct Bucket {
    int number = 0;
    std::optional<int64_t> min_ms;
    std::optional<int64_t> max_ms;
    int row_count = 0;
    int counted = 0;
    bool split = false;

    // It takes no more rows, full or not.
    bool closed() const { return max_ms.has_value(); }
    bool MayHold(int64_t sort_ms) const {
      return (!min_ms || *min_ms <= sort_ms) && (!max_ms || sort_ms <= *max_ms);
    }
  };

  const TableStatements& StatementsOf(const ListKey& key) const {
    return tables_[static_cast<size_t>(key.table)];
  }
  // Executes with the key's values, `bucket` and `values`.
  template <typename... V>
  cql::Query Execute(const cql::RequestOptions& options,
                     const cql::PreparedStatement& statement,
                     const ListKey& key, int bucket, const V&... values);
  template <typename... V>
  static void AddToBatch(cql::Batch* batch,
                         const cql::PreparedStatement& statement,
                         const ListKey& key, int bucket, const V&... values);
  static void AddNumbersToBatch(cql::Batch* batch,
                                const cql::PreparedStatement& statement,
                                const ListKey& key, const Bucket& bucket);
  cql::Query Insert(const ListKey& key, int bucket, const ListRow& row,
                    int row_count, int counted);

  ioloop::Task<absl::StatusOr<Bucket>> ReadNumbers(const ListKey& key,
                                                   int bucket);
  ioloop::Task<absl::StatusOr<bool>> Holds(const ListKey& key, int bucket,
                                           const ListRow& row);
  // Every bucket, by number. Where there is one, its numbers are the
  // partition's; otherwise all are the directory's.
  ioloop::Task<absl::StatusOr<std::vector<Bucket>>> ReadBuckets(
      const ListKey& key, Bucket first);
  ioloop::Task<absl::StatusOr<std::optional<int64_t>>> ReadEnd(
      const ListKey& key, int bucket, bool newest);
  ioloop::Task<absl::Status> WriteDirectory(const ListKey& key, Bucket bucket);
  // Closes the last bucket and opens another.
  ioloop::Task<absl::Status> Open(const ListKey& key,
                                  std::vector<Bucket>* buckets);
  // Replaces the directory's numbers by the partition's.
  ioloop::Task<absl::Status> Refresh(const ListKey& key, Bucket* bucket);
  // Where `row` is: an index in `buckets`, whose numbers are then the
  // partition's, or nothing. Leaves `buckets` empty if there is no list.
  ioloop::Task<absl::StatusOr<std::optional<size_t>>> Locate(
      const ListKey& key, const ListRow& row, std::vector<Bucket>* buckets);
  // Tells the directory and the total what `changed` says now.
  ioloop::Task<absl::Status> Publish(const ListKey& key,
                                     const std::vector<Bucket>& buckets,
                                     size_t changed);

  Writer* const writer_;
  const int bucket_rows_;
  // One change of a list at a time.
  KeyedOrder order_;
  std::array<TableStatements, kListTableCount> tables_;
  std::array<const cql::PreparedStatement*, kTotalCount> totals_ = {};
  const cql::PreparedStatement* read_directory_ = nullptr;
  const cql::PreparedStatement* write_directory_ = nullptr;
  const cql::PreparedStatement* drop_directory_ = nullptr;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_LISTS_H_
