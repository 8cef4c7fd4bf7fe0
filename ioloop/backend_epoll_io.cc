// What the kernel does for io_uring's operations, done by EpollBackend: one try
// at an operation whose descriptor is ready.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
// liburing's own io_uring.h, for the layout of received messages.
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ioloop/backend_epoll.h"
#include "ioloop/internal/asan.h"

namespace ioloop {

EpollBackend::Progress EpollBackend::Try(uint32_t slot, uint32_t events) {
  switch (slots_[slot].kind) {
    case OpKind::kReceive:
      return TryReceive(slot, events);
    case OpKind::kReceiveMessage:
      return TryReceiveMessage(slot);
    case OpKind::kAccept:
      return TryAccept(slot);
    case OpKind::kSend:
      return TrySend(slot);
    case OpKind::kSendMessage: {
      const Waiting& waiting = slots_[slot];
      const long sent = SendMessage(waiting.fd, waiting.address);
      if (sent == -EAGAIN) return Progress::kBlocked;
      Finish(slot, static_cast<int32_t>(sent));
      return Progress::kEnded;
    }
    case OpKind::kConnect:
      return TryConnect(slot);
    case OpKind::kPoll:
      Finish(slot, static_cast<int32_t>(events & slots_[slot].wants));
      return Progress::kEnded;
    case OpKind::kRead:
      return TryRead(slot);
    case OpKind::kNop:
    case OpKind::kReadAt:
    case OpKind::kWriteAt:
    case OpKind::kSync:
      break;  // Never wait for a descriptor.
  }
  return Progress::kBlocked;
}

EpollBackend::Progress EpollBackend::TryReceive(uint32_t slot,
                                                uint32_t events) {
  const int fd = slots_[slot].fd;
  for (int i = 0; i < kRepeatsMax; ++i) {
    if (free_buffers_.empty()) return OutOfBuffers(slot);
    const uint32_t id = free_buffers_.back();
    const uint32_t room = pool_->buffer_bytes();
    const long got =
        Call(SYS_recvfrom, fd, pool_->buffer(id), room, MSG_DONTWAIT, 0, 0);
    if (got <= 0) {
      if (got == -EAGAIN) return Progress::kBlocked;
      Finish(slot, static_cast<int32_t>(got));  // 0: the end of the stream.
      return Progress::kEnded;
    }
    free_buffers_.pop_back();
    Complete(
        slots_[slot].op, static_cast<int32_t>(got),
        kCompletionMore | kCompletionBuffer | id << kCompletionBufferShift);
    if (static_cast<uint32_t>(got) < room && ShortIsAll(fd, events)) {
      return Progress::kBlocked;
    }
  }
  return Progress::kPaused;
}

// Whether a receive that did not fill its buffer has taken all there was, which
// saves the one that would say so. It has on TCP, whose next segment is an
// event of its own; but not before an end, an error or urgent data. Unix
// sockets come short between messages, too.
bool EpollBackend::ShortIsAll(int fd, uint32_t events) {
  if ((events & kEnding) != 0) return false;
  Descriptor& descriptor = descriptors_[static_cast<size_t>(fd)];
  if (descriptor.short_is_all == Descriptor::kUnknown) {
    int protocol = 0;
    socklen_t length = sizeof(protocol);
    const long error =
        Call(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
    descriptor.short_is_all = error == 0 && protocol == IPPROTO_TCP
                                  ? Descriptor::kYes
                                  : Descriptor::kNo;
  }
  return descriptor.short_is_all == Descriptor::kYes;
}

// If this turn handed buffers out, those who got them may return them before
// the next, and nobody has to start anew; else a receive must end, as with
// io_uring.
EpollBackend::Progress EpollBackend::OutOfBuffers(uint32_t slot) {
  if (had_buffers_) {
    stats_->buffers_exhausted.Add(1);
    return Progress::kPaused;
  }
  Finish(slot, -ENOBUFS);
  return Progress::kEnded;
}

// Lays a datagram out as io_uring does: header, sender, control data, payload.
EpollBackend::Progress EpollBackend::TryReceiveMessage(uint32_t slot) {
  const int fd = slots_[slot].fd;
  const auto* asked = static_cast<const msghdr*>(slots_[slot].address);
  const size_t name_at = sizeof(io_uring_recvmsg_out);
  const size_t control_at = name_at + asked->msg_namelen;
  const size_t payload_at = control_at + asked->msg_controllen;
  for (int i = 0; i < kRepeatsMax; ++i) {
    if (free_buffers_.empty()) return OutOfBuffers(slot);
    if (payload_at > pool_->buffer_bytes()) {
      Finish(slot, -EFAULT);
      return Progress::kEnded;
    }
    const uint32_t id = free_buffers_.back();
    char* buffer = pool_->buffer(id);
    iovec payload = {buffer + payload_at, pool_->buffer_bytes() - payload_at};
    msghdr message = {};
    if (asked->msg_namelen > 0) message.msg_name = buffer + name_at;
    message.msg_namelen = asked->msg_namelen;
    if (asked->msg_controllen > 0) message.msg_control = buffer + control_at;
    message.msg_controllen = asked->msg_controllen;
    message.msg_iov = &payload;
    message.msg_iovlen = 1;
    const long got = Call(SYS_recvmsg, fd, &message, MSG_DONTWAIT);
    if (got < 0) {
      if (got == -EAGAIN) return Progress::kBlocked;
      Finish(slot, static_cast<int32_t>(got));
      return Progress::kEnded;
    }
    free_buffers_.pop_back();
    const io_uring_recvmsg_out header = {
        message.msg_namelen, static_cast<uint32_t>(message.msg_controllen),
        static_cast<uint32_t>(got), static_cast<uint32_t>(message.msg_flags)};
    internal::Unpoison(buffer, sizeof(header));
    memcpy(buffer, &header, sizeof(header));
    const auto size =
        static_cast<int32_t>(payload_at) + static_cast<int32_t>(got);
    const uint32_t flags = kCompletionBuffer | id << kCompletionBufferShift;
    if (got == 0) {
      // An empty datagram, or the end of a stream: the last, as with io_uring.
      Finish(slot, size, flags);
      return Progress::kEnded;
    }
    Complete(slots_[slot].op, size, kCompletionMore | flags);
  }
  return Progress::kPaused;
}

EpollBackend::Progress EpollBackend::TryAccept(uint32_t slot) {
  const int fd = slots_[slot].fd;
  for (int i = 0; i < kRepeatsMax; ++i) {
    const long accepted = Call(SYS_accept4, fd, 0, 0, SOCK_CLOEXEC);
    if (accepted == -EAGAIN) return Progress::kBlocked;
    if (accepted < 0) {
      Finish(slot, static_cast<int32_t>(accepted));
      return Progress::kEnded;
    }
    Complete(slots_[slot].op, static_cast<int32_t>(accepted), kCompletionMore);
  }
  return Progress::kPaused;
}

// Only sends that wait until all is taken get here.
EpollBackend::Progress EpollBackend::TrySend(uint32_t slot) {
  Waiting& waiting = slots_[slot];
  const uint32_t rest = waiting.length - waiting.done;
  const long sent =
      Call(SYS_sendto, waiting.fd,
           static_cast<const char*>(waiting.address) + waiting.done, rest,
           MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
  if (sent > 0) waiting.done += static_cast<uint32_t>(sent);
  if (waiting.done == waiting.length) {
    Finish(slot, static_cast<int32_t>(waiting.done));
    return Progress::kEnded;
  }
  if (sent >= 0 || sent == -EAGAIN) {
    descriptors_[static_cast<size_t>(waiting.fd)].full = true;
    return Progress::kBlocked;
  }
  Finish(slot, static_cast<int32_t>(waiting.done > 0 ? waiting.done : sent));
  return Progress::kEnded;
}

long EpollBackend::SendMessage(int fd, const void* message) {
  return Call(SYS_sendmsg, fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

long EpollBackend::ConnectNow(const Waiting& waiting) {
  const bool was_blocking = MakeNonBlocking(waiting.fd);
  const long result =
      Call(SYS_connect, waiting.fd, waiting.address, waiting.length);
  if (was_blocking) MakeBlocking(waiting.fd);
  return result;
}

EpollBackend::Progress EpollBackend::TryConnect(uint32_t slot) {
  int error = 0;
  socklen_t length = sizeof(error);
  const long result = Call(SYS_getsockopt, slots_[slot].fd, SOL_SOCKET,
                           SO_ERROR, &error, &length);
  Finish(slot, result < 0 ? static_cast<int32_t>(result) : -error);
  return Progress::kEnded;
}

EpollBackend::Progress EpollBackend::TryRead(uint32_t slot) {
  const Waiting& waiting = slots_[slot];
  const iovec into = {const_cast<void*>(waiting.address), waiting.length};
  constexpr int64_t kFromPosition = -1;
  long got = Call(SYS_preadv2, waiting.fd, &into, 1, kFromPosition,
                  kFromPosition, RWF_NOWAIT);
  // Some files know no such flag, but this one has just been reported ready.
  if (got == -EOPNOTSUPP) {
    got = Call(SYS_read, waiting.fd, waiting.address, waiting.length);
  }
  if (got == -EAGAIN) return Progress::kBlocked;
  Finish(slot, static_cast<int32_t>(got));
  return Progress::kEnded;
}

// True if the descriptor was in blocking mode, and is not any more.
bool EpollBackend::MakeNonBlocking(int fd) {
  const long flags = Call(SYS_fcntl, fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) == 0 &&
         Call(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void EpollBackend::MakeBlocking(int fd) {
  const long flags = Call(SYS_fcntl, fd, F_GETFL);
  if (flags >= 0) {
    static_cast<void>(Call(SYS_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK));
  }
}

}  // namespace ioloop
