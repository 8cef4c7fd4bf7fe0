// An echo server: `echo [port]`, by default 7000 on 127.0.0.1 (0: any free
// port). Ends on SIGINT or SIGTERM once every client's last byte is back.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/signals.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

ioloop::Task<> Echo(ioloop::Stream stream) {
  for (;;) {
    // Lent from the loop's shared ring: an idle socket holds no buffer.
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream.Receive();
    if (!bytes.ok() || bytes->empty()) break;
    if (!(co_await stream.SendAll(*bytes)).ok()) break;
  }
  co_await stream.Close();
}

ioloop::Task<> Serve(ioloop::Listener* listener, ioloop::TaskGroup* clients) {
  for (;;) {
    // Out of descriptors is retried inside; an error here means closed.
    absl::StatusOr<ioloop::Stream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return;
    clients->Spawn(Echo(*std::move(stream)));
  }
}

ioloop::Task<> ServeUntilSignal(ioloop::Loop* loop, ioloop::Listener listener) {
  auto signals = ioloop::SignalSet::Create(loop, {SIGINT, SIGTERM});
  if (!signals.ok()) co_return;
  ioloop::TaskGroup clients;
  clients.Spawn(Serve(&listener, &clients));
  static_cast<void>(co_await (*signals)->Next());
  co_await listener.Close();
  co_await clients.Join();
}

int main(int argc, char** argv) {
  if (!ioloop::BlockSignals({SIGINT, SIGTERM}).ok()) return EXIT_FAILURE;
  auto loop = ioloop::Loop::Create({});
  const int port = argc > 1 ? std::atoi(argv[1]) : 7000;
  auto listener = loop.ok() ? ioloop::Listener::Bind(
                                  loop->get(), static_cast<uint16_t>(port))
                            : loop.status();
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return EXIT_FAILURE;
  }
  std::printf("listening on %s\n",
              listener->local_address().ToString().c_str());
  std::fflush(stdout);
  (*loop)->RunUntilDone(ServeUntilSignal(loop->get(), *std::move(listener)));
}
