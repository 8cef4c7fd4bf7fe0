// Text of std::string_view and absl::string_view together: Debian's abseil has
// a string_view of its own, which std's does not convert to.
#ifndef RINGPLANE_SERVICE_HTTP_TEXT_H_
#define RINGPLANE_SERVICE_HTTP_TEXT_H_

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace http {

inline absl::string_view ToAbsl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

inline std::string_view ToStd(absl::string_view text) {
  return std::string_view(text.data(), text.size());
}

namespace internal {

template <typename T>
decltype(auto) Piece(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}

}  // namespace internal

// absl::StrCat and absl::StrAppend, for either string_view.
template <typename... Pieces>
std::string Cat(const Pieces&... pieces) {
  return absl::StrCat(internal::Piece(pieces)...);
}

template <typename... Pieces>
void AppendTo(std::string* out, const Pieces&... pieces) {
  absl::StrAppend(out, internal::Piece(pieces)...);
}

}  // namespace http

#endif  // RINGPLANE_SERVICE_HTTP_TEXT_H_
