// What others did that concerns an account.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/kinds.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

// The extra columns of a notification.
constexpr size_t kAuthor = 0;
constexpr size_t kReason = 1;
constexpr size_t kReasonSubject = 2;

// Rows that one look at unread notifications reads.
constexpr size_t kUnreadRows = 500;

}  // namespace

ListId Dataplane::NotificationsOf(std::string_view did) const {
  ListId list;
  list.queries = &queries_.notifications;
  list.directory = "notifications";
  list.owner = did;
  list.extra_columns = 3;
  return list;
}

// Removes notifications about records that are gone, and with `priority` those
// of accounts that `actor` does not follow. The others' authors are marked in
// `followed`.
ioloop::Task<absl::Status> Dataplane::KeepLiveNotifications(
    rpc::CallContext* call, std::string_view actor, bool priority,
    absl::flat_hash_map<std::string, bool>* followed,
    std::vector<ListRow>* rows) {
  KeySet subjects;
  std::vector<RelationKey> relations;
  for (const ListRow& row : *rows) {
    if (!row.extra[kReasonSubject].empty()) {
      subjects.Add(row.extra[kReasonSubject]);
    }
    if (followed->try_emplace(row.extra[kAuthor], false).second) {
      relations.push_back({actor, kFollow, row.extra[kAuthor]});
    }
  }
  std::vector<RecordState> states;
  absl::Status status = co_await ReadRecordStates(call, &subjects, &states);
  if (!status.ok()) co_return status;
  std::vector<std::string> uris;
  status = co_await ReadRelations(call, &relations, &uris);
  if (!status.ok()) co_return status;
  for (size_t i = 0; i < relations.size(); ++i) {
    (*followed)[std::string(relations[i].subject)] = !uris[i].empty();
  }

  std::vector<ListRow> kept;
  kept.reserve(rows->size());
  for (size_t i = 0; i < rows->size(); ++i) {
    ListRow& row = (*rows)[i];
    const std::string& subject = row.extra[kReasonSubject];
    if (!subject.empty() && !states[subjects.IndexOf(subject)].exists) continue;
    if (priority && !(*followed)[row.extra[kAuthor]]) continue;
    kept.push_back(std::move(row));
  }
  *rows = std::move(kept);
  co_return absl::OkStatus();
}

// The cursor is a time, by which callers also ask for a first page: rows that
// are as old as the last one of a page are not on the next.
ioloop::Task<absl::Status> Dataplane::GetNotifications(
    rpc::CallContext& call, const bsky::GetNotificationsRequest& request,
    bsky::GetNotificationsResponse* response) {
  absl::StatusOr<std::optional<int64_t>> before_ms =
      ParseTimeCursor(request.cursor());
  if (!before_ms.ok()) co_return before_ms.status();
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  std::optional<Position> after;
  if (before_ms->has_value()) after = Position{**before_ms, "", ""};

  const ListId list = NotificationsOf(request.actor_did());
  absl::flat_hash_map<std::string, bool> followed;
  auto filter = [&](std::vector<ListRow>* rows) {
    return KeepLiveNotifications(&call, request.actor_did(), request.priority(),
                                 &followed, rows);
  };
  ListPage page;
  absl::Status status = co_await ReadPage(
      &lists_, &call, &list, after, LimitOf(request.limit()), &filter, &page);
  if (!status.ok()) co_return status;
  if (page.next.has_value()) {
    response->set_cursor(EncodeTimeCursor(page.next->sort_at_ms));
  }
  for (ListRow& row : page.rows) {
    bsky::Notification* notification = response->add_notifications();
    notification->set_recipient_did(request.actor_did());
    notification->set_priority(followed[row.extra[kAuthor]]);
    notification->set_reason(std::move(row.extra[kReason]));
    notification->set_reason_subject(std::move(row.extra[kReasonSubject]));
    SetTimestamp(row.position.sort_at_ms, notification->mutable_timestamp());
    notification->set_uri(std::move(row.position.key));
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::ReadSeenAt(
    rpc::CallContext* call, std::string_view did,
    std::optional<int64_t>* seen_at_ms) {
  cql::Query query =
      session_->Execute(OptionsOf(*call), *queries_.notification_seen, did);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  for (const cql::Row& row : *rows) *seen_at_ms = MsAt(row, 0);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Dataplane::GetNotificationSeen(
    rpc::CallContext& call, const bsky::GetNotificationSeenRequest& request,
    bsky::GetNotificationSeenResponse* response) {
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  std::optional<int64_t> seen_at_ms;
  absl::Status status =
      co_await ReadSeenAt(&call, request.actor_did(), &seen_at_ms);
  if (!status.ok()) co_return status;
  if (seen_at_ms.has_value()) {
    SetTimestamp(*seen_at_ms, response->mutable_timestamp());
  }
  co_return absl::OkStatus();
}

// Notifications newer than those seen whose record lives and is not taken
// down; at most unread_count_max are looked at.
ioloop::Task<absl::Status> Dataplane::GetUnreadNotificationCount(
    rpc::CallContext& call,
    const bsky::GetUnreadNotificationCountRequest& request,
    bsky::GetUnreadNotificationCountResponse* response) {
  if (!IsDid(request.actor_did())) co_return absl::OkStatus();
  std::optional<int64_t> seen_at_ms;
  absl::Status status =
      co_await ReadSeenAt(&call, request.actor_did(), &seen_at_ms);
  if (!status.ok()) co_return status;

  const ListId list = NotificationsOf(request.actor_did());
  std::optional<Position> after;
  int32_t count = 0;
  size_t looked_at = 0;
  bool more = true;
  while (more && looked_at < options_.unread_count_max) {
    std::vector<ListRow> rows;
    status = co_await lists_.Read(&call, &list, &after, kUnreadRows, &rows);
    if (!status.ok()) co_return status;
    more = rows.size() == kUnreadRows;
    if (!rows.empty()) after = rows.back().position;
    std::vector<std::string_view> unread;
    for (const ListRow& row : rows) {
      if (seen_at_ms.has_value() && row.position.sort_at_ms <= *seen_at_ms) {
        more = false;
        break;
      }
      unread.push_back(row.uri());
    }
    looked_at += unread.size();
    const KeySet records(unread);
    std::vector<RecordState> states;
    status = co_await ReadRecordStates(&call, &records, &states);
    if (!status.ok()) co_return status;
    for (std::string_view uri : unread) {
      const RecordState& state = states[records.IndexOf(uri)];
      if (state.exists && !state.taken_down) ++count;
    }
  }
  response->set_count(count);
  co_return absl::OkStatus();
}

}  // namespace dataplane
