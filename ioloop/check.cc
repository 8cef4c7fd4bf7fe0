#include "ioloop/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace ioloop::internal {

void CheckFailed(const char* condition, const char* file, int line,
                 std::string_view message) {
  std::string text = "CHECK failed: ";
  text.append(condition).append(" (").append(file).append(":");
  text.append(std::to_string(line)).append(")");
  if (!message.empty()) text.append(" ").append(message);
  text.append("\n");
  // One write, so that lines of several threads do not mix.
  static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
  std::abort();
}

}  // namespace ioloop::internal
