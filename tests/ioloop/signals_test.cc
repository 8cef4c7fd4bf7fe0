#include "ioloop/signals.h"

#include <signal.h>

#include <vector>

#include "gmock/gmock.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using ::testing::ElementsAre;

class SignalsTest : public LoopTest {
 protected:
  SignalsTest() {
    EXPECT_TRUE(BlockSignals({SIGUSR1, SIGUSR2}).ok());
    auto signals = SignalSet::Create(loop_.get(), {SIGUSR1, SIGUSR2});
    EXPECT_TRUE(signals.ok()) << signals.status();
    signals_ = *std::move(signals);
  }
  std::unique_ptr<SignalSet> signals_;
};

Task<void> Take(SignalSet* signals, int count, std::vector<int>* taken,
                absl::Status* status) {
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<int> signal = co_await signals->Next();
    if (!signal.ok()) {
      *status = signal.status();
      co_return;
    }
    taken->push_back(*signal);
  }
}

TEST_F(SignalsTest, SignalsArriveAsValues) {
  std::vector<int> taken;
  absl::Status status;
  TaskGroup group;
  raise(SIGUSR1);  // Before anybody asks.
  group.Spawn(Take(signals_.get(), 2, &taken, &status));
  Turn();
  raise(SIGUSR2);
  RunUntilIdle(&group);
  EXPECT_THAT(taken, ElementsAre(SIGUSR1, SIGUSR2));
}

TEST_F(SignalsTest, CancelEndsTheWait) {
  std::vector<int> taken;
  absl::Status status;
  TaskGroup group;
  group.Spawn(Take(signals_.get(), 1, &taken, &status));
  Turn();
  signals_->Cancel();
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ioloop
