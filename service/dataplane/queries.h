// Every query of the read side, in one place. docs/schema.md says what one RPC
// costs in them.
#ifndef RINGPLANE_SERVICE_DATAPLANE_QUERIES_H_
#define RINGPLANE_SERVICE_DATAPLANE_QUERIES_H_

#include <cstddef>

#include "absl/status/status.h"
#include "cql/session.h"
#include "cql/statement.h"
#include "ioloop/task.h"

namespace dataplane {

// The columns that `record` and `post` begin with, in order, and those that
// follow in `post`; `actor_records` has them after the collection.
struct RecordColumns {
  static constexpr size_t kCid = 0;
  static constexpr size_t kJson = 1;
  static constexpr size_t kIndexedAt = 2;
  static constexpr size_t kCreatedAt = 3;
  static constexpr size_t kTakedownRef = 4;
};
struct PostColumns {
  static constexpr size_t kReplyParent = 5;
  static constexpr size_t kReplyRoot = 6;
  static constexpr size_t kViolatesThreadGate = 7;
  static constexpr size_t kViolatesEmbeddingRules = 8;
  static constexpr size_t kHasThreadGate = 9;
  static constexpr size_t kHasPostGate = 10;
};

// The columns of a list's rows. `split` is left out where a table has no
// buckets: then the others come one place earlier.
struct ListColumns {
  static constexpr size_t kSortAt = 0;
  static constexpr size_t kTie = 1;
  static constexpr size_t kUri = 2;
  static constexpr size_t kSplit = 3;
  static constexpr size_t kExtra = 4;
};

// The two queries of a list: its first rows, and those after a position.
struct ListQueries {
  const cql::PreparedStatement* first = nullptr;
  const cql::PreparedStatement* after = nullptr;
};

// The texts are in queries.cc, each with the RPCs that use it.
struct Queries {
  const cql::PreparedStatement* record = nullptr;
  const cql::PreparedStatement* post = nullptr;
  const cql::PreparedStatement* record_state = nullptr;
  const cql::PreparedStatement* op_replies = nullptr;

  const cql::PreparedStatement* actor = nullptr;
  const cql::PreparedStatement* actor_known = nullptr;
  const cql::PreparedStatement* actor_records = nullptr;
  const cql::PreparedStatement* verifications = nullptr;
  const cql::PreparedStatement* handle = nullptr;
  const cql::PreparedStatement* identity = nullptr;
  const cql::PreparedStatement* repo_rev = nullptr;

  const cql::PreparedStatement* relation = nullptr;
  const cql::PreparedStatement* mute = nullptr;
  const cql::PreparedStatement* thread_mute = nullptr;
  const cql::PreparedStatement* bookmark = nullptr;
  const cql::PreparedStatement* list_mute = nullptr;
  const cql::PreparedStatement* list_mutes = nullptr;

  const cql::PreparedStatement* record_counts = nullptr;
  const cql::PreparedStatement* actor_counts = nullptr;
  const cql::PreparedStatement* list_counts = nullptr;

  const cql::PreparedStatement* notification_seen = nullptr;
  const cql::PreparedStatement* labels = nullptr;

  const cql::PreparedStatement* list_buckets = nullptr;
  ListQueries records_by_actor;
  ListQueries author_feed;
  ListQueries timeline;
  ListQueries likes_by_subject;
  ListQueries reposts_by_subject;
  ListQueries replies_by_parent;
  ListQueries followers;
  ListQueries list_members;
  ListQueries notifications;
};

// Fills `queries`; the error names the query that could not be prepared.
ioloop::Task<absl::Status> PrepareQueries(cql::Session* session,
                                          Queries* queries);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_QUERIES_H_
