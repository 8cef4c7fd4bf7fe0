// Answers every HTTP/1.1 request with a greeting: `http_hello [port]`, by
// default 8080 on 127.0.0.1. Keep-alive and pipelining; no request bodies.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/stop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

constexpr size_t kHeadMax = 8192;

ioloop::Task<> Serve(ioloop::Loop* loop, ioloop::Stream stream) {
  std::string pending;  // What is not yet a whole request head.
  while (pending.size() <= kHeadMax) {
    const absl::Time deadline = loop->now() + absl::Seconds(30);
    auto bytes = co_await WithDeadline(stream.Receive(), deadline);
    if (!bytes.ok() || bytes->empty()) break;
    pending.append(bytes->view());
    bytes->Return();  // Not kept across the await below.
    size_t begin = 0;
    for (size_t end; (end = pending.find("\r\n\r\n", begin)) != pending.npos;) {
      // All answers of a turn leave at its end, in one send.
      stream.Queue("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n");
      begin = end + 4;
    }
    pending.erase(0, begin);
    // A client that sends and does not read is not read from either.
    if (!(co_await stream.Drained(1 << 20)).ok()) break;
  }
  // What was answered last arrives, even if the client was still sending.
  const absl::Time patience = loop->now() + absl::Seconds(1);
  static_cast<void>(co_await stream.CloseGracefully(patience));
}

ioloop::Task<> Accept(ioloop::Loop* loop, ioloop::Listener listener) {
  ioloop::TaskGroup clients;
  for (;;) {
    auto stream = co_await listener.Accept();
    if (!stream.ok()) break;
    clients.Spawn(Serve(loop, *std::move(stream)));
  }
  co_await clients.Join();
}

int main(int argc, char** argv) {
  auto loop = ioloop::Loop::Create({});
  if (!loop.ok()) return EXIT_FAILURE;
  const auto port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  auto listener = ioloop::Listener::Bind(loop->get(), port);
  if (!listener.ok()) return EXIT_FAILURE;
  std::printf("listening on %s\n",
              listener->local_address().ToString().c_str());
  std::fflush(stdout);
  (*loop)->RunUntilDone(Accept(loop->get(), *std::move(listener)));
}
