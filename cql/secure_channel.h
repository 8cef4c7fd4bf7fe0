// What may stand between a connection and its socket: TLS, by cql/tls.h.
#ifndef RINGPLANE_CQL_SECURE_CHANNEL_H_
#define RINGPLANE_CQL_SECURE_CHANNEL_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/stop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace cql {

// One encrypted connection; belongs to its loop. Frames of a turn come to it as
// one piece, so it is asked seldom.
class SecureChannel {
 public:
  // REQUIRES: Close() was awaited.
  virtual ~SecureChannel() = default;

  // Queues all of `bytes`, which leave at the end of the turn.
  virtual void Send(std::string_view bytes) = 0;
  // Up to into.size() bytes; 0 at the end of the stream, as the peer said it.
  // kCancelled once `stop` asks.
  virtual ioloop::Task<absl::StatusOr<size_t>> Receive(
      std::span<char> into, ioloop::StopToken stop) = 0;
  // Bytes that wait for the kernel to take them.
  virtual size_t queued_bytes() const = 0;
  virtual ioloop::Task<void> Close() = 0;
  virtual bool closed() const = 0;
};

// Makes channels.
//
// Thread-safety: sessions of several loops may share one.
class SecureTransport {
 public:
  virtual ~SecureTransport() = default;

  // Secures `stream`, which is connected to `host`, a numeric address, and
  // closed if this fails. kUnauthenticated: the peer is not whom we mean, or
  // does not take us for whom it means.
  virtual ioloop::Task<absl::StatusOr<std::unique_ptr<SecureChannel>>> Secure(
      ioloop::Stream stream, std::string host, absl::Time deadline) = 0;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_SECURE_CHANNEL_H_
