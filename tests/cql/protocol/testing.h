// Helpers of the protocol's tests.
#ifndef RINGPLANE_TESTS_CQL_PROTOCOL_TESTING_H_
#define RINGPLANE_TESTS_CQL_PROTOCOL_TESTING_H_

#include <string>
#include <string_view>
#include <utility>

#include "cql/protocol/wire.h"

namespace cql::protocol {

// "00 04 'test' ff": bytes in hex and text in quotes.
inline std::string Bytes(std::string_view text) {
  const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    if (text[i] == '\'') {
      for (++i; text[i] != '\''; ++i) bytes += text[i];
      continue;
    }
    bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    ++i;
  }
  return bytes;
}

// What `encode(Writer*)` writes.
template <typename Encode>
std::string Written(Encode&& encode) {
  std::string out;
  Writer writer(&out);
  std::forward<Encode>(encode)(&writer);
  writer.Finish();
  return out;
}

}  // namespace cql::protocol

#endif  // RINGPLANE_TESTS_CQL_PROTOCOL_TESTING_H_
