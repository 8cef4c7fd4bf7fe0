// Text of std::string_view. Debian's abseil has a string_view of its own, which
// its functions take and which does not convert.
#ifndef RINGPLANE_CQL_NODE_INTERNAL_TEXT_H_
#define RINGPLANE_CQL_NODE_INTERNAL_TEXT_H_

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace cql::node {

inline absl::string_view ToAbsl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}
inline std::string_view ToStd(absl::string_view text) {
  return std::string_view(text.data(), text.size());
}

// One argument of StrCat().
class Piece {
 public:
  Piece(std::string_view text) : text_(text) {}    // NOLINT: as in abseil.
  Piece(const std::string& text) : text_(text) {}  // NOLINT
  Piece(const char* text) : text_(text) {}         // NOLINT
  template <std::integral T>
  Piece(T value) {  // NOLINT
    const auto end = std::to_chars(digits_, digits_ + sizeof(digits_), value);
    text_ = std::string_view(digits_, static_cast<size_t>(end.ptr - digits_));
  }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;

  std::string_view text() const { return text_; }

 private:
  char digits_[24];
  std::string_view text_;
};

template <typename... Parts>
void StrAppend(std::string* out, const Parts&... parts) {
  (out->append(Piece(parts).text()), ...);
}

template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  std::string text;
  StrAppend(&text, parts...);
  return text;
}

inline std::string Join(const std::vector<std::string>& parts,
                        std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

inline std::string ToLower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = absl::ascii_tolower(c);
  return lower;
}

inline bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (absl::ascii_tolower(a[i]) != absl::ascii_tolower(b[i])) return false;
  }
  return true;
}

// The whole of `text` as a number.
template <typename T>
bool ParseNumber(std::string_view text, T* value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, *value);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_INTERNAL_TEXT_H_
