// How a C++ type becomes the bytes of a CQL value and back.
//
// `Codec<T>` is the point of extension: specialize it for a type of your own
// with Encode() and Decode().
#ifndef RINGPLANE_CQL_PROTOCOL_CODEC_H_
#define RINGPLANE_CQL_PROTOCOL_CODEC_H_

#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/protocol/types.h"
#include "cql/protocol/value_types.h"
#include "cql/protocol/wire.h"

namespace cql {

// Each specialization has
//   // Appends the content of a value, without its length.
//   static absl::Status Encode(protocol::Writer* writer,
//                              const protocol::ColumnType& type, const T&);
//   // Reads the content of a value that is not null.
//   static absl::Status Decode(const protocol::ColumnType& type,
//                              std::string_view bytes, T* out);
// and returns kInvalidArgument when `type` and T do not go together.
template <typename T>
struct Codec;

namespace protocol {

namespace internal {

// "a C++ string does not fit CQL type int".
absl::Status Mismatch(std::string_view cpp_type, const ColumnType& type);
// "3 bytes are no value of CQL type int".
absl::Status WrongSize(size_t bytes, const ColumnType& type);
// "300 does not fit CQL type tinyint".
absl::Status OutOfRange(std::string_view what, const ColumnType& type);
// "null where a C++ value without null is asked for".
absl::Status UnexpectedNull();

// Integers of every width, in both directions. `is_signed` false: `value` is
// to be taken as uint64_t.
absl::Status EncodeInteger(Writer* writer, const ColumnType& type,
                           int64_t value, bool is_signed);
absl::Status DecodeInteger(const ColumnType& type, std::string_view bytes,
                           int64_t* value);

template <typename T>
inline constexpr bool kIsOptional = false;
template <typename T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

template <typename T>
concept Integer =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

template <typename T>
concept Text = std::convertible_to<const T&, std::string_view> &&
               !std::same_as<T, std::nullptr_t>;

template <typename T>
concept Map = requires(const T& map) {
  typename T::key_type;
  typename T::mapped_type;
  map.begin();
  map.end();
  map.size();
};

template <typename T>
concept Sequence = !Text<T> && !Map<T> && requires(const T& sequence) {
  sequence.begin();
  sequence.end();
  sequence.size();
};

template <typename T>
using ElementOf =
    std::remove_cvref_t<decltype(*std::declval<const T&>().begin())>;

inline bool IsText(TypeId id) {
  return id == TypeId::kText || id == TypeId::kAscii || id == TypeId::kBlob ||
         id == TypeId::kCustom;
}

}  // namespace internal

// Appends a [value]: its length, then its bytes.
template <typename T>
absl::Status EncodeValue(Writer* writer, const ColumnType& type,
                         const T& value) {
  if constexpr (std::same_as<T, Null> || std::same_as<T, std::nullopt_t> ||
                std::same_as<T, std::nullptr_t>) {
    writer->Int(-1);
    return absl::OkStatus();
  } else if constexpr (std::same_as<T, Unset>) {
    writer->Int(-2);
    return absl::OkStatus();
  } else if constexpr (internal::kIsOptional<T>) {
    if (!value.has_value()) {
      writer->Int(-1);
      return absl::OkStatus();
    }
    return EncodeValue(writer, type, *value);
  } else if constexpr (internal::Text<T>) {
    const std::string_view text = value;
    if (!internal::IsText(type.id)) {
      return internal::Mismatch("string", type);
    }
    if (text.size() > std::numeric_limits<int32_t>::max()) {
      return internal::OutOfRange("a string above 2 GiB", type);
    }
    writer->Bytes(text);
    return absl::OkStatus();
  } else {
    if constexpr (internal::Integer<T>) {
      // What almost every key is.
      if (type.id == TypeId::kBigint && std::in_range<int64_t>(value)) {
        if (char* p = writer->Extend(12)) {
          StoreBig32(p, 8);
          StoreBig64(p + 4, static_cast<uint64_t>(value));
        }
        return absl::OkStatus();
      }
    }
    const size_t mark = writer->BeginInt();
    absl::Status status = Codec<T>::Encode(writer, type, value);
    writer->FillLength(mark);
    return status;
  }
}

// Reads a cell into `*out`. A null is an error unless T is a std::optional.
// Views point into the cell.
template <typename T>
[[gnu::always_inline]] inline absl::Status DecodeValue(const ColumnType& type,
                                                       Cell cell, T* out) {
  if constexpr (internal::kIsOptional<T>) {
    if (cell.null()) {
      out->reset();
      return absl::OkStatus();
    }
    return DecodeValue(type, cell, &out->emplace());
  } else {
    if (__builtin_expect(cell.null(), 0)) return internal::UnexpectedNull();
    return Codec<T>::Decode(type, cell.bytes(), out);
  }
}

}  // namespace protocol

template <>
struct Codec<bool> {
  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type, bool value) {
    if (type.id != protocol::TypeId::kBoolean) {
      return protocol::internal::Mismatch("bool", type);
    }
    writer->Byte(value ? 1 : 0);
    return absl::OkStatus();
  }
  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, bool* out) {
    if (type.id != protocol::TypeId::kBoolean) {
      return protocol::internal::Mismatch("bool", type);
    }
    if (bytes.size() != 1) {
      return protocol::internal::WrongSize(bytes.size(), type);
    }
    *out = bytes[0] != 0;
    return absl::OkStatus();
  }
};

template <protocol::internal::Integer T>
struct Codec<T> {
  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type, T value) {
    return protocol::internal::EncodeInteger(
        writer, type, static_cast<int64_t>(value), std::is_signed_v<T>);
  }
  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, T* out) {
    int64_t value = 0;
    // The widths that almost every column has.
    if (type.id == protocol::TypeId::kBigint && bytes.size() == 8) {
      value = static_cast<int64_t>(protocol::LoadBig64(bytes.data()));
    } else if (type.id == protocol::TypeId::kInt && bytes.size() == 4) {
      value = static_cast<int32_t>(protocol::LoadBig32(bytes.data()));
    } else {
      absl::Status status =
          protocol::internal::DecodeInteger(type, bytes, &value);
      if (!status.ok()) return status;
    }
    if (!std::in_range<T>(value)) {
      return protocol::internal::OutOfRange("the C++ integer asked for", type);
    }
    *out = static_cast<T>(value);
    return absl::OkStatus();
  }
};

template <std::floating_point T>
struct Codec<T> {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "float or double");
  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type, T value) {
    if (type.id == protocol::TypeId::kDouble) {
      const double wide = value;
      int64_t bits;
      std::memcpy(&bits, &wide, sizeof(bits));
      writer->Long(bits);
      return absl::OkStatus();
    }
    if constexpr (sizeof(T) == 4) {
      if (type.id == protocol::TypeId::kFloat) {
        int32_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        writer->Int(bits);
        return absl::OkStatus();
      }
    }
    return protocol::internal::Mismatch(sizeof(T) == 4 ? "float" : "double",
                                        type);
  }
  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, T* out) {
    if (type.id == protocol::TypeId::kFloat) {
      if (bytes.size() != 4) {
        return protocol::internal::WrongSize(bytes.size(), type);
      }
      const uint32_t bits = protocol::LoadBig32(bytes.data());
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      *out = value;
      return absl::OkStatus();
    }
    if constexpr (sizeof(T) == 8) {
      if (type.id == protocol::TypeId::kDouble) {
        if (bytes.size() != 8) {
          return protocol::internal::WrongSize(bytes.size(), type);
        }
        const uint64_t bits = protocol::LoadBig64(bytes.data());
        std::memcpy(out, &bits, sizeof(*out));
        return absl::OkStatus();
      }
    }
    return protocol::internal::Mismatch(sizeof(T) == 4 ? "float" : "double",
                                        type);
  }
};

// Of strings only reading goes through Codec: EncodeValue() takes everything
// that converts to std::string_view.
template <>
struct Codec<std::string_view> {
  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type,
                             std::string_view value) {
    if (!protocol::internal::IsText(type.id)) {
      return protocol::internal::Mismatch("string", type);
    }
    writer->Raw(value);
    return absl::OkStatus();
  }
  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, std::string_view* out) {
    if (!protocol::internal::IsText(type.id)) {
      return protocol::internal::Mismatch("string", type);
    }
    *out = bytes;
    return absl::OkStatus();
  }
};

template <>
struct Codec<std::string> {
  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type,
                             const std::string& value) {
    return Codec<std::string_view>::Encode(writer, type, value);
  }
  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, std::string* out) {
    std::string_view view;
    absl::Status status = Codec<std::string_view>::Decode(type, bytes, &view);
    if (status.ok()) out->assign(view);
    return status;
  }
};

#define RINGPLANE_CQL_CODEC(Type)                                  \
  template <>                                                      \
  struct Codec<Type> {                                             \
    static absl::Status Encode(protocol::Writer* writer,           \
                               const protocol::ColumnType& type,   \
                               const Type& value);                 \
    static absl::Status Decode(const protocol::ColumnType& type,   \
                               std::string_view bytes, Type* out); \
  }
RINGPLANE_CQL_CODEC(absl::Time);
RINGPLANE_CQL_CODEC(Uuid);
RINGPLANE_CQL_CODEC(Inet);
RINGPLANE_CQL_CODEC(Date);
RINGPLANE_CQL_CODEC(Time);
RINGPLANE_CQL_CODEC(Duration);
RINGPLANE_CQL_CODEC(Varint);
RINGPLANE_CQL_CODEC(Decimal);
RINGPLANE_CQL_CODEC(RawValue);
#undef RINGPLANE_CQL_CODEC

template <protocol::internal::Sequence T>
struct Codec<T> {
  using Element = protocol::internal::ElementOf<T>;

  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type, const T& value) {
    if ((type.id != protocol::TypeId::kList &&
         type.id != protocol::TypeId::kSet) ||
        type.parameters.size() != 1) {
      return protocol::internal::Mismatch("sequence", type);
    }
    if (value.size() > std::numeric_limits<int32_t>::max()) {
      return protocol::internal::OutOfRange("that many elements", type);
    }
    writer->Int(static_cast<int32_t>(value.size()));
    for (const Element& element : value) {
      absl::Status status =
          protocol::EncodeValue(writer, type.parameters[0], element);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, T* out) {
    if ((type.id != protocol::TypeId::kList &&
         type.id != protocol::TypeId::kSet) ||
        type.parameters.size() != 1) {
      return protocol::internal::Mismatch("sequence", type);
    }
    protocol::Reader reader(bytes);
    const size_t count = reader.Count(reader.Int(), 4, "element count");
    out->clear();
    if constexpr (requires { out->reserve(count); }) {
      // An element is four bytes on the wire and more here; grow past this
      // only as elements come.
      out->reserve(count < 1024 ? count : 1024);
    }
    for (size_t i = 0; i < count; ++i) {
      const protocol::Cell cell = reader.Bytes();
      if (!reader.ok()) break;
      Element element{};
      absl::Status status =
          protocol::DecodeValue(type.parameters[0], cell, &element);
      if (!status.ok()) return status;
      if constexpr (requires { out->push_back(std::move(element)); }) {
        out->push_back(std::move(element));
      } else {
        out->insert(std::move(element));
      }
    }
    return reader.status("collection");
  }
};

template <protocol::internal::Map T>
struct Codec<T> {
  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type, const T& value) {
    if (type.id != protocol::TypeId::kMap || type.parameters.size() != 2) {
      return protocol::internal::Mismatch("map", type);
    }
    if (value.size() > std::numeric_limits<int32_t>::max()) {
      return protocol::internal::OutOfRange("that many entries", type);
    }
    writer->Int(static_cast<int32_t>(value.size()));
    for (const auto& [key, mapped] : value) {
      absl::Status status =
          protocol::EncodeValue(writer, type.parameters[0], key);
      if (!status.ok()) return status;
      status = protocol::EncodeValue(writer, type.parameters[1], mapped);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, T* out) {
    if (type.id != protocol::TypeId::kMap || type.parameters.size() != 2) {
      return protocol::internal::Mismatch("map", type);
    }
    protocol::Reader reader(bytes);
    const size_t count = reader.Count(reader.Int(), 8, "entry count");
    out->clear();
    for (size_t i = 0; i < count; ++i) {
      const protocol::Cell key_cell = reader.Bytes();
      const protocol::Cell mapped_cell = reader.Bytes();
      if (!reader.ok()) break;
      typename T::key_type key{};
      typename T::mapped_type mapped{};
      absl::Status status =
          protocol::DecodeValue(type.parameters[0], key_cell, &key);
      if (!status.ok()) return status;
      status = protocol::DecodeValue(type.parameters[1], mapped_cell, &mapped);
      if (!status.ok()) return status;
      out->emplace(std::move(key), std::move(mapped));
    }
    return reader.status("map");
  }
};

// Tuples, and user types by the order of their fields. A value of a user type
// that was written before fields were added is shorter: the rest is null.
template <typename... Components>
struct Codec<std::tuple<Components...>> {
  using Tuple = std::tuple<Components...>;

  static bool Fits(const protocol::ColumnType& type) {
    return (type.id == protocol::TypeId::kTuple ||
            type.id == protocol::TypeId::kUdt) &&
           type.parameters.size() == sizeof...(Components);
  }

  static absl::Status Encode(protocol::Writer* writer,
                             const protocol::ColumnType& type,
                             const Tuple& value) {
    if (!Fits(type)) {
      return protocol::internal::Mismatch("tuple of another size", type);
    }
    absl::Status status;
    std::apply(
        [&](const Components&... component) {
          size_t i = 0;
          static_cast<void>(((status = protocol::EncodeValue(
                                  writer, type.parameters[i++], component),
                              status.ok()) &&
                             ...));
        },
        value);
    return status;
  }

  static absl::Status Decode(const protocol::ColumnType& type,
                             std::string_view bytes, Tuple* out) {
    if (!Fits(type)) {
      return protocol::internal::Mismatch("tuple of another size", type);
    }
    protocol::Reader reader(bytes);
    absl::Status status;
    std::apply(
        [&](Components&... component) {
          size_t i = 0;
          static_cast<void>(
              ((status = DecodeNext(type.parameters[i++], &reader, &component),
                status.ok()) &&
               ...));
        },
        *out);
    return status;
  }

 private:
  template <typename T>
  static absl::Status DecodeNext(const protocol::ColumnType& type,
                                 protocol::Reader* reader, T* out) {
    protocol::Cell cell;
    if (reader->remaining() != 0) cell = reader->Bytes();
    if (!reader->ok()) return reader->status("tuple");
    return protocol::DecodeValue(type, cell, out);
  }
};

}  // namespace cql

#endif  // RINGPLANE_CQL_PROTOCOL_CODEC_H_
