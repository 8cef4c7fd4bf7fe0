// What a session does for few of its queries: extra requests, shared ones, and
// notes of those that were slow.
#include <algorithm>
#include <string>

#include "cql/internal/session_core.h"
#include "cql/internal/status_util.h"

namespace cql::internal {
namespace {

// How a list names a query: never with its values, which a text may hold.
std::string NameOf(const PreparedStatement* statement, bool batch) {
  if (statement == nullptr) return "a text";
  return Cat(batch ? "BATCH of " : "", Shorten(statement->text()));
}

}  // namespace

void SessionCore::StartSpecial(Query* query) {
  const PreparedStatement& statement = *query->statement_;
  if (statement.options().coalesce && flights_.Join(query)) {
    ++counters_.coalesced;
    return;
  }
  if (Speculation* speculation = statement.speculation_.get()) {
    speculation->OnRequest();
    const int64_t delay_ns = speculation->DelayNs(query->started_ns_);
    if (delay_ns >= 0) ExtraRequest::Arm(this, query, delay_ns);
  }
  Route(query);
}

void SessionCore::AddExtra(Query* query, ExtraRequest* extra,
                           int64_t delay_ns) {
  extra->next = query->extras_;
  query->extras_ = extra;
  extra_delays_.Add(extra, (loop_->now_ns() + delay_ns) / 1'000'000);
}

void SessionCore::SendExtra(Query* query, ExtraRequest* extra) {
  const PreparedStatement& statement = *query->statement_;
  Speculation* const speculation = statement.speculation_.get();
  NodePool* const avoided = std::exchange(query->avoid_, query->node_);
  const auto [node, connection] = router_.Choose(*query);
  query->avoid_ = avoided;

  uint32_t extras = 0;
  bool asked_already = node == query->node_;
  for (ExtraRequest* other = query->extras_; other != nullptr;
       other = other->next) {
    ++extras;
    asked_already = asked_already || (other != extra && other->node == node);
  }
  // It stands in no line and waits for no PREPARE: where there is one, it would
  // not be faster.
  if (connection == nullptr || asked_already || !connection->HasRoom() ||
      !connection->line().empty() ||
      StateOn(statement, node)->state != NodeStatement::State::kReady ||
      !speculation->MaySend()) {
    ++counters_.extra_denied;
    return;
  }
  const NodeStatement& state = *StateOn(statement, node);
  const int64_t now_ns = loop_->now_ns();
  extra->node = node;
  extra->prepared_as = state.generation;
  extra->sent_ns = now_ns;
  SendExecute(extra, *query, state, connection, &extra->metadata);
  ++counters_.extra_sent;
  if (speculation->OnSent(now_ns)) ++counters_.extra_pauses;
  const int64_t delay_ns = speculation->DelayNs(now_ns);
  if (extras < statement.options().speculation.extra_max && delay_ns >= 0) {
    ExtraRequest::Arm(this, query, delay_ns);
  }
}

void SessionCore::NoteExtraWon(const Query& query) {
  ++counters_.extra_won;
  query.statement_->speculation_->OnWon();
}

void SessionCore::NoteTimeout(const Query& query, int64_t overload_ns) {
  Connection* const connection = query.connection();
  ++connection->metrics()->timeouts;
  // What it had, not what passed: a loop that stalls is not the server's fault.
  if (query.deadline_ms() * 1'000'000 - query.sent_ns_ < overload_ns) return;
  ++counters_.overloaded;
  connection->OnOverloaded(query.sent_ns_);
}

std::string SessionCore::NodeName(uint16_t number) const {
  if (number >= nodes_.size()) return "";
  return nodes_[number].pool == nullptr ? "a node that left"
                                        : nodes_[number].pool->name();
}

void SessionCore::NoteSlow(const Query& query, absl::StatusCode outcome) {
  SlowQuery slow;
  slow.statement = NameOf(query.statement_, query.kind_ == Query::Kind::kBatch);
  slow.node = NodeName(query.node_number_);
  slow.shard = query.shard_;
  slow.ended = loop_->now();
  slow.duration = absl::Nanoseconds(loop_->now_ns() - query.started_ns_);
  slow.outcome = outcome;
  slow.sent = query.node_ == nullptr ? 0 : query.attempts_ + 1u;
  slow_log_.Add(std::move(slow));
}

std::vector<QueryInFlight> SessionCore::InFlight(size_t most) const {
  std::vector<QueryInFlight> queries;
  deadlines_.ForEach([&](const PendingRequest* request) {
    const Query* const query = request->AsQuery();
    if (query == nullptr || queries.size() >= most) return;
    QueryInFlight entry;
    entry.statement =
        NameOf(query->statement_, query->kind_ == Query::Kind::kBatch);
    entry.node = NodeName(query->node_number_);
    entry.shard = query->shard_;
    entry.state = query->state_ == Query::State::kWaiting
                      ? QueryInFlight::State::kWaiting
                  : query->state_ == Query::State::kFollowing
                      ? QueryInFlight::State::kFollowing
                      : QueryInFlight::State::kSent;
    entry.age = absl::Nanoseconds(loop_->now_ns() - query->started_ns_);
    entry.left = absl::FromUnixMillis(query->deadline_ms()) - loop_->now();
    queries.push_back(std::move(entry));
  });
  return queries;
}

}  // namespace cql::internal
