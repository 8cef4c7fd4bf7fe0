// Applies events of the network to the tables of schema.cql.
//
// Every event is applied in three steps: read what the store holds of the
// record; change everything that depends on it, each change such that doing it
// twice is doing it once; write the record with the event's rev. An event whose
// rev the store already holds is no news and changes nothing. So a crash
// anywhere, a replay from an older cursor or the same file again end in the
// same tables, and counts cannot drift: docs/schema.md has the argument.
//
// There is one indexer for a keyspace at a time. It may apply many events at
// once; what must not overtake each other is said by KeysOf(), and `Scheduler`
// sees to it.
//
// Thread-safety: none; an indexer belongs to its session's loop.
#ifndef RINGPLANE_SERVICE_INGEST_INDEXER_H_
#define RINGPLANE_SERVICE_INGEST_INDEXER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/task.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/keyed_order.h"

namespace ingest {

// Told of every record whose row changed, after the change.
class RecordCacheInvalidator {
 public:
  virtual ~RecordCacheInvalidator() = default;
  virtual void Invalidate(std::string_view uri) = 0;
};

struct IndexerOptions {
  // Rows of a list before it gets another bucket.
  int list_bucket_rows = 50'000;
  // Newest items that a timeline keeps; it is cut back to this many when it
  // holds twice as many. A follow copies at most this many.
  int timeline_rows = 2'000;
  // Duplicates of a pair that are remembered: past this, a record that is not
  // the first of its pair is kept as a record only.
  int duplicates_max = 1'000;
  // Own replies that an own thread remembers.
  int op_replies_max = 10'000;
  // Recipients of mention notifications of one post.
  int mentions_max = 100;
  size_t record_bytes_max = 1 << 20;
  // Rows of a page when lists are walked: followers, feeds, records.
  int page_rows = 1'000;
  // Writes of one event in flight at once.
  size_t writes_in_flight = 64;
  // How long what a deletion leaves guards against older events.
  absl::Duration tombstone_ttl = absl::Hours(24 * 30);
  // Accounts whose state is remembered between events.
  size_t actors_remembered = 100'000;
  // Of one query.
  absl::Duration query_timeout = absl::Seconds(10);
};

class Indexer {
 public:
  enum class Outcome {
    kApplied,
    // The store has this event, or a later one of the record, already.
    kNoNews,
  };

  // Prepares the statements; the schema is there. `invalidator` may be nullptr.
  // All outlive the indexer.
  static ioloop::Task<absl::StatusOr<std::unique_ptr<Indexer>>> Create(
      cql::Session* session, IndexerOptions options,
      RecordCacheInvalidator* invalidator);
  ~Indexer();
  Indexer(const Indexer&) = delete;
  Indexer& operator=(const Indexer&) = delete;

  // Applies one event. kInvalidArgument: the record is malformed ("createdAt:
  // not a time"), nothing was written and nothing ever will be. Any other error
  // is the store's: parts of the event may be written, and applying it again
  // completes it.
  //
  // REQUIRES: `event` outlives the task, and events that share a key (KeysOf)
  // are applied one after the other.
  ioloop::Task<absl::StatusOr<Outcome>> Apply(const Event& event);

  // What applying `event` touches. It reads the record that the event replaces
  // or deletes: events on this record that came before must be done.
  // `alone` is set for an event that must not run beside any other.
  ioloop::Task<absl::Status> KeysOf(const Event& event, KeySet* keys,
                                    bool* alone);
  // Whether KeysOf() has to read the store.
  static bool KeysNeedStore(const Event& event);

  // What the admin RPCs change, beside events.

  struct Bookmark {
    std::string_view actor;
    std::string_view subject;
    std::string_view subject_cid;
    std::string_view key;
    int64_t indexed_at_ms;
  };
  // Replaces the actor's bookmark of the subject, if any.
  ioloop::Task<absl::Status> PutBookmark(const Bookmark& bookmark);
  ioloop::Task<absl::Status> DeleteBookmark(std::string_view actor,
                                            std::string_view subject);

  struct Mute {
    std::string_view actor;
    std::string_view subject;
    int64_t created_at_ms;
    bool only_reposts;
    bool only_quoteposts;
  };
  ioloop::Task<absl::Status> PutMute(const Mute& mute);
  ioloop::Task<absl::Status> DeleteMute(std::string_view actor,
                                        std::string_view subject);

  // Sets or, with an empty `ref`, lifts the takedown of a record.
  ioloop::Task<absl::Status> SetRecordTakedown(std::string_view uri,
                                               std::string_view ref);

  // Gives `did` the handle, taking it from whoever had it; empty: no handle.
  ioloop::Task<absl::Status> SetHandle(std::string_view did,
                                       std::string_view handle);

  // Copies the verifications that `did` issued to their subjects, or removes
  // them again.
  ioloop::Task<absl::Status> SetTrustedVerifier(std::string_view did,
                                                bool trusted);

  // Forgets what it remembers of `did`, after others wrote it.
  void ForgetActor(std::string_view did);

  // Internals, shared by the files that implement it.
  struct State;

 private:
  explicit Indexer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_INDEXER_H_
