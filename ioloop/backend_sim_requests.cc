// How the simulated backend carries requests out, kind by kind.
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "ioloop/backend_sim.h"
#include "ioloop/check.h"
#include "ioloop/internal/sim_memory.h"
#include "ioloop/internal/sim_network.h"
#include "ioloop/internal/sim_socket.h"

namespace ioloop {

using internal::HashOfUser;
using internal::ReadFromUser;
using internal::SimData;
using internal::SimDatagram;
using internal::SimStream;
using internal::WriteToUser;

namespace {

constexpr std::array<int, 3> kSpuriousEnds = {EINTR, EAGAIN, ECANCELED};

// A struct that the user lends, read behind ASan's back.
template <typename T>
T FromUser(const void* address) {
  T value;
  const std::string bytes = ReadFromUser(address, sizeof(value));
  memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

iovec VectorOf(const msghdr& message, size_t index) {
  return FromUser<iovec>(message.msg_iov + index);
}

bool IsSpurious(OpKind kind) {
  return kind == OpKind::kAccept || kind == OpKind::kReceive ||
         kind == OpKind::kReceiveMessage;
}

// What the real kernel says of a descriptor of its own, without waiting.
short PollForeign(int fd, uint32_t events) {
  pollfd polled = {fd, static_cast<short>(events), 0};
  return poll(&polled, 1, 0) > 0 ? polled.revents : 0;
}

}  // namespace

void SimBackend::Work() {
  const std::vector<Pending*> now = issued_;
  for (Pending* pending : now) Progress(pending);
}

void SimBackend::Progress(Pending* pending) {
  if (pending->ended) return;
  if (Now() >= pending->not_before_ns && Ready(*pending)) {
    if (!pending->delayed &&
        network_->Strikes(network_->trouble().delays, &SimCounts::delays)) {
      pending->delayed = true;
      pending->not_before_ns = Now() + network_->DelayNs();
      WakeAt(pending->not_before_ns);
    } else {
      pending->delayed = false;
      Perform(pending);
      if (pending->ended) return;
    }
  }
  // A result that was there came first.
  if (Now() >= pending->cancel_at_ns) {
    const bool partly = pending->done > 0;
    End(pending, partly ? static_cast<int32_t>(pending->done) : -ECANCELED);
  }
}

bool SimBackend::Ready(const Pending& pending) const {
  const Request& request = pending.request;
  if (pending.spurious) return true;
  if (pending.file == nullptr) {
    if (request.kind == OpKind::kNop) return true;
    return PollForeign(request.fd, request.kind == OpKind::kPoll
                                       ? request.flags
                                       : uint32_t{POLLIN}) != 0;
  }
  const SimStream* stream = pending.file->stream();
  const SimDatagram* datagram = pending.file->datagram();
  switch (request.kind) {
    case OpKind::kAccept:
      return stream == nullptr || !stream->listening() || stream->HasAccepted();
    case OpKind::kConnect:
      return stream == nullptr || stream->ConnectEnded();
    case OpKind::kReceive:
    case OpKind::kRead:
      return stream == nullptr || !stream->CanReceive() || stream->Readable();
    case OpKind::kSend:
      return stream == nullptr || stream->Writable();
    case OpKind::kPoll:
      return (pending.file->Events() &
              (request.flags | uint32_t{POLLERR | POLLHUP})) != 0;
    case OpKind::kReceiveMessage:
      return datagram == nullptr || datagram->HasMessage();
    case OpKind::kNop:
    case OpKind::kReadAt:
    case OpKind::kWriteAt:
    case OpKind::kSync:
    case OpKind::kSendMessage:
      return true;
  }
  return true;
}

void SimBackend::Perform(Pending* pending) {
  const Request& request = pending->request;
  if (pending->spurious) {
    pending->spurious = false;
    End(pending, -kSpuriousEnds[network_->random().Below(3)]);
    return;
  }
  if (pending->file == nullptr) {
    PerformForeign(pending);
    return;
  }
  switch (request.kind) {
    case OpKind::kAccept:
      Accept(pending);
      break;
    case OpKind::kConnect:
      End(pending, pending->file->stream()->TakeConnectResult());
      break;
    case OpKind::kReceive:
      Receive(pending);
      break;
    case OpKind::kSend:
      SendMore(pending);
      break;
    case OpKind::kPoll:
      End(pending,
          static_cast<int32_t>(pending->file->Events() &
                               (request.flags | uint32_t{POLLERR | POLLHUP})));
      break;
    case OpKind::kRead:
      Read(pending);
      break;
    case OpKind::kReadAt:
    case OpKind::kWriteAt:
    case OpKind::kSync:
      AccessFile(pending);
      break;
    case OpKind::kReceiveMessage:
      ReceiveMessage(pending);
      break;
    case OpKind::kSendMessage:
      SendMessage(pending);
      break;
    case OpKind::kNop:
      break;
  }
}

void SimBackend::PerformForeign(Pending* pending) {
  const Request& request = pending->request;
  if (request.kind == OpKind::kNop) {
    End(pending, 0);
  } else if (request.kind == OpKind::kPoll) {
    End(pending, PollForeign(request.fd, request.flags));
  } else {
    std::string bytes(request.length, '\0');
    const ssize_t got = read(request.fd, bytes.data(), bytes.size());
    if (got > 0) {
      bytes.resize(static_cast<size_t>(got));
      WriteResult(pending, request.address, bytes);
    }
    End(pending, got < 0 ? -errno : static_cast<int32_t>(got));
  }
}

void SimBackend::Accept(Pending* pending) {
  SimStream* listener = pending->file->stream();
  if (listener == nullptr || !listener->listening()) {
    End(pending, -EINVAL);
    return;
  }
  do {
    if (!kernel_->HasRoom() ||
        network_->Strikes(network_->trouble().no_descriptors,
                          &SimCounts::no_descriptors)) {
      End(pending, -EMFILE);
      return;
    }
    Post(pending, kernel_->Install(listener->TakeAccepted()), 0,
         /*last=*/false);
  } while (!pending->ended && listener->HasAccepted() &&
           network_->random().Below(2) == 0);
}

// The next piece for a receive, less than there is if trouble strikes.
size_t SimBackend::ReceiveLength(size_t available, size_t most) {
  const size_t bytes = std::min(available, most);
  if (bytes > 1 && network_->Strikes(network_->trouble().short_receives,
                                     &SimCounts::short_receives)) {
    return 1 + network_->random().Below(bytes - 1);
  }
  return bytes;
}

void SimBackend::Receive(Pending* pending) {
  SimStream* stream = pending->file->stream();
  if (stream == nullptr || !stream->CanReceive()) {
    End(pending, stream == nullptr ? -ENOTSOCK : -ENOTCONN);
    return;
  }
  do {
    if (stream->available() == 0) {
      End(pending, stream->TakeReceiveError());
      return;
    }
    if (!BufferFree(pending)) return;
    PostBuffer(pending, stream->Take(ReceiveLength(stream->available(),
                                                   pool_->buffer_bytes())));
  } while (!pending->ended && stream->Readable() &&
           network_->random().Below(2) == 0);
}

bool SimBackend::BufferFree(Pending* pending) {
  if (!buffers_.empty() && !network_->Strikes(network_->trouble().no_buffers,
                                              &SimCounts::no_buffers)) {
    return true;
  }
  End(pending, -ENOBUFS);
  return false;
}

void SimBackend::PostBuffer(Pending* pending, std::string_view bytes) {
  const uint32_t id = buffers_.front();
  buffers_.pop_front();
  RINGPLANE_CHECK(internal::Scribbled(pool_->buffer(id), pool_->buffer_bytes(),
                                      buffer_keys_[id]),
                  "a receive buffer was written to after it was given back");
  WriteToUser(pool_->buffer(id), bytes);
  Post(pending, static_cast<int32_t>(bytes.size()),
       kCompletionBuffer | id << kCompletionBufferShift, /*last=*/false);
}

// A send that waits: goes on until the socket has taken everything.
void SimBackend::SendMore(Pending* pending) {
  const Request& request = pending->request;
  SimStream* stream = pending->file->stream();
  if (stream == nullptr) {
    End(pending, -ENOTSOCK);
    return;
  }
  const size_t room = stream->Room();
  if (room == 0) {
    const int error = stream->TakeSendError();
    End(pending,
        pending->done > 0 ? static_cast<int32_t>(pending->done) : error);
    return;
  }
  CheckMemory(*pending);
  size_t bytes = std::min(room, request.length - pending->done);
  bool ends = network_->Strikes(network_->trouble().short_sends,
                                &SimCounts::short_sends);
  if (ends && bytes > 1) bytes = 1 + network_->random().Below(bytes - 1);
  stream->Put(ReadFromUser(
      static_cast<const char*>(request.address) + pending->done, bytes));
  pending->done += bytes;
  ends = ends || pending->done == request.length;
  if (ends) End(pending, static_cast<int32_t>(pending->done));
}

void SimBackend::Read(Pending* pending) {
  const Request& request = pending->request;
  SimStream* stream = pending->file->stream();
  if (SimData* file = pending->file->data()) {
    const size_t from = std::min(file->position, file->bytes.size());
    const size_t bytes =
        ReceiveLength(file->bytes.size() - from, request.length);
    WriteResult(pending, request.address,
                std::string_view(file->bytes).substr(from, bytes));
    file->position = from + bytes;
    End(pending, static_cast<int32_t>(bytes));
  } else if (stream == nullptr || !stream->CanReceive()) {
    End(pending, -ENOTCONN);
  } else if (stream->available() == 0) {
    End(pending, stream->TakeReceiveError());
  } else {
    const std::string bytes =
        stream->Take(ReceiveLength(stream->available(), request.length));
    WriteResult(pending, request.address, bytes);
    End(pending, static_cast<int32_t>(bytes.size()));
  }
}

void SimBackend::AccessFile(Pending* pending) {
  SimData* file = pending->file->data();
  if (file == nullptr) {
    End(pending, -ESPIPE);
    return;
  }
  if (network_->Strikes(network_->trouble().file_errors,
                        &SimCounts::file_errors)) {
    End(pending, -EIO);
    return;
  }
  if (pending->request.kind == OpKind::kSync) {
    ++file->syncs;
    End(pending, 0);
    return;
  }
  const auto span = FromUser<FileSpan>(pending->request.address);
  const bool reads = pending->request.kind == OpKind::kReadAt;
  size_t bytes = span.length;
  if (reads) {
    const size_t size = file->bytes.size();
    bytes = span.offset >= size ? 0 : std::min(bytes, size - span.offset);
  }
  if (bytes > 1 && network_->Strikes(network_->trouble().short_files,
                                     &SimCounts::short_files)) {
    bytes = 1 + network_->random().Below(bytes - 1);
  }
  if (reads) {
    if (bytes > 0) {
      WriteResult(pending, span.data,
                  std::string_view(file->bytes).substr(span.offset, bytes));
    }
  } else {
    CheckMemory(*pending);
    if (file->bytes.size() < span.offset + bytes) {
      file->bytes.resize(span.offset + bytes);
    }
    file->bytes.replace(span.offset, bytes, ReadFromUser(span.data, bytes));
  }
  End(pending, static_cast<int32_t>(bytes));
}

// As IORING_OP_RECVMSG lays it out: header, room for the sender, room for
// control data, payload.
void SimBackend::ReceiveMessage(Pending* pending) {
  SimDatagram* socket = pending->file->datagram();
  if (socket == nullptr) {
    End(pending, -ENOTSOCK);
    return;
  }
  CheckMemory(*pending);
  const auto message = FromUser<msghdr>(pending->request.address);
  const size_t front = sizeof(io_uring_recvmsg_out) + message.msg_namelen +
                       message.msg_controllen;
  do {
    if (!BufferFree(pending)) return;
    if (front > pool_->buffer_bytes()) {
      End(pending, -EFAULT);
      return;
    }
    const SimDatagram::Message arrived = socket->TakeMessage();
    const size_t room = pool_->buffer_bytes() - front;
    io_uring_recvmsg_out header = {};
    header.namelen = arrived.from.length();
    header.payloadlen = static_cast<uint32_t>(arrived.bytes.size());
    if (arrived.bytes.size() > room) {
      header.flags = MSG_TRUNC;
      header.payloadlen = static_cast<uint32_t>(room);
    }
    std::string bytes(front, '\0');
    memcpy(bytes.data(), &header, sizeof(header));
    memcpy(bytes.data() + sizeof(header), arrived.from.data(),
           std::min<size_t>(header.namelen, message.msg_namelen));
    bytes.append(arrived.bytes, 0, room);
    PostBuffer(pending, bytes);
  } while (!pending->ended && socket->HasMessage() &&
           network_->random().Below(2) == 0);
}

void SimBackend::SendMessage(Pending* pending) {
  SimDatagram* socket = pending->file->datagram();
  if (socket == nullptr) {
    End(pending, -ENOTSOCK);
    return;
  }
  CheckMemory(*pending);
  const auto message = FromUser<msghdr>(pending->request.address);
  SocketAddress to = socket->peer;
  if (message.msg_name != nullptr) {
    const std::string name =
        ReadFromUser(message.msg_name, message.msg_namelen);
    to = SocketAddress::FromSockaddr(
        reinterpret_cast<const sockaddr*>(name.data()), message.msg_namelen);
  }
  std::string bytes;
  for (size_t i = 0; i < message.msg_iovlen; ++i) {
    const iovec piece = VectorOf(message, i);
    bytes += ReadFromUser(piece.iov_base, piece.iov_len);
  }
  End(pending, socket->Send(std::move(bytes), to));
}

// What a kernel relies on.

// What the user lends is not looked at until it is needed: rubbish goes to
// where a result will be, and what will be sent is only noted.
void SimBackend::LendMemory(Pending* pending) {
  const Request& request = pending->request;
  pending->spurious = IsSpurious(request.kind) &&
                      network_->Strikes(network_->trouble().spurious_ends,
                                        &SimCounts::spurious_ends);
  if (request.kind == OpKind::kRead) {
    internal::Scribble(const_cast<void*>(request.address), request.length,
                       pending->number);
  } else if (request.kind == OpKind::kReadAt) {
    const auto span = FromUser<FileSpan>(request.address);
    internal::Scribble(span.data, span.length, pending->number);
  } else {
    pending->memory_hash = MemoryHash(request);
  }
}

uint64_t SimBackend::MemoryHash(const Request& request) {
  switch (request.kind) {
    case OpKind::kConnect:
    case OpKind::kSend:
      return HashOfUser(request.address, request.length);
    case OpKind::kWriteAt: {
      const auto span = FromUser<FileSpan>(request.address);
      return HashOfUser(request.address, sizeof(span)) ^
             HashOfUser(span.data, span.length);
    }
    case OpKind::kReceiveMessage:
      return HashOfUser(request.address, sizeof(msghdr));
    case OpKind::kSendMessage: {
      const auto message = FromUser<msghdr>(request.address);
      uint64_t hash = HashOfUser(request.address, sizeof(message));
      if (message.msg_name != nullptr) {
        hash ^= HashOfUser(message.msg_name, message.msg_namelen);
      }
      for (size_t i = 0; i < message.msg_iovlen; ++i) {
        const iovec piece = VectorOf(message, i);
        hash = hash * 31 + HashOfUser(piece.iov_base, piece.iov_len);
      }
      return hash;
    }
    default:
      return 0;
  }
}

// The first and only look at memory for a result, just before it is written.
void SimBackend::WriteResult(Pending* pending, const void* to,
                             std::string_view bytes) {
  CheckMemory(*pending);
  pending->written = true;
  WriteToUser(const_cast<void*>(to), bytes);
}

void SimBackend::CheckMemory(const Pending& pending) const {
  const Request& request = pending.request;
  bool kept = true;
  if (pending.written) {
    return;
  } else if (request.kind == OpKind::kRead) {
    kept = internal::Scribbled(request.address, request.length, pending.number);
  } else if (request.kind == OpKind::kReadAt) {
    const auto span = FromUser<FileSpan>(request.address);
    kept = internal::Scribbled(span.data, span.length, pending.number);
  } else {
    kept = MemoryHash(request) == pending.memory_hash;
  }
  RINGPLANE_CHECK(kept, "memory changed in the kernel's hands");
}

}  // namespace ioloop
