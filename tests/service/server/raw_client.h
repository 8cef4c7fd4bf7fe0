// Blocking clients for tests: bytes over TCP, and HTTP/2 over those.
#ifndef RINGPLANE_TESTS_SERVICE_SERVER_RAW_CLIENT_H_
#define RINGPLANE_TESTS_SERVICE_SERVER_RAW_CLIENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "tests/service/http/http2_client.h"

namespace server_testing {

// A TCP connection to 127.0.0.1. Reads give up after a generous time, so that
// a broken server fails a test and does not hang it.
class RawClient {
 public:
  // `receive_buffer` > 0 makes SO_RCVBUF small: a slow reader.
  explicit RawClient(uint16_t port, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False when the server is gone.
  bool Send(std::string_view bytes);
  // What there is, waiting for the first byte; empty at the end.
  std::string Receive();
  // Until `text` has arrived, or the end; all that arrived.
  std::string ReceiveUntil(std::string_view text);
  std::string ReceiveAll();
  void ShutdownWrite();
  // Sends a reset.
  void Abort();
  void Close();

 private:
  int fd_;
};

struct Http1Response {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
  std::map<std::string, std::string> trailers;
};

// Reads one response; status 0 if the connection ended first. `buffer` keeps
// what came behind it.
Http1Response ReadHttp1(RawClient* client, std::string* buffer);

std::string Http1Post(std::string_view path, std::string_view content_type,
                      std::string_view body, std::string_view headers = "");

// An HTTP/2 connection.
class H2Connection {
 public:
  explicit H2Connection(uint16_t port, int32_t window = -1)
      : raw(port), client(window) {}

  int32_t Post(std::string_view path, const http_testing::Fields& fields,
               std::string_view body, bool finish = true) {
    int32_t id = client.Post(path, fields, body, finish);
    Flush();
    return id;
  }
  bool Flush() { return raw.Send(client.TakeOutput()); }
  // Exchanges bytes until `done`; false if the connection ended first.
  bool RunUntil(const std::function<bool()>& done);
  // A gRPC call's whole answer.
  http_testing::ClientResponse& Await(int32_t id) {
    RunUntil([this, id] { return client.response(id).closed; });
    return client.response(id);
  }

  RawClient raw;
  http_testing::Http2Client client;
};

// gRPC's 5-byte prefix and the message.
std::string Envelope(std::string_view message);
inline const http_testing::Fields kGrpc = {
    {"content-type", "application/grpc+proto"}, {"te", "trailers"}};

}  // namespace server_testing

#endif  // RINGPLANE_TESTS_SERVICE_SERVER_RAW_CLIENT_H_
