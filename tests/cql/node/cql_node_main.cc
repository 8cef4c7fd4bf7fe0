// Runs a node until SIGTERM or SIGINT, for tests that need it as a process.
//
//   cql_node_main --data=DIR [--shards=N] [--sync=disk|process]
//                 [--username=U --password=P]
//
// Prints "listening on HOST:PORT shard-aware HOST:PORT" when it is ready, and
// at its end how the EXECUTEs of one partition each were routed:
// "executes N on-own-shard N by-shard-aware-port N shards N".
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "cql/node/server.h"
#include "ioloop/loop.h"
#include "ioloop/signals.h"

namespace {

bool Take(std::string_view argument, std::string_view name,
          std::string* value) {
  if (argument.substr(0, name.size()) != name) return false;
  *value = std::string(argument.substr(name.size()));
  return true;
}

ioloop::Task<void> UntilSignal(ioloop::SignalSet* signals) {
  static_cast<void>(co_await signals->Next());
}

void PrintRouting(const cql::node::Node& node) {
  size_t executes = 0;
  size_t on_own_shard = 0;
  size_t by_port = 0;
  std::set<uint32_t> shards;
  for (const cql::node::ExecuteLogEntry& entry : node.executes()) {
    // The drivers' own reads of the schema go where their control connection
    // is.
    if (!entry.token_shard.has_value() ||
        entry.statement.find("system") != std::string::npos) {
      continue;
    }
    ++executes;
    if (*entry.token_shard == entry.shard) ++on_own_shard;
    if (entry.shard_aware_port) ++by_port;
    shards.insert(entry.shard);
  }
  std::printf(
      "executes %zu on-own-shard %zu by-shard-aware-port %zu shards %zu\n",
      executes, on_own_shard, by_port, shards.size());
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "cql_node_main: %s\n", status.ToString().c_str());
  return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  cql::node::NodeOptions options;
  options.port = 0;
  options.shard_aware_port = 0;
  options.execute_log_max = 100000;
  for (int i = 1; i < argc; ++i) {
    std::string value;
    if (Take(argv[i], "--data=", &options.data_dir) ||
        Take(argv[i], "--username=", &options.username) ||
        Take(argv[i], "--password=", &options.password)) {
      continue;
    }
    if (Take(argv[i], "--shards=", &value)) {
      options.shards = static_cast<uint32_t>(std::atoi(value.c_str()));
    } else if (Take(argv[i], "--sync=", &value)) {
      options.sync = value == "process" ? cql::node::SyncMode::kProcess
                                        : cql::node::SyncMode::kDisk;
    } else {
      std::fprintf(stderr, "cql_node_main: unknown argument %s\n", argv[i]);
      return 2;
    }
  }

  absl::Status status = ioloop::BlockSignals({SIGTERM, SIGINT});
  if (!status.ok()) return Fail(status);
  auto loop = ioloop::Loop::Create({});
  if (!loop.ok()) return Fail(loop.status());
  auto signals = ioloop::SignalSet::Create(loop->get(), {SIGTERM, SIGINT});
  if (!signals.ok()) return Fail(signals.status());
  auto node = cql::node::Node::Start(loop->get(), options);
  if (!node.ok()) return Fail(node.status());

  std::printf("listening on %s shard-aware %s\n",
              (*node)->address().ToString().c_str(),
              (*node)->shard_aware_address().ToString().c_str());
  std::fflush(stdout);
  (*loop)->RunUntilDone(UntilSignal(signals->get()));
  PrintRouting(**node);
  (*loop)->RunUntilDone((*node)->Stop());
  return EXIT_SUCCESS;
}
