// Frames of HTTP/2 after an honest preface; their length fields are rebuilt.
// Input: type, flags, stream id (low byte), payload size, payload; repeated.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "service/http/http2_session.h"
#include "tests/service/http/http2_client.h"

namespace {

class Sink : public http::ByteSink {
 public:
  void Append(std::string_view bytes) override { total += bytes.size(); }
  size_t total = 0;
};

class Echo : public http::Http2Session::Handler {
 public:
  void OnRequest(http::Http2Stream* stream) override {
    if (stream->id % 3 == 0) {
      held.push_back(stream);
      return;
    }
    stream->response.body = stream->request.body;
    stream->response.has_trailers = true;
    stream->response.trailers.Add("grpc-status", "0");
    session->Respond(stream);
  }
  void OnClose(http::Http2Stream* stream) override { std::erase(held, stream); }
  http::Http2Session* session = nullptr;
  std::vector<http::Http2Stream*> held;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::Time now = absl::FromUnixSeconds(1);
  http::Http2Session::Options options;
  options.body_bytes_max = 4096;
  Echo handler;
  Sink sink;
  http::Http2Session session(options, &handler, now);
  handler.session = &session;
  absl::Status status = session.Receive(http_testing::Preface(), now);
  while (size >= 4 && status.ok()) {
    size_t payload = std::min<size_t>(data[3], size - 4);
    std::string frame = http_testing::Frame(
        data[0] % 16, data[1], data[2],
        std::string_view(reinterpret_cast<const char*>(data + 4), payload));
    data += 4 + payload;
    size -= 4 + payload;
    now += absl::Milliseconds(1);
    status = session.Receive(frame, now);
    session.Flush(&sink);
    if (session.open_streams() > options.concurrent_streams_max) std::abort();
  }
  while (!handler.held.empty() && status.ok()) {
    http::Http2Stream* stream = handler.held.back();
    handler.held.pop_back();
    session.Respond(stream);
  }
  session.Flush(&sink);
  return 0;
}
