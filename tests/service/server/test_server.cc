#include "tests/service/server/test_server.h"

#include <chrono>
#include <utility>

#include "ioloop/check.h"
#include "ioloop/timer.h"

namespace server_testing {

using namespace ringplane::test;  // NOLINT: a dozen messages

ioloop::Task<absl::Status> TestService::Echo(rpc::CallContext& call,
                                             const EchoRequest& request,
                                             EchoResponse* response) {
  response->set_text(request.text());
  response->set_key_count(request.keys_size());
  response->set_big_number(request.big_number());
  response->set_raw(request.raw());
  if (request.has_sent_at()) *response->mutable_sent_at() = request.sent_at();
  response->set_caller(std::string(call.caller));
  response->set_timeout_ms(
      absl::ToInt64Milliseconds(call.deadline - call.loop->now()));
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> TestService::Sleep(rpc::CallContext& call,
                                              const SleepRequest& request,
                                              SleepResponse*) {
  ++sleeping;
  const absl::Time end =
      call.loop->now() + absl::Milliseconds(request.millis());
  bool seen = false;
  while (call.loop->now() < end) {
    co_await ioloop::SleepFor(call.loop, absl::Milliseconds(1));
    if (call.cancelled && !seen) {
      seen = true;
      ++cancelled;
      if (!request.stubborn()) break;
    }
  }
  --sleeping;
  ++slept;
  if (seen) co_return absl::CancelledError("nobody waits");
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> TestService::Blob(rpc::CallContext&,
                                             const BlobRequest& request,
                                             BlobResponse* response) {
  response->mutable_blob()->assign(static_cast<size_t>(request.bytes()), 'b');
  co_return absl::OkStatus();
}

ioloop::Task<absl::Status> TestService::Fail(rpc::CallContext&,
                                             const FailRequest& request,
                                             FailResponse*) {
  co_return absl::Status(static_cast<absl::StatusCode>(request.code()),
                         request.message());
}

TestServer::TestServer(server::Options options,
                       std::function<void(server::Server*)> configure) {
  std::promise<uint16_t> started;
  std::future<uint16_t> port = started.get_future();
  thread_ = std::thread([this, options, configure, &started] {
    Run(options, configure, &started);
  });
  port_ = port.get();
}

TestServer::~TestServer() {
  registration_ = {};
  mailbox_->Post([this] {
    stop_ = true;
    woken_->Set();
  });
  thread_.join();
}

std::future<server::DrainResult> TestServer::Drain() {
  mailbox_->Post([this] {
    drain_ = true;
    woken_->Set();
  });
  return drained_.get_future();
}

void TestServer::Run(const server::Options& options,
                     const std::function<void(server::Server*)>& configure,
                     std::promise<uint16_t>* started) {
  ioloop::Loop::Options small;
  small.sq_entries = 256;
  small.cq_entries = 4096;
  small.buffer_count = 64;
  absl::StatusOr<std::unique_ptr<ioloop::Loop>> loop =
      ioloop::Loop::Create(small);
  RINGPLANE_CHECK(loop.ok(), "no loop");
  loop_ = loop->get();
  mailbox_ = loop_->shared_mailbox();
  rpc::Router router;
  router.AddService(EchoRequest::descriptor()->file()->service(0));
  constexpr char kService[] = "ringplane.test.TestService";
  router.Handle<&TestService::Echo>(kService, "Echo", &service_);
  router.Handle<&TestService::Sleep>(kService, "Sleep", &service_);
  router.Handle<&TestService::Blob>(kService, "Blob", &service_);
  router.Handle<&TestService::Fail>(kService, "Fail", &service_);
  {
    ioloop::Event woken(loop_);
    server::Server server(loop_, &router, options);
    woken_ = &woken;
    server_ = &server;
    if (configure) configure(&server);
    registration_ = server.RegisterMetrics(&registry_);
    absl::StatusOr<ioloop::SocketAddress> address =
        server.Listen(ioloop::SocketAddress::Loopback(0));
    RINGPLANE_CHECK(address.ok(), "cannot listen");
    started->set_value(address->port());
    loop_->RunUntilDone(Main());
  }
}

ioloop::Task<void> TestServer::Main() {
  while (!stop_) {
    co_await woken_->Wait();
    woken_->Reset();
    if (drain_) {
      drain_ = false;
      server::DrainResult result = co_await server_->Drain();
      drained_.set_value(result);
    }
  }
  co_await server_->Close();
}

bool TestServer::Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace server_testing
