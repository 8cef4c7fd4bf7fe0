// refuse_io_uring HOW COMMAND [ARGUMENT...]: runs COMMAND where io_uring is
// refused. HOW is eperm or enosys (a seccomp filter's answer), or memlock (a
// limit on locked memory; as nobody if started by root).
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "tests/ioloop/refusals.h"

int main(int argc, char** argv) {
  const std::string_view how = argc > 2 ? argv[1] : "";
  // Before this process may be nobody, whom the path need not let through.
  const int program = argc > 2 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
  bool done = false;
  if (how == "eperm" || how == "enosys") {
    done =
        ioloop::DenyCall(__NR_io_uring_setup, how == "eperm" ? EPERM : ENOSYS);
  } else if (how == "memlock") {
    done = ioloop::TakeLockedMemory();
  } else {
    fprintf(stderr, "usage: %s eperm|enosys|memlock COMMAND...\n", argv[0]);
    return 2;
  }
  if (!done) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    return 2;
  }
  fexecve(program, argv + 2, environ);
  fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
  return 2;
}
