// A server of test.proto on a loop and thread of its own.
#ifndef RINGPLANE_TESTS_SERVICE_SERVER_TEST_SERVER_H_
#define RINGPLANE_TESTS_SERVICE_SERVER_TEST_SERVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/mailbox.h"
#include "service/rpc/router.h"
#include "service/server/server.h"
#include "tests/service/rpc/test.pb.h"

namespace server_testing {

class TestService {
 public:
  ioloop::Task<absl::Status> Echo(rpc::CallContext& call,
                                  const ringplane::test::EchoRequest& request,
                                  ringplane::test::EchoResponse* response);
  ioloop::Task<absl::Status> Sleep(rpc::CallContext& call,
                                   const ringplane::test::SleepRequest& request,
                                   ringplane::test::SleepResponse* response);
  ioloop::Task<absl::Status> Blob(rpc::CallContext& call,
                                  const ringplane::test::BlobRequest& request,
                                  ringplane::test::BlobResponse* response);
  ioloop::Task<absl::Status> Fail(rpc::CallContext& call,
                                  const ringplane::test::FailRequest& request,
                                  ringplane::test::FailResponse* response);

  std::atomic<int> sleeping{0};
  std::atomic<int> slept{0};
  std::atomic<int> cancelled{0};
};

class TestServer {
 public:
  explicit TestServer(server::Options options = {},
                      std::function<void(server::Server*)> configure = {});
  // Closes at once, if Drain() did not.
  ~TestServer();

  uint16_t port() const { return port_; }
  const server::ServerStats& stats() const { return server_->stats(); }
  TestService& service() { return service_; }
  // Starts a drain; the result is there when it is done.
  std::future<server::DrainResult> Drain();
  std::string MetricsText() const { return registry_.Text(); }

  // Waits (up to a generous time) until `condition` holds.
  static bool Eventually(const std::function<bool()>& condition);

 private:
  void Run(const server::Options& options,
           const std::function<void(server::Server*)>& configure,
           std::promise<uint16_t>* started);
  ioloop::Task<void> Main();

  server::Registry registry_;
  server::Registry::Registration registration_;
  TestService service_;
  ioloop::Loop* loop_ = nullptr;
  // Shared: the loop may end while a post to it is on its way out.
  std::shared_ptr<ioloop::Mailbox> mailbox_;
  server::Server* server_ = nullptr;
  ioloop::Event* woken_ = nullptr;
  bool stop_ = false;
  bool drain_ = false;
  std::promise<server::DrainResult> drained_;
  uint16_t port_ = 0;
  std::thread thread_;
};

inline constexpr char kEcho[] = "/ringplane.test.TestService/Echo";
inline constexpr char kSleep[] = "/ringplane.test.TestService/Sleep";
inline constexpr char kBlob[] = "/ringplane.test.TestService/Blob";
inline constexpr char kFail[] = "/ringplane.test.TestService/Fail";
inline constexpr char kNobody[] = "/ringplane.test.TestService/Nobody";
inline constexpr char kStream[] = "/ringplane.test.TestService/Stream";
inline constexpr char kHealth[] = "/grpc.health.v1.Health/Check";

}  // namespace server_testing

#endif  // RINGPLANE_TESTS_SERVICE_SERVER_TEST_SERVER_H_
