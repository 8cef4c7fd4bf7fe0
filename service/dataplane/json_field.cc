#include "service/dataplane/json_field.h"

#include <simdjson.h>

#include <cstddef>
#include <cstdint>

namespace dataplane {
namespace {

// The length of the UTF-8 sequence at the front of `text`, 0 if it is none.
size_t SequenceLength(std::string_view text) {
  auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  size_t length;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (first < 0x80) {
    return 1;
  } else if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string JsonStringField(std::string_view json, const char* field) {
  // The parser keeps its buffers between calls.
  static thread_local simdjson::dom::parser parser;
  std::string_view value;
  if (parser.parse(json.data(), json.size())[field].get(value) !=
      simdjson::SUCCESS) {
    return "";
  }
  return std::string(value);
}

void AppendJsonString(std::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  while (!text.empty()) {
    const char byte = text.front();
    const size_t length = SequenceLength(text);
    if (length == 0) {
      out->append("\xEF\xBF\xBD");
      text.remove_prefix(1);
      continue;
    }
    if (byte == '"' || byte == '\\') {
      out->push_back('\\');
      out->push_back(byte);
    } else if (static_cast<uint8_t>(byte) < 0x20) {
      out->append("\\u00");
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
    } else {
      out->append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out->push_back('"');
}

}  // namespace dataplane
