#include "service/app/command_line.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::AbslView;
using ingest::Append;
using ingest::Cat;
using ingest::View;

constexpr size_t kHelpColumn = 6;
constexpr size_t kHelpWidth = 78;
constexpr size_t kConfigLinesMax = 10000;

absl::Status UsageError(std::string message) {
  return absl::InvalidArgumentError(message);
}

bool Has(const Command& command, std::string_view flag) {
  return std::any_of(
      command.groups.begin(), command.groups.end(), [&](const FlagGroup* g) {
        return std::find(g->flags.begin(), g->flags.end(), flag) !=
               g->flags.end();
      });
}

// One flag as it was written: "--name=value", "--name value", "--name" or
// "--noname".
struct Setting {
  std::string name;
  std::optional<std::string> value;
};

Setting SplitSetting(std::string_view text) {
  Setting setting;
  size_t equals = text.find('=');
  setting.name = text.substr(0, equals);
  if (equals != std::string_view::npos) setting.value = text.substr(equals + 1);
  return setting;
}

// abseil explains in sentences and lines; one line is promised here.
std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) {
    text.pop_back();
  }
  return text;
}

// Finds the flag that `setting` means among those that `allowed` knows, and
// turns "--nofoo" into "foo" and "false".
template <typename Allowed>
absl::CommandLineFlag* FindFlag(Setting* setting, Allowed allowed) {
  auto find = [&](const std::string& name) -> absl::CommandLineFlag* {
    return allowed(name) ? absl::FindCommandLineFlag(name) : nullptr;
  };
  if (absl::CommandLineFlag* flag = find(setting->name)) return flag;
  if (!setting->value.has_value() && setting->name.starts_with("no")) {
    std::string name = setting->name.substr(2);
    absl::CommandLineFlag* flag = find(name);
    if (flag != nullptr && flag->IsOfType<bool>()) {
      setting->name = std::move(name);
      setting->value = "false";
      return flag;
    }
  }
  return nullptr;
}

absl::Status SetFlag(absl::CommandLineFlag* flag, const Setting& setting) {
  std::string error;
  if (flag->ParseFrom(*setting.value, &error)) return absl::OkStatus();
  std::string reason = OneLine(error);
  // abseil starts with "Illegal value 'x' specified for flag 'y'".
  size_t more = reason.find("; ");
  return UsageError(
      Cat("--", setting.name, "=", *setting.value, ": not a valid value",
          more == std::string::npos ? "" : ": ",
          more == std::string::npos ? "" : reason.substr(more + 2)));
}

absl::Status ReadConfig(const std::string& path,
                        std::span<const Command> commands) {
  std::ifstream file(path);
  if (!file) {
    return UsageError(Cat("--config=", path, ": ", strerror(errno)));
  }
  auto allowed = [&](std::string_view name) {
    return name != "config" &&
           std::any_of(commands.begin(), commands.end(),
                       [&](const Command& c) { return Has(c, name); });
  };
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (number > kConfigLinesMax) {
      return UsageError(Cat(path, ": more than ", kConfigLinesMax, " lines"));
    }
    std::string_view text = View(absl::StripAsciiWhitespace(line));
    if (text.empty() || text.starts_with('#')) continue;
    if (text.starts_with("--")) text.remove_prefix(2);
    Setting setting = SplitSetting(text);
    setting.name = std::string(absl::StripAsciiWhitespace(setting.name));
    if (setting.value.has_value()) {
      setting.value = std::string(absl::StripAsciiWhitespace(*setting.value));
    }
    absl::CommandLineFlag* flag = FindFlag(&setting, allowed);
    if (flag == nullptr) {
      return UsageError(
          Cat(path, ":", number, ": unknown flag ", setting.name));
    }
    if (!setting.value.has_value()) {
      if (!flag->IsOfType<bool>()) {
        return UsageError(
            Cat(path, ":", number, ": ", setting.name, " has no value"));
      }
      setting.value = "true";
    }
    if (absl::Status status = SetFlag(flag, setting); !status.ok()) {
      return UsageError(Cat(path, ":", number, ": ", status.message()));
    }
  }
  if (file.bad()) {
    return UsageError(Cat("--config=", path, ": cannot be read"));
  }
  return absl::OkStatus();
}

void AppendWrapped(std::string_view text, std::string* out) {
  size_t column = 0;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    if (column > 0 && column + 1 + end > kHelpWidth) {
      out->push_back('\n');
      column = 0;
    }
    if (column == 0) {
      out->append(kHelpColumn, ' ');
      column = kHelpColumn;
    } else {
      out->push_back(' ');
      ++column;
    }
    out->append(text.substr(0, end));
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out->push_back('\n');
}

void AppendFlag(std::string_view name, std::string* out) {
  const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(AbslView(name));
  std::string value = flag->DefaultValue();
  if (flag->IsOfType<bool>()) {
    Append(out, "  --[no]", name, " (", value, ")\n");
  } else {
    Append(out, "  --", name, "=", value.empty() ? "\"\"" : value, "\n");
  }
  AppendWrapped(flag->Help(), out);
}

const Command* FindCommand(std::span<const Command> commands,
                           std::string_view name) {
  for (const Command& command : commands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

int Fail(std::string_view message) {
  std::string line = Cat("ringplane: ", message, "\n");
  fwrite(line.data(), 1, line.size(), stderr);
  return kExitUsage;
}

bool IsHelp(std::string_view text) {
  return text == "--help" || text == "-h" || text == "-help";
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseFlags(
    const Command& command, std::span<const Command> commands,
    std::span<const std::string> arguments) {
  std::vector<std::pair<absl::CommandLineFlag*, Setting>> settings;
  std::vector<std::string> rest;
  std::optional<std::string> config;
  auto allowed = [&](std::string_view name) { return Has(command, name); };
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view text = arguments[i];
    if (text == "--") {
      rest.insert(rest.end(), arguments.begin() + i + 1, arguments.end());
      break;
    }
    if (!text.starts_with('-') || text == "-") {
      rest.emplace_back(text);
      continue;
    }
    text.remove_prefix(text.starts_with("--") ? 2 : 1);
    Setting setting = SplitSetting(text);
    absl::CommandLineFlag* flag = FindFlag(&setting, allowed);
    if (flag == nullptr) {
      for (const Command& other : commands) {
        if (&other != &command && Has(other, setting.name)) {
          return UsageError(Cat("--", setting.name, ": not a flag of ",
                                command.name, ", but of ", other.name));
        }
      }
      return UsageError(Cat("--", setting.name, ": unknown flag; see ",
                            "ringplane ", command.name, " --help"));
    }
    if (!setting.value.has_value()) {
      if (flag->IsOfType<bool>()) {
        setting.value = "true";
      } else if (i + 1 < arguments.size()) {
        setting.value = arguments[++i];
      } else {
        return UsageError(Cat("--", setting.name, ": has no value"));
      }
    }
    if (setting.name == "config") config = setting.value;
    settings.emplace_back(flag, std::move(setting));
  }

  // The file first: what the command line says goes over it.
  if (config.has_value() && !config->empty()) {
    absl::Status status = ReadConfig(*config, commands);
    if (!status.ok()) return status;
  }
  for (const auto& [flag, setting] : settings) {
    absl::Status status = SetFlag(flag, setting);
    if (!status.ok()) return status;
  }
  return rest;
}

std::string CommandHelp(const Command& command) {
  std::string out = Cat("Usage: ringplane ", command.name, " [flags]",
                        command.arguments.empty() ? "" : " ", command.arguments,
                        "\n\n", command.summary, "\n");
  for (const FlagGroup* group : command.groups) {
    Append(&out, "\n", group->title, ":\n");
    for (std::string_view flag : group->flags) AppendFlag(flag, &out);
  }
  return out;
}

std::string ProgramHelp(std::span<const Command> commands) {
  std::string out = "Usage: ringplane <command> [flags]\n\nCommands:\n";
  for (const Command& command : commands) {
    Append(&out, "  ", command.name,
           std::string(command.name.size() < 10 ? 10 - command.name.size() : 1,
                       ' '),
           command.summary, "\n");
  }
  Append(&out, "\n\"ringplane <command> --help\" lists a command's flags.\n");
  return out;
}

int RunCommand(std::span<const Command> commands,
               std::span<const std::string> arguments) {
  if (arguments.empty()) {
    return Fail("no command; see ringplane --help");
  }
  std::string_view name = arguments[0];
  if (IsHelp(name) || name == "help") {
    std::string help = ProgramHelp(commands);
    fwrite(help.data(), 1, help.size(), stdout);
    return kExitOk;
  }
  if (name == "--version") name = "version";
  const Command* command = FindCommand(commands, name);
  if (command == nullptr) {
    return Fail(Cat(name, ": unknown command; see ringplane --help"));
  }
  for (const std::string& argument : arguments.subspan(1)) {
    if (argument == "--") break;
    if (!IsHelp(argument)) continue;
    std::string help = CommandHelp(*command);
    fwrite(help.data(), 1, help.size(), stdout);
    return kExitOk;
  }
  absl::StatusOr<std::vector<std::string>> rest =
      ParseFlags(*command, commands, arguments.subspan(1));
  if (!rest.ok()) {
    return Fail(Cat(command->name, ": ", rest.status().message()));
  }
  if (!rest->empty() && command->arguments.empty()) {
    return Fail(Cat(command->name, ": unexpected argument ", (*rest)[0]));
  }
  return command->run(*rest);
}

}  // namespace app
