#include "service/app/flags.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/time/time.h"

// ---- Every command.

ABSL_FLAG(std::string, config, "",
          "File of flags, one flag=value a line; the command line goes over "
          "it. It may hold flags of other commands.");
ABSL_FLAG(std::string, log_level, "info",
          "Least severity that is logged to standard error: debug, info, "
          "warning or error.");

// ---- The store.

ABSL_FLAG(
    std::vector<std::string>, cql, {},
    "Contact points of ScyllaDB or Cassandra, host:port[,...]. Empty: the "
    "embedded node, which is for development.");
ABSL_FLAG(std::string, cql_username, "", "User name for the store.");
ABSL_FLAG(std::string, cql_password_file, "",
          "File with the password for the store; a line feed at its end is not "
          "part of it. Empty: environment variable RINGPLANE_CQL_PASSWORD.");
ABSL_FLAG(std::string, keyspace, "ringplane", "Keyspace of the tables.");
ABSL_FLAG(std::string, read_consistency, "LOCAL_QUORUM",
          "Consistency of reads: ONE, LOCAL_ONE, QUORUM, LOCAL_QUORUM, ...");
ABSL_FLAG(std::string, write_consistency, "LOCAL_QUORUM",
          "Consistency of writes.");
ABSL_FLAG(std::string, local_datacenter, "",
          "Data centre whose nodes are preferred; empty: that of the first "
          "contact point that answers.");
ABSL_FLAG(
    std::string, local_rack, "",
    "Rack whose replicas are asked before those of others; empty: all are "
    "alike.");
ABSL_FLAG(absl::Duration, cql_connect_timeout, absl::Seconds(5),
          "Longest time to connect to a node.");
ABSL_FLAG(absl::Duration, cql_request_timeout, absl::Seconds(10),
          "Longest time for a request to the store that has no deadline of its "
          "own.");
ABSL_FLAG(absl::Duration, cql_startup_timeout, absl::Minutes(1),
          "How long a store that does not answer is tried at start.");
ABSL_FLAG(uint32_t, cql_in_flight_max, 4096,
          "Most requests in flight on a connection to the store, up to 32768.");
ABSL_FLAG(uint32_t, cql_in_flight_min, 64,
          "Fewest requests in flight that a node is cut down to when it is "
          "overloaded; cql_in_flight_max or more: it is not cut.");
ABSL_FLAG(uint32_t, cql_queued_max, 16384,
          "Most requests that wait for a place in flight; more are refused.");
ABSL_FLAG(uint32_t, cql_orphans_max, 1024,
          "Requests given up but not answered, on a connection, before it is "
          "replaced.");
ABSL_FLAG(absl::Duration, cql_reconnect_min, absl::Milliseconds(50),
          "Pause before a lost connection is tried again; it doubles.");
ABSL_FLAG(absl::Duration, cql_reconnect_max, absl::Seconds(10),
          "Longest such pause.");
ABSL_FLAG(absl::Duration, cql_heartbeat_timeout, absl::Seconds(2),
          "How long a connection to the store that fell silent may take to say "
          "that it lives before it is given up.");
ABSL_FLAG(uint32_t, cql_frame_bytes_max, 64 << 20,
          "Longest frame that is taken from the store.");
ABSL_FLAG(bool, cql_shard_aware, true,
          "Connect to every shard of a ScyllaDB node: one connection for reads "
          "and one for writes.");
ABSL_FLAG(uint32_t, cql_setup_at_once, 64,
          "Connections to the store that the process sets up at once.");
ABSL_FLAG(uint32_t, cql_setup_node_at_once, 16, "Of them, most to one node.");
ABSL_FLAG(uint32_t, cql_setup_per_second, 1000,
          "Attempts to connect to the store per second, of the process.");
ABSL_FLAG(
    std::string, cql_tablet_cache, "",
    "File that keeps over a restart where ScyllaDB's tablets are; written "
    "at the end. Empty: none.");
ABSL_FLAG(bool, cql_tls, false,
          "Encrypt connections to the store, and check its nodes' "
          "certificates.");
ABSL_FLAG(std::string, cql_tls_roots, "",
          "PEM file of those who may vouch for the store's nodes; empty: whom "
          "the system trusts.");
ABSL_FLAG(std::string, cql_tls_certificate, "",
          "PEM file of the certificate to show to the store, and those that "
          "lead to its root; empty: none.");
ABSL_FLAG(std::string, cql_tls_key, "",
          "PEM file of that certificate's private key.");
ABSL_FLAG(std::string, cql_tls_server_name, "",
          "Name that the nodes' certificates are for; empty: their addresses.");

// ---- The embedded node.

ABSL_FLAG(std::string, data, "ringplane-data",
          "Folder of the embedded node's data.");
ABSL_FLAG(uint32_t, shards, 2, "Shards that the embedded node shows.");
ABSL_FLAG(std::string, node_listen, "127.0.0.1:0",
          "Where the embedded node listens; port 0 picks a free one.");
ABSL_FLAG(bool, node_sync, true,
          "Whether a write of the embedded node survives a loss of power, not "
          "only the death of the process.");

// ---- Schema.

ABSL_FLAG(std::string, replication,
          "{'class': 'SimpleStrategy', 'replication_factor': 1}",
          "Replication of the keyspace, as CQL writes it.");
ABSL_FLAG(bool, apply, false,
          "Create in the store what is missing, and wait until its nodes "
          "agree.");
ABSL_FLAG(bool, create_schema, false,
          "Create missing keyspace and tables at start. The embedded node "
          "always does.");

// ---- Redis.

ABSL_FLAG(std::string, redis, "",
          "Cache of post records, host:port. Empty: none.");
ABSL_FLAG(std::string, redis_username, "", "User name for Redis.");
ABSL_FLAG(std::string, redis_password_file, "",
          "File with the password for Redis. Empty: environment variable "
          "RINGPLANE_REDIS_PASSWORD.");
ABSL_FLAG(uint32_t, redis_database, 0, "Number of the Redis database.");
ABSL_FLAG(absl::Duration, redis_timeout, absl::Milliseconds(20),
          "Longest wait for an answer of Redis.");
ABSL_FLAG(uint32_t, redis_in_flight_max, 4096,
          "Most calls to Redis without an answer; more are not made.");
ABSL_FLAG(absl::Duration, redis_ttl, absl::Seconds(60),
          "How long an entry of the cache may be served.");

// ---- Listening.

ABSL_FLAG(std::vector<std::string>, listen, {"127.0.0.1:2510"},
          "Where bsky.Service is served, host:port[,...], all by every loop. "
          "Port 0 picks a free one.");
ABSL_FLAG(std::string, admin, "127.0.0.1:2511",
          "Where /metrics, /healthz, /readyz and the admin RPCs are served. "
          "Beyond loopback only with --admin_token_file.");
ABSL_FLAG(std::string, admin_token_file, "",
          "File with the token that admin clients send as \"Authorization: "
          "Bearer <token>\"; /healthz and /readyz need none.");

// ---- Loops.

ABSL_FLAG(uint32_t, loops, 0, "Loops, a thread each; 0: one per usable core.");
ABSL_FLAG(bool, pin, true, "Pin each loop's thread to a core.");
ABSL_FLAG(uint32_t, sq_entries, 1024,
          "Submission queue entries of each loop's ring.");
ABSL_FLAG(uint32_t, cq_entries, 65536,
          "Completion queue entries of each loop's ring.");
ABSL_FLAG(uint32_t, receive_buffers, 4096,
          "Receive buffers of each loop: a power of two.");
ABSL_FLAG(uint32_t, receive_buffer_bytes, 16384, "Bytes of each of them.");
ABSL_FLAG(absl::Duration, latency_budget, absl::ZeroDuration(),
          "Longest time that a loop between idle and busy keeps what has come "
          "waiting for more, to take several at once; 0: not at all.");
ABSL_FLAG(absl::Duration, busy_poll, absl::ZeroDuration(),
          "How long the kernel polls the network cards' queues before a loop "
          "sleeps, with io_uring on Linux 6.9; 0: not at all.");
ABSL_FLAG(absl::Duration, stall_threshold, absl::Milliseconds(100),
          "A loop that does not come back to its kernel for longer is logged, "
          "with a backtrace, and counted; 0: nobody looks.");
ABSL_FLAG(
    bool, incremental_buffers, false,
    "Let receives share buffers (Linux 6.15): less memory is touched when "
    "many connections get small messages.");

// ---- What the kernel is asked through.

ABSL_FLAG(
    std::string, io_backend, "auto",
    "uring, epoll, or auto: io_uring where the kernel lets us, else epoll "
    "with a line in the log that says why. The environment variable "
    "RINGPLANE_IO_BACKEND goes over auto.");
ABSL_FLAG(uint32_t, epoll_batch, 1024,
          "On epoll: most events that one epoll_wait takes. A turn goes on "
          "until a batch comes short.");

// ---- Limits of the server, per loop.

ABSL_FLAG(uint64_t, connections_max, 16384, "Most client connections.");
ABSL_FLAG(uint32_t, streams_per_connection_max, 100,
          "Most calls at once on an HTTP/2 connection.");
ABSL_FLAG(uint64_t, calls_in_flight_max, 8192,
          "Most calls in progress; more get Unavailable.");
ABSL_FLAG(uint64_t, header_bytes_max, 16 << 10,
          "Most bytes of a request's header.");
ABSL_FLAG(uint64_t, header_count_max, 100,
          "Most fields of a request's header.");
ABSL_FLAG(uint64_t, message_in_bytes_max, 4 << 20,
          "Longest request message, decompressed.");
ABSL_FLAG(uint64_t, message_out_bytes_max, 64 << 20,
          "Longest response message, before compression.");
ABSL_FLAG(uint64_t, request_buffer_bytes_max, 16 << 20,
          "Most bytes of incomplete requests of a connection.");
ABSL_FLAG(uint64_t, queued_output_bytes_max, 16 << 20,
          "Most bytes of answers that a connection's peer has not taken.");
ABSL_FLAG(uint64_t, keys_per_request_max, 50000,
          "Most elements of all repeated fields of a request.");
ABSL_FLAG(absl::Duration, idle_timeout, absl::Minutes(20),
          "Time after which a connection without calls is closed.");
ABSL_FLAG(absl::Duration, header_timeout, absl::Seconds(5),
          "Longest time for a request's header to arrive.");
ABSL_FLAG(absl::Duration, body_timeout, absl::Seconds(8),
          "Longest time for a request's body to arrive.");
ABSL_FLAG(absl::Duration, write_stall_timeout, absl::Seconds(10),
          "Longest time in which a peer takes next to nothing of its answers.");
ABSL_FLAG(absl::Duration, default_deadline, absl::Seconds(30),
          "Deadline of calls that name none.");
ABSL_FLAG(absl::Duration, max_deadline, absl::Minutes(5),
          "Longest deadline that a call may ask for.");
ABSL_FLAG(absl::Duration, drain_timeout, absl::Seconds(10),
          "How long SIGTERM waits for calls in flight.");
ABSL_FLAG(absl::Duration, drain_notice, absl::ZeroDuration(),
          "How long connections are still accepted after /readyz has said no.");
ABSL_FLAG(uint64_t, compress_bytes_min, 1024,
          "Shortest answer that is compressed for clients that ask for it.");

// ---- Limits of the dataplane.

ABSL_FLAG(uint64_t, keys_max, 25000,
          "Most keys of one request, repeats counted.");
ABSL_FLAG(uint64_t, queries_in_flight, 256,
          "Most queries that one request has in flight.");
ABSL_FLAG(uint64_t, page_items_max, 1000, "Most items of one page.");
ABSL_FLAG(uint64_t, thread_ancestors_max, 1000,
          "Most ancestors that GetThread gives.");
ABSL_FLAG(uint64_t, thread_levels_max, 1000,
          "Most levels of replies that GetThread gives.");
ABSL_FLAG(uint64_t, thread_replies_max, 10000,
          "Most replies that GetThread gives.");
ABSL_FLAG(uint64_t, op_replies_scan_max, 5000,
          "Most replies of an author that an own thread is made from.");
ABSL_FLAG(uint64_t, lists_per_actor_max, 1000,
          "Most lists that an account may block or mute by and that count.");
ABSL_FLAG(uint64_t, relations_max, 250000,
          "Most follows, blocks and list memberships that a request reads; "
          "more are refused.");
ABSL_FLAG(uint64_t, labels_per_subject_max, 1000,
          "Most labels of a subject that are looked at.");
ABSL_FLAG(uint64_t, known_followers_scan_max, 5000,
          "Most follows that GetFollowsFollowing looks at.");
ABSL_FLAG(uint64_t, unread_count_max, 5000,
          "Most unread notifications that are counted.");

// ---- Indexing.

ABSL_FLAG(uint32_t, concurrency, 64, "Events that are applied at once.");
ABSL_FLAG(int32_t, list_bucket_rows, 50000,
          "Rows of a list before it gets another bucket.");
ABSL_FLAG(int32_t, timeline_rows, 2000,
          "Newest items that a home timeline keeps.");
ABSL_FLAG(int32_t, duplicates_max, 1000,
          "Duplicates of a like, repost or follow that are remembered.");
ABSL_FLAG(int32_t, op_replies_max, 10000,
          "Own replies that an own thread remembers.");
ABSL_FLAG(int32_t, mentions_max, 100,
          "Mentions in one post that are notified.");
ABSL_FLAG(uint64_t, record_bytes_max, 1 << 20, "Longest record.");
ABSL_FLAG(uint64_t, event_writes_in_flight, 64,
          "Most writes of one event in flight at once.");
ABSL_FLAG(absl::Duration, tombstone_ttl, absl::Hours(24 * 30),
          "How long a deletion guards against older events.");
ABSL_FLAG(uint64_t, actors_remembered, 100000,
          "Accounts whose state is remembered between events.");

// ---- Ingest.

ABSL_FLAG(std::string, to, "",
          "Admin listener of a running service, http://host:port. Empty: the "
          "store's flags are used directly.");
ABSL_FLAG(std::string, token, "",
          "Token for that listener; every user of this machine can see it: "
          "prefer --token_file.");
ABSL_FLAG(std::string, token_file, "",
          "File with the token for that listener.");
ABSL_FLAG(uint32_t, batch_events_max, 256, "Most events of one call.");
ABSL_FLAG(uint32_t, batches_ahead_max, 8,
          "Batches that are parsed ahead of the store.");
ABSL_FLAG(std::string, cursor_file, "",
          "Where to keep how far ingest has come, so that the next run goes on "
          "from there. Empty: nowhere.");
ABSL_FLAG(absl::Duration, cursor_interval, absl::Seconds(1),
          "How often that is written.");
ABSL_FLAG(bool, strict, false,
          "Stop at the first line that is malformed or rejected.");
ABSL_FLAG(uint64_t, line_bytes_max, 2 << 20, "Longest line.");
ABSL_FLAG(uint32_t, depth_max, 64, "Deepest nesting of a line's JSON.");
ABSL_FLAG(absl::Duration, retry_timeout, absl::Seconds(60),
          "How long a service that does not take a batch is tried again.");
ABSL_FLAG(absl::Duration, call_timeout, absl::Minutes(2),
          "Longest time for a call of the service.");
ABSL_FLAG(std::string, progress, "auto",
          "Progress on standard error: auto (a bar on a terminal, else lines), "
          "bar, lines or none.");

// ---- Generate.

ABSL_FLAG(uint32_t, users, 1000, "Accounts of the network.");
ABSL_FLAG(uint64_t, seed, 1, "The same seed gives the same bytes.");
ABSL_FLAG(uint64_t, posts, 0, "Posts after which it ends; 0: no limit.");
ABSL_FLAG(uint64_t, events, 0,
          "Events after which it ends; 0: no limit, or fifty a user if --posts "
          "is 0 as well.");
ABSL_FLAG(std::string, start, "2024-01-01T00:00:00Z",
          "Time of the first event, RFC 3339.");
ABSL_FLAG(absl::Duration, gap, absl::ZeroDuration(),
          "Mean time from event to event; 0: twenty events a user a day.");
ABSL_FLAG(std::string, output, "-", "File to write; -: standard output.");

// ---- The shell.

ABSL_FLAG(std::string, e, "",
          "Statements to run; empty: those of standard input.");
ABSL_FLAG(std::string, format, "table",
          "How rows are printed: table, csv, or json (an object a line).");
ABSL_FLAG(int32_t, page_size, 100, "Rows that are asked for at once; 0: all.");
ABSL_FLAG(std::string, use, "", "Keyspace that names without one mean.");

namespace app {

const FlagGroup kCommonFlags = {"Common", {"config", "log_level"}};

const FlagGroup kConfigFlags = {"Common", {"config"}};

const FlagGroup kShellFlags = {"Shell", {"e", "format", "page_size", "use"}};

const FlagGroup kShellStoreFlags = {
    "Store",
    {"cql", "cql_username", "cql_password_file", "read_consistency",
     "write_consistency", "local_datacenter", "cql_connect_timeout",
     "cql_request_timeout", "cql_frame_bytes_max", "cql_shard_aware", "cql_tls",
     "cql_tls_roots", "cql_tls_certificate", "cql_tls_key",
     "cql_tls_server_name"}};

const FlagGroup kStoreFlags = {"Store",
                               {"cql",
                                "cql_username",
                                "cql_password_file",
                                "keyspace",
                                "read_consistency",
                                "write_consistency",
                                "local_datacenter",
                                "local_rack",
                                "cql_connect_timeout",
                                "cql_request_timeout",
                                "cql_startup_timeout",
                                "cql_in_flight_max",
                                "cql_in_flight_min",
                                "cql_queued_max",
                                "cql_orphans_max",
                                "cql_reconnect_min",
                                "cql_reconnect_max",
                                "cql_heartbeat_timeout",
                                "cql_frame_bytes_max",
                                "cql_shard_aware",
                                "cql_setup_at_once",
                                "cql_setup_node_at_once",
                                "cql_setup_per_second",
                                "cql_tablet_cache",
                                "cql_tls",
                                "cql_tls_roots",
                                "cql_tls_certificate",
                                "cql_tls_key",
                                "cql_tls_server_name",
                                "replication"}};

const FlagGroup kNodeFlags = {"Embedded node, for development",
                              {"data", "shards", "node_listen", "node_sync"}};

const FlagGroup kRedisFlags = {
    "Redis",
    {"redis", "redis_username", "redis_password_file", "redis_database",
     "redis_timeout", "redis_in_flight_max", "redis_ttl"}};

const FlagGroup kListenFlags = {
    "Listening", {"listen", "admin", "admin_token_file", "create_schema"}};

const FlagGroup kLoopFlags = {
    "Loops",
    {"loops", "pin", "sq_entries", "cq_entries", "receive_buffers",
     "receive_buffer_bytes", "incremental_buffers", "latency_budget",
     "busy_poll", "stall_threshold"}};

const FlagGroup kBackendFlags = {"Kernel interface",
                                 {"io_backend", "epoll_batch"}};

const FlagGroup kServerFlags = {
    "Limits of each loop's server",
    {"connections_max", "streams_per_connection_max", "calls_in_flight_max",
     "header_bytes_max", "header_count_max", "message_in_bytes_max",
     "message_out_bytes_max", "request_buffer_bytes_max",
     "queued_output_bytes_max", "keys_per_request_max", "idle_timeout",
     "header_timeout", "body_timeout", "write_stall_timeout",
     "default_deadline", "max_deadline", "drain_timeout", "drain_notice",
     "compress_bytes_min"}};

const FlagGroup kDataplaneFlags = {
    "Limits of each request",
    {"keys_max", "queries_in_flight", "page_items_max", "thread_ancestors_max",
     "thread_levels_max", "thread_replies_max", "op_replies_scan_max",
     "lists_per_actor_max", "relations_max", "labels_per_subject_max",
     "known_followers_scan_max", "unread_count_max"}};

const FlagGroup kIndexerFlags = {
    "Indexing",
    {"concurrency", "list_bucket_rows", "timeline_rows", "duplicates_max",
     "op_replies_max", "mentions_max", "record_bytes_max",
     "event_writes_in_flight", "tombstone_ttl", "actors_remembered"}};

const FlagGroup kIngestFlags = {
    "Ingest",
    {"to", "token", "token_file", "cursor_file", "cursor_interval", "strict",
     "batch_events_max", "batches_ahead_max", "line_bytes_max", "depth_max",
     "retry_timeout", "call_timeout", "progress"}};

const FlagGroup kGenerateFlags = {
    "Generate", {"users", "seed", "posts", "events", "start", "gap", "output"}};

const FlagGroup kSchemaFlags = {"Schema", {"apply"}};

}  // namespace app
