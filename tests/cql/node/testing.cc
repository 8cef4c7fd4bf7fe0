#include "tests/cql/node/testing.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "cql/protocol/error.h"
#include "cql/protocol/request.h"
#include "ioloop/check.h"

namespace cql::node {

using protocol::FrameHeader;
using protocol::Opcode;
using protocol::Writer;

TempDir::TempDir() {
  const char* base = std::getenv("TMPDIR");
  path_ = std::string(base == nullptr ? "/tmp" : base) + "/cql_node.XXXXXX";
  RINGPLANE_CHECK(mkdtemp(path_.data()) != nullptr, "mkdtemp");
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

TestNode::TestNode(NodeOptions options) {
  if (options.data_dir.empty()) options.data_dir = dir_.path() + "/data";
  options.port = 0;
  if (options.shard_aware_port.has_value()) options.shard_aware_port = 0;
  std::promise<void> started;
  thread_ = std::thread([this, &started, options = std::move(options)] {
    RunThread(options, &started);
  });
  started.get_future().wait();
}

void TestNode::RunThread(NodeOptions options, std::promise<void>* started) {
  absl::StatusOr<std::unique_ptr<ioloop::Loop>> loop = ioloop::Loop::Create({});
  RINGPLANE_CHECK(loop.ok(), "no loop");
  absl::StatusOr<std::unique_ptr<Node>> node =
      Node::Start(loop->get(), std::move(options));
  status_ = node.status();
  if (!node.ok()) {
    started->set_value();
    return;
  }
  node_ = *std::move(node);
  loop_ = loop->get();
  port_ = node_->address().port();
  shard_aware_port_ = node_->shard_aware_address().port();
  started->set_value();
  RINGPLANE_CHECK((*loop)->Run().ok(), "the loop failed");
  (*loop)->RunUntilDone(node_->Stop());
  node_.reset();
}

void TestNode::Stop() {
  if (!thread_.joinable()) return;
  if (loop_ != nullptr) loop_->Stop();
  thread_.join();
  loop_ = nullptr;
}

int32_t Reply::error_code() const {
  if (!is(Opcode::kError)) return -1;
  const absl::StatusOr<ServerError> error = protocol::DecodeServerError(body);
  return error.ok() ? static_cast<int32_t>(error->code) : -2;
}

std::string Reply::error_message() const {
  if (!is(Opcode::kError)) return "";
  const absl::StatusOr<ServerError> error = protocol::DecodeServerError(body);
  return error.ok() ? error->message : "";
}

int32_t Reply::result_kind() const {
  if (!is(Opcode::kResult)) return -1;
  return static_cast<int32_t>(protocol::LoadBig32(body.data()));
}

RawClient::RawClient(uint16_t port, uint16_t source_port) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool ok = true;
  if (source_port != 0) {
    const int one = 1;
    setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    address.sin_port = htons(source_port);
    ok = bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  address.sin_port = htons(port);
  ok = ok && connect(fd_, reinterpret_cast<sockaddr*>(&address),
                     sizeof(address)) == 0;
  if (!ok) {
    close(fd_);
    fd_ = -1;
    return;
  }
  SetTimeout(10'000);
}

RawClient::~RawClient() {
  if (fd_ >= 0) close(fd_);
}

void RawClient::SetTimeout(int milliseconds) {
  timeval time = {milliseconds / 1000, (milliseconds % 1000) * 1000};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
}

void RawClient::SendBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void RawClient::Send(Opcode opcode, std::string_view body, int16_t stream,
                     uint8_t flags) {
  FrameHeader header;
  header.flags = flags;
  header.stream = stream;
  header.opcode = opcode;
  header.length = static_cast<uint32_t>(body.size());
  std::string frame(protocol::kHeaderBytes, '\0');
  protocol::EncodeHeader(header, frame.data());
  frame += body;
  SendBytes(frame);
}

Reply RawClient::Receive() {
  Reply reply;
  for (;;) {
    if (received_.size() >= protocol::kHeaderBytes) {
      reply.header = protocol::DecodeHeader(received_.data());
      const size_t whole = protocol::kHeaderBytes + reply.header.length;
      if (received_.size() >= whole) {
        reply.arrived = true;
        reply.body =
            received_.substr(protocol::kHeaderBytes, reply.header.length);
        received_.erase(0, whole);
        return reply;
      }
    }
    char bytes[65536];
    const ssize_t count = recv(fd_, bytes, sizeof(bytes), 0);
    if (count <= 0) {
      reply.timed_out = count < 0 && errno == EAGAIN;
      return reply;
    }
    received_.append(bytes, static_cast<size_t>(count));
  }
}

Reply RawClient::Startup(
    const std::vector<std::pair<std::string, std::string>>& options) {
  protocol::StringMap all = options;
  all.emplace_back("CQL_VERSION", "3.0.0");
  std::string body;
  Writer writer(&body);
  protocol::EncodeStartup(&writer, all);
  writer.Finish();
  return Call(Opcode::kStartup, body);
}

std::string RawClient::Prepare(std::string_view text) {
  std::string body;
  Writer writer(&body);
  protocol::EncodePrepare(&writer, text);
  writer.Finish();
  const Reply reply = Call(Opcode::kPrepare, body);
  if (reply.result_kind() != 4) return "";
  protocol::Reader reader(reply.body);
  reader.Int();
  return std::string(reader.ShortBytes());
}

std::string RawClient::QueryBody(std::string_view text) {
  std::string body;
  Writer writer(&body);
  protocol::EncodeQueryText(&writer, text);
  protocol::BeginQueryParameters(&writer, {}, 0);
  protocol::EndQueryParameters(&writer, {});
  writer.Finish();
  return body;
}

std::string RawClient::ExecuteBody(std::string_view id,
                                   const std::vector<std::string>& values) {
  std::string body;
  Writer writer(&body);
  protocol::EncodeExecuteId(&writer, id, std::nullopt);
  protocol::BeginQueryParameters(&writer, {}, values.size());
  for (const std::string& value : values) writer.Bytes(value);
  protocol::EndQueryParameters(&writer, {});
  writer.Finish();
  return body;
}

std::string Int(int32_t value) {
  std::string bytes(4, '\0');
  protocol::StoreBig32(bytes.data(), static_cast<uint32_t>(value));
  return bytes;
}

}  // namespace cql::node
