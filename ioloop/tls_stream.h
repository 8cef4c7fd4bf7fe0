// TLS over a Stream. OpenSSL sees memory only: what arrives is handed to it,
// and what it wants sent is queued on the stream, in the turn's one send.
#ifndef RINGPLANE_IOLOOP_TLS_STREAM_H_
#define RINGPLANE_IOLOOP_TLS_STREAM_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/stop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"
#include "ioloop/tls_context.h"

namespace ioloop {

namespace internal {
struct TlsState;
}

// A connection whose handshake is over. Move-only handle to a state that stays
// put. One receiver and one waiter for Drained() or SendAll() at a time;
// Queue() any time. `co_await Close()` before destroying it, as a Stream.
//
// The end of the stream is only believed if the peer said so (close_notify): a
// connection that just ends may have been cut short by somebody between, and is
// kDataLoss.
//
// Thread-safety: none; it belongs to its stream's loop.
class [[nodiscard]] TlsStream {
 public:
  // Shakes hands over `stream`, which is closed if that fails.
  // kUnauthenticated: the certificate is missing, not to be trusted, or of
  // another host. kDeadlineExceeded; kCancelled when `stop` asks; kUnavailable
  // when the connection or the handshake breaks. The peer is told by an alert.
  static Task<absl::StatusOr<TlsStream>> Accept(
      Stream stream, std::shared_ptr<TlsContext> context, absl::Time deadline,
      StopToken stop = StopToken());
  // `host` is a name or a numeric address; the server's certificate has to be
  // for it. A session kept from an earlier connection to `host` is resumed.
  static Task<absl::StatusOr<TlsStream>> Connect(
      Stream stream, std::shared_ptr<TlsContext> context, std::string host,
      absl::Time deadline, StopToken stop = StopToken());

  // No stream: only assignment, destruction and valid() are allowed.
  TlsStream();
  TlsStream(TlsStream&&) noexcept;
  TlsStream& operator=(TlsStream&&) noexcept;
  ~TlsStream();

  bool valid() const { return state_ != nullptr; }

  // Up to into.size() bytes, which must not be 0; 0 bytes at the end of the
  // stream. `into` must stay until this is done. kDeadlineExceeded and
  // kCancelled lose nothing, the next call goes on; kDataLoss if the connection
  // ended without close_notify; kUnavailable if it broke; kUnauthenticated if
  // it did because the peer does not accept our certificate.
  Task<absl::StatusOr<size_t>> Receive(
      std::span<char> into, absl::Time deadline = absl::InfiniteFuture(),
      StopToken stop = StopToken());

  // Encrypts `bytes` into the send queue of the stream. Dropped if the stream
  // broke, was shut down or closed.
  void Queue(std::string_view bytes);
  // As of Stream, in encrypted bytes.
  Stream::DrainAwaiter Drained(size_t below = 0);
  Stream::DrainAwaiter SendAll(std::string_view bytes) {
    Queue(bytes);
    return Drained();
  }
  size_t queued_bytes() const;

  // Says close_notify and sends FIN after what is queued; receiving goes on.
  void ShutdownWrite();

  // Sends what is queued and close_notify, then waits for the peer to close, as
  // Stream::CloseGracefully(). What the peer still sends is dropped.
  Task<absl::Status> CloseGracefully(absl::Time deadline);
  // Queues close_notify, then Stream::Close(): what is not handed to the kernel
  // is dropped.
  Task<void> Close();

  // "" if none was agreed on.
  std::string_view alpn() const;
  // "TLSv1.3"
  std::string_view protocol() const;
  std::string_view cipher() const;
  // Of an earlier connection: no certificate was exchanged.
  bool resumed() const;
  // The name in the peer's certificate as RFC 2253 writes it ("CN=client"), ""
  // if it showed none.
  std::string peer_subject() const;

  const Stream& stream() const;
  Loop* loop() const;

 private:
  explicit TlsStream(std::unique_ptr<internal::TlsState> state);
  std::unique_ptr<internal::TlsState> state_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_TLS_STREAM_H_
