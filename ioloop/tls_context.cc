#include "ioloop/tls_context.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/internal/tls_state.h"

namespace ioloop {
namespace internal {

std::string TlsErrorText() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : absl::StrCat("error ", code);
}

void TlsSessionCache::Put(const std::string& host, SslSessionPtr session) {
  if (most_ == 0 || host_most_ == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto known = by_host_.find(host);
  if (known != by_host_.end() && known->second.size() >= host_most_) {
    EraseOldestOf(host);
  }
  if (entries_.size() >= most_) {
    EraseOldestOf(std::string(entries_.back().first));
  }
  entries_.emplace_front(host, std::move(session));
  by_host_[host].push_back(entries_.begin());
}

void TlsSessionCache::EraseOldestOf(const std::string& host) {
  const auto found = by_host_.find(host);
  entries_.erase(found->second.front());
  found->second.pop_front();
  if (found->second.empty()) by_host_.erase(found);
}

SslSessionPtr TlsSessionCache::Take(const std::string& host) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_host_.find(host);
  if (found == by_host_.end()) return nullptr;
  const Entries::iterator newest = found->second.back();
  SslSessionPtr session = std::move(newest->second);
  entries_.erase(newest);
  found->second.pop_back();
  if (found->second.empty()) by_host_.erase(found);
  return session;
}

size_t TlsSessionCache::size() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

SslPtr TlsContextState::NewConnection() {
  std::lock_guard<std::mutex> lock(mutex);
  return SslPtr(SSL_new(context.get()));
}

}  // namespace internal

namespace {

using internal::SslContextPtr;
using internal::SslSessionPtr;
using internal::TlsContextState;
using internal::TlsErrorText;
using internal::TlsPeer;

using BioPtr = std::unique_ptr<BIO, internal::TlsFree<BIO, BIO_free_all>>;
using CertificatePtr =
    std::unique_ptr<X509, internal::TlsFree<X509, X509_free>>;
using KeyPtr =
    std::unique_ptr<EVP_PKEY, internal::TlsFree<EVP_PKEY, EVP_PKEY_free>>;

BioPtr TextBio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::Status Invalid(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", TlsErrorText()));
}

// Keys behind a passphrase are refused: asking for it would block.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status UseIdentity(SSL_CTX* context, const TlsIdentity& identity) {
  ERR_clear_error();
  BioPtr certificates = TextBio(identity.certificates_pem);
  CertificatePtr own(
      PEM_read_bio_X509(certificates.get(), nullptr, &NoPassphrase, nullptr));
  if (own == nullptr || SSL_CTX_use_certificate(context, own.get()) != 1) {
    return Invalid("TLS certificate");
  }
  for (;;) {
    CertificatePtr next(
        PEM_read_bio_X509(certificates.get(), nullptr, &NoPassphrase, nullptr));
    if (next == nullptr) {
      if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return Invalid("TLS certificate chain");
      }
      break;  // The end of the text.
    }
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) {
      return Invalid("TLS certificate chain");
    }
  }
  ERR_clear_error();
  BioPtr key_text = TextBio(identity.private_key_pem);
  KeyPtr key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, &NoPassphrase, nullptr));
  if (key == nullptr) return Invalid("TLS private key");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Invalid("TLS private key for this certificate");
  }
  return absl::OkStatus();
}

// Also tells clients which roots are meant, if `context` is a server's.
absl::Status TrustRoots(SSL_CTX* context, const std::string& roots_pem,
                        bool server) {
  ERR_clear_error();
  BioPtr text = TextBio(roots_pem);
  int roots = 0;
  for (;; ++roots) {
    CertificatePtr root(
        PEM_read_bio_X509(text.get(), nullptr, &NoPassphrase, nullptr));
    if (root == nullptr) break;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root.get()) != 1 ||
        (server && SSL_CTX_add_client_CA(context, root.get()) != 1)) {
      return Invalid("TLS roots");
    }
  }
  if (roots == 0 ||
      ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Invalid("TLS roots");
  }
  ERR_clear_error();
  return absl::OkStatus();
}

absl::StatusOr<std::string> AlpnWire(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255) {
      return absl::InvalidArgumentError(
          "a name of ALPN has 1 to 255 bytes, not " +
          std::to_string(name.size()));
    }
    wire.push_back(static_cast<char>(name.size()));
    wire += name;
  }
  return wire;
}

int SelectAlpn(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
               const unsigned char* offered, unsigned offered_size,
               void* argument) {
  const auto* state = static_cast<const TlsContextState*>(argument);
  unsigned char* out = nullptr;
  const int result = SSL_select_next_proto(
      &out, chosen_size,
      reinterpret_cast<const unsigned char*>(state->alpn_wire.data()),
      static_cast<unsigned>(state->alpn_wire.size()), offered, offered_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = out;
  return SSL_TLSEXT_ERR_OK;
}

// A ticket has come. 1: the session is ours now.
int KeepSession(SSL* ssl, SSL_SESSION* session) {
  auto* peer = static_cast<TlsPeer*>(SSL_get_app_data(ssl));
  peer->context->sessions.Put(peer->host, SslSessionPtr(session));
  return 1;
}

absl::StatusOr<SslContextPtr> NewContext(TlsContextState* state,
                                         const TlsIdentity& identity) {
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  if (context == nullptr) return Invalid("TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE);
  // An idle connection holds no record buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_AUTO_RETRY);
  absl::Status status;
  if (!identity.empty()) status = UseIdentity(context.get(), identity);
  if (!status.ok()) return status;

  const auto* alpn =
      reinterpret_cast<const unsigned char*>(state->alpn_wire.data());
  if (state->server) {
    const TlsContext::ServerOptions& options = state->server_options;
    if (!options.client_roots_pem.empty()) {
      status = TrustRoots(context.get(), options.client_roots_pem, true);
      if (!status.ok()) return status;
      SSL_CTX_set_verify(context.get(),
                         SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                         nullptr);
    }
    if (!state->alpn_wire.empty()) {
      SSL_CTX_set_alpn_select_cb(context.get(), &SelectAlpn, state);
    }
    constexpr unsigned char kName[] = "ringplane";
    SSL_CTX_set_session_id_context(context.get(), kName, sizeof(kName) - 1);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_SERVER);
    // 0 would mean no bound.
    SSL_CTX_sess_set_cache_size(
        context.get(),
        static_cast<long>(std::max(1u, options.session_cache_max)));
    SSL_CTX_set_timeout(
        context.get(),
        static_cast<long>(absl::ToInt64Seconds(options.session_lifetime)));
    return context;
  }
  const TlsContext::ClientOptions& options = state->client_options;
  if (!options.roots_pem.empty()) {
    status = TrustRoots(context.get(), options.roots_pem, false);
    if (!status.ok()) return status;
  } else if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
    return Invalid("the system's TLS roots");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (!state->alpn_wire.empty() &&
      SSL_CTX_set_alpn_protos(context.get(), alpn,
                              static_cast<unsigned>(state->alpn_wire.size())) !=
          0) {
    return Invalid("ALPN");
  }
  if (options.session_cache_max > 0) {
    SSL_CTX_set_session_cache_mode(
        context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context.get(), &KeepSession);
  } else {
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  }
  return context;
}

// What one context sealed into tickets the other can open.
void CopyTicketKeys(SSL_CTX* from, SSL_CTX* to) {
  const long size = SSL_CTX_get_tlsext_ticket_keys(from, nullptr, 0);
  if (size <= 0) return;
  std::string keys(static_cast<size_t>(size), '\0');
  if (SSL_CTX_get_tlsext_ticket_keys(from, keys.data(), size) == 1) {
    SSL_CTX_set_tlsext_ticket_keys(to, keys.data(), size);
  }
  OPENSSL_cleanse(keys.data(), keys.size());
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (file && !file.bad()) return text.str();
  const int error = errno;
  std::string message = absl::StrCat("read ", path, ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  return absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<TlsIdentity> TlsIdentity::FromFiles(
    const std::string& certificates, const std::string& private_key) {
  absl::StatusOr<std::string> chain = ReadFile(certificates);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key = ReadFile(private_key);
  if (!key.ok()) return key.status();
  return TlsIdentity{*std::move(chain), *std::move(key)};
}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Server(
    const ServerOptions& options) {
  if (options.identity.empty()) {
    return absl::InvalidArgumentError("a TLS server needs a certificate");
  }
  auto state = std::make_unique<TlsContextState>(/*is_server=*/true, 0, 0);
  state->server_options = options;
  absl::StatusOr<std::string> alpn = AlpnWire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  state->alpn_wire = *std::move(alpn);
  absl::StatusOr<SslContextPtr> context =
      NewContext(state.get(), options.identity);
  if (!context.ok()) return context.status();
  state->context = *std::move(context);
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Client(
    const ClientOptions& options) {
  auto state = std::make_unique<TlsContextState>(
      /*is_server=*/false, options.session_cache_max,
      options.sessions_per_host_max);
  state->client_options = options;
  absl::StatusOr<std::string> alpn = AlpnWire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  state->alpn_wire = *std::move(alpn);
  absl::StatusOr<SslContextPtr> context =
      NewContext(state.get(), options.identity);
  if (!context.ok()) return context.status();
  state->context = *std::move(context);
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

TlsContext::TlsContext(std::unique_ptr<TlsContextState> state)
    : state_(std::move(state)) {}

TlsContext::~TlsContext() = default;

absl::Status TlsContext::Reload(const TlsIdentity& identity) {
  if (identity.empty() && state_->server) {
    return absl::InvalidArgumentError("a TLS server needs a certificate");
  }
  absl::StatusOr<SslContextPtr> context = NewContext(state_.get(), identity);
  if (!context.ok()) return context.status();
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (state_->server) CopyTicketKeys(state_->context.get(), context->get());
  state_->context = *std::move(context);
  return absl::OkStatus();
}

size_t TlsContext::sessions() const { return state_->sessions.size(); }

}  // namespace ioloop
