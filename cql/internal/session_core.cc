#include "cql/internal/session_core.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "cql/internal/batch_body.h"
#include "cql/internal/status_util.h"
#include "cql/internal/tablet_cache.h"
#include "cql/internal/using_timeout.h"
#include "cql/protocol/response.h"
#include "ioloop/check.h"
#include "ioloop/log.h"

namespace cql::internal {
namespace {

constexpr int kPrepareAttempts = 3;

absl::Status Check(const StatementOptions& options) {
  const SpeculationOptions& extra = options.speculation;
  if (extra.extra_max > 0 && !options.idempotent) {
    return absl::InvalidArgumentError(
        "only an idempotent statement may be sent to a second node");
  }
  if (!(extra.percentile > 0 && extra.percentile < 1) ||
      !(extra.share >= 0 && extra.share <= 1) || extra.burst == 0 ||
      extra.delay < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "speculation: percentile and share must be 0 to 1, burst above zero, "
        "delay not below");
  }
  if (options.coalesce &&
      (!options.idempotent || options.access != Access::kRead)) {
    return absl::InvalidArgumentError(
        "only idempotent reads may share one request");
  }
  return absl::OkStatus();
}

// Takes the bind marker of the timeout, which callers do not know, out of what
// a server told of the statement.
absl::Status HideTimeout(uint16_t marker, protocol::PreparedView* prepared) {
  if (marker >= prepared->bind_markers.size() ||
      prepared->bind_markers[marker].type.id != protocol::TypeId::kDuration) {
    return absl::InternalError("the timeout's bind marker is not where it was");
  }
  prepared->bind_markers.erase(prepared->bind_markers.begin() + marker);
  for (uint16_t& index : prepared->partition_key_indexes) {
    if (index > marker) --index;
  }
  return absl::OkStatus();
}

}  // namespace

SessionCore::SessionCore(ioloop::Loop* loop, SessionOptions options)
    : loop_(loop),
      options_(std::move(options)),
      request_timeout_ms_(absl::ToInt64Milliseconds(options_.request_timeout)),
      slow_ns_(absl::ToInt64Nanoseconds(options_.slow_query)),
      retry_budget_(options_.retry_share, options_.retry_burst),
      flights_(options_.queued_max),
      slow_log_(options_.slow_queries_max),
      chunks_(ChunkPool::Create(options_.recycled_bytes_max)),
      deadlines_(loop),
      extra_delays_(loop, /*slot_bits=*/0),
      context_{loop, &options_, chunks_, &deadlines_, &counters_},
      router_(options_.tablets_max),
      control_(&context_, this),
      tick_(loop, this) {
  if (options_.governor == nullptr) {
    options_.governor = SetupGovernor::Process();
  }
}

SessionCore::~SessionCore() {
  // Chunks that statements and nodes hold go first.
  statements_.clear();
  nodes_.clear();
  chunks_->Release();
}

ioloop::Task<absl::Status> SessionCore::Connect() {
  if (!options_.tablet_cache.empty()) {
    absl::Status read =
        DecodeTabletCache(options_.tablet_cache, router_.mutable_tablets());
    if (!read.ok()) {
      RINGPLANE_LOG(kWarning, "the tablets kept from before are not used",
                    {"why", read.ToString()});
    }
    options_.tablet_cache = std::string();
  }
  absl::Status started = co_await control_.Start();
  if (!started.ok()) co_return started;
  tick_.Arm(loop_->now() + Connection::kTick);

  // A reading of the topology meanwhile may add and remove pools: wait for
  // each by its number.
  std::string failures;
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].pool == nullptr) continue;
    co_await nodes_[i].pool->tried().Wait();
    NodePool* pool = nodes_[i].pool.get();
    if (pool == nullptr || pool->open_connections() > 0) continue;
    const absl::Status& error = pool->last_error();
    if (absl::IsUnauthenticated(error)) code = error.code();
    failures += Cat(failures.empty() ? "" : "; ", error.ToString());
  }
  if (connections() == 0) {
    co_return absl::Status(code, Cat("no node can be used: ", failures));
  }
  co_return absl::OkStatus();
}

ioloop::Task<void> SessionCore::Close() {
  closing_ = true;
  tick_.Disarm();
  co_await control_.Close();
  router_.Clear();
  for (Node& node : nodes_) {
    if (node.pool != nullptr) tasks_.Spawn(CloseNode(std::move(node.pool)));
  }
  co_await tasks_.Join();
}

size_t SessionCore::connections() const {
  size_t open = control_.connected() ? 1 : 0;
  for (const NodePool* pool : router_.pools()) open += pool->open_connections();
  return open;
}

SessionStats SessionCore::stats() const {
  SessionStats stats;
  stats.counters = counters_;
  stats.nodes = router_.pools().size();
  stats.tablets = tablets().size();
  stats.connections = control_.connected() ? 1 : 0;
  for (const NodePool* pool : router_.pools()) pool->AddStats(&stats);
  return stats;
}

void SessionCore::OnTick(ioloop::Timer* timer) {
  SessionCore* core = static_cast<TickTimer*>(timer)->core;
  for (NodePool* pool : core->router_.pools()) pool->Tick();
  core->control_.Tick();
  timer->Arm(core->loop_->now() + Connection::kTick);
}

// --- The path of a query ---------------------------------------------------

void SessionCore::Route(Query* query) {
  if (__builtin_expect(closing_, 0)) {
    Refuse(query, &SessionCounters::unroutable,
           absl::CancelledError("the session is closed"));
    return;
  }
  const Router::Choice choice = router_.Choose(*query);
  if (__builtin_expect(choice.connection == nullptr, 0)) {
    std::string why;
    for (const NodePool* pool : router_.pools()) {
      if (pool->last_error().ok()) continue;
      why = Cat(", last error: ", pool->last_error().message());
    }
    Refuse(query, &SessionCounters::unroutable,
           absl::UnavailableError(Cat("no connection to any of ",
                                      router_.pools().size(), " nodes", why)));
    return;
  }
  SendOn(query, choice.node, choice.connection);
}

void SessionCore::SendOn(Query* query, NodePool* node, Connection* connection,
                         bool first_in_line) {
  if (query->kind_ == Query::Kind::kExecute) {
    // What almost every query takes: straight to the wire.
    const NodeStatement* state = StateOn(*query->statement_, node);
    if (__builtin_expect(state->state == NodeStatement::State::kReady &&
                             connection->HasRoom() &&
                             (first_in_line || connection->line().empty()),
                         1)) {
      TransmitExecute(query, *state, node, connection);
      return;
    }
  }
  if (query->kind_ != Query::Kind::kText) {
    const PreparedStatement* statement = nullptr;
    NodeStatement* missing = Unprepared(query, node, &statement);
    if (__builtin_expect(missing != nullptr, 0)) {
      if (missing->line.size() >= options_.queued_max) {
        Refuse(query, &SessionCounters::refused,
               absl::ResourceExhaustedError(
                   Cat(options_.queued_max,
                       " requests wait for the statement to be prepared on ",
                       node->name())));
        return;
      }
      query->state_ = Query::State::kWaiting;
      missing->line.Push(query);
      if (missing->state == NodeStatement::State::kUnknown) {
        StartPrepare(statement, node, connection);
      }
      return;
    }
  }
  if (__builtin_expect(!connection->HasRoom() ||
                           (!connection->line().empty() && !first_in_line),
                       0)) {
    if (connection->line().size() >= options_.queued_max) {
      Refuse(query, &SessionCounters::refused,
             absl::ResourceExhaustedError(Cat(
                 connection->name(), " has ", connection->in_flight(),
                 " requests in flight and ", options_.queued_max, " in line")));
      return;
    }
    const absl::Duration wait = connection->ExpectedWait(query->deadline_ms());
    if (loop_->now() + wait > absl::FromUnixMillis(query->deadline_ms())) {
      Refuse(query, &SessionCounters::hopeless,
             absl::UnavailableError(
                 Cat(connection->name(), " has ", connection->line().size(),
                     " requests in line, which would take ",
                     absl::FormatDuration(wait), ": past the deadline")));
      return;
    }
    ++counters_.queued;
    query->state_ = Query::State::kWaiting;
    connection->StandInLine(query);
    return;
  }
  Transmit(query, node, connection);
}

NodeStatement* SessionCore::Unprepared(Query* query, NodePool* node,
                                       const PreparedStatement** statement) {
  if (query->kind_ == Query::Kind::kExecute) {
    *statement = query->statement_;
    NodeStatement* state = StateOn(**statement, node);
    return state->state == NodeStatement::State::kReady ? nullptr : state;
  }
  for (const BatchBody::Entry& entry :
       BatchBody(query->body_.data()).entries()) {
    *statement = entry.statement;
    NodeStatement* state = StateOn(**statement, node);
    if (state->state != NodeStatement::State::kReady) return state;
  }
  return nullptr;
}

NodeStatement* SessionCore::NewStateOn(const PreparedStatement& statement,
                                       NodePool* node) {
  if (node->index() >= statement.nodes_.size()) {
    statement.nodes_.resize(nodes_.size());
  }
  std::unique_ptr<NodeStatement>& state = statement.nodes_[node->index()];
  state = std::make_unique<NodeStatement>();
  return state.get();
}

void SessionCore::NoteSent(Query* query, NodePool* node,
                           Connection* connection) {
  query->state_ = Query::State::kSent;
  query->sent_ns_ = loop_->now_ns();
  query->node_ = node;
  query->node_number_ = node->index();
  query->shard_ = static_cast<uint16_t>(connection->server().shard);
  if (__builtin_expect(query->attempts_ != 0, 0)) {
    ++connection->metrics()->retries;
  }
}

void SessionCore::TransmitExecute(Query* query, const NodeStatement& state,
                                  NodePool* node, Connection* connection) {
  NoteSent(query, node, connection);
  query->prepared_as_ = state.generation;
  SendExecute(query, *query, state, connection, &query->metadata_);
}

void SessionCore::SendExecute(PendingRequest* request, const Query& query,
                              const NodeStatement& state,
                              Connection* connection, MetadataRef* metadata) {
  const size_t body_bytes = query.body_bytes_;
  const char* body = query.body_.data();
  const bool with_metadata_id = connection->server().metadata_id;
  const bool skip = state.skip_metadata &&
                    (with_metadata_id || !query.statement_->selects_star_);
  if (skip) {
    *metadata = state.metadata;
  } else {
    *metadata = MetadataRef();
  }
  const size_t ids = 2 + state.id.size() +
                     (with_metadata_id ? 2 + state.metadata_id.size() : 0);
  // What fills in the start of the body.
  const auto begin = [&](char* out) {
    protocol::Writer writer(std::span<char>(out, ids));
    protocol::EncodeExecuteId(
        &writer, state.id,
        with_metadata_id ? std::optional<std::string_view>(state.metadata_id)
                         : std::nullopt);
  };
  const uint8_t skip_flag = skip ? protocol::kQueryFlagSkipMetadata : 0;
  const uint8_t frame_flags = query.tracing_ ? protocol::kFlagTracing : 0;
  if (__builtin_expect(state.timeout_marker >= 0, 0)) {
    const auto marker = static_cast<uint16_t>(state.timeout_marker);
    const int64_t timeout_ms = std::max<int64_t>(
        1, query.deadline_ms() - DeadlineWheel::Milliseconds(loop_->now()));
    protocol::Writer measure{std::span<char>()};
    WriteWithTimeout({body, body_bytes}, marker, timeout_ms, &measure);
    const size_t bytes = measure.size();
    connection->Send(
        request, protocol::Opcode::kExecute, ids + bytes,
        [&](char* out) {
          begin(out);
          protocol::Writer writer(std::span<char>(out + ids, bytes));
          WriteWithTimeout({body, body_bytes}, marker, timeout_ms, &writer);
          out[ids + 2] |= static_cast<char>(skip_flag);
        },
        frame_flags);
    return;
  }
  connection->Send(
      request, protocol::Opcode::kExecute, ids + body_bytes,
      [&](char* out) {
        begin(out);
        std::memcpy(out + ids, body, body_bytes);
        // The flags stand after the consistency.
        out[ids + 2] |= static_cast<char>(skip_flag);
      },
      frame_flags);
}

void SessionCore::Transmit(Query* query, NodePool* node,
                           Connection* connection) {
  const uint8_t flags = query->tracing_ ? protocol::kFlagTracing : 0;
  const size_t body_bytes = query->body_bytes_;
  const char* body = query->body_.data();
  switch (query->kind_) {
    case Query::Kind::kExecute:
      TransmitExecute(query, *StateOn(*query->statement_, node), node,
                      connection);
      return;
    case Query::Kind::kText:
      NoteSent(query, node, connection);
      connection->Send(
          query, protocol::Opcode::kQuery, body_bytes,
          [&](char* out) { std::memcpy(out, body, body_bytes); }, flags);
      return;
    case Query::Kind::kBatch: {
      NoteSent(query, node, connection);
      const BatchBody batch(query->body_.data());
      const auto write = [&](protocol::Writer* writer) {
        protocol::BeginBatch(writer, batch.type(), batch.entries().size());
        size_t offset = 0;
        for (const BatchBody::Entry& entry : batch.entries()) {
          protocol::EncodeBatchPrepared(
              writer, StateOn(*entry.statement, node)->id, entry.value_count);
          writer->Raw(batch.values().substr(offset, entry.value_bytes));
          offset += entry.value_bytes;
        }
        writer->Raw(batch.parameters());
      };
      protocol::Writer measure{std::span<char>()};
      write(&measure);
      const size_t bytes = measure.size();
      connection->Send(
          query, protocol::Opcode::kBatch, bytes,
          [&](char* out) {
            protocol::Writer writer(std::span<char>(out, bytes));
            write(&writer);
          },
          flags);
      return;
    }
  }
}

void SessionCore::Refuse(Query* query, uint64_t SessionCounters::* outcome,
                         absl::Status status) {
  query->Finish(outcome, Annotate(query->Describe(""), status),
                /*now=*/false);
}

// --- Prepared statements ---------------------------------------------------

void SessionCore::StartPrepare(const PreparedStatement* statement,
                               NodePool* node, Connection* connection) {
  StateOn(*statement, node)->state = NodeStatement::State::kPreparing;
  tasks_.Spawn(PrepareOn(statement, node, connection));
}

ioloop::Task<void> SessionCore::PrepareOn(const PreparedStatement* statement,
                                          NodePool* node,
                                          Connection* connection) {
  NodeStatement* const state = StateOn(*statement, node);
  const uint16_t index = node->index();
  const std::string where =
      Cat("prepare ", Shorten(statement->text()), " on ", connection->name());
  bool settled = false;
  const absl::Status prepared = co_await AskPrepare(
      const_cast<PreparedStatement*>(statement), connection, state, &settled);
  state->state = prepared.ok() ? NodeStatement::State::kReady
                               : NodeStatement::State::kUnknown;
  ++state->generation;

  // Those who come now are none of this PREPARE's.
  WaitingLine waited;
  while (Query* query = state->line.Pop()) waited.Push(query);
  while (Query* query = waited.Pop()) {
    // The node may have left meanwhile.
    NodePool* const pool = nodes_[index].pool.get();
    if (!prepared.ok() && settled) {
      query->Finish(&SessionCounters::server_errors, Annotate(where, prepared),
                    /*now=*/false);
      continue;
    }
    Connection* const to = pool == nullptr || !prepared.ok()
                               ? nullptr
                               : router_.ChooseAt(pool, *query);
    if (to != nullptr) {
      SendOn(query, pool, to);
    } else {
      Route(query);
    }
  }
}

ioloop::Task<absl::StatusOr<const PreparedStatement*>> SessionCore::Prepare(
    std::string text, StatementOptions options) {
  if (absl::Status checked = Check(options); !checked.ok()) co_return checked;
  std::unique_ptr<PreparedStatement> statement(
      new PreparedStatement(std::move(text), options));
  absl::Status failed = absl::UnavailableError("no connection to any node");
  for (int attempt = 0; attempt < kPrepareAttempts && !closing_; ++attempt) {
    const auto [node, connection] = router_.ChooseAny(options.access);
    if (connection == nullptr) break;
    const std::string where =
        Cat("prepare ", Shorten(statement->text()), " on ", connection->name());
    const uint16_t index = node->index();
    NodeStatement state;
    bool settled = false;
    const absl::Status prepared =
        co_await AskPrepare(statement.get(), connection, &state, &settled);
    if (closing_) break;
    if (!prepared.ok()) {
      failed = Annotate(where, prepared);
      if (settled) co_return failed;
      continue;
    }
    if (NodePool* still = nodes_[index].pool.get()) {
      NodeStatement* kept = StateOn(*statement, still);
      kept->state = NodeStatement::State::kReady;
      kept->generation = 1;
      kept->id = std::move(state.id);
      kept->metadata_id = std::move(state.metadata_id);
      kept->metadata = std::move(state.metadata);
      kept->skip_metadata = state.skip_metadata;
      kept->timeout_marker = state.timeout_marker;
    }
    statements_.push_back(std::move(statement));
    co_return statements_.back().get();
  }
  if (closing_) co_return absl::CancelledError("the session is closed");
  co_return failed;
}

ioloop::Task<absl::Status> SessionCore::AskPrepare(PreparedStatement* statement,
                                                   Connection* connection,
                                                   NodeStatement* state,
                                                   bool* settled) {
  const ServerInfo server = connection->server();
  const bool with_timeout =
      server.scylla && statement->timeout_text_ != nullptr;
  std::string body;
  {
    protocol::Writer writer(&body);
    protocol::EncodePrepare(&writer, with_timeout
                                         ? statement->timeout_text_->text
                                         : statement->text());
    writer.Finish();
  }
  ++counters_.prepares;
  Call call(connection, protocol::Opcode::kPrepare, body,
            loop_->now() + options_.request_timeout);
  absl::StatusOr<OwnedAnswer> answer = co_await call;
  const std::optional<ServerCode> code = ErrorCode(answer.status());
  if (with_timeout &&
      (code == ServerCode::kSyntaxError || code == ServerCode::kInvalid)) {
    // Perhaps for the timeout: again without it.
    statement->timeout_text_.reset();
    co_return answer.status();
  }
  *settled = answer.ok() || code.has_value();
  if (!answer.ok()) co_return answer.status();
  co_return ReadPrepared(*answer, server, with_timeout, statement, state);
}

absl::Status SessionCore::ReadPrepared(const OwnedAnswer& answer,
                                       const ServerInfo& server,
                                       bool with_timeout,
                                       PreparedStatement* statement,
                                       NodeStatement* state) {
  if (answer.header.opcode != protocol::Opcode::kResult) {
    return absl::InternalError(
        Cat("answered by ", protocol::OpcodeName(answer.header.opcode)));
  }
  absl::StatusOr<protocol::ResultView> result =
      protocol::DecodeResult(answer.body);
  if (!result.ok()) return result.status();
  if (result->kind != protocol::ResultKind::kPrepared) {
    return absl::InternalError("answered by another kind of RESULT");
  }
  absl::StatusOr<protocol::PreparedView> prepared =
      protocol::DecodePrepared(result->content, server.metadata_id);
  if (!prepared.ok()) return prepared.status();

  state->timeout_marker = -1;
  if (with_timeout) {
    absl::Status hidden =
        HideTimeout(statement->timeout_text_->marker, &*prepared);
    if (!hidden.ok()) return hidden;
    state->timeout_marker = statement->timeout_text_->marker;
  }

  // What requests in flight were encoded with stays as it is.
  if (statement->columns_.empty()) {
    statement->columns_ = std::move(prepared->bind_markers);
    if (!statement->columns_.empty()) {
      statement->keyspace_ = statement->columns_[0].keyspace;
      statement->table_ = statement->columns_[0].table;
    }
    statement->partition_key_ = std::move(prepared->partition_key_indexes);
    for (uint16_t index : statement->partition_key_) {
      if (index >= statement->columns_.size()) {
        return absl::InternalError(
            "the partition key names a bind marker that is not there");
      }
    }
  }
  statement->lightweight_transaction_ =
      (prepared->flags & server.transaction_mark) != 0;

  state->id.assign(prepared->id);
  state->metadata_id.assign(prepared->metadata_id);
  state->metadata = MetadataRef();
  state->skip_metadata = false;
  if (prepared->result.has_columns() && prepared->result.column_count > 0) {
    absl::StatusOr<protocol::ColumnSpecs> columns = prepared->result.Columns();
    if (!columns.ok()) return columns.status();
    state->metadata = MetadataRef(new ResultMetadata{
        0, *std::move(columns), std::string(prepared->result.columns)});
    state->skip_metadata = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<MetadataRef> SessionCore::ReadMetadata(
    const PreparedStatement* statement, NodePool* node,
    const protocol::RowsMetadataView& metadata) {
  NodeStatement* const state =
      statement == nullptr ? nullptr : StateOn(*statement, node);
  const bool changed = !metadata.new_metadata_id.empty();
  if (state != nullptr && !changed && state->metadata &&
      state->metadata->encoded == metadata.columns) {
    return state->metadata;
  }
  absl::StatusOr<protocol::ColumnSpecs> columns = metadata.Columns();
  if (!columns.ok()) return columns.status();
  MetadataRef read(new ResultMetadata{0, *std::move(columns), ""});
  if (state != nullptr && (changed || !state->skip_metadata)) {
    const_cast<ResultMetadata*>(read.get())->encoded.assign(metadata.columns);
    state->metadata = read;
    if (changed) {
      state->metadata_id.assign(metadata.new_metadata_id);
      state->skip_metadata = true;
    }
  }
  return read;
}

void SessionCore::Reprepare(Query* query, NodePool* node,
                            std::string_view unknown_id) {
  if (query->kind_ == Query::Kind::kExecute) {
    NodeStatement* state = StateOn(*query->statement_, node);
    if (state->state == NodeStatement::State::kReady &&
        state->generation == query->prepared_as_) {
      state->state = NodeStatement::State::kUnknown;
    }
  } else {
    for (const BatchBody::Entry& entry :
         BatchBody(query->body_.data()).entries()) {
      NodeStatement* state = StateOn(*entry.statement, node);
      if (state->state == NodeStatement::State::kReady &&
          state->id == unknown_id) {
        state->state = NodeStatement::State::kUnknown;
      }
    }
  }
  Connection* const connection = router_.ChooseAt(node, *query);
  if (connection == nullptr) {
    Route(query);
  } else {
    SendOn(query, node, connection);
  }
}

// --- What the nodes tell -----------------------------------------------------

void SessionCore::OnTablet(const PreparedStatement& statement,
                           std::string_view payload) {
  const absl::StatusOr<protocol::Tablet> tablet =
      protocol::DecodeTablet(payload);
  if (!tablet.ok() || statement.table_.empty()) {
    ++counters_.tablets_malformed;
    return;
  }
  ++(router_.Learn(statement, *tablet) ? counters_.tablets_learned
                                       : counters_.tablets_refused);
  for (const protocol::TabletReplica& replica : tablet->replicas) {
    if (!router_.Knows(replica.host)) {
      control_.Refresh();
      return;
    }
  }
}

void SessionCore::OnSchemaChange(const protocol::SchemaChange& change) {
  if (change.change != "DROPPED") return;
  if (change.target == "KEYSPACE") {
    router_.mutable_tablets()->DropKeyspace(change.keyspace);
  } else if (change.target == "TABLE") {
    router_.mutable_tablets()->DropTable(change.keyspace, change.name);
  }
}

// --- Nodes -------------------------------------------------------------------

absl::Status SessionCore::ApplyTopology(
    std::vector<NodeInfo> nodes,
    const std::vector<std::pair<std::string, Replication>>& keyspaces) {
  if (closing_) return absl::CancelledError("the session is closed");
  if (options_.local_datacenter.empty()) {
    options_.local_datacenter = nodes[0].datacenter;
  }
  const auto is_local = [&](const NodeInfo& node) {
    return node.datacenter == options_.local_datacenter;
  };
  if (std::none_of(nodes.begin(), nodes.end(), is_local)) {
    std::set<std::string> known;
    for (const NodeInfo& node : nodes) known.insert(node.datacenter);
    std::string names;
    for (const std::string& name : known) {
      names += Cat(names.empty() ? "" : ", ", name);
    }
    return absl::InvalidArgumentError(Cat("no node is in datacenter '",
                                          options_.local_datacenter,
                                          "'; there are: ", names));
  }
  absl::StatusOr<std::unique_ptr<Topology>> topology =
      Topology::Build(std::move(nodes), options_.local_datacenter, keyspaces);
  if (!topology.ok()) return topology.status();
  // Nodes that stay keep their pools; what is left over has gone.
  std::vector<Node> before(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) std::swap(before[i], nodes_[i]);
  std::vector<NodePool*> pools((*topology)->nodes().size(), nullptr);
  std::vector<uint16_t> fresh;
  for (size_t i = 0; i < pools.size(); ++i) {
    const NodeInfo& info = (*topology)->nodes()[i];
    if (!is_local(info)) continue;
    NodePool* pool = nullptr;
    for (size_t number = 0; number < before.size(); ++number) {
      Node& known = before[number];
      if (known.pool == nullptr) continue;
      const bool same_address = known.pool->address() == info.address;
      // The same node under another address: what is connected stays.
      const bool same_node =
          !info.host_id.empty() && known.host_id == info.host_id &&
          (same_address || known.pool->open_connections() > 0);
      if (same_node || (info.host_id.empty() && same_address)) {
        pool = known.pool.get();
        nodes_[number] = std::move(known);
        break;
      }
    }
    if (pool == nullptr) {
      if (nodes_.size() > std::numeric_limits<uint16_t>::max()) {
        RINGPLANE_LOG(kError, "too many nodes came and went; not used",
                      {"node", info.address.ToString()});
        continue;
      }
      const uint16_t number = AddNode(info);
      fresh.push_back(number);
      pool = nodes_[number].pool.get();
    }
    pools[i] = pool;
  }
  if (!options_.local_rack.empty() &&
      std::none_of((*topology)->nodes().begin(), (*topology)->nodes().end(),
                   [&](const NodeInfo& node) {
                     return is_local(node) && node.rack == options_.local_rack;
                   })) {
    RINGPLANE_LOG(kWarning, "no node is in the local rack",
                  {"rack", options_.local_rack},
                  {"datacenter", options_.local_datacenter});
  }
  router_.Update(*std::move(topology), std::move(pools), options_.local_rack);
  for (size_t number = 0; number < before.size(); ++number) {
    if (before[number].pool == nullptr) continue;
    RINGPLANE_LOG(kInfo, "a node left", {"node", before[number].pool->name()});
    for (const auto& statement : statements_) {
      if (number >= statement->nodes_.size()) continue;
      std::unique_ptr<NodeStatement>& state = statement->nodes_[number];
      // One that is being prepared is looked at again when that has ended.
      if (state != nullptr &&
          state->state != NodeStatement::State::kPreparing) {
        state.reset();
      }
    }
    tasks_.Spawn(CloseNode(std::move(before[number].pool)));
  }
  for (uint16_t number : fresh) nodes_[number].pool->Start();
  return absl::OkStatus();
}

uint16_t SessionCore::AddNode(const NodeInfo& info) {
  // Numbers are not reused: statements refer to nodes by them.
  const uint16_t number = static_cast<uint16_t>(nodes_.size());
  nodes_.push_back({info.host_id, std::make_unique<NodePool>(
                                      &context_, this, info.address, number)});
  return number;
}

ioloop::Task<void> SessionCore::CloseNode(std::unique_ptr<NodePool> pool) {
  if (!closing_) co_await pool->Drain(loop_->now() + options_.request_timeout);
  co_await pool->Close();
}

void SessionCore::OnNodeUp(const Inet& address) {
  for (NodePool* pool : router_.pools()) {
    if (pool->address().IpBytes() == address.view()) pool->Hurry();
  }
}

std::vector<ioloop::SocketAddress> SessionCore::NodeAddresses(
    bool connected) const {
  std::vector<ioloop::SocketAddress> addresses;
  for (const NodePool* pool : router_.pools()) {
    if ((pool->open_connections() > 0) == connected) {
      addresses.push_back(pool->address());
    }
  }
  return addresses;
}

bool SessionCore::IsReachable(std::string_view host_id) const {
  for (const Node& node : nodes_) {
    if (node.pool == nullptr || node.host_id != host_id) continue;
    return node.pool->open_connections() > 0;
  }
  return true;
}

}  // namespace cql::internal
