#include "service/app/admin.h"

#include <openssl/crypto.h>

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "service/ingest/text.h"

namespace app {
namespace {

constexpr std::string_view kBearer = "Bearer ";

bool IsProbe(const http::Request& request) {
  return request.path() == "/healthz" || request.path() == "/readyz";
}

// In a time that does not tell where two tokens differ.
bool SameToken(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

server::Authorizer MakeAdminAuthorizer(std::string token) {
  return [token = std::move(token)](const http::Request& request) {
    if (request.headers.Contains("origin")) {
      return absl::PermissionDeniedError("web pages may not use this");
    }
    if (token.empty() || IsProbe(request)) return absl::OkStatus();
    std::string_view given = request.headers.Find("authorization");
    if (given.starts_with(kBearer) &&
        SameToken(given.substr(kBearer.size()), token)) {
      return absl::OkStatus();
    }
    return absl::UnauthenticatedError("no valid bearer token");
  };
}

server::HttpHandler MakeAdminHandler(const server::Registry* registry,
                                     const QueryPage* queries,
                                     std::function<std::string()> not_ready) {
  return [registry, queries, not_ready = std::move(not_ready)](
             const http::Request& request, http::Response* response) {
    std::string_view path = request.path();
    bool known = path == "/metrics" || path == "/queries" ||
                 path == "/healthz" || path == "/readyz";
    if (known && request.method != "GET" && request.method != "HEAD") {
      response->status = 405;
      response->headers.Add("allow", "GET, HEAD");
      return;
    }
    response->headers.Add("content-type", path == "/metrics"
                                              ? "text/plain; version=0.0.4"
                                              : "text/plain; charset=utf-8");
    response->headers.Add("cache-control", "no-store");
    if (path == "/metrics") {
      response->body = registry->Text();
    } else if (path == "/queries") {
      response->body = queries->Text();
    } else if (path == "/healthz") {
      response->body = "ok\n";
    } else if (path == "/readyz") {
      std::string reason = not_ready();
      if (!reason.empty()) response->status = 503;
      response->body =
          reason.empty() ? "ready\n" : ingest::Cat("not ready: ", reason, "\n");
    } else {
      response->status = 404;
      response->body = "there are /metrics, /queries, /healthz and /readyz\n";
    }
  };
}

}  // namespace app
