// A program outside the project that embeds the loop and the CQL client.

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "ioloop/timer.h"

namespace {

ioloop::Task<bool> Run(ioloop::Loop* loop) {
  co_await ioloop::SleepFor(loop, absl::Milliseconds(1));
  // Nobody listens on port 1: the client must say so.
  cql::SessionOptions options;
  options.contact_points.push_back("127.0.0.1:1");
  auto session = co_await cql::Session::Connect(loop, std::move(options));
  std::printf("%s\n", session.status().ToString().c_str());
  co_return !session.ok();
}

}  // namespace

int main() {
  auto loop = ioloop::Loop::Create({});
  if (!loop.ok()) {
    std::fprintf(stderr, "%s\n", loop.status().ToString().c_str());
    return EXIT_FAILURE;
  }
  return (*loop)->RunUntilDone(Run(loop->get())) ? EXIT_SUCCESS : EXIT_FAILURE;
}
