// Parses HTTP/1.1 requests (RFC 9112) from bytes as they arrive. Strict where
// leniency lets two readers of one connection disagree on where a request ends:
// bare LF, obs-fold, spaces before the colon, Content-Length beside
// Transfer-Encoding, repeated or odd framing fields and sloppy chunk sizes are
// all errors.
#ifndef RINGPLANE_SERVICE_HTTP_HTTP1_PARSER_H_
#define RINGPLANE_SERVICE_HTTP_HTTP1_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "service/http/message.h"

namespace http {

// No I/O; one per connection. After kError the connection is lost: answer with
// error_status() and close.
class Http1Parser {
 public:
  struct Limits {
    size_t header_bytes_max = 16 << 10;  // request line included: 431
    size_t header_count_max = 100;       // 431
    size_t method_bytes_max = 32;        // 501
    size_t target_bytes_max = 8 << 10;   // 414
    size_t body_bytes_max = 4 << 20;
    // A body announced past `body_bytes_max` is an error 413, unless this is
    // set: then the head is reported with `body_too_large`, without the body,
    // and the connection cannot go on. It lets an RPC answer in its protocol.
    bool report_large_body = true;
    // All chunk extensions of a body, and its trailer section.
    size_t chunk_extension_bytes_max = 1024;
    size_t trailer_bytes_max = 4 << 10;
  };

  enum class Event {
    kNeedMore,  // all of the input was consumed
    kContinue,  // the head is complete and asks for 100-continue; go on
    kRequest,   // request() is complete; Reset() before the next one
    kError,
  };

  explicit Http1Parser(const Limits& limits) : limits_(limits) {}

  // Parses on, removing what was consumed from the front of `input`.
  Event Parse(std::string_view* input);

  // Complete after kRequest. The body is gathered in it.
  Request& request() { return request_; }
  // False: the connection closes after this request's answer.
  bool keep_alive() const { return keep_alive_; }
  bool http10() const { return http10_; }

  int error_status() const { return error_status_; }
  std::string_view error() const { return error_; }
  // The very first line was no HTTP at all; such a peer gets no answer.
  bool not_http() const { return not_http_; }

  // Some bytes of the next request have arrived / its head is complete.
  bool in_request() const { return state_ != State::kStart; }
  bool in_body() const { return state_ >= State::kBody; }

  // Starts over with the next request of the connection.
  void Reset();

 private:
  enum class State : uint8_t {
    kStart,  // nothing of the next request has arrived
    kLine,   // the request line or a header line
    kBody,   // `body_left_` bytes by Content-Length
    kChunkSize,
    kChunkData,
    kChunkEnd,  // the CRLF after a chunk
    kTrailer,
    kComplete,
    kFailed,
  };

  Event Fail(int status, std::string_view why);
  // Gathers a line of at most `max` bytes; false while it is incomplete, with
  // state kFailed if it cannot be one.
  bool TakeLine(std::string_view* input, size_t max, int too_long_status,
                std::string_view* line);
  bool ParseRequestLine(std::string_view line);
  bool ParseField(std::string_view line);
  bool ParseFieldSyntax(std::string_view line, std::string_view* name,
                        std::string_view* value);
  Event EndOfHead();
  bool ParseChunkSize(std::string_view line);
  bool ParseTrailer(std::string_view line);

  const Limits limits_;
  Request request_;
  std::string line_;  // of a line that arrived in pieces
  State state_ = State::kStart;
  bool have_request_line_ = false;
  bool http10_ = false;
  bool keep_alive_ = true;
  bool connection_close_ = false;
  bool expect_continue_ = false;
  bool have_length_ = false;
  bool chunked_ = false;
  bool have_host_ = false;
  bool first_request_ = true;
  bool skipped_empty_line_ = false;
  bool not_http_ = false;
  uint64_t body_left_ = 0;
  size_t head_bytes_ = 0;
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  int error_status_ = 0;
  std::string_view error_;
};

// Writes `response` as HTTP/1.1: Content-Length, or chunked if it has
// trailers. `head_only` leaves out the body, for HEAD.
void WriteHttp1Response(const Response& response, bool keep_alive,
                        bool head_only, ByteSink* out);

}  // namespace http

#endif  // RINGPLANE_SERVICE_HTTP_HTTP1_PARSER_H_
