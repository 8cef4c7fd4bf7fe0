// The path of a query allocates nothing once its memory is warm. The node runs
// on a thread of its own, whose allocations do not count.
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "cql/session.h"
#include "gtest/gtest.h"
#include "ioloop/timer.h"
#include "tests/cql/client/fake_node.h"

// The replacements below are a pair, which g++ does not see.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace {
thread_local uint64_t allocations = 0;
}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  std::abort();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace cql::testing {
namespace {

using ioloop::Task;

Task<bool> RunQueries(Session* session, const PreparedStatement* select,
                      const PreparedStatement* update, int64_t count,
                      uint64_t* total, uint64_t* allocated) {
  const uint64_t before = allocations;
  for (int64_t key = 0; key < count; ++key) {
    Query a = session->Execute(*select, key);
    Query b = session->Execute(*select, key + 1);
    Query c = session->Execute(*update, std::string_view("a value"), key);
    absl::StatusOr<Rows> rows_a = co_await a;
    absl::StatusOr<Rows> rows_b = co_await b;
    absl::StatusOr<Rows> rows_c = co_await c;
    if (!rows_a.ok() || !rows_b.ok() || !rows_c.ok()) co_return false;
    for (const Row& row : *rows_a) {
      *total += static_cast<uint64_t>(row.Get<int64_t>(0).value());
      *total += row.Get<std::string_view>(1)->size();
    }
    QuerySet set(session, 16);
    for (int64_t i = 0; i < 8; ++i) {
      co_await set.Room();
      set.Add([&] { return session->Execute(*select, i); });
    }
    while (std::optional<size_t> i = co_await set.Next()) {
      absl::StatusOr<Rows> rows = co_await set[*i];
      if (!rows.ok()) co_return false;
    }
  }
  *allocated = allocations - before;
  co_return true;
}

Task<void> Measure(ioloop::Loop* loop, std::string contact) {
  SessionOptions options;
  options.contact_points = {contact};
  auto session = co_await Session::Connect(loop, std::move(options));
  EXPECT_TRUE(session.ok()) << session.status();
  if (!session.ok()) co_return;
  auto select =
      co_await (*session)->Prepare(std::string(kSelect), {.idempotent = true});
  auto update = co_await (*session)->Prepare(std::string(kUpdate),
                                             {.access = Access::kWrite});
  EXPECT_TRUE(select.ok() && update.ok());
  while ((*session)->connections() < 9) {
    co_await ioloop::SleepFor(loop, absl::Milliseconds(5));
  }
  uint64_t total = 0, used = 0;
  bool ok =
      co_await RunQueries(session->get(), *select, *update, 200, &total, &used);
  EXPECT_TRUE(ok);
  ok =
      co_await RunQueries(session->get(), *select, *update, 500, &total, &used);
  EXPECT_TRUE(ok);
  EXPECT_EQ(used, 0u) << "in " << 500 * 11 << " queries";
  co_await (*session)->Close();
}

TEST(AllocationTest, AQueryAllocatesNothingInSteadyState) {
  std::atomic<uint16_t> port{0};
  std::atomic<bool> stop{false};
  std::thread server([&] {
    auto loop = *ioloop::Loop::Create({.buffer_count = 64});
    FakeNode node(loop.get(), {.shards = 4});
    port = node.port();
    while (!stop) {
      EXPECT_TRUE(loop->RunOnce(absl::Milliseconds(5)).ok());
    }
    loop->RunUntilDone(node.Close());
  });
  while (port == 0) std::this_thread::yield();
  auto loop = *ioloop::Loop::Create({.buffer_count = 256});
  loop->RunUntilDone(
      Measure(loop.get(), absl::StrCat("127.0.0.1:", port.load())));
  stop = true;
  server.join();
}

}  // namespace
}  // namespace cql::testing
