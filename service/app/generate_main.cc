// `ringplane generate`: a synthetic network to a file or standard output.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "absl/flags/flag.h"
#include "service/app/command_line.h"
#include "service/app/commands.h"
#include "service/app/flags.h"
#include "service/app/options.h"
#include "service/ingest/generate.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Cat;

constexpr size_t kWriteBytes = 1 << 20;

absl::Status WriteAll(int fd, const std::string& name, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return absl::UnavailableError(Cat(name, ": ", strerror(errno)));
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Generate() {
  absl::StatusOr<ingest::GenerateOptions> options = GetGenerateOptions();
  if (!options.ok()) return options.status();
  const std::string path = absl::GetFlag(FLAGS_output);
  int fd = STDOUT_FILENO;
  if (path != "-") {
    fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
      return absl::UnavailableError(
          Cat("--output=", path, ": ", strerror(errno)));
    }
  }
  const std::string name = path == "-" ? "standard output" : path;
  ingest::Generator generator(*options);
  std::string text;
  absl::Status status;
  bool more = true;
  while (more && status.ok()) {
    more = generator.Next(&text);
    if (!more || text.size() >= kWriteBytes) {
      status = WriteAll(fd, name, text);
      text.clear();
    }
  }
  if (fd != STDOUT_FILENO && close(fd) != 0 && status.ok()) {
    status = absl::UnavailableError(Cat(name, ": ", strerror(errno)));
  }
  return status;
}

}  // namespace

int RunGenerate(std::span<const std::string>) {
  absl::Status status = ApplyLogLevel();
  if (status.ok()) status = Generate();
  return status.ok() ? kExitOk : FailCommand("generate", status);
}

}  // namespace app
