// What tls_context.cc and tls_stream.cc share; behind it stands OpenSSL.
#ifndef RINGPLANE_IOLOOP_INTERNAL_TLS_STATE_H_
#define RINGPLANE_IOLOOP_INTERNAL_TLS_STATE_H_

#include <openssl/ssl.h>

#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "ioloop/tls_context.h"

namespace ioloop::internal {

template <typename T, void (*kFree)(T*)>
struct TlsFree {
  void operator()(T* object) const { kFree(object); }
};
using SslContextPtr = std::unique_ptr<SSL_CTX, TlsFree<SSL_CTX, SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, TlsFree<SSL, SSL_free>>;
using SslSessionPtr =
    std::unique_ptr<SSL_SESSION, TlsFree<SSL_SESSION, SSL_SESSION_free>>;

// The oldest reason in this thread's queue of OpenSSL errors; empties it.
std::string TlsErrorText();

// A client's sessions by host. The newest stands first.
class TlsSessionCache {
 public:
  // Bounds: of all sessions, and of one host's.
  TlsSessionCache(size_t most, size_t host_most)
      : most_(most), host_most_(host_most) {}
  void Put(const std::string& host, SslSessionPtr session);
  // The session leaves the cache: a ticket of TLS 1.3 is to be shown once.
  SslSessionPtr Take(const std::string& host);
  size_t size() const;

 private:
  using Entry = std::pair<std::string, SslSessionPtr>;
  using Entries = std::list<Entry>;
  void EraseOldestOf(const std::string& host);

  const size_t most_;
  const size_t host_most_;
  mutable std::mutex mutex_;
  Entries entries_;
  // Oldest first; none is empty.
  std::unordered_map<std::string, std::deque<Entries::iterator>> by_host_;
};

struct TlsContextState {
  TlsContextState(bool is_server, size_t sessions_max, size_t host_sessions_max)
      : server(is_server), sessions(sessions_max, host_sessions_max) {}

  // A new connection with what the latest Reload() left.
  SslPtr NewConnection();

  const bool server;
  TlsContext::ServerOptions server_options;
  TlsContext::ClientOptions client_options;
  std::string alpn_wire;  // As in the handshake: each after its length.
  TlsSessionCache sessions;

  std::mutex mutex;
  SslContextPtr context;  // Guarded by `mutex`; its users hold references.
};

// The host that a client's session belongs to: app data of its SSL object.
struct TlsPeer {
  TlsContextState* context;
  std::string host;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_TLS_STATE_H_
