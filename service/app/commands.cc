#include "service/app/commands.h"

#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "service/app/command_line.h"
#include "service/app/flags.h"
#include "service/app/options.h"
#include "service/app/version.h"
#include "service/ingest/text.h"

namespace app {

int FailCommand(std::string_view command, const absl::Status& status) {
  std::string line =
      ingest::Cat("ringplane: ", command, ": ", status.message(), "\n");
  fwrite(line.data(), 1, line.size(), stderr);
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailure;
}

void Say(std::string_view line) {
  std::string text = ingest::Cat(line, "\n");
  fwrite(text.data(), 1, text.size(), stdout);
  fflush(stdout);
}

int RunVersion(std::span<const std::string>) {
  Say(ingest::Cat("ringplane ", kVersion));
  return kExitOk;
}

}  // namespace app
