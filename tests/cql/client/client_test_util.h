// What the client's tests share: a loop, fake nodes, a session to them.
#ifndef RINGPLANE_TESTS_CQL_CLIENT_CLIENT_TEST_UTIL_H_
#define RINGPLANE_TESTS_CQL_CLIENT_CLIENT_TEST_UTIL_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cql/session.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ioloop/loop.h"
#include "ioloop/timer.h"
#include "tests/cql/client/fake_node.h"

// ASSERT_* return, which a coroutine cannot.
#define CO_ASSERT_TRUE(condition)         \
  do {                                    \
    if (!(condition)) {                   \
      ADD_FAILURE() << "not " #condition; \
      co_return;                          \
    }                                     \
  } while (false)
#define CO_ASSERT_OK(expression)                                       \
  if (auto&& co_assert_value = (expression); !co_assert_value.ok()) {  \
    ADD_FAILURE() << #expression << ": " << StatusOf(co_assert_value); \
    co_return;                                                         \
  } else                                                               \
    static_assert(true)

namespace cql::testing {

inline std::string StatusOf(const absl::Status& status) {
  return status.ToString();
}
template <typename T>
std::string StatusOf(const absl::StatusOr<T>& value) {
  return value.status().ToString();
}

using ::testing::HasSubstr;

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    auto loop = ioloop::Loop::Create({.buffer_count = 256});
    if (!loop.ok()) {
      ADD_FAILURE() << loop.status();
      std::abort();
    }
    loop_ = *std::move(loop);
  }

  // Nodes on 127.0.0.1, 127.0.0.2, ... that know of each other. The first one
  // chooses the port.
  FakeNode* AddNode(FakeNode::Options options = {}) {
    options.ip = absl::StrCat("127.0.0.", nodes_.size() + 1);
    if (!nodes_.empty()) options.port = nodes_[0]->port();
    auto node = std::make_unique<FakeNode>(loop_.get(), std::move(options));
    for (auto& other : nodes_) {
      other->AddPeer(node.get());
      node->AddPeer(other.get());
    }
    nodes_.push_back(std::move(node));
    return nodes_.back().get();
  }

  SessionOptions Options() const {
    SessionOptions options;
    if (!nodes_.empty()) options.contact_points = {nodes_[0]->address()};
    options.connect_timeout = absl::Seconds(20);
    options.request_timeout = absl::Seconds(60);
    options.reconnect_min = absl::Milliseconds(5);
    options.reconnect_max = absl::Milliseconds(50);
    options.event_window = absl::Milliseconds(20);
    return options;
  }

  // Runs `body` with a session to the nodes, and closes everything.
  using Body = std::function<ioloop::Task<void>(Session*)>;
  void Run(Body body) { Run(Options(), std::move(body)); }
  void Run(SessionOptions options, Body body) {
    loop_->RunUntilDone(RunSession(std::move(options), &body));
  }
  // Runs `body` without a session.
  void RunAlone(std::function<ioloop::Task<void>()> body) {
    loop_->RunUntilDone(RunBody(&body));
  }

  // Waits until `condition` holds; false if it does not within 20 s.
  ioloop::Task<bool> Eventually(std::function<bool()> condition) {
    const absl::Time end = loop_->now() + absl::Seconds(20);
    while (!condition()) {
      if (loop_->now() > end) co_return false;
      co_await ioloop::SleepFor(loop_.get(), absl::Milliseconds(2));
    }
    co_return true;
  }

  std::unique_ptr<ioloop::Loop> loop_;
  std::vector<std::unique_ptr<FakeNode>> nodes_;

 private:
  ioloop::Task<void> CloseNodes() {
    for (auto& node : nodes_) co_await node->Close();
  }
  ioloop::Task<void> RunBody(std::function<ioloop::Task<void>()>* body) {
    co_await (*body)();
    co_await CloseNodes();
  }
  ioloop::Task<void> RunSession(SessionOptions options, Body* body) {
    auto session = co_await Session::Connect(loop_.get(), std::move(options));
    if (session.ok()) {
      co_await (*body)(session->get());
      co_await (*session)->Close();
    } else {
      ADD_FAILURE() << session.status();
    }
    co_await CloseNodes();
  }
};

}  // namespace cql::testing

#endif  // RINGPLANE_TESTS_CQL_CLIENT_CLIENT_TEST_UTIL_H_
