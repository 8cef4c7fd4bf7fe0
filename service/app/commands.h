// The commands of `ringplane`. Each returns the process's exit status.
#ifndef RINGPLANE_SERVICE_APP_COMMANDS_H_
#define RINGPLANE_SERVICE_APP_COMMANDS_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace app {

int RunServe(std::span<const std::string> arguments);
int RunIngest(std::span<const std::string> arguments);
int RunGenerate(std::span<const std::string> arguments);
int RunSchema(std::span<const std::string> arguments);
int RunCql(std::span<const std::string> contact_points);
int RunVersion(std::span<const std::string> arguments);

// "ringplane <command>: <status's message>" on standard error; returns the exit
// status: 2 for kInvalidArgument, else 1.
int FailCommand(std::string_view command, const absl::Status& status);

// A line on standard output, at once.
void Say(std::string_view line);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_COMMANDS_H_
