// `ringplane <command> --flag=value ...`: one table of commands, abseil's flags
// under each, and a configuration file that holds the same flags.
#ifndef RINGPLANE_SERVICE_APP_COMMAND_LINE_H_
#define RINGPLANE_SERVICE_APP_COMMAND_LINE_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace app {

// Exit statuses. sysexits(3) calls 78 EX_CONFIG: the machine, not the command
// line, is not as needed.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitSystem = 78;

// Flags that belong together in --help.
struct FlagGroup {
  std::string_view title;
  std::vector<std::string_view> flags;
};

struct Command {
  std::string_view name;
  // Of the positional arguments: "FILE|-", or empty.
  std::string_view arguments;
  // A line for the list of commands.
  std::string_view summary;
  std::vector<const FlagGroup*> groups;
  int (*run)(std::span<const std::string> arguments);
};

// Sets flags from `arguments` (after the command's name) and, before those,
// from the file that --config names. What is left is returned. "--" ends the
// flags. Errors are kInvalidArgument, one line that says which and why.
//
// A file has one `flag=value` or `--flag=value` a line; blank lines and what
// follows a '#' at a line's start are skipped. It may hold flags of other
// commands of `commands`, so that one file serves all.
absl::StatusOr<std::vector<std::string>> ParseFlags(
    const Command& command, std::span<const Command> commands,
    std::span<const std::string> arguments);

// What `ringplane <command> --help` prints: usage, and every flag with what it
// means and its default.
std::string CommandHelp(const Command& command);
// What `ringplane --help` prints.
std::string ProgramHelp(std::span<const Command> commands);

// Runs the command that `arguments` (without the program's name) asks for; the
// exit status. Errors are one line on standard error.
int RunCommand(std::span<const Command> commands,
               std::span<const std::string> arguments);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_COMMAND_LINE_H_
