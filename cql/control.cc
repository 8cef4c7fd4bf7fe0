#include "cql/control.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "cql/internal/session_core.h"
#include "cql/internal/status_util.h"
#include "cql/internal/text_query.h"
#include "cql/protocol/response.h"
#include "cql/protocol/value_types.h"
#include "cql/session.h"
#include "ioloop/check.h"
#include "ioloop/log.h"
#include "ioloop/timer.h"

namespace cql::internal {
namespace {

constexpr std::string_view kLocal =
    "SELECT host_id, data_center, rack, tokens, partitioner, schema_version "
    "FROM system.local WHERE key='local'";
constexpr std::string_view kPeers =
    "SELECT peer, rpc_address, host_id, data_center, rack, tokens, "
    "schema_version FROM system.peers";
constexpr std::string_view kKeyspaces =
    "SELECT keyspace_name, replication FROM system_schema.keyspaces";

constexpr std::string_view kMurmur3 =
    "org.apache.cassandra.dht.Murmur3Partitioner";
// More tokens are not a node's.
constexpr size_t kNodeTokensMax = 4096;
constexpr size_t kKeyspacesMax = 10000;
// Nodes without a connection that are asked before the contact points are: if
// every node has moved, each costs a timeout.
constexpr size_t kLostTried = 3;
constexpr absl::Duration kAgreementPause = absl::Milliseconds(100);

// The rows of one of the queries above.
class Table {
 public:
  static absl::StatusOr<std::unique_ptr<Table>> Create(OwnedAnswer answer,
                                                       size_t rows_max) {
    if (answer.header.opcode != protocol::Opcode::kResult) {
      return absl::InternalError(
          Cat("answered by ", protocol::OpcodeName(answer.header.opcode)));
    }
    absl::StatusOr<protocol::ResultView> result =
        protocol::DecodeResult(answer.body);
    if (!result.ok()) return result.status();
    if (result->kind != protocol::ResultKind::kRows ||
        !result->metadata.has_columns()) {
      return absl::InternalError("the answer has no rows");
    }
    if (result->row_count > rows_max) {
      return absl::ResourceExhaustedError(
          Cat(result->row_count, " rows; at most ", rows_max, " are taken"));
    }
    auto table = std::make_unique<Table>();
    absl::StatusOr<protocol::ColumnSpecs> columns = result->metadata.Columns();
    if (!columns.ok()) return columns.status();
    table->columns_ = *std::move(columns);
    absl::StatusOr<protocol::RowsView> rows = protocol::RowsView::Create(
        table->columns_, result->row_count, result->rows);
    if (!rows.ok()) return rows.status();
    table->rows_ = *rows;
    table->answer_ = std::move(answer);
    return table;
  }

  const protocol::RowsView& rows() const { return rows_; }

  // The value of the named column; nothing when it is null, absent, or not of
  // that type.
  template <typename T>
  std::optional<T> Get(const protocol::RowView& row,
                       std::string_view column) const {
    const std::optional<size_t> index = rows_.Find(column);
    if (!index.has_value()) return std::nullopt;
    std::optional<T> value;
    if (!row.Get(*index, &value).ok()) return std::nullopt;
    return value;
  }

 private:
  OwnedAnswer answer_;
  protocol::ColumnSpecs columns_;
  protocol::RowsView rows_;
};

ioloop::Task<absl::StatusOr<std::unique_ptr<Table>>> Read(
    Connection* connection, std::string_view text, size_t rows_max,
    absl::Time deadline, absl::Duration server_timeout) {
  std::string query(text);
  if (connection->server().scylla) {
    query +=
        Cat(" USING TIMEOUT ", absl::ToInt64Milliseconds(server_timeout), "ms");
  }
  const std::string where = Cat(query, " on ", connection->name());
  std::string body;
  WriteText(query, &body);
  // From here on `connection` may be gone.
  Call call(connection, protocol::Opcode::kQuery, body, deadline);
  absl::StatusOr<OwnedAnswer> answer = co_await call;
  if (!answer.ok()) co_return Annotate(where, answer.status());
  absl::StatusOr<std::unique_ptr<Table>> table =
      Table::Create(*std::move(answer), rows_max);
  if (!table.ok()) co_return Annotate(where, table.status());
  co_return table;
}

// The columns that system.local and system.peers share.
void ReadNode(const Table& table, const protocol::RowView& row,
              NodeInfo* node) {
  if (auto host = table.Get<Uuid>(row, "host_id")) {
    node->host_id = host->view();
  }
  node->datacenter = table.Get<std::string>(row, "data_center").value_or("");
  node->rack = table.Get<std::string>(row, "rack").value_or("");
  auto tokens = table.Get<std::vector<std::string_view>>(row, "tokens");
  if (!tokens.has_value() || tokens->size() > kNodeTokensMax) return;
  for (std::string_view text : *tokens) {
    int64_t token = 0;
    if (ParseNumber(text, &token)) node->tokens.push_back(token);
  }
}

bool IsAny(const Inet& address) {
  return std::all_of(address.bytes.begin(),
                     address.bytes.begin() + address.size,
                     [](uint8_t byte) { return byte == 0; });
}

}  // namespace

Control::Control(ConnectionContext* context, SessionCore* session)
    : context_(context),
      session_(session),
      backoff_(context->options->reconnect_min,
               context->options->reconnect_max),
      wake_(context->loop) {}

Control::~Control() {
  RINGPLANE_CHECK(connection_ == nullptr && tasks_.running() == 0,
                  "a Control died without Close()");
}

ioloop::Task<absl::Status> Control::Start() {
  absl::Status connected = co_await ConnectToContacts();
  if (!connected.ok()) co_return connected;
  tasks_.Spawn(Maintain());
  co_return absl::OkStatus();
}

ioloop::Task<void> Control::Close() {
  closing_ = true;
  stop_.RequestStop();
  wake_.Set();
  if (connection_ != nullptr) {
    connection_->Break(absl::CancelledError("the session is closed"));
  }
  co_await tasks_.Join();
  co_await Drop();
}

void Control::Refresh() {
  // Not pushed back by later events: a flood must not starve the reading.
  if (refresh_at_ == absl::InfiniteFuture()) {
    refresh_at_ = context_->loop->now() + context_->options->event_window;
    wake_.Set();
  }
}

void Control::Tick() {
  if (connection_ != nullptr) connection_->Tick();
}

void Control::OnBroken(Connection*, const absl::Status& why) {
  if (!closing_) {
    RINGPLANE_LOG(kWarning, "control connection lost",
                  {"node", connection_ ? connection_->name() : ""},
                  {"why", why.ToString()});
  }
  broken_ = true;
  wake_.Set();
}

void Control::OnEvent(Connection*, const Answer& answer) {
  std::string_view body = answer.body;
  if (!protocol::DecodePrefix(answer.header, &body, nullptr).ok()) return;
  absl::StatusOr<protocol::Event> event = protocol::DecodeEvent(body);
  if (!event.ok()) return;
  switch (event->kind) {
    case protocol::Event::Kind::kStatusChange:
      // Whether a node is down is known from its connections.
      if (event->change != "UP") return;
      session_->OnNodeUp(event->address);
      Refresh();
      return;
    case protocol::Event::Kind::kTopologyChange:
      Refresh();
      return;
    case protocol::Event::Kind::kSchemaChange:
      session_->OnSchemaChange(event->schema);
      // Replication is all that is known of a schema here.
      if (event->schema.target == "KEYSPACE") Refresh();
      return;
    case protocol::Event::Kind::kOther:
      return;
  }
}

ioloop::Task<void> Control::Maintain() {
  while (!closing_) {
    if (broken_ || connection_ == nullptr) {
      co_await Drop();
      if (closing_) break;
      absl::Status connected = co_await ConnectToAny();
      if (connected.ok()) {
        backoff_.Reset();
        continue;
      }
      const absl::Duration delay = backoff_.Next(random_);
      RINGPLANE_LOG(kWarning, "no control connection",
                    {"why", connected.ToString()},
                    {"again_in", absl::FormatDuration(delay)});
      const absl::Time again = context_->loop->now() + delay;
      while (!closing_ && context_->loop->now() < again) {
        wake_.Reset();
        static_cast<void>(co_await wake_.WaitUntil(again));
      }
      continue;
    }
    if (context_->loop->now() >= refresh_at_) {
      refresh_at_ = absl::InfiniteFuture();
      absl::Status read = co_await ReadTopology();
      if (!read.ok() && connection_ != nullptr && !closing_) {
        connection_->Break(read);
      }
      continue;
    }
    wake_.Reset();
    static_cast<void>(co_await wake_.WaitUntil(refresh_at_));
  }
}

ioloop::Task<void> Control::Drop() {
  broken_ = false;
  if (connection_ == nullptr) co_return;
  std::unique_ptr<Connection> dropped = std::move(connection_);
  co_await dropped->Shutdown();
}

ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> Control::Open(
    ioloop::SocketAddress address) {
  SetupGovernor::Attempt attempt(context_->options->governor.get(),
                                 context_->loop, address);
  const bool begun = co_await attempt.Begin(/*urgent=*/true, stop_.token());
  if (!begun) co_return absl::CancelledError("the session is closed");
  absl::StatusOr<std::unique_ptr<Connection>> opened =
      co_await Connection::Open(context_, this, address, 0);
  if (opened.ok()) attempt.Succeeded();
  co_return opened;
}

ioloop::Task<absl::Status> Control::ConnectTo(ioloop::SocketAddress address) {
  absl::StatusOr<std::unique_ptr<Connection>> opened = co_await Open(address);
  if (!opened.ok()) co_return opened.status();
  broken_ = false;
  connection_ = *std::move(opened);
  const absl::Time deadline =
      context_->loop->now() + context_->options->connect_timeout;

  // Before the topology is read: a change meanwhile is told.
  constexpr std::string_view kEvents[] = {"TOPOLOGY_CHANGE", "STATUS_CHANGE",
                                          "SCHEMA_CHANGE"};
  std::string body;
  {
    protocol::Writer writer(&body);
    protocol::EncodeRegister(&writer, kEvents);
    writer.Finish();
  }
  absl::Status ready;
  {
    Call call(connection_.get(), protocol::Opcode::kRegister, body, deadline);
    absl::StatusOr<OwnedAnswer> registered = co_await call;
    if (!registered.ok()) {
      ready = Annotate(Cat("REGISTER on ", connection_->name()),
                       registered.status());
    }
  }
  if (ready.ok()) ready = co_await ReadTopology();
  if (!ready.ok()) co_await Drop();
  co_return ready;
}

ioloop::Task<absl::Status> Control::ConnectToContacts() {
  const SessionOptions& options = *context_->options;
  if (options.contact_points.empty()) {
    co_return absl::InvalidArgumentError("no contact point is given");
  }
  std::string failures;
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  for (const std::string& contact : options.contact_points) {
    if (closing_) break;
    absl::StatusOr<std::vector<ioloop::SocketAddress>> addresses =
        co_await resolver_.Resolve(
            context_->loop, contact,
            context_->loop->now() + options.connect_timeout);
    absl::Status failed = addresses.status();
    if (addresses.ok()) {
      failed = absl::NotFoundError("the name has no address");
      for (const ioloop::SocketAddress& address : *addresses) {
        failed = co_await ConnectTo(address);
        if (failed.ok()) co_return failed;
        // The other nodes would say the same of a password.
        if (absl::IsUnauthenticated(failed)) code = failed.code();
      }
    }
    failures +=
        Cat(failures.empty() ? "" : "; ", contact, ": ", failed.ToString());
  }
  co_return absl::Status(code, Cat("no contact point can be used: ", failures));
}

ioloop::Task<absl::Status> Control::ConnectToAny() {
  std::vector<ioloop::SocketAddress> known = session_->NodeAddresses(true);
  std::shuffle(known.begin(), known.end(), random_);
  std::vector<ioloop::SocketAddress> lost = session_->NodeAddresses(false);
  std::shuffle(lost.begin(), lost.end(), random_);
  lost.resize(std::min(lost.size(), kLostTried));
  known.insert(known.end(), lost.begin(), lost.end());
  for (const ioloop::SocketAddress& address : known) {
    if (closing_) co_return absl::CancelledError("the session is closed");
    absl::Status connected = co_await ConnectTo(address);
    if (connected.ok()) co_return connected;
  }
  // None of them is where it was: their names may lead elsewhere by now.
  co_return co_await ConnectToContacts();
}

ioloop::Task<absl::Status> Control::ReadTopology() {
  Connection* const connection = connection_.get();
  const absl::Duration timeout = context_->options->connect_timeout;
  const absl::Time deadline = context_->loop->now() + timeout;
  ++context_->counters->topology_refreshes;

  absl::StatusOr<std::unique_ptr<Table>> local =
      co_await Read(connection, kLocal, 1, deadline, timeout);
  if (!local.ok()) co_return local.status();
  absl::StatusOr<std::unique_ptr<Table>> peers =
      co_await Read(connection, kPeers, Topology::kNodesMax, deadline, timeout);
  if (!peers.ok()) co_return peers.status();
  absl::StatusOr<std::unique_ptr<Table>> keyspaces =
      co_await Read(connection, kKeyspaces, kKeyspacesMax, deadline, timeout);
  if (!keyspaces.ok()) co_return keyspaces.status();

  std::vector<NodeInfo> nodes(1);
  std::set<std::string> hosts;
  nodes[0].address = connection->address();
  bool by_murmur3 = false;
  for (const protocol::RowView& row : (*local)->rows()) {
    ReadNode(**local, row, &nodes[0]);
    by_murmur3 =
        (*local)->Get<std::string_view>(row, "partitioner") == kMurmur3;
  }
  hosts.insert(nodes[0].host_id);
  for (const protocol::RowView& row : (*peers)->rows()) {
    NodeInfo node;
    ReadNode(**peers, row, &node);
    std::optional<Inet> address = (*peers)->Get<Inet>(row, "rpc_address");
    // "Every interface" says nothing; the nodes' own name for it does.
    if (address.has_value() && IsAny(*address)) {
      address = (*peers)->Get<Inet>(row, "peer");
    }
    // A joining node has neither yet. A node listed twice counts once.
    if (node.host_id.empty() || !address.has_value() || IsAny(*address) ||
        !hosts.insert(node.host_id).second) {
      ++context_->counters->topology_rows_skipped;
      continue;
    }
    absl::StatusOr<ioloop::SocketAddress> socket =
        ioloop::SocketAddress::FromBytes(address->view(),
                                         connection->address().port());
    if (!socket.ok()) {
      ++context_->counters->topology_rows_skipped;
      continue;
    }
    node.address = *socket;
    nodes.push_back(std::move(node));
  }
  if (!by_murmur3) {
    for (NodeInfo& node : nodes) node.tokens.clear();
  }

  std::vector<std::pair<std::string, Replication>> replications;
  for (const protocol::RowView& row : (*keyspaces)->rows()) {
    auto name = (*keyspaces)->Get<std::string>(row, "keyspace_name");
    auto options = (*keyspaces)
                       ->Get<std::map<std::string_view, std::string_view>>(
                           row, "replication");
    if (!name.has_value() || !options.has_value()) continue;
    const std::vector<std::pair<std::string_view, std::string_view>> pairs(
        options->begin(), options->end());
    replications.emplace_back(*std::move(name), Replication::Parse(pairs));
  }
  co_return session_->ApplyTopology(std::move(nodes), replications);
}

ioloop::Task<absl::Status> Control::AwaitSchemaAgreement(absl::Time deadline) {
  absl::Status last = absl::UnavailableError("no control connection");
  for (;;) {
    if (closing_) co_return absl::CancelledError("the session is closed");
    if (connection_ != nullptr && connection_->open()) {
      absl::StatusOr<bool> agree = co_await SchemaVersionsAgree(deadline);
      if (agree.ok() && *agree) co_return absl::OkStatus();
      last = agree.ok() ? absl::DeadlineExceededError(
                              "the nodes have different schema versions")
                        : agree.status();
    }
    const absl::Time next = context_->loop->now() + kAgreementPause;
    if (next >= deadline) {
      co_return absl::DeadlineExceededError(
          Cat("no schema agreement: ", last.ToString()));
    }
    co_await ioloop::SleepUntil(context_->loop, next);
  }
}

ioloop::Task<absl::StatusOr<bool>> Control::SchemaVersionsAgree(
    absl::Time deadline) {
  Connection* const connection = connection_.get();
  const absl::Duration timeout = context_->options->connect_timeout;
  deadline = std::min(deadline, context_->loop->now() + timeout);
  absl::StatusOr<std::unique_ptr<Table>> local =
      co_await Read(connection, kLocal, 1, deadline, timeout);
  if (!local.ok()) co_return local.status();
  // The first read may have seen the connection go.
  if (connection != connection_.get()) {
    co_return absl::UnavailableError("the control connection was replaced");
  }
  absl::StatusOr<std::unique_ptr<Table>> peers =
      co_await Read(connection, kPeers, Topology::kNodesMax, deadline, timeout);
  if (!peers.ok()) co_return peers.status();
  std::set<std::string> versions;
  const auto add = [&](const Table& table, const protocol::RowView& row) {
    auto version = table.Get<Uuid>(row, "schema_version");
    versions.insert(version ? std::string(version->view()) : "");
  };
  for (const protocol::RowView& row : (*local)->rows()) add(**local, row);
  for (const protocol::RowView& row : (*peers)->rows()) {
    auto host = (*peers)->Get<Uuid>(row, "host_id");
    // One that is down has an old version until it is back.
    if (host && session_->IsReachable(host->view())) add(**peers, row);
  }
  co_return versions.size() == 1;
}

}  // namespace cql::internal
