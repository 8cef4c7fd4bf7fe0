// Unary calls to one of our own servers: Connect with protobuf over HTTP/1.1,
// one call after the other on one connection.
#ifndef RINGPLANE_SERVICE_APP_CONNECT_CLIENT_H_
#define RINGPLANE_SERVICE_APP_CONNECT_CLIENT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/message_lite.h"
#include "ioloop/loop.h"
#include "ioloop/resolver.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace app {

// The head of an HTTP/1.1 response, as far as a client of Connect needs it.
struct ResponseHead {
  int status = 0;
  size_t content_length = 0;
  bool keep_alive = true;
  std::string_view content_type;  // Into what was parsed.
};

// Parses `text`, a head with the blank line that ends it. kInvalidArgument for
// anything but a response with a Content-Length.
absl::StatusOr<ResponseHead> ParseResponseHead(std::string_view text);

// What the body of a response that is no 200 says: Connect's JSON, or, where
// it is something else, a status made of the HTTP status.
absl::Status ErrorOfResponse(int http_status, std::string_view body);

class ConnectClient {
 public:
  struct Options {
    std::string host_port;
    // Sent as a bearer token if not empty.
    std::string token;
    absl::Duration connect_timeout = absl::Seconds(5);
    absl::Duration call_timeout = absl::Minutes(2);
    size_t response_bytes_max = 16 << 20;
  };

  ConnectClient(ioloop::Loop* loop, Options options);
  ~ConnectClient();  // REQUIRES: Close() was awaited.
  ConnectClient(const ConnectClient&) = delete;
  ConnectClient& operator=(const ConnectClient&) = delete;

  // Calls `path` ("/package.Service/Method"), connecting first if need be. The
  // status is the server's, or kUnavailable if there was no whole answer: the
  // call may have taken effect. One call at a time.
  ioloop::Task<absl::Status> Call(std::string path,
                                  const google::protobuf::MessageLite& request,
                                  google::protobuf::MessageLite* response);

  ioloop::Task<void> Close();

 private:
  ioloop::Task<absl::Status> Connect();
  // One call on the open connection; `reusable` says whether it stays open.
  ioloop::Task<absl::Status> Exchange(std::string_view path,
                                      std::string_view body,
                                      google::protobuf::MessageLite* response,
                                      bool* reusable);
  // Receives until `input_` holds `bytes`, or a whole head if 0.
  ioloop::Task<absl::Status> ReceiveUntil(size_t bytes);

  ioloop::Loop* const loop_;
  const Options options_;
  ioloop::Resolver resolver_;
  std::optional<ioloop::Stream> stream_;
  std::string input_;  // received, not consumed
};

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_CONNECT_CLIENT_H_
