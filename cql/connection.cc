#include "cql/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cql/internal/status_util.h"
#include "cql/internal/text_query.h"
#include "cql/protocol/error.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "cql/protocol/tablet.h"
#include "cql/session.h"
#include "ioloop/check.h"

namespace cql::internal {
namespace {

// Authenticators that take a name and a password in SASL PLAIN. To any other
// one the password is not told.
constexpr std::array<std::string_view, 8> kPlainAuthenticators = {
    "org.apache.cassandra.auth.PasswordAuthenticator",
    "org.apache.cassandra.auth.MutualTlsWithPasswordFallbackAuthenticator",
    "com.scylladb.auth.SaslauthdAuthenticator",
    "com.scylladb.auth.TransitionalAuthenticator",
    "com.scylladb.auth.CertificateOrPasswordAuthenticator",
    "com.datastax.bdp.cassandra.auth.DseAuthenticator",
    "com.instaclustr.cassandra.auth.SharedSecretAuthenticator",
    "io.aiven.cassandra.auth.AivenAuthenticator",
};

// Beyond this a node's number of shards is not believed.
constexpr uint32_t kShardsMax = 4096;

// How long a server may owe answers before it is asked whether it lives.
constexpr absl::Duration kOwedMax = absl::Milliseconds(500);

// At least one.
uint32_t Ticks(absl::Duration duration) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(duration / Connection::kTick, 1, 1 << 30));
}

void KeepAlive(int fd) {
  const int on = 1, idle_s = 30, interval_s = 10, probes = 3;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

}  // namespace

ioloop::Task<absl::StatusOr<std::unique_ptr<Connection>>> Connection::Open(
    ConnectionContext* context, ConnectionObserver* observer,
    ioloop::SocketAddress address, uint16_t source_port) {
  const absl::Duration timeout = context->options->connect_timeout;
  absl::StatusOr<ioloop::Stream> stream = absl::UnknownError("");
  // A request is queued only while little is: two of the largest never meet.
  ioloop::Stream::Options stream_options;
  stream_options.send_buffer_max =
      context->options->frame_bytes_max + 2 * kQueuedBytesMax;
  ioloop::SocketAddress source;
  if (source_port != 0) {
    sockaddr_storage any = {};
    any.ss_family = static_cast<sa_family_t>(address.family());
    source = ioloop::SocketAddress::FromSockaddr(
                 reinterpret_cast<const sockaddr*>(&any), address.length())
                 .WithPort(source_port);
  }
  stream = co_await ioloop::Stream::Connect(
      context->loop, address, timeout, source_port != 0 ? &source : nullptr,
      stream_options);
  if (!stream.ok()) co_return Annotate(address.ToString(), stream.status());
  if (!address.is_unix()) KeepAlive(stream->fd());

  std::unique_ptr<SecureChannel> channel;
  if (SecureTransport* tls = context->options->tls.get()) {
    absl::StatusOr<std::unique_ptr<SecureChannel>> secured =
        co_await tls->Secure(std::exchange(*stream, ioloop::Stream()),
                             address.HostString(),
                             context->loop->now() + timeout);
    if (!secured.ok()) co_return Annotate(address.ToString(), secured.status());
    channel = *std::move(secured);
  }
  const bool plain = channel == nullptr;
  std::unique_ptr<Connection> connection(new Connection(
      context, observer, address, *std::move(stream), std::move(channel)));
  connection->tasks_.Spawn(plain ? connection->ReceiveLoop()
                                 : connection->ReceiveFromChannel());
  absl::Status ready = co_await connection->SetUp();
  if (ready.ok() && connection->state_ == State::kBroken) {
    ready = connection->status_;
  }
  if (!ready.ok()) {
    co_await connection->Shutdown();
    co_return Annotate(address.ToString(), ready);
  }
  connection->state_ = State::kOpen;
  co_return connection;
}

Connection::Connection(ConnectionContext* context, ConnectionObserver* observer,
                       ioloop::SocketAddress address, ioloop::Stream stream,
                       std::unique_ptr<SecureChannel> channel)
    : context_(context),
      observer_(observer),
      address_(address),
      name_(address.ToString()),
      transport_(context->loop, std::move(stream), std::move(channel)),
      memory_(context->chunks),
      reader_({.direction = protocol::Direction::kResponses,
               .frame_bytes_max = context->options->frame_bytes_max,
               .memory = &memory_}),
      streams_(context->options->in_flight_max),
      limit_(std::min(context->options->in_flight_min,
                      context->options->in_flight_max),
             context->options->in_flight_max) {}

Connection::~Connection() {
  RINGPLANE_CHECK(transport_.closed() && tasks_.running() == 0,
                  "a Connection died without Shutdown()");
}

ioloop::Task<absl::Status> Connection::SetUp() {
  const absl::Time deadline =
      context_->loop->now() + context_->options->connect_timeout;
  std::string body;

  // Told per connection: which shard this one is served by.
  Call options(this, protocol::Opcode::kOptions, "", deadline);
  absl::StatusOr<OwnedAnswer> supported = co_await options;
  if (!supported.ok()) co_return Annotate("OPTIONS", supported.status());
  if (absl::Status read = ReadSupported(*supported); !read.ok()) {
    co_return Annotate("SUPPORTED", read);
  }

  {
    protocol::Writer writer(&body);
    protocol::EncodeStartup(&writer, startup_);
    writer.Finish();
  }
  Call startup(this, protocol::Opcode::kStartup, body, deadline);
  absl::StatusOr<OwnedAnswer> answer = co_await startup;
  if (!answer.ok()) co_return Annotate("STARTUP", answer.status());
  if (answer->header.opcode == protocol::Opcode::kAuthenticate) {
    absl::Status authenticated = co_await Authenticate(*answer, deadline);
    if (!authenticated.ok()) co_return authenticated;
  } else if (answer->header.opcode != protocol::Opcode::kReady) {
    co_return absl::InternalError(
        Cat("STARTUP was answered by ",
            protocol::OpcodeName(answer->header.opcode)));
  } else if (!context_->options->username.empty()) {
    // Someone who does not ask for the password may not be whom we mean.
    co_return absl::UnauthenticatedError(
        "a user name is configured, but the server asks for no "
        "authentication; leave the name empty to allow that");
  }

  if (!context_->options->keyspace.empty()) {
    WriteText(Cat("USE ", QuoteName(context_->options->keyspace)), &body);
    Call use(this, protocol::Opcode::kQuery, body, deadline);
    absl::StatusOr<OwnedAnswer> used = co_await use;
    if (!used.ok()) {
      co_return Annotate(Cat("USE ", context_->options->keyspace),
                         used.status());
    }
  }
  co_return absl::OkStatus();
}

absl::Status Connection::ReadSupported(const OwnedAnswer& answer) {
  if (answer.header.opcode != protocol::Opcode::kSupported) {
    return absl::InternalError(Cat("OPTIONS was answered by ",
                                   protocol::OpcodeName(answer.header.opcode)));
  }
  absl::StatusOr<protocol::Supported> supported =
      protocol::DecodeSupported(answer.body);
  if (!supported.ok()) return supported.status();

  startup_ = {{"CQL_VERSION", "3.0.0"},
              {"DRIVER_NAME", "Ringplane"},
              {"DRIVER_VERSION", "0.1.0"}};
  const auto opt_in = [&](std::string_view key, std::string_view value) {
    startup_.emplace_back(key, value);
  };
  if (supported->Find("SCYLLA_USE_METADATA_ID").has_value()) {
    server_.metadata_id = true;
    opt_in("SCYLLA_USE_METADATA_ID", "");
  }
  constexpr std::string_view kRateLimit = "SCYLLA_RATE_LIMIT_ERROR";
  if (supported->Has(kRateLimit, "ERROR_CODE=61440")) opt_in(kRateLimit, "");
  constexpr std::string_view kMark = "SCYLLA_LWT_ADD_METADATA_MARK";
  if (auto mark = supported->Find(kMark); mark.has_value()) {
    std::string_view mask = *mark;
    uint32_t bits = 0;
    constexpr std::string_view kMask = "LWT_OPTIMIZATION_META_BIT_MASK=";
    if (mask.starts_with(kMask) &&
        ParseNumber(mask.substr(kMask.size()), &bits)) {
      server_.transaction_mark = bits;
      opt_in(kMark, *mark);
    }
  }
  return ReadSharding(*supported);
}

// All of shard, number and msb, with the partitioner and the algorithm that
// we compute: or the node counts as one shard.
absl::Status Connection::ReadSharding(const protocol::Supported& supported) {
  const auto shard = supported.Find("SCYLLA_SHARD");
  const auto shards = supported.Find("SCYLLA_NR_SHARDS");
  const auto ignore_msb = supported.Find("SCYLLA_SHARDING_IGNORE_MSB");
  if (!shard || !shards || !ignore_msb) return absl::OkStatus();
  server_.scylla = true;
  if (!context_->options->shard_aware ||
      supported.Find("SCYLLA_SHARDING_ALGORITHM") !=
          "biased-token-round-robin" ||
      supported.Find("SCYLLA_PARTITIONER") !=
          "org.apache.cassandra.dht.Murmur3Partitioner") {
    return absl::OkStatus();
  }
  uint32_t shard_number = 0, shard_count = 0, msb = 0;
  if (!ParseNumber(*shard, &shard_number) ||
      !ParseNumber(*shards, &shard_count) || !ParseNumber(*ignore_msb, &msb) ||
      shard_count == 0 || shard_count > kShardsMax ||
      shard_number >= shard_count || msb > 63) {
    return absl::InternalError(Cat("shard ", *shard, " of ", *shards, " with ",
                                   *ignore_msb,
                                   " bits ignored makes no sense"));
  }
  server_.sharding.shards = static_cast<uint16_t>(shard_count);
  server_.sharding.ignore_msb = static_cast<uint8_t>(msb);
  server_.shard = shard_number;
  uint32_t port = 0;
  const std::string_view port_key = context_->options->tls == nullptr
                                        ? "SCYLLA_SHARD_AWARE_PORT"
                                        : "SCYLLA_SHARD_AWARE_PORT_SSL";
  if (ParseNumber(supported.Find(port_key).value_or(""), &port) &&
      port <= UINT16_MAX) {
    server_.shard_aware_port = static_cast<uint16_t>(port);
  }
  // Without shards of its own to ask, nearly every answer would bring one.
  if (supported.Find(protocol::kTabletsRoutingV1).has_value()) {
    startup_.emplace_back(protocol::kTabletsRoutingV1, "");
  }
  name_ += Cat(" shard ", shard_number);
  return absl::OkStatus();
}

ioloop::Task<absl::Status> Connection::Authenticate(
    const OwnedAnswer& challenge, absl::Time deadline) {
  absl::StatusOr<std::string_view> authenticator =
      protocol::DecodeAuthenticate(challenge.body);
  if (!authenticator.ok()) co_return authenticator.status();
  const SessionOptions& options = *context_->options;
  if (options.username.empty()) {
    co_return absl::UnauthenticatedError(
        Cat("the server asks for a user name and password (", *authenticator,
            ") and none is configured"));
  }
  if (std::find(kPlainAuthenticators.begin(), kPlainAuthenticators.end(),
                *authenticator) == kPlainAuthenticators.end()) {
    co_return absl::UnauthenticatedError(
        Cat("the server asks for authentication by ", *authenticator,
            ", which is not known to take a password: it is not told"));
  }
  std::string body;
  {
    protocol::Writer writer(&body);
    protocol::EncodeAuthResponse(
        &writer, protocol::PlainToken(options.username, options.password));
    writer.Finish();
  }
  Call respond(this, protocol::Opcode::kAuthResponse, body, deadline);
  absl::StatusOr<OwnedAnswer> answer = co_await respond;
  if (!answer.ok()) {
    co_return Annotate(Cat("authentication of ", options.username),
                       answer.status());
  }
  if (answer->header.opcode != protocol::Opcode::kAuthSuccess) {
    co_return absl::UnauthenticatedError(
        Cat("authentication of ", options.username, " was answered by ",
            protocol::OpcodeName(answer->header.opcode)));
  }
  co_return absl::OkStatus();
}

ioloop::Task<void> Connection::ReceiveLoop() {
  while (state_ != State::kBroken) {
    absl::StatusOr<ioloop::ReceivedBytes> bytes =
        co_await transport_.stream().Receive();
    if (state_ == State::kBroken) break;
    OnBytes(bytes.status(), bytes.ok() ? bytes->view() : std::string_view());
  }
}

ioloop::Task<void> Connection::ReceiveFromChannel() {
  const auto room = std::make_unique<char[]>(kChannelBytes);
  while (state_ != State::kBroken) {
    absl::StatusOr<size_t> size = co_await transport_.channel()->Receive(
        std::span(room.get(), kChannelBytes), transport_.stop());
    if (state_ == State::kBroken) break;
    OnBytes(size.status(), std::string_view(room.get(), size.value_or(0)));
  }
}

void Connection::OnBytes(const absl::Status& received, std::string_view bytes) {
  if (!received.ok()) {
    Break(received);
    return;
  }
  if (bytes.empty()) {
    Break(absl::UnavailableError("the server closed the connection"));
    return;
  }
  heard_ = true;
  responsive_ = true;
  reader_.Feed(bytes);
  protocol::Frame frame;
  while (reader_.Next(&frame)) {
    Answer answer{this, frame.header, frame.body, nullptr};
    Chunk whole;
    if (reader_.in_memory()) {
      whole = std::move(memory_.chunk);
      answer.chunk = &whole;
    }
    OnFrame(answer);
    if (state_ == State::kBroken) return;
  }
  if (!reader_.status().ok()) {
    Break(Annotate("the server's bytes make no sense", reader_.status()));
    return;
  }
  ServeLine();
  if (retiring_ && streams_.taken() == 0) {
    Break(absl::UnavailableError("the connection was replaced"));
  }
}

void Connection::OnFrame(const Answer& answer) {
  const int16_t stream = answer.header.stream;
  if (answer.header.opcode == protocol::Opcode::kEvent && stream == -1) {
    ++context_->counters->events;
    observer_->OnEvent(this, answer);
    return;
  }
  PendingRequest* request = nullptr;
  switch (streams_.Answer(stream, &request)) {
    case StreamTable::Found::kRequest:
      request->connection_ = nullptr;
      request->OnAnswer(answer);
      return;
    case StreamTable::Found::kOrphan:
      ++context_->counters->late_answers;
      return;
    case StreamTable::Found::kUnknown:
      // Whose answers they are can no longer be told: trust none of them.
      Break(absl::InternalError(Cat("the server answered on stream ", stream,
                                    ", on which nothing was asked (",
                                    protocol::OpcodeName(answer.header.opcode),
                                    ")")));
      return;
  }
}

void Connection::ServeLine() {
  if (line_.empty()) return;
  size_t served = 0;
  while (state_ == State::kOpen && !line_.empty() && HasRoom()) {
    limit_.Served();
    ++served;
    observer_->OnRoom(this, line_.Pop());
  }
  streams_.set_taken_max(limit_.limit());
  rate_.Served(served, context_->loop->now_ns());
}

void Connection::Forget(PendingRequest* request) {
  streams_.Orphan(request->stream_);
  request->connection_ = nullptr;
  if (streams_.orphans() > context_->options->orphans_max && !worn_out_ &&
      state_ == State::kOpen) {
    worn_out_ = true;
    ++context_->counters->connections_worn_out;
    observer_->OnWornOut(this);
  }
}

void Connection::PassOn(PendingRequest* from, PendingRequest* to) {
  streams_.Replace(from->stream_, to);
  to->connection_ = this;
  to->stream_ = from->stream_;
  from->connection_ = nullptr;
}

void Connection::StandInLine(Query* query) {
  if (line_.empty()) rate_.Begin(context_->loop->now_ns());
  line_.Push(query);
}

absl::Duration Connection::ExpectedWait(int64_t deadline_ms) const {
  return absl::Nanoseconds(
      rate_.WaitNs(line_.Ahead(deadline_ms), context_->loop->now_ns()));
}

void Connection::OnOverloaded(int64_t sent_ns) {
  if (!limit_.Overloaded(streams_.taken(), sent_ns, context_->loop->now_ns())) {
    return;
  }
  streams_.set_taken_max(limit_.limit());
  ++metrics_->limit_cuts;
}

void Connection::Retire(absl::Time deadline) {
  retiring_ = true;
  retire_at_ = deadline;
}

void Connection::Tick() {
  if (state_ != State::kOpen) return;
  const absl::Time now = context_->loop->now();
  if (retiring_ && (streams_.taken() == 0 || now >= retire_at_)) {
    Break(absl::UnavailableError("the connection was replaced"));
    return;
  }
  silent_ticks_ = heard_ ? 0 : silent_ticks_ + 1;
  const bool owed = !heard_ && streams_.taken() + streams_.orphans() > 0;
  owed_ticks_ = owed ? owed_ticks_ + 1 : 0;
  heard_ = false;
  responsive_ = owed_ticks_ <= Ticks(context_->options->unresponsive_after);
  // Room may also come from bytes that left.
  ServeLine();
  if (probe_.pending || streams_.exhausted() ||
      (owed_ticks_ < Ticks(kOwedMax) &&
       silent_ticks_ < Ticks(context_->options->heartbeat_interval))) {
    return;
  }
  probe_.pending = true;
  Send(&probe_, protocol::Opcode::kOptions, 0, [](char*) {});
  context_->deadlines->Add(
      &probe_,
      DeadlineWheel::Milliseconds(now + context_->options->heartbeat_timeout));
}

void Connection::Probe::OnAnswer(const Answer&) {
  pending = false;
  connection_->context_->deadlines->Remove(this);
  connection_->silent_ticks_ = 0;
}

void Connection::Probe::OnConnectionLost(const absl::Status&) {
  pending = false;
  connection_->context_->deadlines->Remove(this);
}

void Connection::Probe::OnDeadline() {
  pending = false;
  connection_->Forget(this);
  connection_->Break(absl::UnavailableError("the server does not answer"));
}

void Connection::Break(absl::Status why) {
  if (state_ == State::kBroken) return;
  const bool was_open = state_ == State::kOpen;
  state_ = State::kBroken;
  status_ = std::move(why);
  transport_.CancelReceive();
  if (was_open) observer_->OnBroken(this, status_);
  FailAll();
}

void Connection::FailAll() {
  while (PendingRequest* request = streams_.First()) {
    streams_.Orphan(request->stream_);
    request->connection_ = nullptr;
    request->OnConnectionLost(status_);
  }
  while (Query* query = line_.Pop()) observer_->OnRoom(this, query);
}

ioloop::Task<void> Connection::Shutdown() {
  if (state_ != State::kBroken) {
    state_ = State::kBroken;
    if (status_.ok()) status_ = absl::CancelledError("the session is closed");
    FailAll();
  }
  co_await transport_.Close();
  co_await tasks_.Join();
}

char* Connection::ChunkMemory::Resize(size_t used, size_t bytes) {
  Chunk larger = pool->Take(bytes);
  if (used != 0) std::memcpy(larger.data(), chunk.data(), used);
  chunk = std::move(larger);
  return chunk.data();
}

Call::Call(Connection* connection, protocol::Opcode opcode,
           std::string_view body, absl::Time deadline)
    : context_(connection->context_) {
  if (connection->state_ == Connection::State::kBroken) {
    Finish(connection->status_);
    return;
  }
  if (connection->streams_.exhausted()) {
    Finish(absl::ResourceExhaustedError("no stream id is free"));
    return;
  }
  connection->Send(this, opcode, body.size(), [body](char* out) {
    if (!body.empty()) std::memcpy(out, body.data(), body.size());
  });
  context_->deadlines->Add(this, DeadlineWheel::Milliseconds(deadline));
}

Call::~Call() {
  context_->deadlines->Remove(this);
  if (connection() != nullptr) connection()->Forget(this);
}

absl::StatusOr<OwnedAnswer> Call::await_resume() {
  if (!status_.ok()) return std::move(status_);
  return std::move(answer_);
}

void Call::OnAnswer(const Answer& answer) {
  context_->deadlines->Remove(this);
  std::string_view body = answer.body;
  absl::Status status = protocol::DecodePrefix(answer.header, &body, nullptr);
  if (status.ok() && answer.header.opcode == protocol::Opcode::kError) {
    status = protocol::DecodeError(body);
  }
  if (status.ok()) {
    answer_.header = answer.header;
    answer_.chunk = context_->chunks->Take(body.size());
    if (!body.empty()) {
      std::memcpy(answer_.chunk.data(), body.data(), body.size());
    }
    answer_.body = {answer_.chunk.data(), body.size()};
  }
  Finish(std::move(status));
}

void Call::OnConnectionLost(const absl::Status& why) {
  context_->deadlines->Remove(this);
  Finish(why);
}

void Call::OnDeadline() {
  connection()->Forget(this);
  Finish(absl::DeadlineExceededError("no answer in time"));
}

void Call::Finish(absl::Status status) {
  status_ = std::move(status);
  done_ = true;
  if (waiter_) context_->loop->Resume(waiter_);
}

}  // namespace cql::internal
