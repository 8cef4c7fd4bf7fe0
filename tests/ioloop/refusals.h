// Ways in which machines refuse io_uring, done to this process and what it
// starts. None can be undone: use a child.
#ifndef RINGPLANE_TESTS_IOLOOP_REFUSALS_H_
#define RINGPLANE_TESTS_IOLOOP_REFUSALS_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace ioloop {

// A seccomp filter that answers the system call `number` with `error`: for
// io_uring_setup and EPERM what container engines ship, with ENOSYS what older
// ones do. False if the kernel does not take it.
inline bool DenyCall(uint32_t number, int error) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K,
               SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// No locked memory, and not root, whom that limit does not bind.
inline bool TakeLockedMemory() {
  constexpr uid_t kNobody = 65534;
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return false;
  return geteuid() != 0 || (setresgid(kNobody, kNobody, kNobody) == 0 &&
                            setresuid(kNobody, kNobody, kNobody) == 0);
}

// Not a descriptor more than there are.
inline bool TakeDescriptors(rlim_t but = 0) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int next = dup(0);
  if (next < 0) return false;
  close(next);
  limit.rlim_cur = static_cast<rlim_t>(next) + but;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// Runs `body` in a child; the text that it returns comes back.
template <typename Body>
std::string InChild(Body body) {
  int fds[2];
  if (pipe(fds) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    close(fds[0]);
    const std::string text = body();
    static_cast<void>(!write(fds[1], text.data(), text.size()));
    _exit(0);
  }
  close(fds[1]);
  std::string text;
  char part[4096];
  for (ssize_t got; (got = read(fds[0], part, sizeof(part))) > 0;) {
    text.append(part, static_cast<size_t>(got));
  }
  close(fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return "the child crashed";
  return text;
}

}  // namespace ioloop

#endif  // RINGPLANE_TESTS_IOLOOP_REFUSALS_H_
