// The notations of the CQL binary protocol ([int], [string], [bytes], ...):
// `Reader` takes them from foreign bytes, `Writer` appends them.
#ifndef RINGPLANE_CQL_PROTOCOL_WIRE_H_
#define RINGPLANE_CQL_PROTOCOL_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace cql::protocol {

inline uint16_t LoadBig16(const char* p) {
  uint16_t raw;
  std::memcpy(&raw, p, sizeof(raw));
  return __builtin_bswap16(raw);
}
inline uint32_t LoadBig32(const char* p) {
  uint32_t raw;
  std::memcpy(&raw, p, sizeof(raw));
  return __builtin_bswap32(raw);
}
inline uint64_t LoadBig64(const char* p) {
  uint64_t raw;
  std::memcpy(&raw, p, sizeof(raw));
  return __builtin_bswap64(raw);
}
inline void StoreBig16(char* p, uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(p, &value, sizeof(value));
}
inline void StoreBig32(char* p, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(p, &value, sizeof(value));
}
inline void StoreBig64(char* p, uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(p, &value, sizeof(value));
}

// [bytes] as they lie in a frame: a negative length is null.
struct Cell {
  const char* data = nullptr;
  int32_t size = -1;

  bool null() const { return size < 0; }
  std::string_view bytes() const {
    return size < 0 ? std::string_view()
                    : std::string_view(data, static_cast<size_t>(size));
  }
};

// A [value]: what a request binds to a marker.
struct BoundValue {
  enum class Kind : uint8_t { kBytes, kNull, kUnset };
  Kind kind = Kind::kNull;
  std::string_view bytes;

  static BoundValue Bytes(std::string_view bytes) {
    return {Kind::kBytes, bytes};
  }
  static BoundValue Null() { return {Kind::kNull, {}}; }
  static BoundValue Unset() { return {Kind::kUnset, {}}; }
};

// A cursor over foreign bytes. Reading past the end fails for good: that and
// every later read gives zero or empty, and status() says where and what. So a
// whole body can be read first and checked once.
class Reader {
 public:
  explicit Reader(std::string_view bytes)
      : begin_(bytes.data()),
        cursor_(bytes.data()),
        end_(bytes.data() + bytes.size()) {}

  bool ok() const { return failed_ == nullptr; }
  // OK, or kInvalidArgument: "<what>: [string] at byte 12 of 14 is cut off".
  absl::Status status(std::string_view what) const;

  size_t position() const { return static_cast<size_t>(cursor_ - begin_); }
  size_t remaining() const { return static_cast<size_t>(end_ - cursor_); }
  std::string_view rest() const { return {cursor_, remaining()}; }

  uint8_t Byte() {
    const char* p = Take(1, "[byte]");
    return p == nullptr ? 0 : static_cast<uint8_t>(*p);
  }
  uint16_t Short() {
    const char* p = Take(2, "[short]");
    return p == nullptr ? 0 : LoadBig16(p);
  }
  int32_t Int() {
    const char* p = Take(4, "[int]");
    return p == nullptr ? 0 : static_cast<int32_t>(LoadBig32(p));
  }
  int64_t Long() {
    const char* p = Take(8, "[long]");
    return p == nullptr ? 0 : static_cast<int64_t>(LoadBig64(p));
  }
  std::string_view String() { return Sized(Short(), "[string]"); }
  std::string_view ShortBytes() { return Sized(Short(), "[short bytes]"); }
  std::string_view LongString() {
    const int32_t size = Int();
    if (size < 0) Fail("[long string]");
    return Sized(static_cast<uint32_t>(size), "[long string]");
  }
  Cell Bytes() {
    const int32_t size = Int();
    if (size < 0 || !ok()) return {};
    const char* p = Take(static_cast<uint32_t>(size), "[bytes]");
    return p == nullptr ? Cell{} : Cell{p, size};
  }
  // `count` raw bytes.
  std::string_view Raw(size_t count) { return Sized(count, "bytes"); }

  // A count of things that take at least `each_min` bytes: fails when the rest
  // cannot hold them, so that nothing is sized after a lie.
  size_t Count(int64_t count, size_t each_min, const char* what) {
    if (count < 0 || static_cast<uint64_t>(count) > remaining() / each_min) {
      Fail(what);
      return 0;
    }
    return ok() ? static_cast<size_t>(count) : 0;
  }

  // Fails at the current position, on `what` (a literal).
  void Fail(const char* what) {
    if (failed_ != nullptr) return;
    failed_ = what;
    failed_at_ = position();
    cursor_ = end_;
  }

 private:
  const char* Take(size_t count, const char* what) {
    // Nothing remains after a failure.
    if (__builtin_expect(remaining() < count, 0)) {
      Fail(what);
      return nullptr;
    }
    const char* p = cursor_;
    cursor_ += count;
    return p;
  }
  std::string_view Sized(size_t count, const char* what) {
    const char* p = Take(count, what);
    return p == nullptr ? std::string_view() : std::string_view(p, count);
  }

  const char* begin_;
  const char* cursor_;
  const char* end_;
  const char* failed_ = nullptr;
  size_t failed_at_ = 0;
};

// Appends to memory of the caller's, or to a string.
//
// Over a span it never allocates: what does not fit is dropped, but counted,
// so that `size()` says how much room the same calls need (an empty span
// measures).
class Writer {
 public:
  explicit Writer(std::span<char> room)
      : begin_(room.data()),
        cursor_(room.data()),
        end_(room.data() + room.size()) {}
  // Appends to `*out`, which is complete after Finish() and in an unspecified
  // state before. A string that is used again allocates no more.
  explicit Writer(std::string* out);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Bytes written since construction, dropped ones included.
  size_t size() const {
    return static_cast<size_t>(cursor_ - begin_) - offset_ + dropped_;
  }
  // Whether something did not fit into the span.
  bool overflowed() const { return dropped_ != 0; }
  // Trims the string to what it holds.
  void Finish();

  void Byte(uint8_t value) {
    if (char* p = Extend(1)) *p = static_cast<char>(value);
  }
  void Short(uint16_t value) {
    if (char* p = Extend(2)) StoreBig16(p, value);
  }
  void Int(int32_t value) {
    if (char* p = Extend(4)) StoreBig32(p, static_cast<uint32_t>(value));
  }
  void Long(int64_t value) {
    if (char* p = Extend(8)) StoreBig64(p, static_cast<uint64_t>(value));
  }
  void Raw(std::string_view bytes) {
    char* p = Extend(bytes.size());
    if (p != nullptr && !bytes.empty()) {
      std::memcpy(p, bytes.data(), bytes.size());
    }
  }
  // Longer than 65535 is cut there: check what comes from outside before.
  void String(std::string_view text) {
    text = text.substr(0, UINT16_MAX);
    Short(static_cast<uint16_t>(text.size()));
    Raw(text);
  }
  void ShortBytes(std::string_view bytes) { String(bytes); }
  void LongString(std::string_view text) {
    Int(static_cast<int32_t>(text.size()));
    Raw(text);
  }
  void Bytes(std::string_view bytes) { LongString(bytes); }
  void NullBytes() { Int(-1); }

  // An [int] that is known later. Returns a mark for FillLength() (the bytes
  // written since) or FillInt().
  size_t BeginInt() {
    const size_t mark = size();
    Extend(4);
    return mark;
  }
  void FillLength(size_t mark) {
    FillInt(mark, static_cast<int32_t>(size() - mark - 4));
  }
  void FillInt(size_t mark, int32_t value) {
    if (dropped_ == 0) {
      StoreBig32(begin_ + offset_ + mark, static_cast<uint32_t>(value));
    }
  }
  void FillByte(size_t mark, uint8_t value) {
    if (dropped_ == 0) begin_[offset_ + mark] = static_cast<char>(value);
  }

  // Room for `count` bytes, which count as written; null when dropped.
  char* Extend(size_t count) {
    if (__builtin_expect(
            static_cast<size_t>(end_ - cursor_) < count || dropped_ != 0, 0)) {
      return ExtendSlow(count);
    }
    char* p = cursor_;
    cursor_ += count;
    return p;
  }

 private:
  char* ExtendSlow(size_t count);

  char* begin_;
  char* cursor_;
  char* end_;
  std::string* string_ = nullptr;
  size_t offset_ = 0;  // What the string held before.
  size_t dropped_ = 0;
};

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_WIRE_H_
