// The server's end of an HTTP/2 connection: nghttp2 behind whole requests and
// whole responses, with the guards that nghttp2 leaves to its user. Bytes in,
// bytes out; no I/O, and no clock but the time that is passed in.
#ifndef RINGPLANE_SERVICE_HTTP_HTTP2_SESSION_H_
#define RINGPLANE_SERVICE_HTTP_HTTP2_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/http/message.h"
#include "service/http/rate_budget.h"

extern "C" {
struct nghttp2_session;
}

namespace http {

// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": what a client of HTTP/2 sends first.
inline constexpr std::string_view kHttp2Preface =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum class Sniffed { kNeedMore, kHttp1, kHttp2, kBadPreface };
// Tells the protocol of a connection by its first bytes.
Sniffed SniffProtocol(std::string_view first_bytes);

// One request and its response. Owned by the session; its memory is reused for
// later streams.
struct Http2Stream {
  int32_t id = 0;
  Request request;
  Response response;
  // The user's own; nullptr until set.
  void* user = nullptr;

  // The session's.
  absl::Time opened;
  size_t header_bytes = 0;
  size_t body_sent = 0;
  bool delivered = false;      // OnRequest was called
  bool responded = false;      // Respond was called
  bool remote_closed = false;  // the client has said all
  bool headers_too_large = false;
  Http2Stream* newer = nullptr;  // open streams, in order of arrival
  Http2Stream* older = nullptr;
};

class Http2Session {
 public:
  // Budgets per connection: `burst` at once, refilled by `per_second`. Past
  // one the session ends with GOAWAY(ENHANCE_YOUR_CALM).
  struct AbuseLimits {
    // Frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
    // unknown types, empty DATA, HEADERS of streams that are gone, refused
    // streams. DATA that we send earns some back, for its WINDOW_UPDATEs.
    double junk_burst = 800;
    double junk_per_second = 25;
    // Streams that the client resets within `rapid_reset_age` of opening them,
    // or though they are answered. Later resets are a client's timeouts and
    // cost nothing; answers earn back.
    double reset_burst = 1000;
    double reset_per_second = 50;
    absl::Duration rapid_reset_age = absl::Milliseconds(10);
    // RST_STREAMs that the client made the server send, however it did.
    double forced_reset_burst = 50;
    double forced_reset_per_second = 5;
  };

  struct Options {
    uint32_t concurrent_streams_max = 100;
    size_t header_bytes_max = 16 << 10;
    size_t header_count_max = 100;
    size_t body_bytes_max = 4 << 20;
    // Of all requests that are not complete.
    size_t request_buffer_bytes_max = 16 << 20;
    uint32_t stream_window = 256 << 10;
    uint32_t connection_window = 1 << 20;
    AbuseLimits abuse;
  };

  class Handler {
   public:
    virtual ~Handler() = default;
    // `stream->request` is complete, or its body is `body_too_large`. Fill
    // `stream->response` and call Respond(), now or until OnClose().
    virtual void OnRequest(Http2Stream* stream) = 0;
    // The stream is gone: answered, reset, or its connection ended. `stream`
    // must not be used any more.
    virtual void OnClose(Http2Stream* stream) = 0;
  };

  enum class Guard : uint8_t {
    kHeaderBytes,    // answered 431
    kBodyBytes,      // body dropped, delivered as body_too_large
    kRequestBuffer,  // likewise
    kStreams,        // refused
    kAbuse,          // GOAWAY
    kCount,
  };

  // `handler` outlives the session.
  Http2Session(const Options& options, Handler* handler, absl::Time now);
  ~Http2Session();  // Calls OnClose for every stream that is open.
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  // Takes bytes of the peer; may call the handler. An error says why the
  // connection is over: flush, then close.
  absl::Status Receive(std::string_view bytes, absl::Time now);

  // Sends `stream->response`. Nothing leaves before Flush().
  // REQUIRES: once per stream, before its OnClose().
  void Respond(Http2Stream* stream);

  // Ends a stream without an answer (NGHTTP2_CANCEL).
  void Reset(Http2Stream* stream);

  // Writes what may be sent now; stops early when `sink` is full.
  void Flush(ByteSink* sink);

  // First phase of a graceful end: asks the client to open no more streams.
  void ShutdownNotice();
  // Second phase: streams that arrive from now on are not processed.
  void Goaway();

  // Neither side has anything left to say: close the connection.
  bool done() const;

  size_t open_streams() const { return open_streams_; }
  // Bytes of responses that wait for the peer's windows.
  size_t held_bytes() const { return held_bytes_; }
  // The oldest stream whose request is not complete, or nullptr.
  Http2Stream* OldestIncomplete() const;
  // How often each guard acted.
  uint64_t guarded(Guard guard) const {
    return guarded_[static_cast<size_t>(guard)];
  }
  uint64_t streams_accepted() const { return streams_accepted_; }

 private:
  struct Callbacks;

  void Abuse(std::string_view what);
  bool SpendJunk(double cost);
  Http2Stream* Open(int32_t id);
  void Close(Http2Stream* stream);
  void Deliver(Http2Stream* stream);
  void RespondTooLarge(Http2Stream* stream);
  void Count(Guard guard) { ++guarded_[static_cast<size_t>(guard)]; }

  const Options options_;
  Handler* const handler_;
  nghttp2_session* session_ = nullptr;
  ByteSink* sink_ = nullptr;  // During Flush().
  absl::Time now_;
  RateBudget junk_;
  RateBudget resets_;
  RateBudget forced_resets_;
  absl::Status failure_;
  bool goaway_written_ = false;
  bool abused_ = false;
  int32_t highest_id_ = 0;  // of the client's HEADERS
  size_t open_streams_ = 0;
  size_t held_bytes_ = 0;
  size_t request_bytes_ = 0;  // of requests that are not complete
  uint64_t streams_accepted_ = 0;
  uint64_t guarded_[static_cast<size_t>(Guard::kCount)] = {};
  Http2Stream* oldest_ = nullptr;
  Http2Stream* newest_ = nullptr;
  std::vector<std::unique_ptr<Http2Stream>> streams_;  // every one ever made
  std::vector<Http2Stream*> free_;
};

}  // namespace http

#endif  // RINGPLANE_SERVICE_HTTP_HTTP2_SESSION_H_
