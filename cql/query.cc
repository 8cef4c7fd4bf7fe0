#include "cql/query.h"

#include <cstring>

#include "cql/internal/batch_body.h"
#include "cql/internal/session_core.h"
#include "cql/internal/speculation.h"
#include "cql/internal/status_util.h"
#include "cql/protocol/error.h"
#include "cql/protocol/response.h"
#include "cql/protocol/tablet.h"
#include "cql/session.h"

namespace cql {
namespace {

constexpr int32_t kTextPageSize = 5000;
// Times one request is sent again because the node forgot its statement.
constexpr uint8_t kPreparesMax = 2;
// A deadline that comes sooner says more about the caller than the server.
constexpr int64_t kOverloadNs = 100'000'000;

Consistency DefaultConsistency(const SessionOptions& options, Access access) {
  return access == Access::kWrite ? options.write_consistency
                                  : options.read_consistency;
}

}  // namespace

protocol::QueryParameters Query::Parameters(
    const RequestOptions& options, const PreparedStatement& statement) {
  const StatementOptions& own = statement.options_;
  access_ = own.access;
  idempotent_ = own.idempotent;
  protocol::QueryParameters parameters;
  parameters.consistency =
      options.consistency.has_value() ? *options.consistency
      : own.consistency.has_value()
          ? *own.consistency
          : DefaultConsistency(session_->options(), own.access);
  parameters.serial_consistency = options.serial_consistency.has_value()
                                      ? options.serial_consistency
                                      : own.serial_consistency;
  parameters.page_size = options.page_size.value_or(own.page_size);
  parameters.paging_state = options.paging_state;
  parameters.default_timestamp_us = options.timestamp_us;
  return parameters;
}

Query::Query(internal::SessionCore* session, const RequestOptions& options,
             std::string_view text)
    : session_(session),
      kind_(Kind::kText),
      access_(options.access),
      idempotent_(options.idempotent),
      tracing_(options.tracing) {
  protocol::QueryParameters parameters;
  parameters.consistency = options.consistency.value_or(
      DefaultConsistency(session->options(), access_));
  parameters.serial_consistency = options.serial_consistency;
  parameters.page_size = options.page_size.value_or(kTextPageSize);
  parameters.paging_state = options.paging_state;
  parameters.default_timestamp_us = options.timestamp_us;
  // The parameters take at most 32 bytes and the paging state.
  const size_t room = text.size() + options.paging_state.size() + 64;
  if (!Fits(room)) return;
  protocol::Writer writer(TakeBody(room));
  protocol::EncodeQueryText(&writer, text);
  protocol::BeginQueryParameters(&writer, parameters, 0);
  protocol::EndQueryParameters(&writer, parameters);
  body_bytes_ = writer.size();
  Start(options, {});
}

Query::Query(internal::SessionCore* session, const RequestOptions& options,
             const Batch& batch)
    : session_(session),
      kind_(Kind::kBatch),
      access_(Access::kWrite),
      idempotent_(options.idempotent),
      tracing_(options.tracing) {
  if (!batch.status_.ok() || batch.empty()) {
    Refuse(batch.empty() && batch.status_.ok()
               ? absl::InvalidArgumentError("the batch is empty")
               : batch.status_);
    return;
  }
  statement_ = batch.entries_[0].statement;
  protocol::QueryParameters parameters;
  parameters.consistency = options.consistency.value_or(
      DefaultConsistency(session->options(), access_));
  parameters.serial_consistency = options.serial_consistency;
  parameters.default_timestamp_us = options.timestamp_us;
  bool all_idempotent = batch.type_ != BatchType::kCounter;
  for (const Batch::Entry& entry : batch.entries_) {
    all_idempotent = all_idempotent && entry.statement->options_.idempotent;
  }
  idempotent_ = idempotent_ || all_idempotent;

  const size_t size = internal::BatchBody::Size(
      batch.entries_.size(), batch.bytes_.size(), parameters);
  if (!Fits(size)) return;
  internal::BatchBody body(TakeBody(size).data(), batch.type_,
                           batch.entries_.size());
  for (size_t i = 0; i < batch.entries_.size(); ++i) {
    const Batch::Entry& entry = batch.entries_[i];
    body.entries()[i] = {entry.statement, entry.value_bytes, entry.value_count};
  }
  body.SetValues(batch.bytes_);
  body.SetParameters(parameters);
  body_bytes_ = size;
  Start(options, body.values().substr(0, batch.entries_[0].value_bytes));
}

std::span<char> Query::TakeBody(size_t bytes) {
  body_ = session_->chunks()->Take(bytes);
  return {body_.data(), body_.capacity()};
}

void Query::Start(const RequestOptions& options, std::string_view values) {
  ++session_->counters()->requests;
  session_->retry_budget()->Earn();
  started_ns_ = session_->loop()->now_ns();
  if (statement_ != nullptr && statement_->routable()) {
    const std::optional<int64_t> token =
        TokenOfValues(values, statement_->partition_key_);
    has_token_ = token.has_value();
    token_ = token.value_or(0);
  }
  int64_t deadline_ms;
  if (options.deadline == absl::InfiniteFuture()) {
    deadline_ms = session_->DefaultDeadlineMs(started_ns_);
  } else {
    deadline_ms = internal::DeadlineWheel::Milliseconds(options.deadline);
    if (options.deadline <= session_->loop()->now()) {
      Finish(&SessionCounters::timeouts,
             absl::DeadlineExceededError(internal::Cat(
                 Describe(""), ": the deadline has passed; not sent")),
             false);
      return;
    }
  }
  session_->deadlines()->Add(this, deadline_ms);
  if (__builtin_expect(kind_ == Kind::kExecute && statement_->special_, 0)) {
    session_->StartSpecial(this);
  } else {
    session_->Route(this);
  }
}

bool Query::Fits(size_t bytes) {
  const size_t most = session_->options().frame_bytes_max;
  if (bytes <= most) return true;
  Refuse(absl::InvalidArgumentError(internal::Cat(
      "the request takes ", bytes, " bytes; frame_bytes_max is ", most)));
  return false;
}

void Query::Refuse(absl::Status status) {
  ++session_->counters()->requests;
  Finish(&SessionCounters::invalid, internal::Annotate(Describe(""), status),
         false);
}

void Query::Abandon() {
  session_->deadlines()->Remove(this);
  ++session_->counters()->abandoned;
  LeavePlace();
  DropExtras();
}

void Query::LeavePlace() {
  if (flight_.leader != nullptr) {
    session_->flights()->Leave(this);
  } else if (flight_.leads && session_->flights()->PassOn(this)) {
    return;
  }
  if (connection() != nullptr) connection()->Forget(this);
  if (line_ != nullptr) line_->Remove(this);
}

void Query::EndCompany(Outcome outcome, const absl::Status& status) {
  DropExtras();
  if (flight_.leads) session_->flights()->End(this, outcome, status);
}

void Query::TakeOver(Query* leader) {
  body_ = std::move(leader->body_);
  metadata_ = std::move(leader->metadata_);
  attempts_ = leader->attempts_;
  prepares_ = leader->prepares_;
  prepared_as_ = leader->prepared_as_;
  node_ = leader->node_;
  avoid_ = leader->avoid_;
  node_number_ = leader->node_number_;
  shard_ = leader->shard_;
  sent_ns_ = leader->sent_ns_;
  state_ = leader->state_;
  if (leader->connection() != nullptr) {
    leader->connection()->PassOn(leader, this);
  } else if (leader->line_ != nullptr) {
    internal::WaitingLine* const line = leader->line_;
    line->Remove(leader);
    line->Push(this);
  }
  extras_ = std::exchange(leader->extras_, nullptr);
  for (internal::ExtraRequest* extra = extras_; extra != nullptr;
       extra = extra->next) {
    extra->query = this;
  }
}

absl::StatusOr<Rows> Query::TakeResult() {
  if (__builtin_expect(!status_.ok(), 0)) return std::move(status_);
  return std::move(rows_);
}

void Query::Finish(Outcome outcome, absl::Status status, bool now) {
  if (__builtin_expect(extras_ != nullptr || flight_.leads, 0)) {
    EndCompany(outcome, status);
  }
  if (__builtin_expect(
          session_->loop()->now_ns() - started_ns_ >= session_->slow_ns(), 0)) {
    session_->NoteSlow(*this, status.code());
  }
  ++(session_->counters()->*outcome);
  status_ = std::move(status);
  state_ = State::kDone;
  session_->deadlines()->Remove(this);
  body_.Reset();
  std::coroutine_handle<> waiter = waiter_;
  if (set_ != nullptr) {
    const std::coroutine_handle<> of_set = set_->OnDone(this);
    if (!waiter) waiter = of_set;
  }
  if (!waiter) return;
  if (now) {
    waiter.resume();  // This query may be gone after it.
  } else {
    session_->loop()->Resume(waiter);
  }
}

std::string Query::Describe(std::string_view where) const {
  std::string text;
  switch (kind_) {
    case Kind::kExecute:
      text = internal::Shorten(statement_->text());
      break;
    case Kind::kText: {
      protocol::Reader reader({body_.data(), body_bytes_});
      text = body_ ? internal::Shorten(reader.LongString()) : "a statement";
      break;
    }
    case Kind::kBatch:
      text = internal::Cat(
          "BATCH of ",
          statement_ == nullptr ? "" : internal::Shorten(statement_->text()));
      break;
  }
  return where.empty() ? text : internal::Cat(text, " on ", where);
}

void Query::OnAnswer(const internal::Answer& answer) {
  std::string_view body = answer.body;
  absl::Status status;
  if (__builtin_expect(answer.header.flags != 0, 0)) {
    status = ReadPrefix(answer.header, &body);
  }
  if (__builtin_expect(
          status.ok() && answer.header.opcode == protocol::Opcode::kResult,
          1)) {
    status = ReadRows(body, answer);
    if (__builtin_expect(status.ok(), 1)) {
      session_->NoteAnswer(*this, answer.connection);
      Finish(&SessionCounters::answered, absl::OkStatus(), true);
      return;
    }
  } else if (status.ok() && answer.header.opcode == protocol::Opcode::kError) {
    OnServerError(protocol::DecodeError(body), answer);
    return;
  } else if (status.ok()) {
    status = absl::InternalError(internal::Cat(
        "answered by ", protocol::OpcodeName(answer.header.opcode)));
  }
  if (WaitForExtra()) return;
  Finish(&SessionCounters::malformed,
         internal::Annotate(Describe(answer.connection->name()), status), true);
}

absl::Status Query::ReadPrefix(const protocol::FrameHeader& header,
                               std::string_view* body) {
  protocol::ResponsePrefix prefix;
  absl::Status status = protocol::DecodePrefix(header, body, &prefix);
  if (!status.ok()) return status;
  const auto tablet = prefix.FindPayload(protocol::kTabletPayload);
  if (tablet.has_value() && kind_ == Kind::kExecute) {
    session_->OnTablet(*statement_, *tablet);
  }
  if (header.opcode != protocol::Opcode::kResult ||
      (prefix.warnings.empty() && !prefix.tracing_id.has_value())) {
    return absl::OkStatus();
  }
  auto extras = std::make_shared<Rows::Extras>();
  extras->warnings.assign(prefix.warnings.begin(), prefix.warnings.end());
  extras->tracing_id = prefix.tracing_id;
  rows_.extras_ = std::move(extras);
  return absl::OkStatus();
}

absl::Status Query::ReadRows(std::string_view body,
                             const internal::Answer& answer) {
  constexpr auto kRows = static_cast<uint32_t>(protocol::ResultKind::kRows);
  if (body.size() < 4 || protocol::LoadBig32(body.data()) != kRows) {
    protocol::Reader kind(body);
    static_cast<void>(kind.Int());
    return kind.status("RESULT");
  }
  if (answer.chunk != nullptr) {
    rows_.chunk_ = std::move(*answer.chunk);
  } else {
    rows_.chunk_ = session_->chunks()->Take(body.size());
    std::memcpy(rows_.chunk_.data(), body.data(), body.size());
    body = {rows_.chunk_.data(), body.size()};
  }
  absl::StatusOr<protocol::ResultView> result = protocol::DecodeResult(body);
  if (!result.ok()) return result.status();
  const protocol::RowsMetadataView& metadata = result->metadata;
  if (metadata.has_columns()) {
    absl::StatusOr<internal::MetadataRef> own =
        session_->ReadMetadata(statement_, node_, metadata);
    if (!own.ok()) return own.status();
    rows_.metadata_ = *std::move(own);
  } else {
    rows_.metadata_ = std::move(metadata_);
    if (!rows_.metadata_ ||
        rows_.metadata_->columns.size() != metadata.column_count) {
      return absl::InternalError(
          "rows without metadata that fit nothing known");
    }
  }
  absl::StatusOr<protocol::RowsView> rows = protocol::RowsView::Create(
      rows_.metadata_->columns, result->row_count, result->rows);
  if (!rows.ok()) return rows.status();
  rows_.view_ = *rows;
  rows_.paging_state_ = metadata.paging_state.bytes();
  return absl::OkStatus();
}

void Query::OnServerError(absl::Status status, const internal::Answer& answer) {
  const std::optional<ServerCode> code = ErrorCode(status);
  if (code == ServerCode::kUnprepared && kind_ != Kind::kText) {
    ++session_->counters()->unprepared;
    const std::optional<ServerError> error = GetServerError(status);
    if (prepares_ < kPreparesMax && error.has_value() && session_->MayRetry()) {
      ++prepares_;
      session_->Reprepare(this, node_, error->statement_id);
      return;
    }
  }
  // Refused before it was looked at: any statement may be sent elsewhere.
  if (code == ServerCode::kIsBootstrapping && attempts_ == 0 &&
      session_->MayRetry()) {
    ++attempts_;
    ++session_->counters()->retries;
    avoid_ = node_;
    session_->Route(this);
    return;
  }
  if (code == ServerCode::kOverloaded) {
    ++session_->counters()->overloaded;
    answer.connection->OnOverloaded(sent_ns_);
  }
  if (WaitForExtra()) return;
  Finish(&SessionCounters::server_errors,
         internal::Annotate(Describe(answer.connection->name()), status), true);
}

void Query::OnConnectionLost(const absl::Status& why) {
  if (!session_->closing() && WaitForExtra()) return;
  if (!session_->closing() && idempotent_ && attempts_ == 0 &&
      session_->MayRetry()) {
    ++attempts_;
    ++session_->counters()->retries;
    avoid_ = node_;
    session_->Route(this);
    return;
  }
  const std::string where = node_ == nullptr ? "" : node_->name();
  if (session_->closing()) {
    Finish(&SessionCounters::lost,
           absl::CancelledError(
               internal::Cat(Describe(where),
                             ": the session was closed; the request may "
                             "have been applied")),
           false);
    return;
  }
  Finish(&SessionCounters::lost,
         absl::UnavailableError(
             internal::Cat(Describe(where),
                           ": the connection broke before the answer, the "
                           "request may have been applied: ",
                           why.message())),
         false);
}

bool Query::ExtraInFlight() const {
  for (internal::ExtraRequest* extra = extras_; extra != nullptr;
       extra = extra->next) {
    if (extra->connection() != nullptr) return true;
  }
  return false;
}

bool Query::WaitForExtra() {
  if (__builtin_expect(extras_ == nullptr, 1) || !ExtraInFlight()) return false;
  state_ = State::kExtra;
  return true;
}

void Query::DropExtras() {
  while (extras_ != nullptr) {
    internal::ExtraRequest* const extra = extras_;
    extras_ = extra->next;
    extra->Drop();
  }
}

void Query::OnExtraAnswer(internal::ExtraRequest* extra,
                          const internal::Answer& answer) {
  const bool rows = answer.header.opcode == protocol::Opcode::kResult;
  // Of errors the last one counts.
  if (!rows && (state_ != State::kExtra || ExtraInFlight())) return;
  if (connection() != nullptr) connection()->Forget(this);
  if (line_ != nullptr) line_->Remove(this);
  state_ = State::kExtra;
  node_ = extra->node;
  node_number_ = extra->node->index();
  shard_ = static_cast<uint16_t>(answer.connection->server().shard);
  metadata_ = std::move(extra->metadata);
  prepared_as_ = extra->prepared_as;
  sent_ns_ = extra->sent_ns;
  if (rows) session_->NoteExtraWon(*this);
  OnAnswer(answer);
}

void Query::OnExtraLost(const absl::Status& why) {
  if (state_ == State::kExtra && !ExtraInFlight()) OnConnectionLost(why);
}

void Query::OnDeadline() {
  if (state_ == State::kSent) {
    const std::string where = connection()->name();
    session_->NoteTimeout(*this, kOverloadNs);
    LeavePlace();
    Finish(&SessionCounters::timeouts,
           absl::DeadlineExceededError(internal::Cat(
               Describe(where),
               ": no answer by the deadline; it may still be applied")),
           false);
    return;
  }
  std::string_view why;
  if (state_ != State::kWaiting) {
    why = ": no answer by the deadline";
  } else if (attempts_ == 0) {
    why = ": the deadline came before it could be sent";
  } else {
    why =
        ": the deadline came before it could be sent again; it may have been "
        "applied";
  }
  LeavePlace();
  Finish(&SessionCounters::timeouts,
         absl::DeadlineExceededError(internal::Cat(Describe(""), why)), false);
}

QuerySet::QuerySet(Session* session, size_t in_flight_max)
    : pool_(session->core_->chunks()),
      in_flight_max_(in_flight_max == 0 ? 1 : in_flight_max) {}

QuerySet::~QuerySet() {
  for (size_t i = size_; i-- > 0;) At(i)->~Query();
}

void* QuerySet::Grow() {
  if (size_ % kQueriesPerChunk == 0) {
    chunks_.push_back(pool_->Take(kQueriesPerChunk * sizeof(Query)));
  }
  return At(size_);
}

void QuerySet::Added(Query* query) {
  query->set_index_ = static_cast<uint32_t>(size_++);
  if (query->done()) {
    PushDone(query);
  } else {
    query->set_ = this;
    ++unanswered_;
  }
}

std::coroutine_handle<> QuerySet::OnDone(Query* query) {
  --unanswered_;
  query->set_ = nullptr;
  PushDone(query);
  if (next_waiter_) return std::exchange(next_waiter_, nullptr);
  if (unanswered_ < in_flight_max_ && room_waiter_) {
    return std::exchange(room_waiter_, nullptr);
  }
  return nullptr;
}

void QuerySet::PushDone(Query* query) {
  query->set_next_ = nullptr;
  (done_tail_ == nullptr ? done_head_ : done_tail_->set_next_) = query;
  done_tail_ = query;
}

std::optional<size_t> QuerySet::TakeDone() {
  if (done_head_ == nullptr) return std::nullopt;
  Query* query = done_head_;
  done_head_ = query->set_next_;
  if (done_head_ == nullptr) done_tail_ = nullptr;
  return query->set_index_;
}

}  // namespace cql
