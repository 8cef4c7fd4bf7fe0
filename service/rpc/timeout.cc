#include "service/rpc/timeout.h"

#include <cstdint>

#include "service/http/text.h"

namespace rpc {
namespace {

constexpr size_t kShown = 40;  // of a bad value, in the error

bool ParseDigits(std::string_view text, size_t max_digits, int64_t* value) {
  if (text.empty() || text.size() > max_digits) return false;
  int64_t result = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    result = result * 10 + (c - '0');
  }
  *value = result;
  return true;
}

}  // namespace

absl::StatusOr<absl::Duration> ParseGrpcTimeout(std::string_view text) {
  int64_t value = 0;
  if (text.size() >= 2 &&
      ParseDigits(text.substr(0, text.size() - 1), 8, &value)) {
    switch (text.back()) {
      case 'H':
        return absl::Hours(value);
      case 'M':
        return absl::Minutes(value);
      case 'S':
        return absl::Seconds(value);
      case 'm':
        return absl::Milliseconds(value);
      case 'u':
        return absl::Microseconds(value);
      case 'n':
        return absl::Nanoseconds(value);
      default:
        break;
    }
  }
  return absl::InvalidArgumentError(
      http::Cat("grpc-timeout '", text.substr(0, kShown),
                "' is not 1 to 8 digits and one of H, M, S, m, u, n"));
}

absl::StatusOr<absl::Duration> ParseConnectTimeout(std::string_view text) {
  int64_t value = 0;
  if (ParseDigits(text, 10, &value)) return absl::Milliseconds(value);
  return absl::InvalidArgumentError(http::Cat("Connect-Timeout-Ms '",
                                              text.substr(0, kShown),
                                              "' is not 1 to 10 digits"));
}

}  // namespace rpc
