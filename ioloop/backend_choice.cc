#include "ioloop/backend_choice.h"

#include <stdlib.h>

#include "absl/strings/str_cat.h"

namespace ioloop {
namespace {

constexpr char kVariable[] = "RINGPLANE_IO_BACKEND";

}  // namespace

absl::StatusOr<BackendKind> ParseBackendKind(std::string_view text) {
  for (BackendKind kind :
       {BackendKind::kAuto, BackendKind::kUring, BackendKind::kEpoll}) {
    if (text == BackendKindName(kind)) return kind;
  }
  return absl::InvalidArgumentError("not auto, uring or epoll");
}

std::string_view BackendKindName(BackendKind kind) {
  switch (kind) {
    case BackendKind::kUring:
      return "uring";
    case BackendKind::kEpoll:
      return "epoll";
    case BackendKind::kAuto:
      break;
  }
  return "auto";
}

absl::StatusOr<BackendKind> ResolveBackendKind(BackendKind asked) {
  const char* value = getenv(kVariable);
  if (asked != BackendKind::kAuto || value == nullptr || *value == '\0') {
    return asked;
  }
  absl::StatusOr<BackendKind> kind = ParseBackendKind(value);
  if (kind.ok()) return kind;
  return absl::InvalidArgumentError(absl::StrCat("environment variable ",
                                                 kVariable, "=", value, ": ",
                                                 kind.status().message()));
}

}  // namespace ioloop
