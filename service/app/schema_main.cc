// `ringplane schema`: prints the tables, or creates them.

#include <signal.h>

#include "absl/flags/flag.h"
#include "ioloop/signals.h"
#include "service/app/command_line.h"
#include "service/app/commands.h"
#include "service/app/flags.h"
#include "service/app/kernel_report.h"
#include "service/app/options.h"
#include "service/app/schema.h"
#include "service/app/store.h"
#include "service/ingest/text.h"

namespace app {
namespace {

absl::Status Schema() {
  absl::StatusOr<StoreOptions> options = GetStoreOptions();
  if (!options.ok()) return options.status();
  if (!absl::GetFlag(FLAGS_apply)) {
    Say(SchemaScript(options->session.keyspace, options->replication));
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(*options);
  if (!store.ok()) return store.status();
  absl::Status status = (*store)->CreateSchema(kExitFailure);
  absl::Status closed = (*store)->Close();
  if (status.ok()) status = closed;
  if (status.ok()) {
    Say(ingest::Cat("keyspace ", options->session.keyspace,
                    " has every table, and the nodes agree"));
  }
  return status;
}

}  // namespace

int RunSchema(std::span<const std::string>) {
  absl::Status status = ApplyLogLevel();
  if (status.ok() && absl::GetFlag(FLAGS_apply)) {
    if (int fault = CheckBackend("schema"); fault != kExitOk) return fault;
    // Before the embedded node's thread exists, so that it leaves them alone.
    status = ioloop::BlockSignals({SIGINT, SIGTERM});
  }
  if (status.ok()) status = Schema();
  return status.ok() ? kExitOk : FailCommand("schema", status);
}

}  // namespace app
