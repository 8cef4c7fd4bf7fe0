#include "service/app/connect_client.h"

#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "ioloop/listener.h"
#include "ioloop/timer.h"
#include "service/ingest/text.h"
#include "service/rpc/health.pb.h"

namespace app {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ingest::Cat;

TEST(ResponseHeadTest, ReadsWhatMatters) {
  absl::StatusOr<ResponseHead> head = ParseResponseHead(
      "HTTP/1.1 200 OK\r\nContent-Type:  application/proto \r\n"
      "CONTENT-LENGTH: 12\r\nX: y\r\n\r\n");
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->content_length, 12u);
  EXPECT_EQ(head->content_type, "application/proto");
  EXPECT_TRUE(head->keep_alive);
  EXPECT_FALSE(ParseResponseHead("HTTP/1.1 503\r\nConnection: close\r\n"
                                 "Content-Length: 0\r\n\r\n")
                   ->keep_alive);
}

TEST(ResponseHeadTest, RefusesWhatIsNoResponse) {
  for (const char* bad : {
           "",
           "\r\n\r\n",
           "HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 99 x\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 200 OK\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: "
           "chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1",
       }) {
    EXPECT_FALSE(ParseResponseHead(bad).ok()) << bad;
  }
}

TEST(ErrorOfResponseTest, ReadsConnectsErrors) {
  absl::Status status =
      ErrorOfResponse(400, R"({"code":"invalid_argument","message":"line 3"})");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "line 3");
  EXPECT_TRUE(
      absl::IsNotFound(ErrorOfResponse(404, R"({"code":"not_found"})")));
}

TEST(ErrorOfResponseTest, MakesDoWithTheHttpStatus) {
  EXPECT_TRUE(absl::IsUnavailable(ErrorOfResponse(503, "<html>")));
  EXPECT_TRUE(absl::IsUnauthenticated(ErrorOfResponse(401, "no\n")));
  EXPECT_TRUE(absl::IsUnknown(ErrorOfResponse(500, R"({"code":"novel"})")));
  EXPECT_TRUE(absl::IsUnknown(ErrorOfResponse(500, "[[[")));
}

// A server that answers each request with the next of `answers`, whatever it
// is, and keeps what it was asked.
class ConnectClientTest : public testing::Test {
 protected:
  ConnectClientTest() {
    loop_ = *ioloop::Loop::Create({.sq_entries = 64,
                                   .cq_entries = 256,
                                   .buffer_count = 16,
                                   .buffer_bytes = 4096});
    listener_.emplace(*ioloop::Listener::Bind(loop_.get(), 0));
  }

  static std::string Answer(int status, std::string_view type,
                            std::string_view body) {
    return Cat("HTTP/1.1 ", status, " X\r\nContent-Type: ", type,
               "\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
  }
  static std::string Serving() {
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    return Answer(200, "application/proto", response.SerializeAsString());
  }

  ioloop::Task<void> Serve() {
    for (;;) {
      absl::StatusOr<ioloop::Stream> stream = co_await listener_->Accept();
      if (!stream.ok()) co_return;
      ++accepted_;
      for (;;) {
        absl::StatusOr<ioloop::ReceivedBytes> bytes =
            co_await stream->Receive();
        if (!bytes.ok() || bytes->empty()) break;
        asked_.append(bytes->view());
        // Requests here are small and end with their body.
        if (answers_.empty()) continue;
        std::string answer = answers_.front();
        answers_.erase(answers_.begin());
        if (answer == "close") break;
        stream->Queue(answer);
      }
      co_await stream->Close();
    }
  }

  // The statuses of `calls` calls.
  std::vector<absl::Status> Call(int calls, ConnectClient::Options options) {
    options.host_port = listener_->local_address().ToString();
    std::vector<absl::Status> statuses;
    ioloop::TaskGroup server;
    server.Spawn(Serve());
    loop_->RunUntilDone(CallAll(calls, options, &statuses));
    loop_->RunUntilDone(listener_->Close());
    loop_->RunUntilDone(Joined(&server));
    return statuses;
  }

  ioloop::Task<void> CallAll(int calls, ConnectClient::Options options,
                             std::vector<absl::Status>* statuses) {
    ConnectClient client(loop_.get(), options);
    for (int i = 0; i < calls; ++i) {
      HealthCheckRequest request;
      request.set_service("s");
      response_.Clear();
      absl::Status status = co_await client.Call("/a.B/C", request, &response_);
      statuses->push_back(status);
    }
    co_await client.Close();
  }
  static ioloop::Task<void> Joined(ioloop::TaskGroup* group) {
    co_await group->Join();
  }

  std::unique_ptr<ioloop::Loop> loop_;
  std::optional<ioloop::Listener> listener_;
  std::vector<std::string> answers_;
  std::string asked_;
  int accepted_ = 0;
  HealthCheckResponse response_;
};

TEST_F(ConnectClientTest, CallsAgainOnTheSameConnection) {
  answers_ = {Serving(), Serving()};
  std::vector<absl::Status> statuses = Call(2, {.token = "t0ken"});
  ASSERT_EQ(statuses.size(), 2u);
  EXPECT_TRUE(statuses[0].ok()) << statuses[0];
  EXPECT_TRUE(statuses[1].ok()) << statuses[1];
  EXPECT_EQ(response_.status(), HealthCheckResponse::SERVING);
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(asked_.find("POST /a.B/C HTTP/1.1\r\n"), 0u);
  EXPECT_NE(asked_.find("Authorization: Bearer t0ken\r\n"), std::string::npos);
  EXPECT_NE(asked_.find("Content-Type: application/proto\r\n"),
            std::string::npos);
}

TEST_F(ConnectClientTest, TellsTheServersError) {
  answers_ = {Answer(400, "application/json",
                     R"({"code":"invalid_argument","message":"no"})"),
              Serving()};
  std::vector<absl::Status> statuses = Call(2, {});
  EXPECT_EQ(statuses[0], absl::InvalidArgumentError("no"));
  EXPECT_TRUE(statuses[1].ok());
  EXPECT_EQ(accepted_, 1);
}

TEST_F(ConnectClientTest, ConnectsAgainAfterABrokenConnection) {
  answers_ = {"close", Serving()};
  std::vector<absl::Status> statuses = Call(2, {});
  EXPECT_TRUE(absl::IsUnavailable(statuses[0])) << statuses[0];
  EXPECT_TRUE(statuses[1].ok()) << statuses[1];
  EXPECT_EQ(accepted_, 2);
}

TEST_F(ConnectClientTest, GivesUpWhenNobodyAnswers) {
  std::vector<absl::Status> statuses =
      Call(1, {.call_timeout = absl::Milliseconds(10)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[0])) << statuses[0];
}

TEST_F(ConnectClientTest, RefusesNonsenseAndFloods) {
  answers_ = {"SSH-2.0-x\r\n\r\n", Answer(200, "text/html", "hello"),
              Answer(200, "application/proto", "\xff\xff"),
              "HTTP/1.1 200 X\r\nContent-Length: 99999999\r\n\r\n",
              std::string(20000, 'x')};
  std::vector<absl::Status> statuses = Call(5, {});
  for (const absl::Status& status : statuses) EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(statuses[3])) << statuses[3];
}

TEST_F(ConnectClientTest, SaysWhereNobodyListens) {
  std::string address = listener_->local_address().ToString();
  loop_->RunUntilDone(listener_->Close());
  std::vector<absl::Status> statuses;
  loop_->RunUntilDone(CallAll(1, {.host_port = address}, &statuses));
  EXPECT_TRUE(absl::IsUnavailable(statuses[0]));
  EXPECT_NE(statuses[0].message().find("127.0.0.1"), std::string::npos);
}

}  // namespace
}  // namespace app
