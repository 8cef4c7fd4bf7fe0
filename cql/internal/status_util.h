// Putting a layer's words before an error.
#ifndef RINGPLANE_CQL_INTERNAL_STATUS_UTIL_H_
#define RINGPLANE_CQL_INTERNAL_STATUS_UTIL_H_

#include <charconv>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cql::internal {

// absl::StrCat() that also takes std::string_view, which is not abseil's where
// abseil was built for C++14.
template <typename T>
const T& ForAbsl(const T& value) {
  return value;
}
inline absl::string_view ForAbsl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}
template <typename... T>
std::string Cat(const T&... parts) {
  return absl::StrCat(ForAbsl(parts)...);
}

// The whole of `text` as a number; false if it is none or does not fit.
template <typename T>
bool ParseNumber(std::string_view text, T* number) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

// "<context>: <message>", with the code and the payloads of `status`.
// REQUIRES: !status.ok().
absl::Status Annotate(std::string_view context, const absl::Status& status);

// A statement as an error names it: one line of at most 80 characters.
std::string Shorten(std::string_view text);

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_STATUS_UTIL_H_
