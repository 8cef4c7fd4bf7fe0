// A request and a response of HTTP, whichever version carried them. Both are
// made to be reused: Clear() keeps their memory.
#ifndef RINGPLANE_SERVICE_HTTP_MESSAGE_H_
#define RINGPLANE_SERVICE_HTTP_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace http {

struct Header {
  std::string_view name;
  std::string_view value;
};

// Header fields in order, in one piece of memory. Names are lower case. Views
// into it are valid until the next change.
class Headers {
 public:
  void Add(std::string_view name, std::string_view value);
  // Lowers the name's case while adding it.
  void AddLowered(std::string_view name, std::string_view value);
  void Clear();

  // The value of the first field of that name; empty if there is none.
  std::string_view Find(std::string_view name) const;
  bool Contains(std::string_view name) const;

  bool empty() const { return fields_.empty(); }
  size_t size() const { return fields_.size(); }
  Header operator[](size_t index) const {
    const Field& field = fields_[index];
    std::string_view bytes = bytes_;
    return {bytes.substr(field.begin, field.name_bytes),
            bytes.substr(field.begin + field.name_bytes, field.value_bytes)};
  }
  // Bytes of all names and values.
  size_t bytes() const { return bytes_.size(); }

 private:
  struct Field {
    uint32_t begin;
    uint32_t name_bytes;
    uint32_t value_bytes;
  };
  std::string bytes_;
  std::vector<Field> fields_;
};

struct Request {
  std::string method;
  std::string target;     // "/path?query"; "*" and absolute forms as sent
  std::string authority;  // :authority, or Host
  Headers headers;
  std::string body;
  // The body went past its limit and was not kept.
  bool body_too_large = false;

  std::string_view path() const {
    return std::string_view(target).substr(0, target.find('?'));
  }
  // Without the '?'; empty if there is none.
  std::string_view query() const;

  // Forgets the request but keeps up to `keep_bytes` of the body's memory.
  void Clear(size_t keep_bytes = 64 << 10);
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  // Sent after the body if `has_trailers`, even an empty body.
  Headers trailers;
  bool has_trailers = false;

  void Clear(size_t keep_bytes = 64 << 10);
};

// "Not Found" for 404; "Unknown" for a status without a name.
std::string_view ReasonPhrase(int status);

// Where a protocol writes the bytes for its peer.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void Append(std::string_view bytes) = 0;
  // No more should be appended now; what is left is asked for again later.
  virtual bool full() const { return false; }
};

}  // namespace http

#endif  // RINGPLANE_SERVICE_HTTP_MESSAGE_H_
