// A client of HTTP/2 without I/O, for tests: nghttp2's client session, and
// frames by hand for what no honest client sends.
#ifndef RINGPLANE_TESTS_SERVICE_HTTP_HTTP2_CLIENT_H_
#define RINGPLANE_TESTS_SERVICE_HTTP_HTTP2_CLIENT_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace http_testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct ClientResponse {
  std::map<std::string, std::string> headers;  // ":status" included
  std::map<std::string, std::string> trailers;
  std::string body;
  bool has_body = false;
  bool closed = false;
  uint32_t error_code = 0;  // of RST_STREAM
};

class Http2Client {
 public:
  // `window` is SETTINGS_INITIAL_WINDOW_SIZE, if not negative.
  explicit Http2Client(int32_t window = -1);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Starts a POST; its id. With `finish` false the stream stays half open.
  int32_t Post(std::string_view path, const Fields& fields,
               std::string_view body, bool finish = true);
  void Reset(int32_t id, uint32_t code);
  void WindowUpdate(int32_t id, int32_t increment);

  // Bytes to send, and bytes received.
  std::string TakeOutput();
  // False when the server's bytes break the protocol.
  bool Feed(std::string_view bytes);

  ClientResponse& response(int32_t id) { return responses_[id]; }
  bool AllClosed() const;

  bool goaway = false;
  uint32_t goaway_code = 0;
  int32_t goaway_last_stream = 0;
  uint32_t max_concurrent_streams = 0;
  uint32_t max_header_list = 0;

 private:
  struct Upload {
    std::string bytes;
    size_t sent = 0;
    bool finish = true;
  };
  static ssize_t ReadUpload(nghttp2_session*, int32_t, uint8_t* buffer,
                            size_t length, uint32_t* flags,
                            nghttp2_data_source* source, void*);

  nghttp2_session* session_ = nullptr;
  std::map<int32_t, ClientResponse> responses_;
  std::vector<Upload*> uploads_;
};

// A frame: the 9 bytes of its header and its payload.
std::string Frame(uint8_t type, uint8_t flags, uint32_t stream_id,
                  std::string_view payload);
// The preface and an empty SETTINGS frame.
std::string Preface();
// A header block of literal fields that are not indexed.
std::string LiteralBlock(const Fields& fields);
// The pseudo fields of a gRPC call.
Fields GrpcFields(std::string_view path);

}  // namespace http_testing

#endif  // RINGPLANE_TESTS_SERVICE_HTTP_HTTP2_CLIENT_H_
