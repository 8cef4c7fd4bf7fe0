// `ringplane ingest FILE|-`: into a running service by its admin RPCs, or
// straight into the store.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/signals.h"
#include "service/app/command_line.h"
#include "service/app/commands.h"
#include "service/app/kernel_report.h"
#include "service/app/options.h"
#include "service/app/progress.h"
#include "service/app/remote_sink.h"
#include "service/app/store.h"
#include "service/dataplane/post_record_cache.h"
#include "service/ingest/indexer.h"
#include "service/ingest/ingest_command.h"
#include "service/ingest/scheduler.h"
#include "service/ingest/text.h"
#include "service/redis/client.h"

namespace app {
namespace {

using ingest::Cat;

// Everything that an ingest into the store itself needs to know.
struct DirectOptions {
  StoreOptions store;
  std::optional<RedisOptions> redis;
  ingest::IndexerOptions indexer;
  ingest::SchedulerOptions scheduler;
};

class CacheInvalidator : public ingest::RecordCacheInvalidator {
 public:
  explicit CacheInvalidator(dataplane::PostRecordCache* cache)
      : cache_(cache) {}
  void Invalidate(std::string_view uri) override { cache_->Invalidate(uri); }

 private:
  dataplane::PostRecordCache* const cache_;
};

// What the first SIGINT or SIGTERM ends in order; the second ends the process.
struct Stopper {
  explicit Stopper(ioloop::Loop* loop) : stop(loop) {}

  void Stop() {
    stop.Set();
    if (run != nullptr) run->Stop();
  }

  ioloop::Event stop;  // of what comes before there is a run
  ingest::IngestRun* run = nullptr;
};

ioloop::Task<void> WatchSignals(ioloop::SignalSet* signals, Stopper* stopper) {
  while (true) {
    absl::StatusOr<int> signal = co_await signals->Next();
    if (!signal.ok()) co_return;
    if (stopper->stop.is_set()) _exit(kExitFailure);
    stopper->Stop();
  }
}

// `work`, which watches `stopper`, with the signals that stop it.
ioloop::Task<ingest::IngestSummary> WithSignals(
    ioloop::Loop* loop, Stopper* stopper,
    ioloop::Task<ingest::IngestSummary> work) {
  ingest::IngestSummary summary;
  absl::StatusOr<std::unique_ptr<ioloop::SignalSet>> signals =
      ioloop::SignalSet::Create(loop, {SIGINT, SIGTERM});
  if (!signals.ok()) {
    summary.status = signals.status();
    co_return summary;
  }
  ioloop::TaskGroup watch;
  watch.Spawn(WatchSignals(signals->get(), stopper));
  summary = co_await work;
  (*signals)->Cancel();
  co_await watch.Join();
  co_return summary;
}

ioloop::Task<ingest::IngestSummary> RunInto(ingest::EventSink* sink,
                                            ioloop::Loop* loop, int fd,
                                            ingest::IngestOptions options,
                                            ProgressPrinter* printer,
                                            Stopper* stopper) {
  ingest::IngestReporter reporter;
  reporter.message = [printer](std::string_view text) {
    printer->Message(text);
  };
  reporter.progress = [printer](const ingest::IngestProgress& progress) {
    printer->Progress(progress);
  };
  ingest::IngestRun run(loop, sink, options, reporter);
  stopper->run = &run;
  if (stopper->stop.is_set()) run.Stop();
  ingest::IngestSummary summary = co_await run.Run(fd);
  stopper->run = nullptr;
  printer->End();
  co_return summary;
}

ioloop::Task<ingest::IngestSummary> RunRemote(ioloop::Loop* loop, int fd,
                                              IngestCommandOptions options,
                                              ProgressPrinter* printer,
                                              Stopper* stopper) {
  ConnectClient::Options client;
  client.host_port = options.to_host_port;
  client.token = options.token;
  client.call_timeout = options.call_timeout;
  RemoteSink sink(loop, client);
  ingest::IngestSummary summary =
      co_await RunInto(&sink, loop, fd, options.run, printer, stopper);
  co_await sink.Close();
  co_return summary;
}

ioloop::Task<ingest::IngestSummary> RunDirect(
    ioloop::Loop* loop, int fd, const IngestCommandOptions* options,
    const DirectOptions* direct, const cql::SessionOptions* session_options,
    ProgressPrinter* printer, Stopper* stopper) {
  ingest::IngestSummary summary;
  absl::StatusOr<std::unique_ptr<cql::Session>> session =
      co_await ConnectSession(loop, *session_options,
                              direct->store.startup_timeout, &stopper->stop);
  if (!session.ok()) {
    summary.status = session.status();
    co_return summary;
  }
  std::unique_ptr<redis::Client> redis;
  std::unique_ptr<dataplane::PostRecordCache> cache;
  std::unique_ptr<CacheInvalidator> invalidator;
  if (direct->redis.has_value()) {
    redis = redis::Client::Create(loop, direct->redis->client);
    cache = std::make_unique<dataplane::PostRecordCache>(redis.get(),
                                                         direct->redis->cache);
    invalidator = std::make_unique<CacheInvalidator>(cache.get());
  }
  absl::StatusOr<std::unique_ptr<ingest::Indexer>> indexer =
      co_await ingest::Indexer::Create(session->get(), direct->indexer,
                                       invalidator.get());
  if (indexer.ok()) {
    ingest::Scheduler scheduler(loop, indexer->get(), direct->scheduler);
    summary =
        co_await RunInto(&scheduler, loop, fd, options->run, printer, stopper);
  } else {
    summary.status = indexer.status();
  }
  // Its statements are the session's.
  if (indexer.ok()) indexer->reset();
  if (redis != nullptr) co_await redis->Close();
  co_await (*session)->Close();
  co_return summary;
}

absl::StatusOr<DirectOptions> GetDirectOptions() {
  DirectOptions direct;
  absl::StatusOr<StoreOptions> store = GetStoreOptions();
  if (!store.ok()) return store.status();
  direct.store = *std::move(store);
  absl::StatusOr<std::optional<RedisOptions>> redis = GetRedisOptions();
  if (!redis.ok()) return redis.status();
  direct.redis = *std::move(redis);
  absl::StatusOr<ingest::IndexerOptions> indexer = GetIndexerOptions();
  if (!indexer.ok()) return indexer.status();
  direct.indexer = *indexer;
  absl::StatusOr<ingest::SchedulerOptions> scheduler = GetSchedulerOptions();
  if (!scheduler.ok()) return scheduler.status();
  direct.scheduler = *scheduler;
  return direct;
}

absl::StatusOr<ingest::IngestSummary> Ingest(const std::string& path) {
  absl::StatusOr<IngestCommandOptions> options = GetIngestOptions();
  if (!options.ok()) return options.status();
  const bool remote = !options->to_host_port.empty();
  DirectOptions direct;
  if (!remote) {
    absl::StatusOr<DirectOptions> got = GetDirectOptions();
    if (!got.ok()) return got.status();
    direct = *std::move(got);
  }

  int fd = STDIN_FILENO;
  if (path != "-") {
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      return absl::NotFoundError(Cat(path, ": ", strerror(errno)));
    }
  }
  ProgressPrinter printer(options->progress);
  absl::StatusOr<ingest::IngestSummary> summary = ingest::IngestSummary();
  std::unique_ptr<Store> store;
  if (!remote) {
    absl::StatusOr<std::unique_ptr<Store>> opened = Store::Open(direct.store);
    if (!opened.ok()) {
      summary = opened.status();
    } else {
      store = *std::move(opened);
      if (direct.store.embedded()) {
        absl::Status created = store->CreateSchema(kExitFailure);
        if (!created.ok()) summary = created;
      }
    }
  }
  if (summary.ok()) {
    absl::StatusOr<std::unique_ptr<ioloop::Loop>> loop =
        ioloop::Loop::Create(options->loop);
    if (!loop.ok()) {
      summary = loop.status();
    } else {
      Stopper stopper(loop->get());
      ioloop::Task<ingest::IngestSummary> work =
          remote ? RunRemote(loop->get(), fd, *options, &printer, &stopper)
                 : RunDirect(loop->get(), fd, &*options, &direct,
                             &store->session_options(), &printer, &stopper);
      summary = (*loop)->RunUntilDone(
          WithSignals(loop->get(), &stopper, std::move(work)));
    }
  }
  if (fd != STDIN_FILENO) close(fd);
  if (store != nullptr) {
    absl::Status closed = store->Close();
    if (!closed.ok() && summary.ok() && summary->status.ok()) {
      summary->status = closed;
    }
  }
  return summary;
}

}  // namespace

int RunIngest(std::span<const std::string> arguments) {
  absl::Status status = ApplyLogLevel();
  if (status.ok() && arguments.size() != 1) {
    status = absl::InvalidArgumentError(
        arguments.empty() ? "no input: give a file, or - for standard input"
                          : "more than one input");
  }
  if (status.ok()) status = ioloop::BlockSignals({SIGINT, SIGTERM});
  if (!status.ok()) return FailCommand("ingest", status);
  signal(SIGPIPE, SIG_IGN);
  if (int fault = CheckBackend("ingest"); fault != kExitOk) return fault;
  absl::StatusOr<ingest::IngestSummary> summary = Ingest(arguments[0]);
  if (!summary.ok()) return FailCommand("ingest", summary.status());
  if (!summary->status.ok()) {
    // Flags were good: whatever it is, it is no matter of usage.
    FailCommand("ingest", summary->status);
  }
  Say(FormatSummary(summary->progress));
  if (summary->cursor.bytes > 0 && !summary->status.ok()) {
    Say(Cat("everything up to line ", summary->cursor.lines, " (byte ",
            summary->cursor.bytes, ", time_us ", summary->cursor.time_us,
            ") is dealt with"));
  }
  return summary->complete() ? kExitOk : kExitFailure;
}

}  // namespace app
