#include "tests/cql/client/fake_node.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cql/protocol/value_types.h"
#include "ioloop/check.h"

namespace cql::testing {

using protocol::ColumnSpec;
using protocol::ColumnType;
using protocol::Opcode;
using protocol::TypeId;
using protocol::Writer;

std::string Bigint(int64_t value) {
  std::string bytes(8, '\0');
  protocol::StoreBig64(bytes.data(), static_cast<uint64_t>(value));
  return bytes;
}

std::string RowsBody(const protocol::ColumnSpecs& columns, bool skip_metadata,
                     const std::vector<Cells>& rows,
                     std::string_view paging_state) {
  std::string body;
  Writer writer(&body);
  protocol::RowsMetadata metadata;
  metadata.columns = columns;
  metadata.skip_columns = skip_metadata;
  metadata.paging_state = paging_state;
  protocol::EncodeRowsHeader(&writer, metadata,
                             static_cast<uint32_t>(rows.size()));
  for (const Cells& row : rows) {
    for (const auto& cell : row) {
      if (cell.has_value()) {
        writer.Bytes(*cell);
      } else {
        writer.NullBytes();
      }
    }
  }
  writer.Finish();
  return body;
}

FakeStatement SelectStatement() {
  FakeStatement statement;
  statement.text = kSelect;
  statement.binds = {{"ks", "t", "key", TypeId::kBigint}};
  statement.partition_key = {0};
  statement.results = {{"ks", "t", "key", TypeId::kBigint},
                       {"ks", "t", "value", TypeId::kText}};
  return statement;
}

FakeStatement UpdateStatement() {
  FakeStatement statement;
  statement.text = kUpdate;
  statement.binds = {{"ks", "t", "value", TypeId::kText},
                     {"ks", "t", "key", TypeId::kBigint}};
  statement.partition_key = {1};
  return statement;
}

// --- FakeConnection, FakeRequest
// -----------------------------------------------

void FakeConnection::Reply(int16_t stream_id, Opcode opcode,
                           std::string_view body, uint8_t flags) {
  Reply(stream_id, opcode, body, node->options().prefix, flags);
}

void FakeConnection::Reply(int16_t stream_id, Opcode opcode,
                           std::string_view body,
                           const protocol::ResponsePrefix& before,
                           uint8_t flags) {
  if (closed) return;
  std::string prefix;
  Writer writer(&prefix);
  flags |= protocol::EncodePrefix(&writer, before);
  writer.Finish();
  std::string frame(protocol::kHeaderBytes, '\0');
  protocol::FrameHeader header;
  header.version |= protocol::kResponseBit;
  header.flags = flags;
  header.stream = stream_id;
  header.opcode = opcode;
  header.length = static_cast<uint32_t>(prefix.size() + body.size());
  protocol::EncodeHeader(header, frame.data());
  frame += prefix;
  frame += body;
  Raw(frame);
}

void FakeConnection::ReplyError(int16_t stream_id, ServerCode code,
                                std::string_view message,
                                std::string_view unprepared_id) {
  ServerError error;
  error.code = code;
  error.message = std::string(message);
  error.statement_id = std::string(unprepared_id);
  std::string body;
  Writer writer(&body);
  protocol::EncodeError(&writer, error);
  writer.Finish();
  Reply(stream_id, Opcode::kError, body);
}

void FakeConnection::ReplyVoid(int16_t stream_id) {
  std::string body;
  Writer writer(&body);
  protocol::EncodeVoid(&writer);
  writer.Finish();
  Reply(stream_id, Opcode::kResult, body);
}

void FakeConnection::Raw(std::string_view bytes) {
  if (closed) return;
  if (channel == nullptr) {
    stream.Queue(bytes);
  } else {
    channel->Send(bytes);
  }
}

void FakeConnection::Kill() {
  closed = true;
  stop.RequestStop();
  if (!stream.valid()) return;
  stream.ShutdownWrite();
  stream.CancelReceive();
}

int64_t FakeRequest::key() const {
  const size_t index = statement->partition_key[0];
  return static_cast<int64_t>(
      protocol::LoadBig64(execute->bound.values[index].bytes.data()));
}

bool FakeRequest::skip_metadata() const {
  return execute->parameters.skip_metadata;
}

void FakeRequest::ReplyRows(const std::vector<Cells>& rows,
                            std::string_view paging_state) const {
  connection->Reply(
      stream, Opcode::kResult,
      RowsBody(statement->results, skip_metadata(), rows, paging_state));
}

void FakeRequest::ReplyRowsAndPayload(const std::vector<Cells>& rows,
                                      std::string_view key,
                                      std::string_view value) const {
  protocol::ResponsePrefix before;
  before.custom_payload.emplace_back(key, value);
  connection->Reply(stream, Opcode::kResult,
                    RowsBody(statement->results, skip_metadata(), rows),
                    before);
}

// --- FakeNode
// --------------------------------------------------------------------

FakeNode::FakeNode(ioloop::Loop* loop, Options options)
    : loop_(loop), options_(std::move(options)), port_(options_.port) {
  AddStatement(SelectStatement());
  AddStatement(UpdateStatement());
  SetKeyspace("ks", {{"class", "SimpleStrategy"}, {"replication_factor", "1"}});
  Listen();
}

FakeNode::~FakeNode() {
  RINGPLANE_CHECK(connections_.empty(), "Close() the node first");
}

std::string FakeNode::address() const {
  return absl::StrCat(options_.ip, ":", port_);
}

std::string FakeNode::host_id() const {
  std::string id(16, '\x11');
  id[0] = static_cast<char>(std::hash<std::string>()(options_.ip));
  id[1] = options_.ip.back();
  return id;
}

void FakeNode::AddStatement(FakeStatement statement) {
  if (statement.id.empty()) {
    statement.id = absl::StrCat("id-", options_.ip, "-", statements_.size());
  }
  std::string text = statement.text;
  statements_[text] = std::move(statement);
}

void FakeNode::SetKeyspace(std::string name,
                           std::map<std::string, std::string> replication) {
  keyspaces_[std::move(name)] = std::move(replication);
}

void FakeNode::Listen() {
  auto listener = ioloop::Listener::Bind(
      loop_, *ioloop::SocketAddress::FromIp(options_.ip, port_));
  RINGPLANE_CHECK(listener.ok(), listener.status().ToString());
  port_ = listener->local_address().port();
  listener_.emplace(*std::move(listener));
  tasks_.Spawn(Accept(&*listener_, false));
  if (options_.shards > 0 && options_.shard_aware_port) {
    auto shard_listener = ioloop::Listener::Bind(
        loop_, *ioloop::SocketAddress::FromIp(options_.ip, shard_port_));
    RINGPLANE_CHECK(shard_listener.ok(), shard_listener.status().ToString());
    shard_port_ = shard_listener->local_address().port();
    shard_listener_.emplace(*std::move(shard_listener));
    tasks_.Spawn(Accept(&*shard_listener_, true));
  }
}

ioloop::Task<void> FakeNode::StopListening() {
  if (listener_) co_await listener_->Close();
  if (shard_listener_) co_await shard_listener_->Close();
}

void FakeNode::KillConnections() {
  for (const auto& connection : Connections()) connection->Kill();
}

ioloop::Task<void> FakeNode::Close() {
  co_await StopListening();
  KillConnections();
  co_await tasks_.Join();
}

std::vector<std::shared_ptr<FakeConnection>> FakeNode::Connections() const {
  return {connections_.begin(), connections_.end()};
}

void FakeNode::SendEvent(const protocol::Event& event) {
  std::string body;
  Writer writer(&body);
  protocol::EncodeEvent(&writer, event);
  writer.Finish();
  for (const auto& connection : connections_) {
    if (connection->registered) connection->Reply(-1, Opcode::kEvent, body);
  }
}

ioloop::Task<void> FakeNode::Accept(ioloop::Listener* listener,
                                    bool shard_port) {
  for (;;) {
    absl::StatusOr<ioloop::Stream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return;
    ++accepted;
    accepted_at.push_back(loop_->now());
    in_setup_max = std::max(in_setup_max, ++in_setup);
    auto connection = std::make_shared<FakeConnection>();
    connection->node = this;
    connection->stream = *std::move(stream);
    connection->source_port = connection->stream.peer_address().port();
    connection->on_shard_port = shard_port;
    if (options_.shards > 0) {
      connection->shard =
          shard_port ? (connection->source_port + (options_.nat ? 1u : 0u)) %
                           options_.shards
                     : next_shard_++ % options_.shards;
    }
    connections_.insert(connection);
    tasks_.Spawn(Serve(connection));
  }
}

ioloop::Task<void> FakeNode::Serve(std::shared_ptr<FakeConnection> connection) {
  protocol::FrameReader reader({.direction = protocol::Direction::kRequests});
  if (options_.secure) {
    co_await ServeSecure(connection, &reader);
  } else {
    for (;;) {
      absl::StatusOr<ioloop::ReceivedBytes> bytes =
          co_await connection->stream.Receive();
      if (!bytes.ok() || !Feed(connection, &reader, bytes->view())) break;
    }
  }
  connection->closed = true;
  if (!connection->ready) --in_setup;
  if (connection->channel != nullptr) {
    co_await connection->channel->Close();
  } else if (connection->stream.valid()) {
    (co_await connection->stream.Drained()).IgnoreError();
    co_await connection->stream.Close();
  }
  connections_.erase(connection);
}

ioloop::Task<void> FakeNode::ServeSecure(
    std::shared_ptr<FakeConnection> connection, protocol::FrameReader* reader) {
  auto channel = co_await options_.secure(
      std::exchange(connection->stream, ioloop::Stream()));
  if (!channel.ok()) co_return;
  connection->channel = *std::move(channel);
  std::string room(16384, '\0');
  for (;;) {
    absl::StatusOr<size_t> size =
        co_await connection->channel->Receive(room, connection->stop.token());
    if (!size.ok() ||
        !Feed(connection, reader, std::string_view(room).substr(0, *size))) {
      co_return;
    }
  }
}

bool FakeNode::Feed(const std::shared_ptr<FakeConnection>& connection,
                    protocol::FrameReader* reader, std::string_view bytes) {
  if (bytes.empty()) return false;
  reader->Feed(bytes);
  protocol::Frame frame;
  while (!connection->closed && reader->Next(&frame)) {
    Handle(connection, frame);
  }
  return !connection->closed && reader->status().ok();
}

void FakeNode::Handle(const std::shared_ptr<FakeConnection>& connection,
                      const protocol::Frame& frame) {
  const int16_t stream = frame.header.stream;
  FakeRequest request;
  request.connection = connection;
  request.stream = stream;
  request.opcode = frame.header.opcode;
  request.flags = frame.header.flags;
  switch (frame.header.opcode) {
    case Opcode::kOptions:
      if (on_options && on_options(request)) return;
      Options_(connection, stream);
      return;
    case Opcode::kStartup: {
      protocol::StartupRequest startup;
      RINGPLANE_CHECK(protocol::DecodeStartup(frame.body, &startup).ok());
      for (const auto& [key, value] : startup.options) {
        connection->startup.emplace_back(key, value);
      }
      connection->metadata_id =
          startup.Find("SCYLLA_USE_METADATA_ID").has_value();
      connection->transaction_mark =
          startup.Find("SCYLLA_LWT_ADD_METADATA_MARK").has_value();
      connection->tablets = startup.Find("TABLETS_ROUTING_V1").has_value();
      if (options_.authenticator.empty()) {
        connection->ready = true;
        --in_setup;
        connection->Reply(stream, Opcode::kReady, "");
        return;
      }
      std::string body;
      Writer writer(&body);
      protocol::EncodeAuthenticate(&writer, options_.authenticator);
      writer.Finish();
      connection->Reply(stream, Opcode::kAuthenticate, body);
      return;
    }
    case Opcode::kAuthResponse: {
      auto token = protocol::DecodeAuthResponse(frame.body);
      auto credentials = protocol::ParsePlainToken(token.value_or(""));
      if (!credentials.ok() || credentials->username != options_.username ||
          credentials->password != options_.password) {
        connection->ReplyError(stream, ServerCode::kBadCredentials,
                               "Username and/or password are incorrect");
        return;
      }
      std::string body;
      Writer writer(&body);
      protocol::EncodeAuthToken(&writer, std::nullopt);
      writer.Finish();
      connection->Reply(stream, Opcode::kAuthSuccess, body);
      return;
    }
    case Opcode::kRegister:
      connection->registered = true;
      connection->Reply(stream, Opcode::kReady, "");
      return;
    case Opcode::kQuery: {
      protocol::QueryRequest query;
      RINGPLANE_CHECK(protocol::DecodeQuery(frame.body, &query).ok());
      request.text = query.text;
      if (on_query && on_query(request)) return;
      Query(connection, stream, query.text);
      return;
    }
    case Opcode::kPrepare: {
      auto text = protocol::DecodePrepare(frame.body);
      RINGPLANE_CHECK(text.ok());
      ++prepares;
      request.text = *text;
      if (on_prepare && on_prepare(request)) return;
      Prepare(connection, stream, *text);
      return;
    }
    case Opcode::kExecute: {
      protocol::ExecuteRequest execute;
      RINGPLANE_CHECK(
          protocol::DecodeExecute(frame.body, connection->metadata_id, &execute)
              .ok());
      ++executes;
      auto known = prepared_.find(std::string(execute.statement_id));
      if (known == prepared_.end()) {
        connection->ReplyError(stream, ServerCode::kUnprepared, "unprepared",
                               execute.statement_id);
        return;
      }
      request.statement = known->second;
      request.execute = &execute;
      if (on_execute && on_execute(request)) return;
      if (request.statement->results.empty()) {
        connection->ReplyVoid(stream);
      } else {
        request.ReplyRows(
            {{Bigint(request.key()), absl::StrCat("v", request.key())}});
      }
      return;
    }
    case Opcode::kBatch: {
      protocol::BatchRequest batch;
      RINGPLANE_CHECK(protocol::DecodeBatch(frame.body, &batch).ok());
      request.batch = &batch;
      for (const auto& entry : batch.entries) {
        if (entry.prepared &&
            !prepared_.contains(std::string(entry.text_or_id))) {
          connection->ReplyError(stream, ServerCode::kUnprepared, "unprepared",
                                 entry.text_or_id);
          return;
        }
      }
      if (on_batch && on_batch(request)) return;
      connection->ReplyVoid(stream);
      return;
    }
    default:
      connection->ReplyError(stream, ServerCode::kProtocolError, "opcode");
  }
}

void FakeNode::Options_(const std::shared_ptr<FakeConnection>& connection,
                        int16_t stream) {
  protocol::Supported supported;
  supported.options = {{"CQL_VERSION", {"3.4.5"}},
                       {"COMPRESSION", {"lz4", "snappy"}}};
  const auto add = [&](std::string key, std::string value) {
    supported.options.push_back({std::move(key), {std::move(value)}});
  };
  if (options_.shards > 0) {
    add("SCYLLA_SHARD", absl::StrCat(connection->shard));
    add("SCYLLA_NR_SHARDS", absl::StrCat(options_.shards));
    add("SCYLLA_SHARDING_ALGORITHM", "biased-token-round-robin");
    add("SCYLLA_SHARDING_IGNORE_MSB", "12");
    add("SCYLLA_PARTITIONER", "org.apache.cassandra.dht.Murmur3Partitioner");
    if (shard_port_ != 0) {
      // The plain port is no use to who speaks TLS.
      add("SCYLLA_SHARD_AWARE_PORT",
          absl::StrCat(options_.secure ? 1 : shard_port_));
      if (options_.secure) {
        add("SCYLLA_SHARD_AWARE_PORT_SSL", absl::StrCat(shard_port_));
      }
    }
    add("SCYLLA_LWT_ADD_METADATA_MARK",
        "LWT_OPTIMIZATION_META_BIT_MASK=2147483648");
  }
  if (options_.metadata_id) add("SCYLLA_USE_METADATA_ID", "");
  if (options_.tablets) add("TABLETS_ROUTING_V1", "");
  std::string body;
  Writer writer(&body);
  protocol::EncodeSupported(&writer, supported);
  writer.Finish();
  connection->Reply(stream, Opcode::kSupported, body);
}

void FakeNode::Query(const std::shared_ptr<FakeConnection>& connection,
                     int16_t stream, std::string_view text) {
  const auto system = [](std::string_view table, std::string_view name,
                         ColumnType type) {
    return ColumnSpec{"system", std::string(table), std::string(name),
                      std::move(type)};
  };
  const auto tokens_of = [](const FakeNode& node) {
    std::string bytes;
    Writer writer(&bytes);
    writer.Int(static_cast<int32_t>(node.options_.tokens.size()));
    for (int64_t token : node.options_.tokens) {
      writer.Bytes(absl::StrCat(token));
    }
    writer.Finish();
    return bytes;
  };
  const auto ip_of = [](const FakeNode& node) {
    return std::string(Inet::Parse(node.options_.ip)->view());
  };
  const std::string schema_version(16, '\x22');
  const ColumnType text_set(TypeId::kSet, {TypeId::kText});
  if (text.find("FROM system.local") != text.npos) {
    const protocol::ColumnSpecs columns = {
        system("local", "host_id", TypeId::kUuid),
        system("local", "data_center", TypeId::kText),
        system("local", "rack", TypeId::kText),
        system("local", "tokens", text_set),
        system("local", "partitioner", TypeId::kText),
        system("local", "schema_version", TypeId::kUuid)};
    connection->Reply(
        stream, Opcode::kResult,
        RowsBody(
            columns, false,
            {{host_id(), options_.datacenter, options_.rack, tokens_of(*this),
              "org.apache.cassandra.dht.Murmur3Partitioner", schema_version}}));
  } else if (text.find("FROM system.peers") != text.npos) {
    ++peers_reads;
    const protocol::ColumnSpecs columns = {
        system("peers", "peer", TypeId::kInet),
        system("peers", "rpc_address", TypeId::kInet),
        system("peers", "host_id", TypeId::kUuid),
        system("peers", "data_center", TypeId::kText),
        system("peers", "rack", TypeId::kText),
        system("peers", "tokens", text_set),
        system("peers", "schema_version", TypeId::kUuid)};
    std::vector<Cells> rows;
    for (const FakeNode* peer : peers_) {
      rows.push_back({ip_of(*peer), ip_of(*peer), peer->host_id(),
                      peer->options_.datacenter, peer->options_.rack,
                      tokens_of(*peer), schema_version});
    }
    connection->Reply(stream, Opcode::kResult, RowsBody(columns, false, rows));
  } else if (text.find("FROM system_schema.keyspaces") != text.npos) {
    const protocol::ColumnSpecs columns = {
        system("keyspaces", "keyspace_name", TypeId::kText),
        system("keyspaces", "replication",
               ColumnType(TypeId::kMap, {TypeId::kText, TypeId::kText}))};
    std::vector<Cells> rows;
    for (const auto& [name, replication] : keyspaces_) {
      std::string map;
      Writer writer(&map);
      writer.Int(static_cast<int32_t>(replication.size()));
      for (const auto& [key, value] : replication) {
        writer.Bytes(key);
        writer.Bytes(value);
      }
      writer.Finish();
      rows.push_back({name, map});
    }
    connection->Reply(stream, Opcode::kResult, RowsBody(columns, false, rows));
  } else {
    connection->ReplyVoid(stream);
  }
}

void FakeNode::Prepare(const std::shared_ptr<FakeConnection>& connection,
                       int16_t stream, std::string_view text) {
  auto known = statements_.find(std::string(text));
  if (known == statements_.end()) {
    connection->ReplyError(stream, ServerCode::kInvalid, "unconfigured table");
    return;
  }
  const FakeStatement& statement = known->second;
  prepared_[statement.id] = &statement;
  protocol::Prepared prepared;
  prepared.id = statement.id;
  if (connection->metadata_id) prepared.metadata_id = statement.metadata_id;
  if (statement.lightweight_transaction && connection->transaction_mark) {
    prepared.extra_flags = uint32_t{1} << 31;
  }
  prepared.bind_markers = statement.binds;
  prepared.partition_key_indexes = statement.partition_key;
  prepared.has_result = !statement.results.empty();
  prepared.result_columns = statement.results;
  std::string body;
  Writer writer(&body);
  protocol::EncodePrepared(&writer, prepared);
  writer.Finish();
  connection->Reply(stream, Opcode::kResult, body);
}

}  // namespace cql::testing
