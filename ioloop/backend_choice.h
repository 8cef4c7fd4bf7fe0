// Which of the kernel's interfaces carries a loop's operations.
#ifndef RINGPLANE_IOLOOP_BACKEND_CHOICE_H_
#define RINGPLANE_IOLOOP_BACKEND_CHOICE_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace ioloop {

enum class BackendKind {
  // io_uring where the kernel lets us, else epoll; a line in the log says
  // which, why, and what would change it. The environment variable
  // RINGPLANE_IO_BACKEND (auto, uring or epoll) goes over this, and only this.
  kAuto,
  kUring,  // An error where io_uring is refused.
  kEpoll,
};

// "auto", "uring" or "epoll"; kInvalidArgument for anything else.
absl::StatusOr<BackendKind> ParseBackendKind(std::string_view text);
std::string_view BackendKindName(BackendKind kind);

// `asked`, or for kAuto what RINGPLANE_IO_BACKEND says if it is set.
// kInvalidArgument, naming the variable, if it says nonsense.
absl::StatusOr<BackendKind> ResolveBackendKind(BackendKind asked);

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_BACKEND_CHOICE_H_
