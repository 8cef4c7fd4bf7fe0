// Every statement of the indexer but those of the lists.
#include "service/ingest/indexer_state.h"

namespace ingest {

ioloop::Task<absl::Status> Indexer::State::Prepare() {
  absl::Status status = co_await lists.Prepare();
  if (!status.ok()) co_return status;

  using Slot = const cql::PreparedStatement* Statements::*;
  struct Text {
    Slot slot;
    const char* text;
  };
  using S = Statements;
  static constexpr Text kReads[] = {
      {&S::read_record,
       "SELECT cid, record, rev, notified, reply_parent, reply_root,"
       " indexed_at, sort_at, violates_thread_gate"
       " FROM records WHERE uri = ?"},
      {&S::read_links,
       "SELECT cid, reply_parent, reply_root FROM records WHERE uri = ?"},
      {&S::read_op_replies,
       "SELECT row_count FROM op_replies WHERE root = ? LIMIT 1"},
      {&S::find_op_reply,
       "SELECT uri FROM op_replies WHERE root = ? AND uri = ?"},
      {&S::read_relation,
       "SELECT uri FROM relations"
       " WHERE actor = ? AND kind = ? AND subject = ?"},
      {&S::read_duplicates,
       "SELECT uri, indexed_at FROM duplicates"
       " WHERE actor = ? AND kind = ? AND subject = ?"},
      {&S::read_timeline,
       "SELECT sort_at, tie, uri FROM timelines WHERE actor = ?"},
      {&S::read_thread_mute,
       "SELECT root FROM thread_mutes WHERE actor = ? AND root = ?"},
      {&S::read_actor,
       "SELECT known, handle, purged_time_us, account_time_us,"
       " handle_time_us FROM actors WHERE did = ?"},
      {&S::read_handle, "SELECT did FROM handles WHERE handle = ?"},
      {&S::read_trusted,
       "SELECT did FROM trusted_verifiers WHERE one = 0 AND did = ?"},
      {&S::read_bookmark,
       "SELECT key, indexed_at FROM bookmarks"
       " WHERE actor = ? AND subject = ?"},
      {&S::read_mute,
       "SELECT created_at FROM mutes WHERE actor = ? AND subject = ?"},
  };
  static constexpr Text kWrites[] = {
      {&S::write_record,
       "INSERT INTO records (uri, cid, record, indexed_at, created_at,"
       " sort_at, rev, notified) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"},
      {&S::write_post,
       "INSERT INTO records (uri, cid, record, indexed_at, created_at,"
       " sort_at, rev, notified, reply_parent, reply_root,"
       " violates_thread_gate, violates_embedding_rules, has_thread_gate,"
       " has_post_gate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&S::bury_record,
       "INSERT INTO records (uri, rev, cid, record, indexed_at, created_at,"
       " sort_at, takedown_ref, notified, reply_parent, reply_root,"
       " violates_thread_gate, violates_embedding_rules, has_thread_gate,"
       " has_post_gate) VALUES (?, ?, null, null, null, null, null, null,"
       " null, null, null, null, null, null, null) USING TTL ?"},
      {&S::set_rev, "UPDATE records SET rev = ? WHERE uri = ?"},
      {&S::set_takedown, "UPDATE records SET takedown_ref = ? WHERE uri = ?"},
      {&S::set_actor_record_takedown,
       "UPDATE actor_records SET takedown_ref = ?"
       " WHERE did = ? AND collection = ?"},
      {&S::write_actor_record,
       "INSERT INTO actor_records (did, collection, cid, record, indexed_at,"
       " created_at) VALUES (?, ?, ?, ?, ?, ?)"},
      {&S::remove_actor_record,
       "DELETE FROM actor_records WHERE did = ? AND collection = ?"},
      {&S::write_repo_rev,
       "INSERT INTO repo_revs (did, rev) VALUES (?, ?) USING TIMESTAMP ?"},
      {&S::set_has_thread_gate,
       "UPDATE records SET has_thread_gate = ? WHERE uri = ?"},
      {&S::set_has_post_gate,
       "UPDATE records SET has_post_gate = ? WHERE uri = ?"},
      {&S::write_op_reply,
       "INSERT INTO op_replies (root, uri, parent, deleted_at, row_count)"
       " VALUES (?, ?, ?, null, ?)"},
      {&S::delete_op_reply,
       "INSERT INTO op_replies (root, uri, parent, deleted_at)"
       " VALUES (?, ?, ?, ?)"},
      {&S::write_relation,
       "INSERT INTO relations (actor, kind, subject, uri)"
       " VALUES (?, ?, ?, ?)"},
      {&S::remove_relation,
       "DELETE FROM relations WHERE actor = ? AND kind = ? AND subject = ?"},
      {&S::write_duplicate,
       "INSERT INTO duplicates (actor, kind, subject, indexed_at, uri)"
       " VALUES (?, ?, ?, ?, ?)"},
      {&S::remove_duplicate,
       "DELETE FROM duplicates WHERE actor = ? AND kind = ? AND subject = ?"
       " AND indexed_at = ? AND uri = ?"},
      {&S::write_timeline,
       "INSERT INTO timelines (actor, sort_at, tie, uri, post_uri)"
       " VALUES (?, ?, ?, ?, ?)"},
      {&S::remove_timeline,
       "DELETE FROM timelines WHERE actor = ? AND sort_at = ? AND tie = ?"
       " AND uri = ?"},
      {&S::trim_timeline,
       "DELETE FROM timelines WHERE actor = ? AND sort_at < ?"},
      {&S::drop_timeline, "DELETE FROM timelines WHERE actor = ?"},
      {&S::make_known,
       "UPDATE actors SET known = true, indexed_at = ? WHERE did = ?"},
      {&S::set_account,
       "UPDATE actors SET upstream_status = ?, account_time_us = ?"
       " WHERE did = ?"},
      {&S::set_deleted,
       "UPDATE actors SET known = false, purged_time_us = ?,"
       " upstream_status = ?, account_time_us = ? WHERE did = ?"},
      {&S::set_handle, "UPDATE actors SET handle = ? WHERE did = ?"},
      {&S::set_handle_time,
       "UPDATE actors SET handle_time_us = ? WHERE did = ?"},
      {&S::write_handle, "INSERT INTO handles (handle, did) VALUES (?, ?)"},
      {&S::remove_handle, "DELETE FROM handles WHERE handle = ?"},
      {&S::write_verification,
       "INSERT INTO verifications_by_subject (subject, issuer, rkey, handle,"
       " display_name, created_at, sort_at) VALUES (?, ?, ?, ?, ?, ?, ?)"},
      {&S::remove_verification,
       "DELETE FROM verifications_by_subject"
       " WHERE subject = ? AND issuer = ? AND rkey = ?"},
      {&S::set_trusted, "UPDATE actors SET trusted_verifier = ? WHERE did = ?"},
      {&S::add_trusted,
       "INSERT INTO trusted_verifiers (one, did) VALUES (0, ?)"},
      {&S::remove_trusted,
       "DELETE FROM trusted_verifiers WHERE one = 0 AND did = ?"},
      {&S::write_bookmark,
       "INSERT INTO bookmarks (actor, subject, key, subject_cid, indexed_at)"
       " VALUES (?, ?, ?, ?, ?)"},
      {&S::remove_bookmark,
       "DELETE FROM bookmarks WHERE actor = ? AND subject = ?"},
      {&S::write_mute,
       "INSERT INTO mutes (actor, subject, created_at, only_reposts,"
       " only_quoteposts) VALUES (?, ?, ?, ?, ?)"},
      {&S::remove_mute, "DELETE FROM mutes WHERE actor = ? AND subject = ?"},
  };
  SideBySide work;
  for (const Text& read : kReads) {
    work.Run(writer.PrepareRead(read.text, &(statements.*read.slot)));
  }
  for (const Text& write : kWrites) {
    work.Run(writer.PrepareWrite(write.text, &(statements.*write.slot)));
  }
  co_return co_await work.Join();
}

}  // namespace ingest
