#include "service/app/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>

#include "ioloop/log.h"
#include "service/app/version.h"

namespace app {
namespace {

using server::Label;
using server::MetricsWriter;

double Number(uint64_t value) { return static_cast<double>(value); }

struct NamedCounter {
  const char* label;
  uint64_t value;
};

template <size_t N>
void WriteByLabel(MetricsWriter& writer, const char* name, const char* help,
                  const char* label, const NamedCounter (&values)[N]) {
  for (const NamedCounter& value : values) {
    writer.Counter(name, help, {Label{label, value.label}},
                   Number(value.value));
  }
}

// One bucket of metrics for each doubling, from 2 µs to about a minute.
void WriteLatency(MetricsWriter& writer, const char* access,
                  const cql::LatencyHistogram& latency) {
  constexpr size_t kBuckets = cql::LatencyHistogram::kBuckets / 2;
  std::array<double, kBuckets - 1> bounds;
  std::array<uint64_t, kBuckets> counts;
  for (size_t i = 0; i < kBuckets; ++i) {
    counts[i] = latency.buckets()[2 * i] + latency.buckets()[2 * i + 1];
    if (i < bounds.size()) {
      bounds[i] =
          static_cast<double>(cql::LatencyHistogram::EndNs(2 * i + 1)) * 1e-9;
    }
  }
  writer.Histogram("ringplane_cql_latency_seconds",
                   "From sending a request to the store to its result.",
                   {Label{"access", access}}, bounds, counts,
                   static_cast<double>(latency.sum_ns()) * 1e-9);
}

void CollectCql(const cql::SessionStats& stats, MetricsWriter& writer) {
  const cql::SessionCounters& c = stats.counters;
  writer.Counter("ringplane_cql_requests_total",
                 "Requests to the store that were started.", {},
                 Number(c.requests));
  WriteByLabel(writer, "ringplane_cql_results_total",
               "How requests to the store ended.", "result",
               {{"answered", c.answered},
                {"server_error", c.server_errors},
                {"invalid", c.invalid},
                {"timeout", c.timeouts},
                {"refused", c.refused},
                {"hopeless", c.hopeless},
                {"unroutable", c.unroutable},
                {"lost", c.lost},
                {"abandoned", c.abandoned},
                {"malformed", c.malformed}});
  WriteByLabel(writer, "ringplane_cql_events_total",
               "What else happened to a session.", "event",
               {{"queued", c.queued},
                {"retry", c.retries},
                {"retry_denied", c.retries_denied},
                {"coalesced", c.coalesced},
                {"overloaded", c.overloaded},
                {"extra_sent", c.extra_sent},
                {"extra_won", c.extra_won},
                {"extra_denied", c.extra_denied},
                {"extra_pause", c.extra_pauses},
                {"prepare", c.prepares},
                {"unprepared", c.unprepared},
                {"late_answer", c.late_answers},
                {"connection_opened", c.connections_opened},
                {"connection_failed", c.connections_failed},
                {"connection_lost", c.connections_lost},
                {"connection_worn_out", c.connections_worn_out},
                {"wrong_shard", c.wrong_shards},
                {"tablet_learned", c.tablets_learned},
                {"tablet_refused", c.tablets_refused},
                {"tablet_malformed", c.tablets_malformed},
                {"server_event", c.events},
                {"topology_refresh", c.topology_refreshes},
                {"topology_row_skipped", c.topology_rows_skipped}});
  writer.Gauge("ringplane_cql_connections", "Connections to the store.", {},
               Number(stats.connections));
  writer.Gauge("ringplane_cql_tablets",
               "Tablets of ScyllaDB whose place is known.", {},
               Number(stats.tablets));
  uint64_t in_flight = 0;
  uint64_t waiting = 0;
  uint64_t orphans = 0;
  for (const cql::ShardStats& shard : stats.shards) {
    const Label node{"node", shard.node};
    writer.Counter("ringplane_cql_node_timeouts_total",
                   "Requests to a node that it did not answer in time.", {node},
                   Number(shard.timeouts));
    writer.Counter("ringplane_cql_node_retries_total",
                   "Requests sent to a node after another connection broke.",
                   {node}, Number(shard.retries));
    writer.Counter("ringplane_cql_node_reconnects_total",
                   "Connections to a node beyond the first of each shard.",
                   {node}, Number(shard.reconnects));
    writer.Counter("ringplane_cql_node_limit_cuts_total",
                   "Times a node was given less at once.", {node},
                   Number(shard.limit_cuts));
    in_flight += shard.in_flight;
    waiting += shard.waiting;
    orphans += shard.orphans;
  }
  WriteLatency(writer, "read", stats.latency[0]);
  WriteLatency(writer, "write", stats.latency[1]);
  writer.Gauge("ringplane_cql_in_flight", "Requests in flight.", {},
               Number(in_flight));
  writer.Gauge("ringplane_cql_waiting", "Requests that wait for a place.", {},
               Number(waiting));
  writer.Gauge("ringplane_cql_orphans",
               "Requests in flight whose caller has left.", {},
               Number(orphans));
}

void CollectRedis(const LoopSnapshot::Values& values, MetricsWriter& writer) {
  const redis::Client::Stats& r = values.redis;
  writer.Gauge("ringplane_redis_usable",
               "Loops whose connection to Redis is usable.", {},
               values.redis_usable ? 1 : 0);
  WriteByLabel(writer, "ringplane_redis_total", "What happened with Redis.",
               "event",
               {{"call", r.calls},
                {"reply", r.replies},
                {"timeout", r.timeouts},
                {"skipped", r.skipped},
                {"connect", r.connects},
                {"disconnect", r.disconnects},
                {"nonsense", r.nonsense}});
  const dataplane::PostRecordCache::Stats& p = values.cache;
  WriteByLabel(writer, "ringplane_post_cache_total",
               "Posts looked up in, and given to, the cache.", "event",
               {{"hit", p.hits},
                {"miss", p.misses},
                {"error", p.errors},
                {"rejected", p.rejected},
                {"fill", p.fills},
                {"invalidation", p.invalidations},
                {"invalidation_lost", p.invalidations_lost}});
}

// Of /proc/self/statm; 0 if it cannot be read.
uint64_t ResidentBytes() {
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long total = 0;
  unsigned long long resident = 0;
  int fields = fscanf(file, "%llu %llu", &total, &resident);
  fclose(file);
  return fields == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))
                     : 0;
}

uint64_t OpenDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count - 3;  // ".", ".." and the folder itself.
}

// Bucket i holds stretches below 2^i us.
void CollectTurnTime(const Label& loop, const ioloop::LoopStats& stats,
                     MetricsWriter& writer) {
  constexpr size_t kBuckets = ioloop::LoopStats::kTimeHistogramSize;
  std::array<double, kBuckets - 1> bounds;
  std::array<uint64_t, kBuckets> counts;
  for (size_t i = 0; i < kBuckets; ++i) {
    counts[i] = stats.turn_time[i];
    if (i < bounds.size()) bounds[i] = Number(uint64_t{1} << i) * 1e-6;
  }
  writer.Histogram("ringplane_loop_turn_seconds", "Time between two waits.",
                   {loop}, bounds, counts, Number(stats.turn_ns) * 1e-9);
}

void CollectByKind(const Label& loop, const ioloop::LoopStats& stats,
                   MetricsWriter& writer) {
  for (size_t i = 0; i < ioloop::kHandlerKinds; ++i) {
    const Label kind{
        "kind", ioloop::HandlerKindName(static_cast<ioloop::HandlerKind>(i))};
    writer.Counter("ringplane_loop_handlers_total", "Handlers that ran.",
                   {loop, kind}, Number(stats.handlers[i].count));
    writer.Counter("ringplane_loop_handler_seconds_total",
                   "Time in handlers, and in what they resume.", {loop, kind},
                   Number(stats.handlers[i].ns) * 1e-9);
  }
  for (size_t i = 0; i < ioloop::kOpKinds; ++i) {
    const Label kind{"kind",
                     ioloop::OpKindName(static_cast<ioloop::OpKind>(i))};
    writer.Gauge("ringplane_loop_operations_in_flight",
                 "Operations in the kernel's hands.", {loop, kind},
                 Number(stats.in_flight[i]));
  }
}

}  // namespace

void CollectLoopStats(size_t index, const ioloop::LoopStats& stats,
                      MetricsWriter& writer) {
  const std::string number = std::to_string(index);
  const Label loop{"loop", number};
  auto count = [&](const char* name, const char* help, uint64_t value) {
    writer.Counter(name, help, {loop}, Number(value));
  };
  count("ringplane_loop_turns_total", "Turns of the loop.", stats.turns);
  count("ringplane_loop_enters_total", "System calls that submit and wait.",
        stats.enters);
  count("ringplane_loop_system_calls_total",
        "All that the loop's backend made, those that wait included.",
        stats.system_calls);
  count("ringplane_loop_submissions_total", "Requests handed to the kernel.",
        stats.submissions);
  count("ringplane_loop_completions_total", "Completions harvested.",
        stats.completions);
  count("ringplane_loop_buffers_exhausted_total",
        "Receives that ended, or on epoll paused, for want of a buffer.",
        stats.buffers_exhausted);
  count("ringplane_loop_buffers_copied_total",
        "Receives copied out because few buffers were free.",
        stats.buffers_copied);
  count("ringplane_loop_short_sends_total",
        "Sends that the socket took only partly.", stats.short_sends);
  count("ringplane_loop_cq_overflows_total",
        "Turns that found the completion queue overflown.", stats.cq_overflows);
  count("ringplane_loop_accept_pauses_total",
        "Times a listener paused for want of descriptors.",
        stats.accept_pauses);
  count("ringplane_loop_wakes_total", "Times another thread woke the loop.",
        stats.wakes);
  count("ringplane_loop_gathers_total",
        "Waits for more than the first completion.", stats.gathers);
  count("ringplane_loop_stalls_total",
        "Times the loop worked for longer than --stall_threshold.",
        stats.stalls);
  writer.Gauge("ringplane_loop_stall_max_seconds",
               "The longest stall, as far as it was watched.", {loop},
               Number(stats.stall_max_ns) * 1e-9);
  writer.Counter("ringplane_loop_wait_seconds_total",
                 "Time inside the kernel's wait.", {loop},
                 Number(stats.wait_ns) * 1e-9);
  writer.Counter("ringplane_loop_busy_seconds_total",
                 "Time outside the kernel's wait.", {loop},
                 Number(stats.turn_ns) * 1e-9);
  writer.Gauge("ringplane_loop_turn_max_seconds",
               "The longest stretch between two waits.", {loop},
               Number(stats.turn_max_ns) * 1e-9);
  writer.Gauge("ringplane_loop_completions_max",
               "Most completions that one turn brought.", {loop},
               Number(stats.cqes_max));

  // Bucket i holds turns with fewer than 2^i completions.
  constexpr size_t kBuckets = ioloop::LoopStats::kHistogramSize;
  std::array<double, kBuckets - 1> bounds;
  std::array<uint64_t, kBuckets> counts;
  for (size_t i = 0; i < kBuckets; ++i) {
    counts[i] = stats.completions_per_turn[i];
    if (i < bounds.size()) bounds[i] = Number((uint64_t{1} << i) - 1);
  }
  writer.Histogram("ringplane_loop_completions_per_turn",
                   "Completions that one turn harvested.", {loop}, bounds,
                   counts, Number(stats.completions));
  CollectTurnTime(loop, stats, writer);
  CollectByKind(loop, stats, writer);
}

void CollectSnapshot(const LoopSnapshot::Values& values,
                     MetricsWriter& writer) {
  CollectCql(values.cql, writer);
  if (values.has_redis) CollectRedis(values, writer);
  // Beside the limits of the server, which have the same name and help.
  WriteByLabel(writer, "ringplane_limit_hits_total",
               "Times that a limit refused or closed something.", "limit",
               {{"keys", values.dataplane.keys_refused},
                {"relations", values.dataplane.relations_refused}});
  WriteByLabel(writer, "ringplane_index_events_total",
               "Events given to the indexer.", "result",
               {{"applied", values.indexing.applied},
                {"no_news", values.indexing.no_news},
                {"rejected", values.indexing.rejected},
                {"failed", values.indexing.failed},
                {"retry", values.indexing.retries}});
}

void CollectSetup(const cql::SetupGovernor::Stats& stats,
                  MetricsWriter& writer) {
  WriteByLabel(writer, "ringplane_cql_setups_total",
               "Attempts to connect to the store.", "event",
               {{"begun", stats.attempts},
                {"delayed", stats.delayed},
                {"failed", stats.failed}});
  writer.Gauge("ringplane_cql_setups", "Connections that are being set up.", {},
               stats.at_once);
  writer.Gauge("ringplane_cql_setups_waiting",
               "Connections that wait to be set up.", {}, stats.waiting);
}

void CollectProcess(MetricsWriter& writer) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) * 1e-6;
  };
  writer.Counter("process_cpu_seconds_total", "CPU time, user and system.", {},
                 seconds(usage.ru_utime) + seconds(usage.ru_stime));
  writer.Gauge("process_resident_memory_bytes", "Resident memory.", {},
               Number(ResidentBytes()));
  writer.Gauge("process_open_fds", "Open descriptors.", {},
               Number(OpenDescriptors()));
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  writer.Gauge("process_max_fds", "Limit on open descriptors.", {},
               Number(limit.rlim_cur));
  writer.Counter("ringplane_log_lines_suppressed_total",
                 "Log lines not written because of their site's rate limit.",
                 {}, Number(ioloop::LogLinesSuppressed()));
  writer.Gauge("ringplane_build_info", "1; the label has the version.",
               {Label{"version", kVersion}}, 1);
}

}  // namespace app
