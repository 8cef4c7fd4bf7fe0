// What compilers make of coroutine patterns, one test each. g++ 12.2 destroys
// twice the members of some temporaries in an expression with co_await, and
// traps in one pattern; this code base avoids those. When a test of a broken
// pattern fails, the compiler has been repaired (or broken anew): read the
// rule, then change it.
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "ioloop/await.h"
#include "ioloop/task.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12
constexpr bool kDestroysTwice = true;
#else
constexpr bool kDestroysTwice = false;
#endif

// Counts objects. Destroying one twice touches no memory: it only miscounts.
struct Tracked {
  static int live;
  Tracked() { ++live; }
  Tracked(const Tracked&) { ++live; }
  Tracked(Tracked&&) noexcept { ++live; }
  Tracked& operator=(const Tracked&) = default;
  Tracked& operator=(Tracked&&) = default;
  ~Tracked() { --live; }
};
int Tracked::live = 0;

struct Aggregate {
  int number = 0;
  Tracked tracked;
};

class Constructed {
 public:
  explicit Constructed(int number) : number_(number) {}
  Constructed& Add(int number) {
    number_ += number;
    return *this;
  }
  int number() const { return number_; }

 private:
  int number_;
  Tracked tracked_;
};

Request Nop() {
  Request request;
  request.kind = OpKind::kNop;
  return request;
}

class CoroutinePatternsTest : public LoopTest {
 protected:
  CoroutinePatternsTest() { Tracked::live = 0; }

  // Runs `task` and says how many objects too many (or, below zero, too few
  // times destroyed) it leaves.
  int Leftover(Task<void> task) {
    loop_->RunUntilDone(std::move(task));
    return Tracked::live;
  }
  void ExpectSound(Task<void> task) { EXPECT_EQ(Leftover(std::move(task)), 0); }
  void ExpectBrokenOnGcc12(Task<void> task) {
    const int leftover = Leftover(std::move(task));
    if (kDestroysTwice) {
      EXPECT_LT(leftover, 0) << "g++ 12 no longer destroys this twice";
    } else {
      EXPECT_EQ(leftover, 0);
    }
  }
};

Task<int> TakeValue(Loop* loop, Aggregate aggregate) {
  co_await RequestAwaiter(loop, Nop());
  co_return aggregate.number;
}
Task<int> TakeReference(Loop* loop, const Aggregate& aggregate) {
  co_await RequestAwaiter(loop, Nop());
  co_return aggregate.number;
}
Task<int> TakeConstructed(Loop* loop, Constructed value) {
  co_await RequestAwaiter(loop, Nop());
  co_return value.number();
}
Task<Tracked> MakeTracked(Loop* loop) {
  co_await RequestAwaiter(loop, Nop());
  co_return Tracked();
}
Task<int> Number(Loop* loop, int number) {
  co_await RequestAwaiter(loop, Nop());
  co_return number;
}
template <typename F>
Task<int> Call(Loop* loop, F function) {
  co_await RequestAwaiter(loop, Nop());
  co_return function();
}

// Broken on g++ 12.

Task<void> AggregateTemporary(Loop* loop) {
  co_await TakeValue(loop, Aggregate{1, {}});
}
TEST_F(CoroutinePatternsTest, P01AggregateTemporaryAsArgument) {
  ExpectBrokenOnGcc12(AggregateTemporary(loop_.get()));
}

Task<void> DesignatedTemporary(Loop* loop) {
  co_await TakeValue(loop, {.number = 1, .tracked = {}});
}
TEST_F(CoroutinePatternsTest, P02DesignatedTemporaryAsArgument) {
  ExpectBrokenOnGcc12(DesignatedTemporary(loop_.get()));
}

struct Pair {
  Tracked first;
  Tracked second;
};
void Consume(Pair) {}
Task<void> AggregateOfAwaits(Loop* loop) {
  Consume(Pair{co_await MakeTracked(loop), co_await MakeTracked(loop)});
}
TEST_F(CoroutinePatternsTest, P03AggregateInitialisedFromAwaits) {
  ExpectBrokenOnGcc12(AggregateOfAwaits(loop_.get()));
}

struct AggregateAwaiter {
  Loop* loop;
  Tracked tracked;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    loop->Resume(waiter);
  }
  void await_resume() const {}
};
Task<void> AwaitsAggregate(Loop* loop) { co_await AggregateAwaiter{loop, {}}; }
TEST_F(CoroutinePatternsTest, P04AggregateAwaiter) {
  ExpectBrokenOnGcc12(AwaitsAggregate(loop_.get()));
}

Task<void> LambdaTemporary(Loop* loop) {
  Tracked tracked;
  co_await Call(loop, [tracked] {
    static_cast<void>(tracked);
    return 1;
  });
}
TEST_F(CoroutinePatternsTest, P05LambdaWithCapturesAsArgument) {
  ExpectBrokenOnGcc12(LambdaTemporary(loop_.get()));
}

Task<void> ConditionalOperator(Loop* loop, bool first) {
  Tracked got = first ? co_await MakeTracked(loop) : co_await MakeTracked(loop);
  static_cast<void>(got);
}
TEST_F(CoroutinePatternsTest, P06ConditionalOperator) {
  ExpectBrokenOnGcc12(ConditionalOperator(loop_.get(), true));
}

Task<void> ReferenceToTemporary(Loop* loop) {
  co_await TakeReference(loop, Aggregate{1, {}});
}
TEST_F(CoroutinePatternsTest, P07ConstReferenceToAggregateTemporary) {
  ExpectBrokenOnGcc12(ReferenceToTemporary(loop_.get()));
}

// `std::vector<T>{co_await a, co_await b}` does not compile on g++ 12.
#ifdef __clang__
Task<void> InitializerList(Loop* loop) {
  std::vector<int> numbers{co_await Number(loop, 1), co_await Number(loop, 2)};
  EXPECT_EQ(numbers.size(), 2u);
}
TEST_F(CoroutinePatternsTest, P08InitializerListOfAwaits) {
  ExpectSound(InitializerList(loop_.get()));
}
#endif

// `if (co_await ...) co_return ...;` compiles to a trap at the first resume:
// name the result first.
Task<int> ReturnsUnderAnAwaitedCondition(Loop* loop) {
  if (co_await Number(loop, 1) == 1) co_return 1;
  co_return 2;
}
TEST_F(CoroutinePatternsTest, P20ReturnUnderAnAwaitedCondition) {
  if (kDestroysTwice) {
    EXPECT_DEATH(
        loop_->RunUntilDone(ReturnsUnderAnAwaitedCondition(loop_.get())), "")
        << "g++ 12 no longer traps here";
  } else {
    EXPECT_EQ(loop_->RunUntilDone(ReturnsUnderAnAwaitedCondition(loop_.get())),
              1);
  }
}

// Sound everywhere: what to write instead.

Task<void> TypeWithConstructor(Loop* loop) {
  co_await TakeConstructed(loop, Constructed(1));
}
TEST_F(CoroutinePatternsTest, P09TypeWithConstructor) {
  ExpectSound(TypeWithConstructor(loop_.get()));
}

Task<void> NamedLocal(Loop* loop) {
  Aggregate named{1, {}};
  co_await TakeValue(loop, std::move(named));
}
TEST_F(CoroutinePatternsTest, P10NamedLocalMovedIn) {
  ExpectSound(NamedLocal(loop_.get()));
}

Task<void> TwoSteps(Loop* loop) {
  Task<int> task = TakeValue(loop, Aggregate{1, {}});
  co_await std::move(task);
}
TEST_F(CoroutinePatternsTest, P11TaskFirstThenAwait) {
  ExpectSound(TwoSteps(loop_.get()));
}

Task<void> Builder(Loop* loop) {
  co_await TakeConstructed(loop, Constructed(1).Add(2).Add(3));
}
TEST_F(CoroutinePatternsTest, P12Builder) { ExpectSound(Builder(loop_.get())); }

Task<void> IfCondition(Loop* loop) {
  Tracked tracked;
  if (co_await Number(loop, 1) == 1) Tracked inside;
}
TEST_F(CoroutinePatternsTest, P13IfCondition) {
  ExpectSound(IfCondition(loop_.get()));
}

Task<void> WhileCondition(Loop* loop) {
  int rounds = 0;
  while (co_await Number(loop, rounds) < 3) {
    Tracked tracked;
    ++rounds;
  }
  EXPECT_EQ(rounds, 3);
}
TEST_F(CoroutinePatternsTest, P14WhileCondition) {
  ExpectSound(WhileCondition(loop_.get()));
}

Task<void> LogicalAnd(Loop* loop) {
  Tracked tracked;
  const bool both =
      co_await Number(loop, 1) == 1 && co_await Number(loop, 2) == 2;
  EXPECT_TRUE(both);
}
TEST_F(CoroutinePatternsTest, P15LogicalAnd) {
  ExpectSound(LogicalAnd(loop_.get()));
}

Task<std::pair<Tracked, int>> MakePair(Loop* loop) {
  co_await RequestAwaiter(loop, Nop());
  co_return std::pair<Tracked, int>(Tracked(), 7);
}
Task<void> StructuredBinding(Loop* loop) {
  auto [tracked, number] = co_await MakePair(loop);
  static_cast<void>(tracked);
  EXPECT_EQ(number, 7);
}
TEST_F(CoroutinePatternsTest, P16StructuredBindingOfAPair) {
  ExpectSound(StructuredBinding(loop_.get()));
}

class Object {
 public:
  Task<int> Method(Loop* loop, Tracked parameter) {
    co_await RequestAwaiter(loop, Nop());
    static_cast<void>(parameter);
    co_return 1;
  }

 private:
  Tracked member_;
};
Task<void> MemberFunction(Loop* loop) {
  Object object;
  Tracked tracked;
  co_await object.Method(loop, tracked);
}
TEST_F(CoroutinePatternsTest, P17MemberFunction) {
  ExpectSound(MemberFunction(loop_.get()));
}

Task<void> ByValue(Loop* loop) {
  Object object;
  co_await object.Method(loop, Tracked());
}
TEST_F(CoroutinePatternsTest, P18ByValueParameter) {
  ExpectSound(ByValue(loop_.get()));
}

Task<void> NamedLambda(Loop* loop) {
  Tracked tracked;
  auto function = [tracked] {
    static_cast<void>(tracked);
    return 1;
  };
  co_await Call(loop, std::move(function));
}
TEST_F(CoroutinePatternsTest, P19NamedLambda) {
  ExpectSound(NamedLambda(loop_.get()));
}

}  // namespace
}  // namespace ioloop
