// HTTP/1.1 requests in pieces: the parser must end, keep its limits, and read
// the same whatever the pieces are.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "service/http/http1_parser.h"

namespace {

struct Outcome {
  int requests = 0;
  int error = 0;
  size_t body_bytes = 0;
};

Outcome Run(std::string_view bytes, size_t piece) {
  http::Http1Parser::Limits limits;
  limits.body_bytes_max = 4096;
  http::Http1Parser parser(limits);
  Outcome outcome;
  while (!bytes.empty()) {
    std::string_view input = bytes.substr(0, piece);
    bytes.remove_prefix(input.size());
    while (true) {
      http::Http1Parser::Event event = parser.Parse(&input);
      if (event == http::Http1Parser::Event::kError) {
        outcome.error = parser.error_status();
        return outcome;
      }
      if (event == http::Http1Parser::Event::kNeedMore) {
        if (!input.empty()) std::abort();
        break;
      }
      if (event != http::Http1Parser::Event::kRequest) continue;
      ++outcome.requests;
      outcome.body_bytes += parser.request().body.size();
      if (parser.request().body.size() > limits.body_bytes_max) std::abort();
      if (!parser.keep_alive()) return outcome;
      parser.Reset();
    }
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Outcome whole = Run(bytes, std::max<size_t>(size, 1));
  Outcome bytewise = Run(bytes, 1);
  if (whole.requests != bytewise.requests || whole.error != bytewise.error ||
      whole.body_bytes != bytewise.body_bytes) {
    std::abort();
  }
  return 0;
}
