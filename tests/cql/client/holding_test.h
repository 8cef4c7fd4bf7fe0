// Tests whose nodes answer when they are told to.
#ifndef RINGPLANE_TESTS_CQL_CLIENT_HOLDING_TEST_H_
#define RINGPLANE_TESTS_CQL_CLIENT_HOLDING_TEST_H_

#include <string_view>
#include <utility>
#include <vector>

#include "tests/cql/client/client_test_util.h"

namespace cql::testing {

class HoldingTest : public ClientTest {
 protected:
  // A request that the node keeps for later, with what it asked.
  struct Held {
    FakeRequest request;
    int64_t key;
    void Answer() const {
      request.connection->Reply(
          request.stream, protocol::Opcode::kResult,
          RowsBody(SelectStatement().results, false,
                   {{Bigint(key), absl::StrCat("v", key)}}));
    }
    void Fail(ServerCode code, std::string_view message) const {
      request.connection->ReplyError(request.stream, code, message);
    }
  };
  void HoldAll(FakeNode* node) {
    node->on_execute = [this](const FakeRequest& request) {
      held_.push_back({request, request.key()});
      return true;
    };
  }
  void AnswerAll() {
    for (const Held& held : std::exchange(held_, {})) held.Answer();
  }
  RequestOptions Within(absl::Duration timeout) {
    RequestOptions options;
    options.deadline = loop_->now() + timeout;
    return options;
  }

  std::vector<Held> held_;
};

}  // namespace cql::testing

#endif  // RINGPLANE_TESTS_CQL_CLIENT_HOLDING_TEST_H_
