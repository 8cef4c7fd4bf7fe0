#include "cql/node/server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cql/node/connection.h"
#include "cql/node/group_commit.h"
#include "cql/node/system_tables.h"
#include "cql/protocol/absl_text.h"
#include "cql/protocol/token.h"
#include "ioloop/log.h"

namespace cql::node {
namespace {

using protocol::AbslText;

// Sixteen bytes that stay the same for the same text.
std::string Digest(std::string_view text) {
  std::string bytes(16, '\0');
  const std::string salted = absl::StrCat("second half of ", AbslText(text));
  protocol::StoreBig64(bytes.data(), static_cast<uint64_t>(Murmur3Token(text)));
  protocol::StoreBig64(bytes.data() + 8,
                       static_cast<uint64_t>(Murmur3Token(salted)));
  return bytes;
}

// The same for every start on the same folder.
UuidBytes HostId(const NodeOptions& options) {
  const std::string digest =
      Digest(absl::StrCat(options.cluster_name, "\n", options.data_dir));
  UuidBytes id;
  std::copy(digest.begin(), digest.end(), id.begin());
  id[6] = static_cast<uint8_t>((id[6] & 0x0f) | 0x40);
  id[8] = static_cast<uint8_t>((id[8] & 0x3f) | 0x80);
  return id;
}

absl::Status CheckOptions(const NodeOptions& options) {
  if (options.data_dir.empty()) {
    return absl::InvalidArgumentError("the node needs a data folder");
  }
  if (options.shards == 0 || options.shards > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the number of shards must be 1 to 65535, not ", options.shards));
  }
  if (options.sharding_ignore_msb > 63) {
    return absl::InvalidArgumentError("sharding_ignore_msb must be below 64");
  }
  if (options.connections_max == 0 || options.frame_bytes_max < 1024 ||
      options.output_bytes_max < 1024) {
    return absl::InvalidArgumentError(
        "connections_max must be at least 1, frame_bytes_max and "
        "output_bytes_max at least 1024");
  }
  return absl::OkStatus();
}

}  // namespace

Node::Node(ioloop::Loop* loop, NodeOptions options)
    : loop_(loop),
      options_(std::move(options)),
      scratch_(std::make_unique<RequestScratch>()) {}

Node::~Node() = default;

absl::StatusOr<std::unique_ptr<Node>> Node::Start(ioloop::Loop* loop,
                                                  NodeOptions options) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  std::unique_ptr<Node> node(new Node(loop, std::move(options)));

  EngineOptions engine_options;
  engine_options.data_dir = node->options_.data_dir;
  engine_options.sync = node->options_.sync;
  engine_options.limits = node->options_.limits;
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Open(engine_options);
  if (!engine.ok()) return engine.status();
  node->engine_ = *std::move(engine);

  status = node->Listen(node->options_.port, false, &node->address_);
  if (!status.ok()) return status;
  if (node->options_.shard_aware_port.has_value()) {
    status = node->Listen(*node->options_.shard_aware_port, true,
                          &node->shard_aware_address_);
    if (!status.ok()) return status;
  }

  NodeIdentity identity;
  identity.cluster_name = node->options_.cluster_name;
  identity.data_center = node->options_.data_center;
  identity.rack = node->options_.rack;
  identity.host_id = HostId(node->options_);
  // Clients are told where to connect: a wildcard is no such place.
  const std::string host = node->address_.HostString();
  if (host != "0.0.0.0" && host != "::") {
    identity.address = node->address_.IpBytes();
  }
  status = AddSystemTables(node->engine_.get(), identity);
  if (!status.ok()) return status;

  node->commit_ = std::make_unique<GroupCommit>(
      loop, node->engine_.get(), node->options_.sync == SyncMode::kDisk);
  for (const std::unique_ptr<Port>& port : node->ports_) {
    node->tasks_.Spawn(node->Accept(port.get()));
  }
  RINGPLANE_LOG(kInfo, "CQL node for development is listening",
                {"address", node->address_.ToString()},
                {"shards", node->options_.shards},
                {"data", node->options_.data_dir});
  return node;
}

absl::Status Node::Listen(uint16_t port, bool shard_aware,
                          ioloop::SocketAddress* bound) {
  const absl::StatusOr<ioloop::SocketAddress> address =
      ioloop::SocketAddress::FromIp(options_.listen_host, port);
  if (!address.ok()) return address.status();
  ioloop::Listener::Options listener_options;
  // One answer may come on top of the bound: see NodeOptions.
  listener_options.stream.send_buffer_max =
      options_.output_bytes_max + size_t{options_.limits.result_bytes_max} * 2 +
      (16 << 20);
  absl::StatusOr<ioloop::Listener> listener =
      ioloop::Listener::Bind(loop_, *address, listener_options);
  if (!listener.ok()) return listener.status();
  *bound = listener->local_address();
  ports_.push_back(std::make_unique<Port>(*std::move(listener), shard_aware));
  return absl::OkStatus();
}

ioloop::Task<void> Node::Stop() {
  stopping_ = true;
  for (const std::unique_ptr<Port>& port : ports_) {
    co_await port->listener.Close();
  }
  // A copy: each leaves the list by itself.
  const std::vector<Connection*> open = connections_;
  for (Connection* connection : open) connection->Kill();
  co_await tasks_.Join();
  const absl::Status status = co_await commit_->Flush();
  if (!status.ok()) {
    RINGPLANE_LOG(kError, "the last writes may be lost",
                  {"error", status.ToString()});
  }
  commit_.reset();
  engine_.reset();
}

ioloop::Task<void> Node::Accept(Port* port) {
  for (;;) {
    absl::StatusOr<ioloop::Stream> stream = co_await port->listener.Accept();
    if (!stream.ok()) co_return;
    ++stats_.connections_accepted;
    tasks_.Spawn(Serve(*std::move(stream), port->shard_aware));
  }
}

ioloop::Task<void> Node::Serve(ioloop::Stream stream, bool shard_aware) {
  ConnectionInfo info;
  info.id = next_connection_id_++;
  info.shard_aware_port = shard_aware;
  info.source_port = stream.peer_address().port();
  info.shard = ShardFor(shard_aware, info.source_port);

  if (stopping_ || connections_.size() >= options_.connections_max) {
    ++stats_.connections_refused;
    RINGPLANE_LOG(kWarning, "CQL connection refused",
                  {"connections_max", options_.connections_max});
    co_await stream.Abort();
    co_return;
  }
  Rules::Subject subject;
  subject.on = Rule::On::kConnect;
  subject.connection = info.id;
  subject.shard = info.shard;
  subject.shard_aware_port = shard_aware;
  const Rule* rule = rules_.empty() ? nullptr : rules_.Match(subject);
  if (rule != nullptr) {
    if (rule->action == Rule::Action::kShard) {
      info.shard = rule->wrong_shard;
    } else if (rule->action == Rule::Action::kReset) {
      co_await stream.Abort();
      co_return;
    } else if (rule->action == Rule::Action::kClose) {
      co_await stream.Close();
      co_return;
    }
  }

  Connection connection(this, std::move(stream), info);
  connections_.push_back(&connection);
  co_await connection.Run();
  std::erase(connections_, &connection);
}

uint32_t Node::ShardFor(bool shard_aware, uint16_t source_port) {
  if (shard_aware) return source_port % options_.shards;
  return next_shard_++ % options_.shards;
}

std::string_view Node::MetadataIdOf(const Statement& statement) {
  if (statement.result_columns() == nullptr) {
    static const std::string* const kNoColumns = new std::string(Digest(""));
    return *kNoColumns;
  }
  const std::string key(reinterpret_cast<const char*>(statement.id().data()),
                        statement.id().size());
  // As many as the engine keeps statements; the rest comes back when asked.
  if (metadata_ids_.size() > options_.limits.prepared_max) {
    metadata_ids_.clear();
  }
  MetadataId& entry = metadata_ids_[key];
  if (entry.columns != statement.result_columns()) {
    entry.columns = statement.result_columns();
    std::string described;
    for (const ColumnSpec& column : *entry.columns) {
      absl::StrAppend(&described, column.name, " ", column.type.ToString(),
                      "\n");
    }
    entry.id = Digest(described);
  }
  return entry.id;
}

void Node::LogExecute(const Connection& connection, const Statement& statement,
                      absl::Span<const Value> values) {
  if (executes_.size() >= options_.execute_log_max) executes_.pop_front();
  ExecuteLogEntry& entry = executes_.emplace_back();
  const ConnectionInfo& info = connection.info();
  entry.connection = info.id;
  entry.shard_aware_port = info.shard_aware_port;
  entry.source_port = info.source_port;
  entry.shard = info.shard;
  entry.statement = statement.text();
  if (values.size() == statement.bind_markers().size()) {
    entry.token = statement.Token(values);
  }
  if (entry.token.has_value()) {
    entry.token_shard =
        ShardOf(*entry.token, options_.shards, options_.sharding_ignore_msb);
  }
}

NodeStats Node::stats() const {
  NodeStats stats = stats_;
  if (commit_ != nullptr) stats.syncs = commit_->syncs();
  return stats;
}

std::vector<ConnectionInfo> Node::connections() const {
  std::vector<ConnectionInfo> infos;
  for (const Connection* connection : connections_) {
    infos.push_back(connection->info());
  }
  return infos;
}

void Node::ResetConnection(uint64_t id) {
  for (Connection* connection : connections_) {
    if (connection->info().id == id) return connection->Kill();
  }
}

void Node::SendEvent(const protocol::Event& event) {
  for (Connection* connection : connections_) {
    if (connection->registered_for(event.kind)) connection->SendEvent(event);
  }
}

void Node::ForgetPrepared() { prepared_since_.emplace(); }

}  // namespace cql::node
