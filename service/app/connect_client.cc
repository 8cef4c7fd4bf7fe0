#include "service/app/connect_client.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "ioloop/check.h"
#include "ioloop/timer.h"
#include "service/ingest/text.h"
#include "service/rpc/status_codes.h"
#include "simdjson.h"

namespace app {
namespace {

using ingest::Cat;

constexpr size_t kHeadBytesMax = 16 << 10;
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr size_t kErrorTextMax = 200;

absl::Status BadResponse(std::string_view what) {
  return absl::InvalidArgumentError(
      Cat("not a response of this service: ", what));
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return absl::ascii_tolower(static_cast<unsigned char>(x)) ==
           absl::ascii_tolower(static_cast<unsigned char>(y));
  });
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

bool ParseSize(std::string_view text, size_t* value) {
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), *value);
  return !text.empty() && error == std::errc() &&
         end == text.data() + text.size();
}

absl::StatusCode CodeOfHttp(int status) {
  switch (status) {
    case 400:
      return absl::StatusCode::kInternal;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kUnknown;
  }
}

// Ends a wait for bytes when its time is up.
struct ReceiveTimer : ioloop::Timer {
  ReceiveTimer(ioloop::Loop* loop, ioloop::Stream* watched)
      : ioloop::Timer(loop, &Fire), stream(watched) {}
  static void Fire(ioloop::Timer* timer) {
    auto* self = static_cast<ReceiveTimer*>(timer);
    self->fired = true;
    self->stream->CancelReceive();
  }
  ioloop::Stream* stream;
  bool fired = false;
};

}  // namespace

absl::StatusOr<ResponseHead> ParseResponseHead(std::string_view text) {
  ResponseHead head;
  bool has_length = false;
  size_t end = text.find("\r\n");
  std::string_view line = text.substr(0, end);
  // "HTTP/1.1 200 OK"
  size_t status = 0;
  if (end == std::string_view::npos || !line.starts_with("HTTP/1.") ||
      line.size() < 12 || line[8] != ' ' ||
      !ParseSize(line.substr(9, 3), &status) || status < 100 || status > 599 ||
      (line.size() > 12 && line[12] != ' ')) {
    return BadResponse("its status line");
  }
  head.status = static_cast<int>(status);
  head.keep_alive = line[7] == '1';
  text.remove_prefix(end + 2);
  for (;;) {
    end = text.find("\r\n");
    if (end == std::string_view::npos) return BadResponse("its head is cut");
    line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (line.empty()) break;
    size_t colon = line.find(':');
    if (colon == std::string_view::npos) return BadResponse("a header");
    std::string_view name = line.substr(0, colon);
    std::string_view value = Trim(line.substr(colon + 1));
    if (EqualsIgnoringCase(name, "content-length")) {
      size_t length = 0;
      if (!ParseSize(value, &length) ||
          (has_length && length != head.content_length)) {
        return BadResponse("Content-Length");
      }
      has_length = true;
      head.content_length = length;
    } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
      return BadResponse("Transfer-Encoding");
    } else if (EqualsIgnoringCase(name, "connection")) {
      if (EqualsIgnoringCase(value, "close")) head.keep_alive = false;
    } else if (EqualsIgnoringCase(name, "content-type")) {
      head.content_type = value;
    }
  }
  if (!has_length) return BadResponse("no Content-Length");
  return head;
}

absl::Status ErrorOfResponse(int http_status, std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  std::string_view name;
  std::string_view message;
  if (parser.parse(body.data(), body.size()).get(object) == simdjson::SUCCESS &&
      object["code"].get(name) == simdjson::SUCCESS) {
    if (object["message"].get(message) != simdjson::SUCCESS) message = "";
    for (int code = 1; code <= 16; ++code) {
      auto status_code = static_cast<absl::StatusCode>(code);
      if (rpc::CodeName(status_code) == name) {
        return absl::Status(status_code, ingest::AbslView(message));
      }
    }
  }
  return absl::Status(
      CodeOfHttp(http_status),
      Cat("HTTP status ", http_status, ": ", body.substr(0, kErrorTextMax)));
}

ConnectClient::ConnectClient(ioloop::Loop* loop, Options options)
    : loop_(loop), options_(std::move(options)) {}

ConnectClient::~ConnectClient() {
  RINGPLANE_CHECK(!stream_.has_value(), "a ConnectClient died open");
}

ioloop::Task<void> ConnectClient::Close() {
  if (!stream_.has_value()) co_return;
  co_await stream_->Close();
  stream_.reset();
  input_.clear();
}

ioloop::Task<absl::Status> ConnectClient::Connect() {
  const absl::Time deadline = loop_->now() + options_.connect_timeout;
  absl::StatusOr<std::vector<ioloop::SocketAddress>> addresses =
      co_await resolver_.Resolve(loop_, options_.host_port, deadline);
  if (!addresses.ok()) co_return addresses.status();
  absl::Status status = absl::UnavailableError("no address");
  for (const ioloop::SocketAddress& address : *addresses) {
    absl::StatusOr<ioloop::Stream> stream = co_await ioloop::Stream::Connect(
        loop_, address, options_.connect_timeout, nullptr);
    if (stream.ok()) {
      stream_.emplace(*std::move(stream));
      co_return absl::OkStatus();
    }
    status = stream.status();
  }
  co_return absl::UnavailableError(
      Cat(options_.host_port, ": ", status.message()));
}

ioloop::Task<absl::Status> ConnectClient::Call(
    std::string path, const google::protobuf::MessageLite& request,
    google::protobuf::MessageLite* response) {
  std::string body;
  if (!request.SerializeToString(&body)) {
    co_return absl::InvalidArgumentError("the request cannot be serialized");
  }
  if (!stream_.has_value()) {
    absl::Status status = co_await Connect();
    if (!status.ok()) co_return status;
  }
  bool reusable = false;
  absl::Status status = co_await Exchange(path, body, response, &reusable);
  if (!reusable) co_await Close();
  co_return status;
}

ioloop::Task<absl::Status> ConnectClient::Exchange(
    std::string_view path, std::string_view body,
    google::protobuf::MessageLite* response, bool* reusable) {
  std::string head =
      Cat("POST ", path, " HTTP/1.1\r\nHost: ", options_.host_port,
          "\r\nContent-Type: application/proto\r\n"
          "Connect-Protocol-Version: 1\r\nConnect-Timeout-Ms: ",
          absl::ToInt64Milliseconds(options_.call_timeout),
          "\r\nContent-Length: ", body.size(), "\r\n");
  if (!options_.token.empty()) {
    ingest::Append(&head, "Authorization: Bearer ", options_.token, "\r\n");
  }
  head.append("\r\n");
  stream_->Queue(head);
  stream_->Queue(body);

  ReceiveTimer timer(loop_, &*stream_);
  timer.Arm(loop_->now() + options_.call_timeout);
  absl::Status status = co_await ReceiveUntil(0);
  if (status.ok()) {
    const size_t head_bytes = input_.find(kHeadEnd) + kHeadEnd.size();
    absl::StatusOr<ResponseHead> parsed =
        ParseResponseHead(std::string_view(input_).substr(0, head_bytes));
    if (!parsed.ok()) co_return parsed.status();
    if (parsed->content_length > options_.response_bytes_max) {
      co_return absl::ResourceExhaustedError(
          Cat("an answer of ", parsed->content_length, " bytes"));
    }
    const int http_status = parsed->status;
    const size_t body_bytes = parsed->content_length;
    const bool keep_alive = parsed->keep_alive;
    const bool is_proto = parsed->content_type == "application/proto";
    status = co_await ReceiveUntil(head_bytes + body_bytes);
    if (status.ok()) {
      std::string_view content =
          std::string_view(input_).substr(head_bytes, body_bytes);
      if (http_status != 200) {
        status = ErrorOfResponse(http_status, content);
      } else if (!is_proto ||
                 !response->ParseFromArray(content.data(),
                                           static_cast<int>(content.size()))) {
        status = BadResponse("its message");
      }
      input_.erase(0, head_bytes + body_bytes);
      // Bytes that nobody asked for are of no use to the next call.
      *reusable = keep_alive && input_.empty();
      co_return status;
    }
  }
  if (timer.fired) {
    co_return absl::DeadlineExceededError(
        Cat(options_.host_port, " did not answer in time"));
  }
  co_return absl::UnavailableError(
      Cat(options_.host_port, ": ", status.message()));
}

ioloop::Task<absl::Status> ConnectClient::ReceiveUntil(size_t bytes) {
  for (;;) {
    if (bytes > 0 && input_.size() >= bytes) co_return absl::OkStatus();
    if (bytes == 0) {
      if (input_.find(kHeadEnd) != std::string::npos)
        co_return absl::OkStatus();
      if (input_.size() > kHeadBytesMax) {
        co_return absl::ResourceExhaustedError("the answer's head is too long");
      }
    }
    absl::StatusOr<ioloop::ReceivedBytes> received =
        co_await stream_->Receive();
    if (!received.ok()) co_return received.status();
    if (received->empty()) {
      co_return absl::UnavailableError("the connection was closed");
    }
    input_.append(received->view());
  }
}

}  // namespace app
