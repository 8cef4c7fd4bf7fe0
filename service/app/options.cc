#include "service/app/options.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bit>
#include <fstream>
#include <limits>
#include <string_view>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "cql/protocol/consistency.h"
#include "ioloop/backend_choice.h"
#include "ioloop/log.h"
#include "service/app/flags.h"
#include "service/app/store_tls.h"
#include "service/app/tablet_cache.h"
#include "service/app/url.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::AbslView;
using ingest::Cat;

constexpr size_t kSecretBytesMax = 4096;
constexpr size_t kKeyspaceBytesMax = 48;  // Cassandra's limit.

absl::Status Bad(std::string_view flag, std::string_view value,
                 std::string_view reason) {
  return absl::InvalidArgumentError(Cat("--", flag, "=", value, ": ", reason));
}

template <typename Number>
absl::Status CheckRange(std::string_view flag, Number value, uint64_t low,
                        uint64_t high) {
  if (value >= 0 && static_cast<uint64_t>(value) >= low &&
      static_cast<uint64_t>(value) <= high) {
    return absl::OkStatus();
  }
  return Bad(flag, Cat(value), Cat("not between ", low, " and ", high));
}

absl::Status CheckDuration(std::string_view flag, absl::Duration value,
                           absl::Duration low, absl::Duration high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Bad(flag, absl::FormatDuration(value),
             Cat("not between ", absl::FormatDuration(low), " and ",
                 absl::FormatDuration(high)));
}

// Checks flags by name, keeping the first fault.
class Checks {
 public:
  template <typename Number>
  Checks& Range(std::string_view flag, Number value, uint64_t low,
                uint64_t high) {
    if (status_.ok()) status_ = CheckRange(flag, value, low, high);
    return *this;
  }
  Checks& Time(std::string_view flag, absl::Duration value,
               absl::Duration low = absl::Milliseconds(1),
               absl::Duration high = absl::Hours(24)) {
    if (status_.ok()) status_ = CheckDuration(flag, value, low, high);
    return *this;
  }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// A secret in a file, or in an environment variable; empty if in neither.
absl::StatusOr<std::string> ReadSecret(std::string_view flag,
                                       const std::string& path,
                                       const char* variable) {
  if (path.empty()) {
    const char* value = variable != nullptr ? getenv(variable) : nullptr;
    return std::string(value != nullptr ? value : "");
  }
  std::ifstream file(path, std::ios::binary);
  std::string secret(kSecretBytesMax + 1, '\0');
  if (!file) return Bad(flag, path, strerror(errno));
  file.read(secret.data(), static_cast<std::streamsize>(secret.size()));
  if (file.bad() || (file.fail() && !file.eof())) {
    return Bad(flag, path, "cannot be read");
  }
  secret.resize(static_cast<size_t>(file.gcount()));
  if (secret.size() > kSecretBytesMax) return Bad(flag, path, "too long");
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) {
    secret.pop_back();
  }
  if (secret.empty()) return Bad(flag, path, "is empty");
  return secret;
}

// Names are looked up here: before there is a loop, waiting harms nobody.
absl::StatusOr<ioloop::SocketAddress> ResolveNow(std::string_view flag,
                                                 const std::string& text) {
  absl::StatusOr<ioloop::HostPort> host_port = ioloop::ParseHostPort(text);
  if (!host_port.ok()) {
    return Bad(flag, text, ingest::View(host_port.status().message()));
  }
  absl::StatusOr<ioloop::SocketAddress> numeric =
      ioloop::SocketAddress::FromIp(host_port->host, host_port->port);
  if (numeric.ok()) return numeric;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int error = getaddrinfo(host_port->host.c_str(), nullptr, &hints, &found);
  if (error != 0) return Bad(flag, text, gai_strerror(error));
  ioloop::SocketAddress address =
      ioloop::SocketAddress::FromSockaddr(found->ai_addr, found->ai_addrlen)
          .WithPort(host_port->port);
  freeaddrinfo(found);
  return address;
}

absl::StatusOr<cql::Consistency> GetConsistency(std::string_view flag,
                                                const std::string& text) {
  std::optional<cql::Consistency> consistency = cql::ParseConsistency(text);
  if (!consistency.has_value()) {
    return Bad(flag, text,
               "not ONE, TWO, THREE, QUORUM, ALL, LOCAL_QUORUM, EACH_QUORUM or "
               "LOCAL_ONE");
  }
  return *consistency;
}

absl::Status CheckKeyspace(const std::string& name) {
  bool good = !name.empty() && name.size() <= kKeyspaceBytesMax &&
              absl::ascii_islower(static_cast<unsigned char>(name[0]));
  for (char c : name) {
    good = good &&
           (absl::ascii_islower(static_cast<unsigned char>(c)) ||
            absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_');
  }
  if (good) return absl::OkStatus();
  return Bad("keyspace", name,
             "not a lower-case letter followed by letters, digits or '_', at "
             "most 48");
}

}  // namespace

absl::StatusOr<StoreOptions> GetStoreOptions() {
  StoreOptions options;
  cql::SessionOptions& session = options.session;
  session.contact_points = absl::GetFlag(FLAGS_cql);
  for (const std::string& point : session.contact_points) {
    absl::StatusOr<ioloop::HostPort> parsed = ioloop::ParseHostPort(point);
    if (!parsed.ok()) {
      return Bad("cql", point, ingest::View(parsed.status().message()));
    }
  }
  session.username = absl::GetFlag(FLAGS_cql_username);
  absl::StatusOr<std::string> password =
      ReadSecret("cql_password_file", absl::GetFlag(FLAGS_cql_password_file),
                 "RINGPLANE_CQL_PASSWORD");
  if (!password.ok()) return password.status();
  session.password = *password;
  if (session.username.empty() &&
      !absl::GetFlag(FLAGS_cql_password_file).empty()) {
    return absl::InvalidArgumentError(
        "--cql_password_file: there is a password, but no --cql_username");
  }
  session.keyspace = absl::GetFlag(FLAGS_keyspace);
  if (absl::Status status = CheckKeyspace(session.keyspace); !status.ok()) {
    return status;
  }
  session.local_datacenter = absl::GetFlag(FLAGS_local_datacenter);
  absl::StatusOr<cql::Consistency> reads =
      GetConsistency("read_consistency", absl::GetFlag(FLAGS_read_consistency));
  if (!reads.ok()) return reads.status();
  session.read_consistency = *reads;
  absl::StatusOr<cql::Consistency> writes = GetConsistency(
      "write_consistency", absl::GetFlag(FLAGS_write_consistency));
  if (!writes.ok()) return writes.status();
  session.write_consistency = *writes;
  session.connect_timeout = absl::GetFlag(FLAGS_cql_connect_timeout);
  session.request_timeout = absl::GetFlag(FLAGS_cql_request_timeout);
  session.in_flight_max = absl::GetFlag(FLAGS_cql_in_flight_max);
  session.in_flight_min = absl::GetFlag(FLAGS_cql_in_flight_min);
  session.queued_max = absl::GetFlag(FLAGS_cql_queued_max);
  session.orphans_max = absl::GetFlag(FLAGS_cql_orphans_max);
  session.reconnect_min = absl::GetFlag(FLAGS_cql_reconnect_min);
  session.reconnect_max = absl::GetFlag(FLAGS_cql_reconnect_max);
  session.heartbeat_timeout = absl::GetFlag(FLAGS_cql_heartbeat_timeout);
  session.frame_bytes_max = absl::GetFlag(FLAGS_cql_frame_bytes_max);
  session.shard_aware = absl::GetFlag(FLAGS_cql_shard_aware);
  session.local_rack = absl::GetFlag(FLAGS_local_rack);
  cql::SetupGovernor::Options setup;
  setup.at_once = absl::GetFlag(FLAGS_cql_setup_at_once);
  setup.node_at_once = absl::GetFlag(FLAGS_cql_setup_node_at_once);
  setup.attempts_per_second = absl::GetFlag(FLAGS_cql_setup_per_second);
  options.tablet_cache_file = absl::GetFlag(FLAGS_cql_tablet_cache);
  if (!options.tablet_cache_file.empty()) {
    session.tablet_cache = ReadTabletCache(options.tablet_cache_file);
  }
  absl::StatusOr<std::shared_ptr<cql::SecureTransport>> tls = GetStoreTls();
  if (!tls.ok()) return tls.status();
  session.tls = *std::move(tls);
  options.startup_timeout = absl::GetFlag(FLAGS_cql_startup_timeout);

  options.replication = absl::GetFlag(FLAGS_replication);
  if (!options.replication.starts_with('{') ||
      !options.replication.ends_with('}') ||
      options.replication.find(';') != std::string::npos) {
    return Bad("replication", options.replication, "not a CQL map: {...}");
  }

  options.node.data_dir = absl::GetFlag(FLAGS_data);
  if (options.embedded() && options.node.data_dir.empty()) {
    return absl::InvalidArgumentError("--data: empty");
  }
  options.node.shards = absl::GetFlag(FLAGS_shards);
  options.node.sync = absl::GetFlag(FLAGS_node_sync);
  absl::StatusOr<ioloop::SocketAddress> listen =
      ResolveNow("node_listen", absl::GetFlag(FLAGS_node_listen));
  if (!listen.ok()) return listen.status();
  if (!listen->is_loopback()) {
    return Bad("node_listen", absl::GetFlag(FLAGS_node_listen),
               "not a loopback address; the embedded node asks nobody for a "
               "password");
  }
  options.node.listen = *listen;
  absl::StatusOr<ioloop::Loop::Options> loop = GetBackendOptions();
  if (!loop.ok()) return loop.status();
  options.loop = *loop;

  absl::Status status =
      Checks()
          .Time("cql_connect_timeout", session.connect_timeout)
          .Time("cql_request_timeout", session.request_timeout)
          .Time("cql_startup_timeout", options.startup_timeout,
                absl::ZeroDuration())
          .Range("cql_in_flight_max", session.in_flight_max, 1, 32768)
          .Range("cql_in_flight_min", session.in_flight_min, 1, 1 << 24)
          .Range("cql_queued_max", session.queued_max, 0, 1 << 24)
          .Range("cql_orphans_max", session.orphans_max, 1, 32768)
          .Time("cql_reconnect_min", session.reconnect_min)
          .Time("cql_reconnect_max", session.reconnect_max,
                session.reconnect_min)
          .Time("cql_heartbeat_timeout", session.heartbeat_timeout,
                absl::Milliseconds(1))
          .Range("cql_frame_bytes_max", session.frame_bytes_max, 64 << 10,
                 256 << 20)
          .Range("cql_setup_at_once", setup.at_once, 1, 65536)
          .Range("cql_setup_node_at_once", setup.node_at_once, 1, 65536)
          .Range("cql_setup_per_second", setup.attempts_per_second, 1, 1000000)
          .Range("shards", options.node.shards, 1, 256)
          .status();
  if (!status.ok()) return status;
  session.governor = std::make_shared<cql::SetupGovernor>(setup);
  return options;
}

absl::StatusOr<std::optional<RedisOptions>> GetRedisOptions() {
  std::string address = absl::GetFlag(FLAGS_redis);
  if (address.empty()) return std::nullopt;
  RedisOptions options;
  absl::StatusOr<ioloop::SocketAddress> resolved = ResolveNow("redis", address);
  if (!resolved.ok()) return resolved.status();
  options.client.address = *resolved;
  options.client.username = absl::GetFlag(FLAGS_redis_username);
  absl::StatusOr<std::string> password = ReadSecret(
      "redis_password_file", absl::GetFlag(FLAGS_redis_password_file),
      "RINGPLANE_REDIS_PASSWORD");
  if (!password.ok()) return password.status();
  options.client.password = *password;
  options.client.database = absl::GetFlag(FLAGS_redis_database);
  options.client.call_timeout = absl::GetFlag(FLAGS_redis_timeout);
  options.client.in_flight_max = absl::GetFlag(FLAGS_redis_in_flight_max);
  options.cache.ttl = absl::GetFlag(FLAGS_redis_ttl);
  absl::Status status = Checks()
                            .Time("redis_timeout", options.client.call_timeout)
                            .Range("redis_in_flight_max",
                                   options.client.in_flight_max, 1, 1 << 20)
                            .Time("redis_ttl", options.cache.ttl)
                            .status();
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<ListenOptions> GetListenOptions() {
  ListenOptions options;
  for (const std::string& text : absl::GetFlag(FLAGS_listen)) {
    absl::StatusOr<ioloop::SocketAddress> address = ResolveNow("listen", text);
    if (!address.ok()) return address.status();
    options.listen.push_back(*address);
  }
  if (options.listen.empty()) {
    return absl::InvalidArgumentError("--listen: empty");
  }
  const std::string admin = absl::GetFlag(FLAGS_admin);
  absl::StatusOr<ioloop::SocketAddress> address = ResolveNow("admin", admin);
  if (!address.ok()) return address.status();
  options.admin = *address;
  absl::StatusOr<std::string> token = ReadSecret(
      "admin_token_file", absl::GetFlag(FLAGS_admin_token_file), nullptr);
  if (!token.ok()) return token.status();
  options.admin_token = *token;
  if (!options.admin.is_loopback() && options.admin_token.empty()) {
    return Bad("admin", admin,
               "not a loopback address, which needs --admin_token_file");
  }
  return options;
}

absl::StatusOr<ioloop::Loop::Options> GetBackendOptions() {
  ioloop::Loop::Options options;
  const std::string name = absl::GetFlag(FLAGS_io_backend);
  absl::StatusOr<ioloop::BackendKind> kind = ioloop::ParseBackendKind(name);
  if (!kind.ok()) {
    return Bad("io_backend", name, ingest::View(kind.status().message()));
  }
  options.backend = *kind;
  options.epoll_batch = absl::GetFlag(FLAGS_epoll_batch);
  // Commands may block: nobody waits for them but who called them.
  options.stall_threshold = absl::ZeroDuration();
  absl::Status status =
      CheckRange("epoll_batch", options.epoll_batch, 1, 65536);
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<ioloop::LoopGroup::Options> GetLoopGroupOptions() {
  ioloop::LoopGroup::Options options;
  absl::StatusOr<ioloop::Loop::Options> loop = GetBackendOptions();
  if (!loop.ok()) return loop.status();
  options.loop = *loop;
  options.loops = absl::GetFlag(FLAGS_loops);
  options.pin = absl::GetFlag(FLAGS_pin);
  options.loop.sq_entries = absl::GetFlag(FLAGS_sq_entries);
  options.loop.cq_entries = absl::GetFlag(FLAGS_cq_entries);
  options.loop.buffer_count = absl::GetFlag(FLAGS_receive_buffers);
  options.loop.buffer_bytes = absl::GetFlag(FLAGS_receive_buffer_bytes);
  options.loop.latency_budget = absl::GetFlag(FLAGS_latency_budget);
  options.loop.busy_poll = absl::GetFlag(FLAGS_busy_poll);
  options.loop.stall_threshold = absl::GetFlag(FLAGS_stall_threshold);
  options.loop.incremental_buffers = absl::GetFlag(FLAGS_incremental_buffers);
  absl::Status status =
      Checks()
          .Range("loops", options.loops, 0, 1024)
          .Range("sq_entries", options.loop.sq_entries, 1, 32768)
          .Range("cq_entries", options.loop.cq_entries, 2, 65536)
          .Range("receive_buffers", options.loop.buffer_count, 2, 32768)
          .Range("receive_buffer_bytes", options.loop.buffer_bytes, 512,
                 1 << 20)
          .Time("latency_budget", options.loop.latency_budget,
                absl::ZeroDuration(), absl::Seconds(1))
          .Time("busy_poll", options.loop.busy_poll, absl::ZeroDuration(),
                absl::Seconds(1))
          .Time("stall_threshold", options.loop.stall_threshold,
                absl::ZeroDuration())
          .status();
  if (!status.ok()) return status;
  if (!std::has_single_bit(options.loop.buffer_count)) {
    return Bad("receive_buffers", Cat(options.loop.buffer_count),
               "not a power of two");
  }
  return options;
}

absl::StatusOr<server::Options> GetServerOptions() {
  constexpr uint64_t kMany = 100'000'000;
  constexpr uint64_t kBytes = uint64_t{1} << 30;
  server::Options options;
  options.connections_max = absl::GetFlag(FLAGS_connections_max);
  options.streams_per_connection_max =
      absl::GetFlag(FLAGS_streams_per_connection_max);
  options.calls_in_flight_max = absl::GetFlag(FLAGS_calls_in_flight_max);
  options.header_bytes_max = absl::GetFlag(FLAGS_header_bytes_max);
  options.header_count_max = absl::GetFlag(FLAGS_header_count_max);
  options.message_in_bytes_max = absl::GetFlag(FLAGS_message_in_bytes_max);
  options.message_out_bytes_max = absl::GetFlag(FLAGS_message_out_bytes_max);
  options.request_buffer_bytes_max =
      absl::GetFlag(FLAGS_request_buffer_bytes_max);
  options.queued_output_bytes_max =
      absl::GetFlag(FLAGS_queued_output_bytes_max);
  options.keys_per_request_max = absl::GetFlag(FLAGS_keys_per_request_max);
  options.idle_timeout = absl::GetFlag(FLAGS_idle_timeout);
  options.header_timeout = absl::GetFlag(FLAGS_header_timeout);
  options.body_timeout = absl::GetFlag(FLAGS_body_timeout);
  options.write_stall_timeout = absl::GetFlag(FLAGS_write_stall_timeout);
  options.default_deadline = absl::GetFlag(FLAGS_default_deadline);
  options.max_deadline = absl::GetFlag(FLAGS_max_deadline);
  options.drain_timeout = absl::GetFlag(FLAGS_drain_timeout);
  options.drain_notice = absl::GetFlag(FLAGS_drain_notice);
  options.compress_bytes_min = absl::GetFlag(FLAGS_compress_bytes_min);
  absl::Status status =
      Checks()
          .Range("connections_max", options.connections_max, 1, kMany)
          .Range("streams_per_connection_max",
                 options.streams_per_connection_max, 1, 65536)
          .Range("calls_in_flight_max", options.calls_in_flight_max, 1, kMany)
          .Range("header_bytes_max", options.header_bytes_max, 1024, 1 << 20)
          .Range("header_count_max", options.header_count_max, 8, 10000)
          .Range("message_in_bytes_max", options.message_in_bytes_max, 1024,
                 kBytes)
          .Range("message_out_bytes_max", options.message_out_bytes_max, 1024,
                 kBytes)
          .Range("request_buffer_bytes_max", options.request_buffer_bytes_max,
                 1024, kBytes)
          .Range("queued_output_bytes_max", options.queued_output_bytes_max,
                 1024, kBytes)
          .Range("keys_per_request_max", options.keys_per_request_max, 1, kMany)
          .Range("compress_bytes_min", options.compress_bytes_min, 0, kBytes)
          .Time("idle_timeout", options.idle_timeout)
          .Time("header_timeout", options.header_timeout)
          .Time("body_timeout", options.body_timeout)
          .Time("write_stall_timeout", options.write_stall_timeout)
          .Time("default_deadline", options.default_deadline)
          .Time("max_deadline", options.max_deadline)
          .Time("drain_timeout", options.drain_timeout, absl::ZeroDuration())
          .Time("drain_notice", options.drain_notice, absl::ZeroDuration())
          .status();
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<dataplane::Options> GetDataplaneOptions() {
  constexpr uint64_t kMany = 10'000'000;
  dataplane::Options options;
  options.keys_max = absl::GetFlag(FLAGS_keys_max);
  options.queries_in_flight = absl::GetFlag(FLAGS_queries_in_flight);
  options.page_items_max = absl::GetFlag(FLAGS_page_items_max);
  options.thread_ancestors_max = absl::GetFlag(FLAGS_thread_ancestors_max);
  options.thread_levels_max = absl::GetFlag(FLAGS_thread_levels_max);
  options.thread_replies_max = absl::GetFlag(FLAGS_thread_replies_max);
  options.op_replies_max = absl::GetFlag(FLAGS_op_replies_scan_max);
  options.lists_per_actor_max = absl::GetFlag(FLAGS_lists_per_actor_max);
  options.relations_max = absl::GetFlag(FLAGS_relations_max);
  options.labels_per_subject_max = absl::GetFlag(FLAGS_labels_per_subject_max);
  options.known_followers_scan_max =
      absl::GetFlag(FLAGS_known_followers_scan_max);
  options.unread_count_max = absl::GetFlag(FLAGS_unread_count_max);
  absl::Status status =
      Checks()
          .Range("keys_max", options.keys_max, 1, kMany)
          .Range("queries_in_flight", options.queries_in_flight, 1, kMany)
          .Range("page_items_max", options.page_items_max, 1, kMany)
          .Range("thread_ancestors_max", options.thread_ancestors_max, 1, kMany)
          .Range("thread_levels_max", options.thread_levels_max, 1, kMany)
          .Range("thread_replies_max", options.thread_replies_max, 1, kMany)
          .Range("op_replies_scan_max", options.op_replies_max, 1, kMany)
          .Range("lists_per_actor_max", options.lists_per_actor_max, 1, kMany)
          .Range("relations_max", options.relations_max, 1, kMany)
          .Range("labels_per_subject_max", options.labels_per_subject_max, 1,
                 kMany)
          .Range("known_followers_scan_max", options.known_followers_scan_max,
                 1, kMany)
          .Range("unread_count_max", options.unread_count_max, 1, kMany)
          .status();
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<ingest::IndexerOptions> GetIndexerOptions() {
  ingest::IndexerOptions options;
  options.list_bucket_rows = absl::GetFlag(FLAGS_list_bucket_rows);
  options.timeline_rows = absl::GetFlag(FLAGS_timeline_rows);
  options.duplicates_max = absl::GetFlag(FLAGS_duplicates_max);
  options.op_replies_max = absl::GetFlag(FLAGS_op_replies_max);
  options.mentions_max = absl::GetFlag(FLAGS_mentions_max);
  options.record_bytes_max = absl::GetFlag(FLAGS_record_bytes_max);
  options.writes_in_flight = absl::GetFlag(FLAGS_event_writes_in_flight);
  options.tombstone_ttl = absl::GetFlag(FLAGS_tombstone_ttl);
  options.actors_remembered = absl::GetFlag(FLAGS_actors_remembered);
  absl::Status status =
      Checks()
          .Range("list_bucket_rows", options.list_bucket_rows, 10, 100'000)
          .Range("timeline_rows", options.timeline_rows, 10, 50'000)
          .Range("duplicates_max", options.duplicates_max, 0, 100'000)
          .Range("op_replies_max", options.op_replies_max, 1, 100'000)
          .Range("mentions_max", options.mentions_max, 0, 10'000)
          .Range("record_bytes_max", options.record_bytes_max, 1024, 16 << 20)
          .Range("event_writes_in_flight", options.writes_in_flight, 1, 65536)
          .Time("tombstone_ttl", options.tombstone_ttl, absl::Seconds(1),
                absl::Hours(24 * 365))
          .Range("actors_remembered", options.actors_remembered, 1, 100'000'000)
          .status();
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<ingest::SchedulerOptions> GetSchedulerOptions() {
  ingest::SchedulerOptions options;
  options.concurrency = absl::GetFlag(FLAGS_concurrency);
  absl::Status status =
      CheckRange("concurrency", options.concurrency, 1, 65536);
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<IngestCommandOptions> GetIngestOptions() {
  IngestCommandOptions options;
  const std::string to = absl::GetFlag(FLAGS_to);
  if (!to.empty()) {
    absl::StatusOr<std::string> host_port = HostPortOfUrl(to);
    if (!host_port.ok()) {
      return Bad("to", to, ingest::View(host_port.status().message()));
    }
    options.to_host_port = *host_port;
  }
  options.token = absl::GetFlag(FLAGS_token);
  if (std::string file = absl::GetFlag(FLAGS_token_file); !file.empty()) {
    if (!options.token.empty()) {
      return absl::InvalidArgumentError(
          "--token_file: there is a --token as well");
    }
    absl::StatusOr<std::string> token = ReadSecret("token_file", file, nullptr);
    if (!token.ok()) return token.status();
    options.token = *token;
  }
  for (char c : options.token) {
    if (c <= ' ' || c > '~') {
      return absl::InvalidArgumentError(
          "--token: has characters that no token has");
    }
  }
  options.call_timeout = absl::GetFlag(FLAGS_call_timeout);
  absl::StatusOr<ioloop::Loop::Options> loop = GetBackendOptions();
  if (!loop.ok()) return loop.status();
  options.loop = *loop;
  ingest::IngestOptions& run = options.run;
  run.parser.line_bytes_max = absl::GetFlag(FLAGS_line_bytes_max);
  run.parser.depth_max = absl::GetFlag(FLAGS_depth_max);
  run.batch_events_max = absl::GetFlag(FLAGS_batch_events_max);
  run.batches_ahead_max = absl::GetFlag(FLAGS_batches_ahead_max);
  run.strict = absl::GetFlag(FLAGS_strict);
  run.cursor_file = absl::GetFlag(FLAGS_cursor_file);
  run.cursor_interval = absl::GetFlag(FLAGS_cursor_interval);
  run.retry_timeout = absl::GetFlag(FLAGS_retry_timeout);
  absl::Status status =
      Checks()
          .Time("call_timeout", options.call_timeout)
          .Range("line_bytes_max", run.parser.line_bytes_max, 1024, 64 << 20)
          .Range("depth_max", run.parser.depth_max, 4, 1024)
          .Range("batch_events_max", run.batch_events_max, 1, 10'000)
          .Range("batches_ahead_max", run.batches_ahead_max, 1, 1024)
          .Time("cursor_interval", run.cursor_interval, absl::ZeroDuration())
          .Time("retry_timeout", run.retry_timeout, absl::ZeroDuration())
          .status();
  if (!status.ok()) return status;

  const std::string progress = absl::GetFlag(FLAGS_progress);
  if (progress == "auto") {
    options.progress = isatty(STDERR_FILENO) != 0 ? ProgressStyle::kBar
                                                  : ProgressStyle::kLines;
  } else if (progress == "bar") {
    options.progress = ProgressStyle::kBar;
  } else if (progress == "lines") {
    options.progress = ProgressStyle::kLines;
  } else if (progress != "none") {
    return Bad("progress", progress, "not auto, bar, lines or none");
  }
  switch (options.progress) {
    case ProgressStyle::kNone:
      run.progress_interval = absl::ZeroDuration();
      break;
    case ProgressStyle::kLines:
      run.progress_interval = absl::Seconds(5);
      break;
    case ProgressStyle::kBar:
      run.progress_interval = absl::Milliseconds(200);
      break;
  }
  return options;
}

absl::StatusOr<ingest::GenerateOptions> GetGenerateOptions() {
  ingest::GenerateOptions options;
  options.seed = absl::GetFlag(FLAGS_seed);
  options.users = absl::GetFlag(FLAGS_users);
  options.posts = absl::GetFlag(FLAGS_posts);
  options.events = absl::GetFlag(FLAGS_events);
  const std::string start = absl::GetFlag(FLAGS_start);
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, start, &time, &error)) {
    return Bad("start", start, "not a time like 2024-01-01T00:00:00Z");
  }
  options.start_us = absl::ToUnixMicros(time);
  absl::Duration gap = absl::GetFlag(FLAGS_gap);
  if (gap != absl::ZeroDuration() && gap < absl::Microseconds(1)) {
    return Bad("gap", absl::FormatDuration(gap), "shorter than a microsecond");
  }
  options.gap_us = absl::ToInt64Microseconds(gap);
  if (absl::Status status = ingest::ValidateGenerateOptions(options);
      !status.ok()) {
    return absl::InvalidArgumentError(Cat("--", status.message()));
  }
  return options;
}

absl::Status ApplyLogLevel() {
  const std::string text = absl::GetFlag(FLAGS_log_level);
  ioloop::LogLevel level;
  if (!ioloop::ParseLogLevel(text, &level)) {
    return Bad("log_level", text, "not debug, info, warning or error");
  }
  ioloop::SetLogLevel(level);
  return absl::OkStatus();
}

}  // namespace app
