#include "service/app/store_tls.h"

#include <errno.h>
#include <string.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "absl/flags/flag.h"
#include "cql/tls.h"
#include "ioloop/tls_context.h"
#include "service/app/flags.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Cat;

// Connections of all loops that find a session to resume.
constexpr uint32_t kSessionsMax = 16384;
constexpr uint32_t kSessionsPerNodeMax = 512;

absl::Status Bad(std::string_view flag, std::string_view value,
                 std::string_view reason) {
  return absl::InvalidArgumentError(Cat("--", flag, "=", value, ": ", reason));
}

}  // namespace

absl::StatusOr<std::shared_ptr<cql::SecureTransport>> GetStoreTls() {
  const std::string roots = absl::GetFlag(FLAGS_cql_tls_roots);
  const std::string certificate = absl::GetFlag(FLAGS_cql_tls_certificate);
  const std::string key = absl::GetFlag(FLAGS_cql_tls_key);
  const std::string name = absl::GetFlag(FLAGS_cql_tls_server_name);
  if (!absl::GetFlag(FLAGS_cql_tls)) {
    // Who names a certificate does not mean to send in the clear.
    if (!roots.empty()) return Bad("cql_tls_roots", roots, "needs --cql_tls");
    if (!certificate.empty()) {
      return Bad("cql_tls_certificate", certificate, "needs --cql_tls");
    }
    if (!key.empty()) return Bad("cql_tls_key", key, "needs --cql_tls");
    if (!name.empty()) {
      return Bad("cql_tls_server_name", name, "needs --cql_tls");
    }
    return nullptr;
  }
  if (certificate.empty() != key.empty()) {
    return Bad("cql_tls_key", key,
               "a certificate and its key go together (--cql_tls_certificate)");
  }
  ioloop::TlsContext::ClientOptions options;
  options.session_cache_max = kSessionsMax;
  options.sessions_per_host_max = kSessionsPerNodeMax;
  if (!roots.empty()) {
    std::ifstream file(roots, std::ios::binary);
    if (!file) return Bad("cql_tls_roots", roots, strerror(errno));
    options.roots_pem.assign(std::istreambuf_iterator<char>(file), {});
    if (options.roots_pem.empty()) {
      return Bad("cql_tls_roots", roots, "is empty");
    }
  }
  if (!certificate.empty()) {
    absl::StatusOr<ioloop::TlsIdentity> identity =
        ioloop::TlsIdentity::FromFiles(certificate, key);
    if (!identity.ok()) {
      return Bad("cql_tls_certificate", certificate,
                 ingest::View(identity.status().message()));
    }
    options.identity = *std::move(identity);
  }
  absl::StatusOr<std::shared_ptr<ioloop::TlsContext>> context =
      ioloop::TlsContext::Client(options);
  if (!context.ok()) {
    return Bad("cql_tls", "true", ingest::View(context.status().message()));
  }
  return cql::TlsTransport(*std::move(context), name);
}

}  // namespace app
