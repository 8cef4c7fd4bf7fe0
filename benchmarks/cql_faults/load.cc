// The load that the faults are measured under. A worker writes a row of its own
// and reads one that was acknowledged, in turn; every fourth worker instead
// adds to counters, which servers delay and refuse for reasons of their own.
//
//   cql_faults_load ADDRESS[,ADDRESS...] WORKERS EVENTS
//
// Every operation is a line of the file EVENTS: when it ended (µs since 1970),
// its kind (w, r or c), how long it took (µs), and `ok` or its error. SIGTERM
// ends the load; all that was acknowledged is then read back, and a line of
// JSON tells what became of it.
#include <signal.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cql/query.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "ioloop/signals.h"
#include "ioloop/task.h"

namespace {

constexpr absl::Duration kTimeout = absl::Seconds(2);
constexpr absl::Duration kSlow = absl::Milliseconds(250);

// The first byte of a row's key is its worker's number.
int64_t Key(int64_t worker, int64_t number) { return worker << 40 | number; }

// What a row says depends on its key, so an answer for another one shows.
std::string Value(int64_t key) {
  return absl::StrCat("row ", key, " of ", static_cast<uint64_t>(key) * 31);
}

struct Statements {
  const cql::PreparedStatement* write = nullptr;
  const cql::PreparedStatement* read = nullptr;
  const cql::PreparedStatement* add = nullptr;
  const cql::PreparedStatement* count = nullptr;
};

constexpr int64_t kCounters = 8;

// How often one counter was added to.
struct Counter {
  int64_t attempts = 0;
  int64_t acknowledged = 0;
};

// Of the whole load.
struct Load {
  cql::Session* session = nullptr;
  Statements statements;
  FILE* events = nullptr;
  std::vector<int64_t> acknowledged;  // Keys of rows.
  std::array<Counter, kCounters> counters;
  bool stop = false;
  int64_t foreign = 0;  // Answers that are another query's.
  int64_t lost = 0;     // Acknowledged rows that a later read did not find.
};

void Record(Load* load, char kind, absl::Time begin,
            const absl::Status& status) {
  const absl::Time end = absl::Now();
  std::string error = status.ok() ? "ok" : status.ToString();
  for (char& c : error) {
    if (c == '\n') c = ' ';
  }
  std::fprintf(load->events, "%lld %c %lld %s\n",
               static_cast<long long>(absl::ToUnixMicros(end)), kind,
               static_cast<long long>(absl::ToInt64Microseconds(end - begin)),
               error.c_str());
}

ioloop::Task<absl::Status> Write(Load* load, int64_t key) {
  const std::string value = Value(key);
  cql::Query query =
      load->session->Execute(*load->statements.write, key, value);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<absl::Status> Read(Load* load, int64_t key) {
  cql::Query query = load->session->Execute(*load->statements.read, key);
  absl::StatusOr<cql::Rows> rows = co_await query;
  if (!rows.ok()) co_return rows.status();
  int64_t told = 0;
  std::string_view value;
  absl::StatusOr<bool> found = rows->ReadFirst(&told, &value);
  if (!found.ok()) co_return found.status();
  if (!*found) {
    ++load->lost;
  } else if (told != key || value != Value(key)) {
    ++load->foreign;
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> Add(Load* load, int64_t id) {
  cql::Query query = load->session->Execute(*load->statements.add, id);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

ioloop::Task<void> WriteAndRead(Load* load, int64_t worker) {
  absl::BitGen random;
  for (int64_t number = 0; !load->stop; ++number) {
    const int64_t key = Key(worker, number);
    absl::Time begin = absl::Now();
    absl::Status status = co_await Write(load, key);
    Record(load, 'w', begin, status);
    if (status.ok()) load->acknowledged.push_back(key);
    if (load->stop || load->acknowledged.empty()) continue;
    const size_t chosen =
        absl::Uniform(random, size_t{0}, load->acknowledged.size());
    begin = absl::Now();
    status = co_await Read(load, load->acknowledged[chosen]);
    Record(load, 'r', begin, status);
  }
}

ioloop::Task<void> Count(Load* load) {
  absl::BitGen random;
  while (!load->stop) {
    const int64_t id = absl::Uniform(random, int64_t{0}, kCounters);
    Counter* counter = &load->counters[static_cast<size_t>(id)];
    ++counter->attempts;
    const absl::Time begin = absl::Now();
    absl::Status status = co_await Add(load, id);
    Record(load, 'c', begin, status);
    if (status.ok()) ++counter->acknowledged;
  }
}

// Reads with patience: the cluster may still be healing.
ioloop::Task<absl::Status> ReadBack(Load* load, int64_t key) {
  absl::Status status;
  for (int attempt = 0; attempt < 20; ++attempt) {
    status = co_await Read(load, key);
    if (status.ok()) break;
  }
  co_return status;
}

ioloop::Task<absl::StatusOr<int64_t>> ReadCounter(Load* load, int64_t id) {
  absl::Status status;
  for (int attempt = 0; attempt < 20; ++attempt) {
    cql::Query query = load->session->Execute(*load->statements.count, id);
    absl::StatusOr<cql::Rows> rows = co_await query;
    int64_t count = 0;
    if (!rows.ok()) {
      status = rows.status();
      continue;
    }
    absl::StatusOr<bool> found = rows->ReadFirst(&count);
    if (!found.ok()) co_return found.status();
    co_return count;
  }
  co_return status;
}

ioloop::Task<absl::Status> Verify(Load* load) {
  load->lost = 0;
  for (const int64_t key : load->acknowledged) {
    absl::Status status = co_await ReadBack(load, key);
    if (!status.ok()) co_return status;
  }
  int wrong = 0;
  for (int64_t id = 0; id < kCounters; ++id) {
    const Counter& counter = load->counters[static_cast<size_t>(id)];
    absl::StatusOr<int64_t> count = co_await ReadCounter(load, id);
    if (!count.ok()) co_return count.status();
    if (*count >= counter.acknowledged && *count <= counter.attempts) continue;
    ++wrong;
    std::fprintf(stderr, "counter %d is %lld: %lld acknowledged, %lld tried\n",
                 static_cast<int>(id), static_cast<long long>(*count),
                 static_cast<long long>(counter.acknowledged),
                 static_cast<long long>(counter.attempts));
  }
  std::printf(
      "{\"acknowledged\": %zu, \"lost\": %lld, \"foreign\": %lld, "
      "\"wrong_counters\": %d}\n",
      load->acknowledged.size(), static_cast<long long>(load->lost),
      static_cast<long long>(load->foreign), wrong);
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> PrepareAll(cql::Session* session,
                                      Statements* statements) {
  struct Wanted {
    const cql::PreparedStatement** statement;
    const char* text;
    cql::StatementOptions options;
  };
  // Another node is asked when the first one takes long.
  cql::SpeculationOptions speculation;
  speculation.extra_max = 1;
  speculation.delay = kSlow;
  const Wanted wanted[] = {
      {&statements->write,
       "INSERT INTO faults.rows (key, value) VALUES (?, ?)",
       {.access = cql::Access::kWrite,
        .idempotent = true,
        .speculation = speculation}},
      {&statements->read,
       "SELECT key, value FROM faults.rows WHERE key = ?",
       {.idempotent = true, .speculation = speculation}},
      {&statements->add,
       "UPDATE faults.counters SET n = n + 1 WHERE id = ?",
       {.access = cql::Access::kWrite}},
      {&statements->count,
       "SELECT n FROM faults.counters WHERE id = ?",
       {.idempotent = true}},
  };
  for (const Wanted& each : wanted) {
    std::string text = each.text;
    auto prepared = co_await session->Prepare(std::move(text), each.options);
    if (!prepared.ok()) co_return prepared.status();
    *each.statement = *prepared;
  }
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> RunLoad(ioloop::Loop* loop, cql::Session* session,
                                   int workers, FILE* events) {
  Load load;
  load.session = session;
  load.events = events;
  absl::Status prepared = co_await PrepareAll(session, &load.statements);
  if (!prepared.ok()) co_return prepared;
  auto signals = ioloop::SignalSet::Create(loop, {SIGTERM});
  if (!signals.ok()) co_return signals.status();

  ioloop::TaskGroup group;
  for (int worker = 0; worker < workers; ++worker) {
    group.Spawn(worker % 4 == 3 ? Count(&load) : WriteAndRead(&load, worker));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  static_cast<void>(co_await (*signals)->Next());
  load.stop = true;
  co_await group.Join();
  co_return co_await Verify(&load);
}

ioloop::Task<absl::Status> Run(ioloop::Loop* loop, const char* addresses,
                               int workers, FILE* events) {
  cql::SessionOptions options;
  options.contact_points =
      std::vector<std::string>(absl::StrSplit(addresses, ','));
  options.read_consistency = cql::Consistency::kQuorum;
  options.write_consistency = cql::Consistency::kQuorum;
  options.request_timeout = kTimeout;
  auto session = co_await cql::Session::Connect(loop, std::move(options));
  if (!session.ok()) co_return session.status();
  absl::Status status = co_await RunLoad(loop, session->get(), workers, events);
  co_await (*session)->Close();
  co_return status;
}

}  // namespace

int main(int argc, char** argv) {
  int workers = 0;
  if (argc != 4 || !absl::SimpleAtoi(argv[2], &workers) || workers < 1 ||
      workers > 255) {
    std::fprintf(stderr,
                 "usage: cql_faults_load ADDRESS[,ADDRESS...] WORKERS "
                 "EVENTS\n");
    return 2;
  }
  FILE* events = std::fopen(argv[3], "we");
  if (events == nullptr || !ioloop::BlockSignals({SIGTERM}).ok()) {
    std::perror(argv[3]);
    return EXIT_FAILURE;
  }
  auto loop = ioloop::Loop::Create({});
  absl::Status status = loop.status();
  if (status.ok()) {
    status = (*loop)->RunUntilDone(Run(loop->get(), argv[1], workers, events));
  }
  std::fclose(events);
  if (!status.ok()) {
    std::fprintf(stderr, "cql_faults_load: %s\n", status.ToString().c_str());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
