// A dataplane on an embedded node, in the test's own loop; rows are written as
// CQL text.
#ifndef RINGPLANE_TESTS_SERVICE_DATAPLANE_DATAPLANE_FIXTURE_H_
#define RINGPLANE_TESTS_SERVICE_DATAPLANE_DATAPLANE_FIXTURE_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "cql/node/server.h"
#include "cql/session.h"
#include "gtest/gtest.h"
#include "ioloop/loop.h"
#include "proto/bsky.pb.h"
#include "service/dataplane/dataplane.h"

namespace dataplane {

class DataplaneFixture : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Before SetUp(): what the dataplane is created with.
  Options options_;

  void Write(std::string_view cql);

  // A row of `table`, which has one column of key besides the bucket.
  void AddRecord(std::string_view uri, std::string_view cid, int64_t at_ms);
  void AddActor(std::string_view did, std::string_view handle);

  // The status and answer of a call.
  template <typename Request, typename Response>
  absl::Status Call(ioloop::Task<absl::Status> (Dataplane::*method)(
                        rpc::CallContext&, const Request&, Response*),
                    const Request& request, Response* response) {
    rpc::CallContext call;
    call.loop = loop_.get();
    call.deadline = loop_->now() + absl::Seconds(60);
    response->Clear();
    return loop_->RunUntilDone(
        (dataplane_.get()->*method)(call, request, response));
  }

  std::string folder_;
  std::unique_ptr<ioloop::Loop> loop_;
  std::unique_ptr<cql::node::Node> node_;
  std::unique_ptr<cql::Session> session_;
  std::unique_ptr<Dataplane> dataplane_;
};

}  // namespace dataplane

#endif  // RINGPLANE_TESTS_SERVICE_DATAPLANE_DATAPLANE_FIXTURE_H_
