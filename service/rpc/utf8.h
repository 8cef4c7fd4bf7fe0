// Checks of UTF-8 (RFC 3629): shortest forms only, no surrogates.
#ifndef RINGPLANE_SERVICE_RPC_UTF8_H_
#define RINGPLANE_SERVICE_RPC_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rpc {

// Bytes of the character that `text` starts with; 0 if it starts with none.
inline size_t Utf8Length(std::string_view text) {
  if (text.empty()) return 0;
  auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  auto continues = [&](size_t i) {
    return i < text.size() && (byte(i) & 0xC0) == 0x80;
  };
  uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!continues(1) || !continues(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

inline bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_UTF8_H_
