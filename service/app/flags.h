// Every flag of every command; what each means is in flags.cc, next to its
// default, and in `ringplane <command> --help`.
#ifndef RINGPLANE_SERVICE_APP_FLAGS_H_
#define RINGPLANE_SERVICE_APP_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/time/time.h"
#include "service/app/command_line.h"

ABSL_DECLARE_FLAG(std::string, log_level);
ABSL_DECLARE_FLAG(std::vector<std::string>, cql);
ABSL_DECLARE_FLAG(std::string, cql_username);
ABSL_DECLARE_FLAG(std::string, cql_password_file);
ABSL_DECLARE_FLAG(std::string, keyspace);
ABSL_DECLARE_FLAG(std::string, read_consistency);
ABSL_DECLARE_FLAG(std::string, write_consistency);
ABSL_DECLARE_FLAG(std::string, local_datacenter);
ABSL_DECLARE_FLAG(std::string, local_rack);
ABSL_DECLARE_FLAG(absl::Duration, cql_connect_timeout);
ABSL_DECLARE_FLAG(absl::Duration, cql_request_timeout);
ABSL_DECLARE_FLAG(absl::Duration, cql_startup_timeout);
ABSL_DECLARE_FLAG(uint32_t, cql_in_flight_max);
ABSL_DECLARE_FLAG(uint32_t, cql_in_flight_min);
ABSL_DECLARE_FLAG(uint32_t, cql_queued_max);
ABSL_DECLARE_FLAG(uint32_t, cql_orphans_max);
ABSL_DECLARE_FLAG(absl::Duration, cql_reconnect_min);
ABSL_DECLARE_FLAG(absl::Duration, cql_reconnect_max);
ABSL_DECLARE_FLAG(absl::Duration, cql_heartbeat_timeout);
ABSL_DECLARE_FLAG(uint32_t, cql_frame_bytes_max);
ABSL_DECLARE_FLAG(bool, cql_shard_aware);
ABSL_DECLARE_FLAG(uint32_t, cql_setup_at_once);
ABSL_DECLARE_FLAG(uint32_t, cql_setup_node_at_once);
ABSL_DECLARE_FLAG(uint32_t, cql_setup_per_second);
ABSL_DECLARE_FLAG(std::string, cql_tablet_cache);
ABSL_DECLARE_FLAG(bool, cql_tls);
ABSL_DECLARE_FLAG(std::string, cql_tls_roots);
ABSL_DECLARE_FLAG(std::string, cql_tls_certificate);
ABSL_DECLARE_FLAG(std::string, cql_tls_key);
ABSL_DECLARE_FLAG(std::string, cql_tls_server_name);
ABSL_DECLARE_FLAG(std::string, e);
ABSL_DECLARE_FLAG(std::string, format);
ABSL_DECLARE_FLAG(int32_t, page_size);
ABSL_DECLARE_FLAG(std::string, use);
ABSL_DECLARE_FLAG(std::string, data);
ABSL_DECLARE_FLAG(uint32_t, shards);
ABSL_DECLARE_FLAG(std::string, node_listen);
ABSL_DECLARE_FLAG(bool, node_sync);
ABSL_DECLARE_FLAG(std::string, replication);
ABSL_DECLARE_FLAG(std::string, redis);
ABSL_DECLARE_FLAG(std::string, redis_username);
ABSL_DECLARE_FLAG(std::string, redis_password_file);
ABSL_DECLARE_FLAG(uint32_t, redis_database);
ABSL_DECLARE_FLAG(absl::Duration, redis_timeout);
ABSL_DECLARE_FLAG(uint32_t, redis_in_flight_max);
ABSL_DECLARE_FLAG(absl::Duration, redis_ttl);
ABSL_DECLARE_FLAG(std::vector<std::string>, listen);
ABSL_DECLARE_FLAG(std::string, admin);
ABSL_DECLARE_FLAG(std::string, admin_token_file);
ABSL_DECLARE_FLAG(uint32_t, loops);
ABSL_DECLARE_FLAG(bool, pin);
ABSL_DECLARE_FLAG(uint32_t, sq_entries);
ABSL_DECLARE_FLAG(uint32_t, cq_entries);
ABSL_DECLARE_FLAG(uint32_t, receive_buffers);
ABSL_DECLARE_FLAG(uint32_t, receive_buffer_bytes);
ABSL_DECLARE_FLAG(bool, incremental_buffers);
ABSL_DECLARE_FLAG(std::string, io_backend);
ABSL_DECLARE_FLAG(uint32_t, epoll_batch);
ABSL_DECLARE_FLAG(absl::Duration, latency_budget);
ABSL_DECLARE_FLAG(absl::Duration, busy_poll);
ABSL_DECLARE_FLAG(absl::Duration, stall_threshold);
ABSL_DECLARE_FLAG(uint64_t, connections_max);
ABSL_DECLARE_FLAG(uint32_t, streams_per_connection_max);
ABSL_DECLARE_FLAG(uint64_t, calls_in_flight_max);
ABSL_DECLARE_FLAG(uint64_t, header_bytes_max);
ABSL_DECLARE_FLAG(uint64_t, header_count_max);
ABSL_DECLARE_FLAG(uint64_t, message_in_bytes_max);
ABSL_DECLARE_FLAG(uint64_t, message_out_bytes_max);
ABSL_DECLARE_FLAG(uint64_t, request_buffer_bytes_max);
ABSL_DECLARE_FLAG(uint64_t, queued_output_bytes_max);
ABSL_DECLARE_FLAG(uint64_t, keys_per_request_max);
ABSL_DECLARE_FLAG(absl::Duration, idle_timeout);
ABSL_DECLARE_FLAG(absl::Duration, header_timeout);
ABSL_DECLARE_FLAG(absl::Duration, body_timeout);
ABSL_DECLARE_FLAG(absl::Duration, write_stall_timeout);
ABSL_DECLARE_FLAG(absl::Duration, default_deadline);
ABSL_DECLARE_FLAG(absl::Duration, max_deadline);
ABSL_DECLARE_FLAG(absl::Duration, drain_timeout);
ABSL_DECLARE_FLAG(absl::Duration, drain_notice);
ABSL_DECLARE_FLAG(uint64_t, compress_bytes_min);
ABSL_DECLARE_FLAG(uint64_t, keys_max);
ABSL_DECLARE_FLAG(uint64_t, queries_in_flight);
ABSL_DECLARE_FLAG(uint64_t, page_items_max);
ABSL_DECLARE_FLAG(uint64_t, thread_ancestors_max);
ABSL_DECLARE_FLAG(uint64_t, thread_levels_max);
ABSL_DECLARE_FLAG(uint64_t, thread_replies_max);
ABSL_DECLARE_FLAG(uint64_t, op_replies_scan_max);
ABSL_DECLARE_FLAG(uint64_t, lists_per_actor_max);
ABSL_DECLARE_FLAG(uint64_t, relations_max);
ABSL_DECLARE_FLAG(uint64_t, labels_per_subject_max);
ABSL_DECLARE_FLAG(uint64_t, known_followers_scan_max);
ABSL_DECLARE_FLAG(uint64_t, unread_count_max);
ABSL_DECLARE_FLAG(uint32_t, concurrency);
ABSL_DECLARE_FLAG(int32_t, list_bucket_rows);
ABSL_DECLARE_FLAG(int32_t, timeline_rows);
ABSL_DECLARE_FLAG(int32_t, duplicates_max);
ABSL_DECLARE_FLAG(int32_t, op_replies_max);
ABSL_DECLARE_FLAG(int32_t, mentions_max);
ABSL_DECLARE_FLAG(uint64_t, record_bytes_max);
ABSL_DECLARE_FLAG(uint64_t, event_writes_in_flight);
ABSL_DECLARE_FLAG(absl::Duration, tombstone_ttl);
ABSL_DECLARE_FLAG(uint64_t, actors_remembered);
ABSL_DECLARE_FLAG(std::string, to);
ABSL_DECLARE_FLAG(std::string, token);
ABSL_DECLARE_FLAG(std::string, token_file);
ABSL_DECLARE_FLAG(uint32_t, batch_events_max);
ABSL_DECLARE_FLAG(uint32_t, batches_ahead_max);
ABSL_DECLARE_FLAG(std::string, cursor_file);
ABSL_DECLARE_FLAG(absl::Duration, cursor_interval);
ABSL_DECLARE_FLAG(bool, strict);
ABSL_DECLARE_FLAG(uint64_t, line_bytes_max);
ABSL_DECLARE_FLAG(uint32_t, depth_max);
ABSL_DECLARE_FLAG(absl::Duration, retry_timeout);
ABSL_DECLARE_FLAG(absl::Duration, call_timeout);
ABSL_DECLARE_FLAG(std::string, progress);
ABSL_DECLARE_FLAG(uint32_t, users);
ABSL_DECLARE_FLAG(uint64_t, seed);
ABSL_DECLARE_FLAG(uint64_t, posts);
ABSL_DECLARE_FLAG(uint64_t, events);
ABSL_DECLARE_FLAG(std::string, start);
ABSL_DECLARE_FLAG(absl::Duration, gap);
ABSL_DECLARE_FLAG(bool, apply);
ABSL_DECLARE_FLAG(bool, create_schema);
ABSL_DECLARE_FLAG(std::string, output);

namespace app {

extern const FlagGroup kCommonFlags;
extern const FlagGroup kConfigFlags;
extern const FlagGroup kShellFlags;
extern const FlagGroup kShellStoreFlags;
extern const FlagGroup kStoreFlags;
extern const FlagGroup kNodeFlags;
extern const FlagGroup kRedisFlags;
extern const FlagGroup kListenFlags;
extern const FlagGroup kLoopFlags;
extern const FlagGroup kBackendFlags;
extern const FlagGroup kServerFlags;
extern const FlagGroup kDataplaneFlags;
extern const FlagGroup kIndexerFlags;
extern const FlagGroup kIngestFlags;
extern const FlagGroup kGenerateFlags;
extern const FlagGroup kSchemaFlags;

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_FLAGS_H_
