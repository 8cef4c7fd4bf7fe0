// Big-endian integers and length-prefixed parts of values.
#ifndef RINGPLANE_CQL_NODE_INTERNAL_BYTES_H_
#define RINGPLANE_CQL_NODE_INTERNAL_BYTES_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace cql::node {

static_assert(std::endian::native == std::endian::little);

inline uint8_t SwapBytes(uint8_t v) { return v; }
inline uint16_t SwapBytes(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t SwapBytes(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t SwapBytes(uint64_t v) { return __builtin_bswap64(v); }

// REQUIRES: sizeof(T) bytes at `data`.
template <typename T>
T LoadBig(const char* data) {
  std::make_unsigned_t<T> v;
  std::memcpy(&v, data, sizeof(v));
  return static_cast<T>(SwapBytes(v));
}

template <typename T>
void StoreBig(T value, char* data) {
  const auto v = SwapBytes(static_cast<std::make_unsigned_t<T>>(value));
  std::memcpy(data, &v, sizeof(v));
}

template <typename T>
void AppendBig(T value, std::string* out) {
  char data[sizeof(T)];
  StoreBig(value, data);
  out->append(data, sizeof(data));
}

// [bytes]: int32 length and the bytes.
inline void AppendBytes(std::string_view bytes, std::string* out) {
  AppendBig(static_cast<int32_t>(bytes.size()), out);
  out->append(bytes);
}
inline void AppendNullBytes(std::string* out) { AppendBig(int32_t{-1}, out); }

// Reads parts off the front of bytes that may be anything.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  bool Read(T* value) {
    if (bytes_.size() < sizeof(T)) return false;
    *value = LoadBig<T>(bytes_.data());
    bytes_.remove_prefix(sizeof(T));
    return true;
  }
  bool ReadSpan(size_t size, std::string_view* span) {
    if (bytes_.size() < size) return false;
    *span = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  // [bytes]; a negative length is null.
  bool ReadBytes(std::string_view* bytes, bool* is_null) {
    int32_t size;
    if (!Read(&size)) return false;
    *is_null = size < 0;
    *bytes = {};
    return size < 0 || ReadSpan(static_cast<size_t>(size), bytes);
  }

  bool empty() const { return bytes_.empty(); }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_INTERNAL_BYTES_H_
