#include "ioloop/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/internal/tls_state.h"
#include "ioloop/socket_address.h"

namespace ioloop {
namespace internal {

// The most that one record carries.
constexpr size_t kRecordMax = 16384;

struct TlsState {
  TlsState(Stream over, std::shared_ptr<TlsContext> with)
      : stream(std::move(over)),
        context(std::move(with)),
        peer{context->state(), ""},
        ssl(context->state()->NewConnection()) {
    RINGPLANE_CHECK(ssl != nullptr, "no memory for a TLS connection");
    incoming = BIO_new(BIO_s_mem());
    outgoing = BIO_new(BIO_s_mem());
    RINGPLANE_CHECK(incoming != nullptr && outgoing != nullptr,
                    "no memory for a TLS connection");
    SSL_set_bio(ssl.get(), incoming, outgoing);  // Owns both.
    SSL_set_app_data(ssl.get(), &peer);
  }

  // Moves what OpenSSL wants sent to the stream's queue.
  void Flush();
  // More of the peer's bytes for OpenSSL. kDataLoss at the end of the stream.
  Task<absl::Status> Feed(absl::Time deadline, const StopToken& stop);
  Task<absl::Status> ShakeHands(absl::Time deadline, StopToken stop);
  absl::Status TakeError(const char* doing) const;
  void SayGoodbye();

  Stream stream;
  std::shared_ptr<TlsContext> context;
  TlsPeer peer;
  SslPtr ssl;
  BIO* incoming = nullptr;
  BIO* outgoing = nullptr;
  absl::Status error;  // Why nothing can be received any more.
  bool said_goodbye = false;
};

void TlsState::Flush() {
  const size_t bytes = BIO_pending(outgoing);
  if (bytes == 0) return;
  const std::span<char> room = stream.Reserve(bytes);
  const int got = BIO_read(outgoing, room.data(), static_cast<int>(bytes));
  stream.Commit(got > 0 ? static_cast<size_t>(got) : 0);
}

Task<absl::Status> TlsState::Feed(absl::Time deadline, const StopToken& stop) {
  absl::StatusOr<ReceivedBytes> bytes =
      co_await WithDeadline(WithStop(stream.Receive(), stop), deadline);
  if (!bytes.ok()) co_return bytes.status();
  if (bytes->empty()) {
    co_return absl::DataLossError(
        "the TLS connection ended without close_notify");
  }
  const int taken =
      BIO_write(incoming, bytes->data(), static_cast<int>(bytes->size()));
  RINGPLANE_CHECK(taken == static_cast<int>(bytes->size()),
                  "no memory for received TLS records");
  co_return absl::OkStatus();
}

// From OpenSSL's queue of errors, which is empty afterwards. With TLS 1.3 what
// the server says of our certificate comes after the handshake.
absl::Status TlsState::TakeError(const char* doing) const {
  const int reason = ERR_GET_REASON(ERR_peek_error());
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    ERR_clear_error();
    return absl::UnauthenticatedError(absl::StrCat(
        "TLS certificate of ", peer.host.empty() ? "the client" : peer.host,
        ": ", X509_verify_cert_error_string(SSL_get_verify_result(ssl.get()))));
  }
  const std::string text = absl::StrCat("TLS ", doing, ": ", TlsErrorText());
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return absl::UnauthenticatedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

Task<absl::Status> TlsState::ShakeHands(absl::Time deadline, StopToken stop) {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl.get());
    const int kind = SSL_get_error(ssl.get(), result);
    absl::Status status;
    if (result != 1 && kind != SSL_ERROR_WANT_READ)
      status = TakeError("handshake");
    Flush();  // An alert as well.
    if (result == 1 || !status.ok()) co_return status;
    status = co_await Feed(deadline, stop);
    if (absl::IsDataLoss(status)) {
      co_return absl::UnavailableError(
          "TLS handshake: the peer closed the connection");
    }
    if (!status.ok()) co_return status;
  }
}

void TlsState::SayGoodbye() {
  if (std::exchange(said_goodbye, true)) return;
  ERR_clear_error();
  // Nothing to say on a connection that broke; SSL_shutdown knows.
  SSL_shutdown(ssl.get());
  ERR_clear_error();
  Flush();
}

}  // namespace internal

namespace {

using internal::TlsState;

Task<absl::StatusOr<TlsStream>> Refuse(std::unique_ptr<TlsState> state,
                                       absl::Status status) {
  // Gracefully, for the alert to arrive; not for long.
  Loop* const loop = state->stream.loop();
  const absl::Time patience = loop->now() + absl::Seconds(1);
  if (absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) ||
      !state->stream.status().ok()) {
    co_await state->stream.Close();
  } else {
    static_cast<void>(co_await state->stream.CloseGracefully(patience));
  }
  co_return status;
}

// Whose certificate it has to be, and, unless it is an address, whom to ask
// for.
bool ExpectHost(SSL* ssl, const std::string& host) {
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
  if (SocketAddress::FromIp(host, 0).ok()) {
    return X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1;
  }
  // A name with a NUL inside would be checked up to there only.
  if (host.empty() || host.find('\0') != host.npos) return false;
  X509_VERIFY_PARAM_set_hostflags(parameters,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size()) ==
             1 &&
         SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

TlsStream::TlsStream() = default;
TlsStream::TlsStream(std::unique_ptr<TlsState> state)
    : state_(std::move(state)) {}
TlsStream::TlsStream(TlsStream&&) noexcept = default;
TlsStream& TlsStream::operator=(TlsStream&&) noexcept = default;
TlsStream::~TlsStream() = default;

Task<absl::StatusOr<TlsStream>> TlsStream::Accept(
    Stream stream, std::shared_ptr<TlsContext> context, absl::Time deadline,
    StopToken stop) {
  RINGPLANE_CHECK(context->state()->server, "Accept() with a client's context");
  auto state =
      std::make_unique<TlsState>(std::move(stream), std::move(context));
  SSL_set_accept_state(state->ssl.get());
  absl::Status status = co_await state->ShakeHands(deadline, stop);
  if (!status.ok()) {
    co_return co_await Refuse(std::move(state), std::move(status));
  }
  TlsStream secured(std::move(state));
  co_return secured;
}

Task<absl::StatusOr<TlsStream>> TlsStream::Connect(
    Stream stream, std::shared_ptr<TlsContext> context, std::string host,
    absl::Time deadline, StopToken stop) {
  RINGPLANE_CHECK(!context->state()->server,
                  "Connect() with a server's context");
  auto state =
      std::make_unique<TlsState>(std::move(stream), std::move(context));
  SSL* const ssl = state->ssl.get();
  SSL_set_connect_state(ssl);
  state->peer.host = std::move(host);
  if (!ExpectHost(ssl, state->peer.host)) {
    absl::Status status = absl::InvalidArgumentError(
        absl::StrCat("no host to expect of TLS: '", state->peer.host, "'"));
    co_return co_await Refuse(std::move(state), std::move(status));
  }
  internal::SslSessionPtr session =
      state->context->state()->sessions.Take(state->peer.host);
  if (session != nullptr) SSL_set_session(ssl, session.get());
  absl::Status status = co_await state->ShakeHands(deadline, stop);
  if (!status.ok()) {
    co_return co_await Refuse(std::move(state), std::move(status));
  }
  TlsStream secured(std::move(state));
  co_return secured;
}

Task<absl::StatusOr<size_t>> TlsStream::Receive(std::span<char> into,
                                                absl::Time deadline,
                                                StopToken stop) {
  RINGPLANE_CHECK(!into.empty(), "no room to receive into");
  TlsState* const state = state_.get();
  for (;;) {
    if (!state->error.ok()) co_return state->error;
    ERR_clear_error();
    size_t got = 0;
    const int result =
        SSL_read_ex(state->ssl.get(), into.data(), into.size(), &got);
    const int kind = SSL_get_error(state->ssl.get(), result);
    absl::Status failed;
    if (result != 1 && kind != SSL_ERROR_ZERO_RETURN &&
        kind != SSL_ERROR_WANT_READ) {
      failed = state->TakeError("receive");
    }
    state->Flush();  // Answers to key updates, alerts.
    if (result == 1) co_return got;
    if (kind == SSL_ERROR_ZERO_RETURN) co_return size_t{0};
    if (!failed.ok()) {
      state->error = failed;
      co_return state->error;
    }
    absl::Status status = co_await state->Feed(deadline, stop);
    if (absl::IsCancelled(status) || absl::IsDeadlineExceeded(status)) {
      co_return status;
    }
    if (!status.ok()) state->error = status;
  }
}

void TlsStream::Queue(std::string_view bytes) {
  if (state_->said_goodbye) return;
  while (!bytes.empty()) {
    const size_t next = std::min(bytes.size(), internal::kRecordMax);
    ERR_clear_error();
    size_t written = 0;
    // Memory takes all; it only fails on a connection that has broken, and then
    // receiving says why.
    if (SSL_write_ex(state_->ssl.get(), bytes.data(), next, &written) != 1) {
      ERR_clear_error();
      return;
    }
    state_->Flush();
    bytes.remove_prefix(written);
  }
}

Stream::DrainAwaiter TlsStream::Drained(size_t below) {
  return state_->stream.Drained(below);
}

size_t TlsStream::queued_bytes() const { return state_->stream.queued_bytes(); }

void TlsStream::ShutdownWrite() {
  state_->SayGoodbye();
  state_->stream.ShutdownWrite();
}

Task<absl::Status> TlsStream::CloseGracefully(absl::Time deadline) {
  state_->SayGoodbye();
  return state_->stream.CloseGracefully(deadline);
}

Task<void> TlsStream::Close() {
  state_->SayGoodbye();
  return state_->stream.Close();
}

std::string_view TlsStream::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(state_->ssl.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string_view TlsStream::protocol() const {
  return SSL_get_version(state_->ssl.get());
}

std::string_view TlsStream::cipher() const {
  return SSL_get_cipher_name(state_->ssl.get());
}

bool TlsStream::resumed() const {
  return SSL_session_reused(state_->ssl.get()) == 1;
}

std::string TlsStream::peer_subject() const {
  X509* certificate = SSL_get0_peer_certificate(state_->ssl.get());
  if (certificate == nullptr) return "";
  BIO* text = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0,
                     XN_FLAG_RFC2253);
  std::string subject(BIO_pending(text), '\0');
  BIO_read(text, subject.data(), static_cast<int>(subject.size()));
  BIO_free(text);
  return subject;
}

const Stream& TlsStream::stream() const { return state_->stream; }

Loop* TlsStream::loop() const { return state_->stream.loop(); }

}  // namespace ioloop
