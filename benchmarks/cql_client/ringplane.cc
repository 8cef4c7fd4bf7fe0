// The client under study: one session on one loop, as its users have it.
//
//   ringplane --port=P --in-flight=W [--queries=N]
//
// Each request in flight is a coroutine that asks, waits, reads the ten columns
// of the row and asks again. With --queries it ends after that many answers.
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "benchmarks/cql_client/workload.h"
#include "benchmarks/socket_scaling/measure.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace cql_client {
namespace {

using socket_scaling::Counts;
using socket_scaling::Die;

struct Client {
  ioloop::Loop* loop;
  std::unique_ptr<cql::Session> session;
  const cql::PreparedStatement* select = nullptr;
  Counts counts;
  Keys keys;
  uint64_t queries = 0;  // To be answered; 0: without end.
};

// The ten columns, as views of the row where a view will do.
bool ReadRow(const cql::Rows& rows, int64_t key) {
  int64_t read_key = 0;
  std::string_view author, uri, body, digest;
  absl::Time created_at;
  int32_t likes = 0;
  double score = 0;
  bool pinned = false;
  cql::Uuid id;
  const absl::StatusOr<bool> found =
      rows.ReadFirst(&read_key, &author, &uri, &body, &created_at, &likes,
                     &score, &pinned, &id, &digest);
  return found.ok() && *found && read_key == key && likes == kLikes;
}

ioloop::Task<> Ask(Client* client, uint32_t number) {
  const bool timed = number % kTimedEvery == 0;
  for (;;) {
    const int64_t key = client->keys.Next();
    const int64_t sent_ns = timed ? socket_scaling::NowNs() : 0;
    cql::Query query = client->session->Execute(*client->select, key);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) Die(rows.status().ToString());
    if (!ReadRow(*rows, key)) Die("not the row that was asked for");
    if (timed) {
      client->counts.latency.Add(
          static_cast<uint64_t>(socket_scaling::NowNs() - sent_ns));
    }
    client->counts.events.Add(1);
    if (client->counts.events.Get() == client->queries) client->loop->Stop();
  }
}

ioloop::Task<> Connect(Client* client, uint16_t port) {
  cql::SessionOptions options;
  options.contact_points = {absl::StrCat("127.0.0.1:", port)};
  options.read_consistency = cql::Consistency::kLocalOne;
  options.connect_timeout = absl::Seconds(20);
  auto session = co_await cql::Session::Connect(client->loop, options);
  if (!session.ok()) Die(session.status().ToString());
  client->session = *std::move(session);
  auto select =
      co_await client->session->Prepare(kSelect, {.idempotent = true});
  if (!select.ok()) Die(select.status().ToString());
  client->select = *select;
  client->loop->Stop();
}

bool SaidGo() {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, 0) > 0;
}

[[noreturn]] void Run(const socket_scaling::Args& args) {
  socket_scaling::Reporter reporter;
  auto loop = ioloop::Loop::Create({});
  if (!loop.ok()) socket_scaling::Skip(loop.status().ToString());
  Client client{.loop = loop->get()};
  client.queries = static_cast<uint64_t>(args.Get("queries", 0));
  socket_scaling::Say("started");
  socket_scaling::AwaitGo();
  ioloop::TaskGroup tasks;
  tasks.Spawn(Connect(&client, static_cast<uint16_t>(args.Get("port", 0))));
  static_cast<void>((*loop)->Run());
  socket_scaling::Say("connected");

  // The pools fill until the study's next word.
  while (!SaidGo()) {
    static_cast<void>((*loop)->RunOnce(absl::Milliseconds(10)));
  }
  socket_scaling::AwaitGo();
  reporter.Start({&client.counts},
                 [&](socket_scaling::Reporter::Totals* totals) {
                   totals->turns = client.loop->stats().turns;
                   totals->syscalls = client.loop->stats().system_calls;
                 });
  const auto in_flight = static_cast<uint32_t>(args.Get("in-flight", 1));
  for (uint32_t i = 0; i < in_flight; ++i) tasks.Spawn(Ask(&client, i));
  static_cast<void>((*loop)->Run());
  if (client.queries == 0) Die("the loop ended");
  _exit(EXIT_SUCCESS);
}

}  // namespace
}  // namespace cql_client

int main(int argc, char** argv) {
  cql_client::Run(socket_scaling::Args(argc, argv));
}
