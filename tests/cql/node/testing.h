// A node on a thread of its own, and a client that shares no code with the
// project's: blocking sockets and frames as bytes.
#ifndef RINGPLANE_TESTS_CQL_NODE_TESTING_H_
#define RINGPLANE_TESTS_CQL_NODE_TESTING_H_

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/server.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/wire.h"
#include "ioloop/loop.h"

namespace cql::node {

// A folder that is gone with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class TestNode {
 public:
  // Ports are picked; `data_dir` is a temporary folder if it is empty.
  explicit TestNode(NodeOptions options);
  ~TestNode() { Stop(); }
  void Stop();

  // OK, or why it did not start.
  const absl::Status& status() const { return status_; }
  uint16_t port() const { return port_; }
  uint16_t shard_aware_port() const { return shard_aware_port_; }

  // Runs `function(Node*)` on the node's loop and returns what it returns.
  template <typename F>
  auto OnLoop(F function) {
    std::promise<decltype(function(node_.get()))> promise;
    auto future = promise.get_future();
    loop_->Post([&] {
      if constexpr (std::is_void_v<decltype(function(node_.get()))>) {
        function(node_.get());
        promise.set_value();
      } else {
        promise.set_value(function(node_.get()));
      }
    });
    return future.get();
  }
  Rules::Id AddRule(Rule rule) {
    return OnLoop([&](Node* node) { return node->rules().Add(rule); });
  }
  void ClearRules() {
    OnLoop([](Node* node) { node->rules().Clear(); });
  }

 private:
  void RunThread(NodeOptions options, std::promise<void>* started);

  TempDir dir_;
  std::thread thread_;
  ioloop::Loop* loop_ = nullptr;
  std::unique_ptr<Node> node_;
  std::promise<void> stop_;
  absl::Status status_;
  uint16_t port_ = 0;
  uint16_t shard_aware_port_ = 0;
};

struct Reply {
  // False: the connection ended, or nothing came for ten seconds.
  bool arrived = false;
  bool timed_out = false;
  protocol::FrameHeader header;
  std::string body;

  bool is(protocol::Opcode opcode) const {
    return arrived && header.opcode == opcode;
  }
  // Of an ERROR.
  int32_t error_code() const;
  std::string error_message() const;
  // Of a RESULT.
  int32_t result_kind() const;
};

class RawClient {
 public:
  // From `source_port` if it is not 0.
  explicit RawClient(uint16_t port, uint16_t source_port = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void SetTimeout(int milliseconds);

  void SendBytes(std::string_view bytes);
  void Send(protocol::Opcode opcode, std::string_view body, int16_t stream = 1,
            uint8_t flags = 0);
  Reply Receive();
  Reply Call(protocol::Opcode opcode, std::string_view body) {
    Send(opcode, body);
    return Receive();
  }

  // STARTUP with these keys (and CQL_VERSION); READY or whatever came.
  Reply Startup(
      const std::vector<std::pair<std::string, std::string>>& options = {});
  Reply Query(std::string_view text) {
    return Call(protocol::Opcode::kQuery, QueryBody(text));
  }
  // The id; empty if it failed.
  std::string Prepare(std::string_view text);

  static std::string QueryBody(std::string_view text);
  // Values are as on the wire, without lengths.
  static std::string ExecuteBody(std::string_view id,
                                 const std::vector<std::string>& values);

 private:
  int fd_ = -1;
  std::string received_;
};

std::string Int(int32_t value);

}  // namespace cql::node

#endif  // RINGPLANE_TESTS_CQL_NODE_TESTING_H_
