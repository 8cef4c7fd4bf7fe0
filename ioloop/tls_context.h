// What the TLS connections of a server or a client have in common: identity,
// trust, protocols, sessions. Over OpenSSL; the streams are in tls_stream.h.
#ifndef RINGPLANE_IOLOOP_TLS_CONTEXT_H_
#define RINGPLANE_IOLOOP_TLS_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ioloop {

namespace internal {
struct TlsContextState;
}

// A certificate, followed by those that lead to its root, and its private key;
// both as PEM text.
struct TlsIdentity {
  std::string certificates_pem;
  std::string private_key_pem;
  bool empty() const { return certificates_pem.empty(); }

  // kNotFound or kUnavailable if a file cannot be read; reads, so blocks.
  static absl::StatusOr<TlsIdentity> FromFiles(const std::string& certificates,
                                               const std::string& private_key);
};

// TLS 1.2 and 1.3, no renegotiation, no compression, no early data.
//
// Thread-safety: all of it, so one context may serve the loops of a group.
class TlsContext {
 public:
  struct ServerOptions {
    TlsIdentity identity;
    // Clients have to show a certificate that one of these vouches for (PEM).
    // Empty: clients are not asked for one.
    std::string client_roots_pem;
    // Application protocols, the most wanted first. Given any, a client that
    // offers others only is refused; one that offers none is not.
    std::vector<std::string> alpn;
    // Sessions of TLS 1.2 without tickets that can be resumed; the oldest goes
    // first. Tickets, which most clients use, cost the server no memory.
    uint32_t session_cache_max = 20000;
    absl::Duration session_lifetime = absl::Hours(2);
  };
  struct ClientOptions {
    // Who may vouch for servers (PEM). Empty: whom the system trusts.
    std::string roots_pem;
    // Shown to servers that ask. Empty: none.
    TlsIdentity identity;
    std::vector<std::string> alpn;
    // Sessions kept for resumption, the oldest goes first. 0: none. A session
    // is resumed once: a client that opens many connections to one host at the
    // same time wants as many of them.
    uint32_t session_cache_max = 1024;
    uint32_t sessions_per_host_max = 1;
  };

  // kInvalidArgument, with OpenSSL's reason, for what does not parse or a key
  // that does not belong to its certificate.
  static absl::StatusOr<std::shared_ptr<TlsContext>> Server(
      const ServerOptions& options);
  static absl::StatusOr<std::shared_ptr<TlsContext>> Client(
      const ClientOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Handshakes that begin from now on show `identity`; connections and tickets
  // live on. Nothing changes on an error, which is as of Server().
  absl::Status Reload(const TlsIdentity& identity);

  // Sessions that a client keeps; 0 for a server.
  size_t sessions() const;

  // For TlsStream.
  internal::TlsContextState* state() { return state_.get(); }

 private:
  explicit TlsContext(std::unique_ptr<internal::TlsContextState> state);
  std::unique_ptr<internal::TlsContextState> state_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_TLS_CONTEXT_H_
