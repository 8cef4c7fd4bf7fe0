// ringplane: the dataplane of a Bluesky AppView, and what fills it.

#include <string>
#include <vector>

#include "service/app/command_line.h"
#include "service/app/commands.h"
#include "service/app/flags.h"

int main(int argc, char** argv) {
  using namespace app;  // NOLINT: a table of names from one namespace.
  const std::vector<Command> commands = {
      {"serve",
       "",
       "Serves bsky.Service over gRPC, gRPC-Web and Connect.",
       {&kCommonFlags, &kListenFlags, &kStoreFlags, &kNodeFlags, &kRedisFlags,
        &kLoopFlags, &kBackendFlags, &kServerFlags, &kDataplaneFlags,
        &kIndexerFlags},
       &RunServe},
      {"ingest",
       "FILE|-",
       "Applies Jetstream lines to a running service, or directly to the "
       "store.",
       {&kCommonFlags, &kIngestFlags, &kStoreFlags, &kNodeFlags, &kRedisFlags,
        &kBackendFlags, &kIndexerFlags},
       &RunIngest},
      {"generate",
       "",
       "Invents a network, as Jetstream lines; the same for the same flags.",
       {&kCommonFlags, &kGenerateFlags},
       &RunGenerate},
      {"schema",
       "",
       "Prints the tables that the service needs, or creates them.",
       {&kCommonFlags, &kSchemaFlags, &kStoreFlags, &kNodeFlags,
        &kBackendFlags},
       &RunSchema},
      {"cql",
       "[HOST:PORT ...]",
       "Runs CQL statements and prints what they give.",
       {&kConfigFlags, &kShellFlags, &kShellStoreFlags, &kBackendFlags},
       &RunCql},
      {"version", "", "Says which version this is.", {}, &RunVersion},
  };
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return RunCommand(commands, arguments);
}
