// A node and raw clients of it, for the tests of the server.
#ifndef RINGPLANE_TESTS_CQL_NODE_SERVER_FIXTURE_H_
#define RINGPLANE_TESTS_CQL_NODE_SERVER_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cql/node/server.h"
#include "cql/protocol/response.h"
#include "gtest/gtest.h"
#include "tests/cql/node/testing.h"

namespace cql::node {

class ServerTest : public ::testing::Test {
 protected:
  void StartNode(NodeOptions options = {}) {
    options.execute_log_max = 1000;
    node_ = std::make_unique<TestNode>(std::move(options));
    ASSERT_TRUE(node_->status().ok()) << node_->status();
  }

  // A client past STARTUP, with table ks.t (k int, v text) made by the first.
  std::unique_ptr<RawClient> Ready(
      const std::vector<std::pair<std::string, std::string>>& startup = {}) {
    auto client = std::make_unique<RawClient>(node_->port());
    EXPECT_TRUE(client->Startup(startup).is(protocol::Opcode::kReady));
    if (!made_) {
      made_ = true;
      EXPECT_EQ(client
                    ->Query("CREATE KEYSPACE ks WITH replication = {'class': "
                            "'SimpleStrategy', 'replication_factor': 1}")
                    .result_kind(),
                5);
      EXPECT_EQ(client->Query("CREATE TABLE ks.t (k int PRIMARY KEY, v text)")
                    .result_kind(),
                5);
    }
    return client;
  }

  // The cells of a RESULT Rows, row by row.
  static std::vector<std::vector<std::string>> Rows(const Reply& reply) {
    std::vector<std::vector<std::string>> rows;
    const absl::StatusOr<protocol::ResultView> result =
        protocol::DecodeResult(reply.body);
    EXPECT_TRUE(result.ok() && result->kind == protocol::ResultKind::kRows)
        << reply.error_message();
    if (!result.ok()) return rows;
    protocol::Reader reader(result->rows);
    for (uint32_t i = 0; i < result->row_count; ++i) {
      std::vector<std::string>& row = rows.emplace_back();
      for (uint32_t j = 0; j < result->metadata.column_count; ++j) {
        row.emplace_back(reader.Bytes().bytes());
      }
    }
    return rows;
  }

  static protocol::Supported Options(RawClient* client) {
    const Reply reply = client->Call(protocol::Opcode::kOptions, "");
    EXPECT_TRUE(reply.is(protocol::Opcode::kSupported));
    absl::StatusOr<protocol::Supported> supported =
        protocol::DecodeSupported(reply.body);
    return supported.ok() ? *supported : protocol::Supported();
  }

  std::unique_ptr<TestNode> node_;
  bool made_ = false;
};

}  // namespace cql::node

#endif  // RINGPLANE_TESTS_CQL_NODE_SERVER_FIXTURE_H_
