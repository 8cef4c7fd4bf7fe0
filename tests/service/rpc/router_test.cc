// Router and MessagePool.
#include "service/rpc/router.h"

#include "gtest/gtest.h"
#include "service/rpc/health.h"
#include "service/rpc/message_pool.h"
#include "tests/service/rpc/test.pb.h"

namespace rpc {
namespace {

using ringplane::test::EchoRequest;
using ringplane::test::EchoResponse;

class Service {
 public:
  ioloop::Task<absl::Status> Echo(CallContext&, const EchoRequest& request,
                                  EchoResponse* response) {
    response->set_text(request.text());
    co_return absl::OkStatus();
  }
};

const google::protobuf::ServiceDescriptor* TestDescriptor() {
  return EchoRequest::descriptor()->file()->service(0);
}

TEST(RouterTest, TellsUnimplementedFromUnknown) {
  Router router;
  Service service;
  router.AddService(TestDescriptor());
  router.AddService(TestDescriptor());
  EXPECT_EQ(router.size(), 6u);
  router.Handle<&Service::Echo>("ringplane.test.TestService", "Echo", &service);

  const Router::Method* echo = router.Find("/ringplane.test.TestService/Echo");
  ASSERT_NE(echo, nullptr);
  EXPECT_NE(echo->handler, nullptr);
  EXPECT_EQ(echo->service, &service);
  EXPECT_EQ(echo->descriptor->name(), "Echo");
  ASSERT_EQ(echo->key_fields.size(), 1u);
  EXPECT_EQ(echo->key_fields[0]->name(), "keys");
  const Router::Method* nobody =
      router.Find("/ringplane.test.TestService/Nobody");
  ASSERT_NE(nobody, nullptr);
  EXPECT_EQ(nobody->handler, nullptr);
  for (std::string_view path :
       {"", "/", "ringplane.test.TestService/Echo",
        "/ringplane.test.TestService/echo", "/ringplane.test.TestService/",
        "/ringplane.test.TestService/Echo/", "//Echo"}) {
    EXPECT_EQ(router.Find(path), nullptr) << path;
  }
}

TEST(RouterDeathTest, AHandlerOfOtherTypesIsABrokenPromise) {
  Router router;
  Service service;
  router.AddService(TestDescriptor());
  EXPECT_DEATH(router.Handle<&Service::Echo>("ringplane.test.TestService",
                                             "Blob", &service),
               "CHECK failed");
  EXPECT_DEATH(router.Handle<&Service::Echo>("ringplane.test.TestService",
                                             "Gone", &service),
               "CHECK failed");
}

TEST(MessagePoolTest, ReusesAndDropsWhatHasGrown) {
  Router router;
  router.AddService(TestDescriptor());
  const Router::Method& echo = router.method(0);
  MessagePool::Options options;
  options.message_bytes_max = 1000;
  options.pairs_per_method_max = 2;
  MessagePool pool(router.size(), options);

  MessagePool::Pair pair = pool.Take(echo, 0);
  static_cast<EchoRequest*>(pair.request.get())->set_text("x");
  google::protobuf::Message* request = pair.request.get();
  pool.Return(std::move(pair), 0, 10);
  EXPECT_EQ(pool.kept(), 1u);
  EXPECT_EQ(pool.kept_bytes(), 10u);
  pair = pool.Take(echo, 0);
  EXPECT_EQ(pair.request.get(), request);
  EXPECT_EQ(static_cast<EchoRequest*>(request)->text(), "");
  EXPECT_EQ(pool.kept_bytes(), 0u);
  pool.Return(std::move(pair), 0, 1001);
  EXPECT_EQ(pool.kept(), 0u);

  MessagePool::Pair pairs[3];
  for (MessagePool::Pair& taken : pairs) taken = pool.Take(echo, 0);
  for (MessagePool::Pair& taken : pairs) pool.Return(std::move(taken), 0, 1);
  EXPECT_EQ(pool.kept(), 2u);
}

}  // namespace
}  // namespace rpc
