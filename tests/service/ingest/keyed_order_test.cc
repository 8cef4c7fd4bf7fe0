#include "service/ingest/keyed_order.h"

#include <coroutine>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ioloop/task.h"

namespace ingest {
namespace {

using testing::ElementsAre;

// A place in progress from Start() to Finish().
class Work {
 public:
  Work(KeyedOrder* order, std::string name, const KeySet& keys,
       std::vector<std::string>* log)
      : name_(std::move(name)), log_(log) {
    group_.Spawn(Run(order, keys));
  }
  void Finish() { std::exchange(end_, nullptr).resume(); }
  bool started() const { return started_; }

 private:
  struct End {
    Work* work;
    explicit End(Work* owner) : work(owner) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      work->end_ = waiter;
    }
    void await_resume() const {}
  };
  ioloop::Task<void> Run(KeyedOrder* order, KeySet keys) {
    KeyedOrder::Place place(order);
    place.Enter(keys);
    co_await place;
    started_ = true;
    log_->push_back(name_);
    End end(this);
    co_await end;
  }

  const std::string name_;
  std::vector<std::string>* const log_;
  ioloop::TaskGroup group_;
  std::coroutine_handle<> end_;
  bool started_ = false;
};

class KeyedOrderTest : public testing::Test {
 protected:
  // "a !b": shares a, has b for itself.
  Work& Start(const std::string& name, const std::string& keys) {
    KeySet set;
    std::string key;
    for (char c : keys + ' ') {
      if (c != ' ') {
        key += c;
        continue;
      }
      if (key[0] == '!') {
        set.AddExclusive(key.substr(1));
      } else {
        set.AddShared(key);
      }
      key.clear();
    }
    work_[name] = std::make_unique<Work>(&order_, name, set, &log_);
    return *work_[name];
  }
  void Finish(const std::string& name) {
    work_[name]->Finish();
    work_.erase(name);
  }

  KeyedOrder order_;
  std::vector<std::string> log_;
  std::map<std::string, std::unique_ptr<Work>> work_;
};

TEST_F(KeyedOrderTest, OneKeyIsOneAfterTheOtherInOrder) {
  Start("1", "!a");
  Start("2", "!a");
  Start("3", "!b");
  Start("4", "!a");
  EXPECT_THAT(log_, ElementsAre("1", "3"));
  Finish("1");
  EXPECT_THAT(log_, ElementsAre("1", "3", "2"));
  Finish("2");
  Finish("4");
  Finish("3");
  EXPECT_THAT(log_, ElementsAre("1", "3", "2", "4"));
  EXPECT_EQ(order_.keys(), 0u);
}

TEST_F(KeyedOrderTest, SharedKeysRunSideBySideBetweenExclusiveOnes) {
  Start("1", "a");
  Start("2", "a");
  Start("3", "!a");
  Start("4", "a");
  Start("5", "a");
  EXPECT_THAT(log_, ElementsAre("1", "2"));
  Finish("2");
  EXPECT_THAT(log_, ElementsAre("1", "2"));
  Finish("1");
  EXPECT_THAT(log_, ElementsAre("1", "2", "3"));
  Finish("3");
  EXPECT_THAT(log_, ElementsAre("1", "2", "3", "4", "5"));
  Finish("4");
  Finish("5");
}

TEST_F(KeyedOrderTest, EveryKeyHasToBeFree) {
  Start("1", "!a");
  Start("2", "!b");
  Start("3", "!a !b");
  Start("4", "b");
  Finish("1");
  EXPECT_FALSE(work_["3"]->started());
  EXPECT_FALSE(work_["4"]->started());
  Finish("2");
  EXPECT_TRUE(work_["3"]->started());
  EXPECT_FALSE(work_["4"]->started());
  Finish("3");
  EXPECT_TRUE(work_["4"]->started());
  Finish("4");
}

TEST_F(KeyedOrderTest, AKeyBothSharedAndExclusiveIsExclusive) {
  Start("1", "a !a");
  Start("2", "a");
  EXPECT_THAT(log_, ElementsAre("1"));
  Finish("1");
  Finish("2");
}

}  // namespace
}  // namespace ingest
