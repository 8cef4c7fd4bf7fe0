#include "ioloop/signals.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "ioloop/await.h"
#include "ioloop/check.h"

namespace ioloop {
namespace {

sigset_t MaskOf(std::initializer_list<int> signals) {
  sigset_t mask;
  sigemptyset(&mask);
  for (int signal : signals) sigaddset(&mask, signal);
  return mask;
}

}  // namespace

absl::Status BlockSignals(std::initializer_list<int> signals) {
  const sigset_t mask = MaskOf(signals);
  const int error = pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("pthread_sigmask: ", strerror(error)));
}

absl::StatusOr<std::unique_ptr<SignalSet>> SignalSet::Create(
    Loop* loop, std::initializer_list<int> signals) {
  const sigset_t mask = MaskOf(signals);
  const int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("signalfd: ", strerror(errno)));
  }
  return std::unique_ptr<SignalSet>(new SignalSet(loop, fd));
}

SignalSet::~SignalSet() {
  RINGPLANE_CHECK(waiting_ == nullptr, "a SignalSet died awaited");
  close(fd_);
}

Task<absl::StatusOr<int>> SignalSet::Next(StopToken stop) {
  RINGPLANE_CHECK(waiting_ == nullptr, "a SignalSet has one waiter");
  for (;;) {
    if (cancelled_ || stop.stop_requested()) {
      co_return absl::Status(absl::StatusCode::kCancelled, "");
    }
    signalfd_siginfo info;
    const ssize_t got = read(fd_, &info, sizeof(info));
    if (got == static_cast<ssize_t>(sizeof(info))) {
      co_return static_cast<int>(info.ssi_signo);
    }
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
      co_return absl::InternalError(
          absl::StrCat("signalfd: ", strerror(errno)));
    }
    Request request;
    request.kind = OpKind::kPoll;
    request.fd = fd_;
    request.flags = POLLIN;
    RequestAwaiter readable(loop_, request);
    waiting_ = &readable;
    co_await WithStop(readable, stop);
    waiting_ = nullptr;
  }
}

void SignalSet::Cancel() {
  cancelled_ = true;
  if (waiting_ != nullptr) loop_->Cancel(waiting_);
}

}  // namespace ioloop
