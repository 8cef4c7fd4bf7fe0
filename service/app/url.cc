#include "service/app/url.h"

#include "ioloop/socket_address.h"
#include "service/ingest/text.h"

namespace app {

absl::StatusOr<std::string> HostPortOfUrl(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (url.starts_with("https://")) {
    return absl::InvalidArgumentError("TLS is not spoken here: http://");
  }
  if (!url.starts_with(kScheme)) {
    return absl::InvalidArgumentError("not http://host:port");
  }
  std::string rest(url.substr(kScheme.size()));
  if (rest.ends_with('/')) rest.pop_back();
  if (rest.empty() || rest.find_first_of("/?#@ ") != std::string::npos) {
    return absl::InvalidArgumentError("not http://host:port");
  }
  if (ioloop::ParseHostPort(rest).ok()) return rest;
  std::string with_port = ingest::Cat(rest, ":80");
  absl::StatusOr<ioloop::HostPort> parsed = ioloop::ParseHostPort(with_port);
  if (!parsed.ok() || parsed->host.empty()) {
    return absl::InvalidArgumentError("not http://host:port");
  }
  return with_port;
}

}  // namespace app
