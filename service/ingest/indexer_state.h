// What the files that implement Indexer share. Not for anybody else.
#ifndef RINGPLANE_SERVICE_INGEST_INDEXER_STATE_H_
#define RINGPLANE_SERVICE_INGEST_INDEXER_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/ingest/indexer.h"
#include "service/ingest/lists.h"
#include "service/ingest/record.h"
#include "service/ingest/writer.h"

namespace ingest {

// A row of `records`.
struct StoredRecord {
  std::string cid;  // Empty: there is no record.
  std::string json;
  std::string rev;
  std::string notified;
  std::string reply_parent;
  std::string reply_root;
  int64_t indexed_ms = 0;
  int64_t sort_ms = 0;
  bool violates_thread_gate = false;

  bool live() const { return !cid.empty(); }
};

// A record that is put in or taken out: the event's, or the stored one.
struct Indexed {
  std::string did;
  Collection collection = Collection::kPost;
  std::string nsid;
  std::string rkey;
  std::string uri;
  std::string cid;
  int64_t indexed_ms = 0;
  int64_t sort_ms = 0;
  Record record;
};

// Why a record is taken out.
enum class Removal {
  kDeleted,
  kReplaced,  // It is indexed anew right after.
  // With its account: its row in `records_by_actor` stays until the whole list
  // goes, for it is by these rows that what is left is found again.
  kPurged,
};

// Where a post stands in its thread.
struct PostLinks {
  bool live = false;
  std::string parent;
  std::string root;
};

// What indexing a post decides once and for all.
struct PostFlags {
  bool violates_thread_gate = false;
  bool violates_embedding_rules = false;
  bool has_thread_gate = false;
  bool has_post_gate = false;
};

// An item of feeds: a post, or a repost of `post_uri`.
struct FeedItem {
  std::string originator;
  int64_t sort_ms = 0;
  std::string cid;
  std::string uri;
  std::string post_uri;
};

// The other record of a pair that counts instead.
struct Successor {
  std::string uri;
  std::string cid;
  int64_t indexed_ms = 0;
  int64_t sort_ms = 0;
};

struct KnownActor {
  bool known = false;
  int64_t purged_us = 0;
};

// A row of `actors`, as far as the indexer reads it.
struct ActorRow {
  bool known = false;
  std::string handle;
  int64_t purged_us = 0;
  int64_t account_us = 0;
  int64_t handle_us = 0;
};

struct Indexer::State {
  State(cql::Session* session, const IndexerOptions& indexer_options,
        RecordCacheInvalidator* cache_invalidator)
      : options(indexer_options),
        invalidator(cache_invalidator),
        writer(session),
        lists(&writer, indexer_options.list_bucket_rows) {}

  ioloop::Task<absl::Status> Prepare();

  // indexer.cc
  // Fills `now`, or says what is wrong with the event.
  absl::Status Check(const Event& event, Indexed* now);
  ioloop::Task<absl::StatusOr<Outcome>> ApplyCommit(const Event& event,
                                                    Indexed now);
  // Takes out what depends on `stored`, and brings in what depends on `now`.
  ioloop::Task<absl::Status> ChangeRecord(Indexed* now,
                                          const StoredRecord& stored,
                                          int64_t time_us, PostFlags* flags,
                                          std::string* notified);
  ioloop::Task<absl::StatusOr<StoredRecord>> ReadRecord(std::string_view uri);
  // Nothing, but a line in the log, if the store's own JSON is not what was
  // checked once: what cannot be read must not stop what comes after it.
  std::optional<Indexed> FromStore(const UriParts& parts,
                                   const StoredRecord& stored);
  ioloop::Task<absl::Status> WriteRecord(const Event& event, const Indexed& now,
                                         const PostFlags& flags,
                                         const std::string& notified);
  // Takes out what `stored` holds, if it is a record, and leaves `rev`.
  ioloop::Task<absl::Status> RemoveRecord(std::string uri, StoredRecord stored,
                                          Removal why, std::string rev,
                                          int64_t time_us);
  // Collects in `notified` what `records` shall remember, and in `flags` what
  // was decided about a post.
  ioloop::Task<absl::Status> Index(const Indexed& now, int64_t time_us,
                                   PostFlags* flags, std::string* notified);
  ioloop::Task<absl::Status> Unindex(const Indexed& old,
                                     const StoredRecord& stored, Removal why,
                                     int64_t time_us);
  ioloop::Task<absl::Status> IndexOther(const Indexed& now, int64_t time_us,
                                        std::string* notified);
  ioloop::Task<absl::Status> UnindexOther(const Indexed& old,
                                          const StoredRecord& stored,
                                          Removal why, int64_t time_us);
  ioloop::Task<absl::Status> SetGateFlag(Collection gate, std::string post,
                                         bool present);

  // index_post.cc
  ioloop::Task<absl::Status> IndexPost(const Indexed& now, int64_t time_us,
                                       PostFlags* flags, std::string* notified);
  ioloop::Task<absl::Status> UnindexPost(const Indexed& old,
                                         const StoredRecord& stored,
                                         Removal why, int64_t time_us);
  ioloop::Task<absl::StatusOr<Record>> ReadGate(Collection gate,
                                                std::string post, bool* found);
  ioloop::Task<absl::StatusOr<bool>> ViolatesThreadGate(
      const std::string& replier, const std::string& root, const Record& gate);
  ioloop::Task<absl::StatusOr<PostLinks>> ReadLinks(std::string_view uri);
  ioloop::Task<absl::Status> NotifyOfPost(const Indexed& now, int64_t time_us,
                                          const PostFlags& flags,
                                          const Record& gate,
                                          std::string* notified);
  ioloop::Task<absl::StatusOr<bool>> HoldsOpReply(const Indexed& reply);
  ioloop::Task<absl::Status> AddOpReply(const Indexed& now);
  ioloop::Task<absl::Status> RemoveOpReply(const Indexed& old, int64_t time_us);
  ioloop::Task<absl::Status> RemoveRepostItems(std::string post);

  // index_pair.cc
  ioloop::Task<absl::Status> IndexPair(const Indexed& now, int64_t time_us,
                                       std::string* notified);
  ioloop::Task<absl::Status> UnindexPair(const Indexed& old,
                                         const StoredRecord& stored,
                                         Removal why);
  // Of a like or repost: the account of the subject, and of the repost through
  // which it was found.
  ioloop::Task<absl::Status> NotifyHosts(const Indexed& now, int64_t time_us,
                                         std::string* notified);
  ioloop::Task<absl::StatusOr<std::string>> ReadRelation(
      std::string_view actor, std::string_view kind, std::string_view subject);
  ioloop::Task<absl::StatusOr<std::optional<Successor>>> FindSuccessor(
      const Indexed& old);
  ioloop::Task<absl::Status> RememberDuplicate(const Indexed& now);
  // Takes `counting` out of the line of the pair of `old`, if it is there.
  ioloop::Task<absl::Status> ForgetDuplicate(const Indexed& old,
                                             std::string counting);

  // fan_out.cc
  ioloop::Task<absl::Status> PutFeedItem(FeedItem item,
                                         std::vector<int> feed_types);
  ioloop::Task<absl::Status> TakeFeedItem(FeedItem item,
                                          std::vector<int> feed_types);
  ioloop::Task<absl::Status> FanOut(const FeedItem& item, bool put);
  ioloop::Task<absl::Status> BackFill(std::string actor, std::string followed);
  ioloop::Task<absl::Status> Unfollow(std::string actor, std::string followed);
  ioloop::Task<absl::Status> TrimTimeline(std::string actor);

  // notify.cc
  struct Notice {
    Notice(std::string_view to, std::string_view why, std::string_view subject)
        : recipient(to), reason(why), reason_subject(subject) {}
    std::string recipient;
    std::string reason;
    std::string reason_subject;
  };
  // `root`: the thread of the subject, if that is a post that is indexed.
  ioloop::Task<absl::Status> Notify(const Indexed& by, Notice notice,
                                    std::string root, int64_t time_us,
                                    std::string* notified);
  // The same; finds out the thread.
  ioloop::Task<absl::Status> NotifyAbout(const Indexed& by, Notice notice,
                                         int64_t time_us,
                                         std::string* notified);
  ioloop::Task<absl::Status> RemoveNotifications(const Indexed& by,
                                                 const std::string& notified);

  // index_account.cc
  ioloop::Task<absl::StatusOr<Outcome>> ApplyIdentity(const Event& event);
  ioloop::Task<absl::StatusOr<Outcome>> ApplyAccount(const Event& event);
  ioloop::Task<absl::StatusOr<ActorRow>> ReadActor(std::string_view did);
  // The same from memory, if it is there.
  ioloop::Task<absl::StatusOr<KnownActor>> Recall(const std::string& did);
  void Remember(const std::string& did, const KnownActor& actor);
  ioloop::Task<absl::Status> MakeKnown(const std::string& did, int64_t time_us);
  ioloop::Task<absl::Status> MoveHandle(std::string did, std::string handle);
  ioloop::Task<absl::Status> Purge(const std::string& did, int64_t time_us);
  ioloop::Task<absl::Status> PurgeRecord(std::string uri, int64_t time_us);
  // Of a trusted issuer.
  ioloop::Task<absl::Status> IndexVerification(const Indexed& now, bool add);
  ioloop::Task<absl::Status> WriteVerification(const Indexed& now);

  // index_private.cc
  ioloop::Task<absl::Status> UnlistBookmark(std::string actor,
                                            std::string subject, ListRow but);
  ioloop::Task<absl::Status> UnlistMute(std::string actor, std::string subject,
                                        std::optional<int64_t> but_ms);

  const IndexerOptions options;
  RecordCacheInvalidator* const invalidator;
  Writer writer;
  Lists lists;
  RecordParser parser;
  // One change of a handle, a bookmark or a mute at a time.
  KeyedOrder order;
  absl::flat_hash_map<std::string, KnownActor> actors;

  struct Statements {
    const cql::PreparedStatement* read_record = nullptr;
    const cql::PreparedStatement* write_record = nullptr;
    const cql::PreparedStatement* write_post = nullptr;
    const cql::PreparedStatement* bury_record = nullptr;
    const cql::PreparedStatement* set_rev = nullptr;
    const cql::PreparedStatement* set_takedown = nullptr;
    const cql::PreparedStatement* set_actor_record_takedown = nullptr;
    const cql::PreparedStatement* write_actor_record = nullptr;
    const cql::PreparedStatement* remove_actor_record = nullptr;
    const cql::PreparedStatement* write_repo_rev = nullptr;
    const cql::PreparedStatement* read_links = nullptr;
    const cql::PreparedStatement* set_has_thread_gate = nullptr;
    const cql::PreparedStatement* set_has_post_gate = nullptr;
    const cql::PreparedStatement* read_op_replies = nullptr;
    const cql::PreparedStatement* find_op_reply = nullptr;
    const cql::PreparedStatement* write_op_reply = nullptr;
    const cql::PreparedStatement* delete_op_reply = nullptr;
    const cql::PreparedStatement* read_relation = nullptr;
    const cql::PreparedStatement* write_relation = nullptr;
    const cql::PreparedStatement* remove_relation = nullptr;
    const cql::PreparedStatement* read_duplicates = nullptr;
    const cql::PreparedStatement* write_duplicate = nullptr;
    const cql::PreparedStatement* remove_duplicate = nullptr;
    const cql::PreparedStatement* write_timeline = nullptr;
    const cql::PreparedStatement* remove_timeline = nullptr;
    const cql::PreparedStatement* read_timeline = nullptr;
    const cql::PreparedStatement* trim_timeline = nullptr;
    const cql::PreparedStatement* drop_timeline = nullptr;
    const cql::PreparedStatement* read_thread_mute = nullptr;
    const cql::PreparedStatement* read_actor = nullptr;
    const cql::PreparedStatement* make_known = nullptr;
    const cql::PreparedStatement* set_account = nullptr;
    const cql::PreparedStatement* set_deleted = nullptr;
    const cql::PreparedStatement* set_handle = nullptr;
    const cql::PreparedStatement* set_handle_time = nullptr;
    const cql::PreparedStatement* read_handle = nullptr;
    const cql::PreparedStatement* write_handle = nullptr;
    const cql::PreparedStatement* remove_handle = nullptr;
    const cql::PreparedStatement* read_trusted = nullptr;
    const cql::PreparedStatement* write_verification = nullptr;
    const cql::PreparedStatement* remove_verification = nullptr;
    const cql::PreparedStatement* set_trusted = nullptr;
    const cql::PreparedStatement* add_trusted = nullptr;
    const cql::PreparedStatement* remove_trusted = nullptr;
    const cql::PreparedStatement* read_bookmark = nullptr;
    const cql::PreparedStatement* write_bookmark = nullptr;
    const cql::PreparedStatement* remove_bookmark = nullptr;
    const cql::PreparedStatement* read_mute = nullptr;
    const cql::PreparedStatement* write_mute = nullptr;
    const cql::PreparedStatement* remove_mute = nullptr;
  };
  Statements statements;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_INDEXER_STATE_H_
