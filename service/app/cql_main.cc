// `ringplane cql`: a shell for the store.

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "ioloop/log.h"
#include "ioloop/loop.h"
#include "service/app/command_line.h"
#include "service/app/commands.h"
#include "service/app/flags.h"
#include "service/app/kernel_report.h"
#include "service/app/options.h"
#include "service/ingest/text.h"
#include "service/shell/shell.h"

namespace app {
namespace {

// Where a node of one's own listens.
constexpr char kDefaultContactPoint[] = "127.0.0.1:9042";

absl::StatusOr<shell::Options> GetShellOptions(
    std::span<const std::string> contact_points) {
  if (!contact_points.empty()) {
    absl::SetFlag(&FLAGS_cql, std::vector<std::string>(contact_points.begin(),
                                                       contact_points.end()));
  } else if (absl::GetFlag(FLAGS_cql).empty()) {
    absl::SetFlag(&FLAGS_cql, std::vector<std::string>{kDefaultContactPoint});
  }
  absl::StatusOr<StoreOptions> store = GetStoreOptions();
  if (!store.ok()) return store.status();
  shell::Options options;
  options.session = std::move(store->session);
  options.session.keyspace = absl::GetFlag(FLAGS_use);
  const std::string format = absl::GetFlag(FLAGS_format);
  const std::optional<shell::Format> parsed = shell::ParseFormat(format);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(
        ingest::Cat("--format=", format, ": neither table, csv nor json"));
  }
  options.format = *parsed;
  options.page_size = absl::GetFlag(FLAGS_page_size);
  if (options.page_size < 0) {
    return absl::InvalidArgumentError(
        ingest::Cat("--page_size=", options.page_size, ": less than 0"));
  }
  return options;
}

absl::Status RunShell(shell::Options options,
                      const ioloop::Loop::Options& loop_options) {
  absl::StatusOr<std::unique_ptr<ioloop::Loop>> loop =
      ioloop::Loop::Create(loop_options);
  if (!loop.ok()) return loop.status();
  const std::string statements = absl::GetFlag(FLAGS_e);
  options.interactive =
      statements.empty() && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  shell::Shell shell(loop->get(), std::move(options));
  absl::Status status = shell.Connect();
  if (!status.ok()) return status;
  return statements.empty() ? shell.RunInput(STDIN_FILENO)
                            : shell.RunText(statements);
}

}  // namespace

int RunCql(std::span<const std::string> contact_points) {
  if (int fault = CheckBackend("cql"); fault != kExitOk) return fault;
  // What a statement comes to is said; how its connections fare is not.
  ioloop::SetLogLevel(ioloop::LogLevel::kError);
  absl::StatusOr<shell::Options> options = GetShellOptions(contact_points);
  if (!options.ok()) return FailCommand("cql", options.status());
  absl::StatusOr<ioloop::Loop::Options> loop_options = GetBackendOptions();
  if (!loop_options.ok()) return FailCommand("cql", loop_options.status());
  absl::Status status = RunShell(*std::move(options), *loop_options);
  if (status.ok()) return kExitOk;
  // A statement that is wrong is no wrong use of the program.
  FailCommand("cql", status);
  return kExitFailure;
}

}  // namespace app
