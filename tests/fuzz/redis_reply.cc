// Replies of a Redis that lies: any bytes, cut anywhere. The first byte of the
// input chooses the size of the pieces in which the rest arrives.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "service/redis/reply.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = size_t{data[0]} + 1;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  redis::ReplyReader::Limits limits;
  limits.reply_bytes_max = 4096;
  limits.elements_max = 64;
  limits.line_bytes_max = 256;
  redis::ReplyReader reader(limits);
  while (!bytes.empty()) {
    reader.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (;;) {
      absl::StatusOr<std::optional<redis::Reply>> reply = reader.Next();
      if (!reply.ok()) return 0;
      if (!reply->has_value()) break;
      if ((*reply)->elements.size() > limits.elements_max) __builtin_trap();
    }
  }
  return 0;
}
