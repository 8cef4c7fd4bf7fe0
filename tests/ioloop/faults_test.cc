// The bad kernel that other tests run on is a bad one: each kind of trouble
// comes, none lasts, and the environment puts it under any program.
#include <errno.h>
#include <stdlib.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

constexpr uint64_t kSeeds = 40;

class FaultsTest : public ::testing::Test {
 protected:
  FaultsTest() { Clear(); }
  ~FaultsTest() override { Clear(); }
  static void Clear() {
    unsetenv("RINGPLANE_FAULT_SEED");
    unsetenv("RINGPLANE_TINY_RING");
  }
  static std::unique_ptr<Loop> BadLoop(uint64_t seed) {
    Loop::Options options = SmallLoop();
    options.fault_seed = seed;
    return MakeLoop(options);
  }
};

struct Noting : Operation {
  explicit Noting(std::vector<Noting*>* all) : Operation(&Done), order(all) {}
  static void Done(Operation* op, Completion completion) {
    auto* self = static_cast<Noting*>(op);
    self->result = completion.result;
    if (!op->in_flight()) self->order->push_back(self);
  }
  int32_t result = 1;
  std::vector<Noting*>* const order;
};

// Runs `request` to its end; what it came to.
int32_t Do(Loop* loop, const Request& request) {
  std::vector<Noting*> order;
  Noting op(&order);
  loop->Submit(&op, request);
  EXPECT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
  loop->Cancel(&op);
  while (op.in_flight()) {
    EXPECT_TRUE(loop->RunOnce(absl::InfiniteDuration()).ok());
  }
  return op.result;
}

TEST_F(FaultsTest, OperationsEndEarlyAndShort) {
  std::set<int32_t> receives;
  std::set<int32_t> sends;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    std::unique_ptr<Loop> loop = BadLoop(seed);
    for (int i = 0; i < 20; ++i) {
      SocketPair pair;
      Request request;
      request.kind = OpKind::kReceive;
      request.fd = pair.near;
      receives.insert(Do(loop.get(), request));
      request.kind = OpKind::kSend;
      request.address = "hello";
      request.length = 5;
      sends.insert(Do(loop.get(), request));
      ASSERT_EQ(loop->in_flight(), 0u);
    }
  }
  EXPECT_THAT(receives, IsSupersetOf({-ENOBUFS, -ECANCELED, -EINTR, -EAGAIN}));
  EXPECT_THAT(sends, IsSupersetOf({-EINTR, -EAGAIN, 1, 2, 3, 4, 5}));
}

TEST_F(FaultsTest, CompletionsChangePlacesAndComeSoon) {
  uint64_t reordered = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    std::unique_ptr<Loop> loop = BadLoop(seed);
    std::vector<Noting*> order;
    std::vector<std::unique_ptr<Noting>> ops;
    for (int i = 0; i < 50; ++i) {
      ops.push_back(std::make_unique<Noting>(&order));
      loop->Submit(ops.back().get(), Request());
    }
    ASSERT_TRUE(RunTurn(loop.get(), absl::ZeroDuration()).ok());
    for (int turn = 0; turn < 16 && loop->in_flight() > 0; ++turn) {
      ASSERT_TRUE(loop->RunOnce(absl::ZeroDuration()).ok());
    }
    ASSERT_EQ(order.size(), ops.size());
    for (size_t i = 0; i < ops.size(); ++i) {
      reordered += order[i] == ops[i].get() ? 0 : 1;
    }
  }
  EXPECT_GT(reordered, 0u);
}

TEST_F(FaultsTest, TheEnvironmentMakesQueuesTiny) {
  EXPECT_EQ(MakeLoop(SmallLoop())->buffers().count(), 256u);
  setenv("RINGPLANE_TINY_RING", "1", 1);
  EXPECT_EQ(MakeLoop(SmallLoop())->buffers().count(), 4u);
}

TEST_F(FaultsTest, TheEnvironmentGoesOverTheSeedAndMustMakeSense) {
  setenv("RINGPLANE_FAULT_SEED", "0", 1);
  for (int i = 0; i < 50; ++i) {
    std::unique_ptr<Loop> good = BadLoop(kSeeds);
    SocketPair pair;
    Request request;
    request.kind = OpKind::kSend;
    request.fd = pair.near;
    request.address = "hello";
    request.length = 5;
    ASSERT_EQ(Do(good.get(), request), 5);
  }
  for (const char* variable : {"RINGPLANE_FAULT_SEED", "RINGPLANE_TINY_RING"}) {
    Clear();
    setenv(variable, "seven", 1);
    const absl::Status status = Loop::Create(SmallLoop()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(variable));
  }
}

}  // namespace
}  // namespace ioloop
