// One answer of Redis, and a reader that makes them of bytes. No I/O.
#ifndef RINGPLANE_SERVICE_REDIS_REPLY_H_
#define RINGPLANE_SERVICE_REDIS_REPLY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct redisReader;
struct redisReadTask;

namespace redis {

// A RESP2 reply. An array's elements are never arrays: no command that we send
// answers with nesting, so a peer that nests is refused.
struct Reply {
  enum class Type : uint8_t {
    kNil,
    kString,
    kStatus,
    kError,
    kInteger,
    kArray
  };

  Type type = Type::kNil;
  int64_t integer = 0;
  std::string text;  // of kString, kStatus and kError
  std::vector<Reply> elements;
};

// Turns a stream of bytes into replies; hiredis reads the protocol, we hold it
// to bounds. Not usable after an error: the stream has lost its framing.
class ReplyReader {
 public:
  struct Limits {
    // Most bytes of a reply, complete or not.
    size_t reply_bytes_max = 64 << 20;
    // Most elements of an array.
    size_t elements_max = 65536;
    // Most bytes of a line: a status, an error, a length.
    size_t line_bytes_max = 64 << 10;
  };

  ReplyReader() : ReplyReader(Limits()) {}
  explicit ReplyReader(const Limits& limits);
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;
  ~ReplyReader();

  // Copies `bytes` in.
  void Feed(std::string_view bytes);

  // The next complete reply, nothing if more bytes are needed, or
  // kInvalidArgument once and for all when the bytes are not RESP2 or pass a
  // limit.
  absl::StatusOr<std::optional<Reply>> Next();

 private:
  friend struct ReplyBuilder;

  absl::Status CheckIncomplete() const;
  // Where the value that `task` names goes.
  Reply* Place(const redisReadTask* task);

  const Limits limits_;
  redisReader* reader_;
  Reply building_;
  size_t building_bytes_ = 0;
  absl::Status status_;
};

}  // namespace redis

#endif  // RINGPLANE_SERVICE_REDIS_REPLY_H_
