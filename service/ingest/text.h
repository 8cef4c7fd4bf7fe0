// Joining text. Debian's abseil has a string view of its own, which the
// standard's does not turn into; these take both.
#ifndef RINGPLANE_SERVICE_INGEST_TEXT_H_
#define RINGPLANE_SERVICE_INGEST_TEXT_H_

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace ingest {

inline std::string_view View(absl::string_view text) {
  return {text.data(), text.size()};
}
inline absl::string_view AbslView(std::string_view text) {
  return {text.data(), text.size()};
}

namespace internal {

template <typename T>
void AppendOne(std::string* out, const T& part) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    out->append(std::string_view(part));
  } else if constexpr (std::is_same_v<T, absl::string_view>) {
    out->append(part.data(), part.size());
  } else {
    static_assert(std::integral<T> && !std::is_same_v<T, bool> &&
                  !std::is_same_v<T, char>);
    char digits[24];
    std::to_chars_result end =
        std::to_chars(digits, digits + sizeof(digits), part);
    out->append(digits, end.ptr);
  }
}

}  // namespace internal

// Appends strings and whole numbers, in order.
template <typename... Parts>
void Append(std::string* out, const Parts&... parts) {
  (internal::AppendOne(out, parts), ...);
}

template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  Append(&out, parts...);
  return out;
}

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_TEXT_H_
