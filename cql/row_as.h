// Rows as structs, by the order of columns and fields; without macros.
//
//   struct User {
//     int64_t id;
//     std::string name;
//     std::optional<int32_t> age;  // May be null.
//   };
//   absl::StatusOr<User> user = cql::RowAs<User>(row);
//   absl::StatusOr<std::vector<User>> users = cql::RowsAs<User>(*rows);
//
// T is an aggregate of 1 to 16 fields without base classes and arrays, or a
// std::tuple. Errors: kInvalidArgument when there are not as many columns as
// fields, or a column does not fit its field, see cql/protocol/value_types.h.
// A field of std::string_view lives as long as the Rows.
#ifndef RINGPLANE_CQL_ROW_AS_H_
#define RINGPLANE_CQL_ROW_AS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/rows.h"

namespace cql {
namespace internal {

template <typename T>
inline constexpr bool kIsOptional = false;
template <typename T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

// Stands for the value of any field, in expressions that are never evaluated.
struct AnyField {
  // An optional that takes this as its value would find the two ambiguous.
  template <typename T>
  static constexpr bool ConvertsTo() {
    if constexpr (kIsOptional<T>) {
      return !std::is_constructible_v<typename T::value_type, AnyField>;
    } else {
      return true;
    }
  }
  template <typename T>
    requires(ConvertsTo<T>())
  operator T() const;
};

template <typename T, size_t... I>
constexpr bool TakesFields(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), AnyField{})...}; };
}

// The most fields that T can be initialized with.
template <typename T, size_t kCount = 16>
constexpr size_t FieldCount() {
  if constexpr (TakesFields<T>(std::make_index_sequence<kCount>())) {
    return kCount;
  } else {
    static_assert(kCount > 1, "T is no aggregate of fields");
    return FieldCount<T, kCount - 1>();
  }
}

// References to the fields of `t`.
template <typename T>
auto TieFields(T& t) {
  static_assert(!TakesFields<T>(std::make_index_sequence<17>()),
                "T has more than 16 fields");
  constexpr size_t kCount = FieldCount<T>();
  if constexpr (kCount == 1) {
    auto& [a] = t;
    return std::tie(a);
  } else if constexpr (kCount == 2) {
    auto& [a, b] = t;
    return std::tie(a, b);
  } else if constexpr (kCount == 3) {
    auto& [a, b, c] = t;
    return std::tie(a, b, c);
  } else if constexpr (kCount == 4) {
    auto& [a, b, c, d] = t;
    return std::tie(a, b, c, d);
  } else if constexpr (kCount == 5) {
    auto& [a, b, c, d, e] = t;
    return std::tie(a, b, c, d, e);
  } else if constexpr (kCount == 6) {
    auto& [a, b, c, d, e, f] = t;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (kCount == 7) {
    auto& [a, b, c, d, e, f, g] = t;
    return std::tie(a, b, c, d, e, f, g);
  } else if constexpr (kCount == 8) {
    auto& [a, b, c, d, e, f, g, h] = t;
    return std::tie(a, b, c, d, e, f, g, h);
  } else if constexpr (kCount == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = t;
    return std::tie(a, b, c, d, e, f, g, h, i);
  } else if constexpr (kCount == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (kCount == 11) {
    auto& [a, b, c, d, e, f, g, h, i, j, k] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k);
  } else if constexpr (kCount == 12) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l);
  } else if constexpr (kCount == 13) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m);
  } else if constexpr (kCount == 14) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n);
  } else if constexpr (kCount == 15) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o);
  } else {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = t;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
  }
}
template <typename... T>
auto TieFields(std::tuple<T...>& t) {
  return std::apply([](T&... fields) { return std::tie(fields...); }, t);
}

absl::Status WrongFieldCount(size_t fields, size_t columns);

}  // namespace internal

template <typename T>
absl::Status ReadRow(const Row& row, T* out) {
  return std::apply(
      [&row](auto&... fields) {
        if (sizeof...(fields) != row.size()) {
          return internal::WrongFieldCount(sizeof...(fields), row.size());
        }
        return row.Read(&fields...);
      },
      internal::TieFields(*out));
}

template <typename T>
absl::StatusOr<T> RowAs(const Row& row) {
  T value{};
  absl::Status status = ReadRow(row, &value);
  if (!status.ok()) return status;
  return value;
}

template <typename T>
absl::StatusOr<std::vector<T>> RowsAs(const Rows& rows) {
  std::vector<T> values;
  values.reserve(rows.size());
  for (const Row& row : rows) {
    absl::Status status = ReadRow(row, &values.emplace_back());
    if (!status.ok()) return status;
  }
  return values;
}

}  // namespace cql

#endif  // RINGPLANE_CQL_ROW_AS_H_
