// An echo server over TLS: `tls_echo CERTIFICATES.pem KEY.pem [port]`, by
// default port 7443 on 127.0.0.1.
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "ioloop/tls_stream.h"

using ioloop::Loop;
using Context = std::shared_ptr<ioloop::TlsContext>;

ioloop::Task<> Echo(Loop* loop, ioloop::Stream stream, Context context) {
  const absl::Time soon = loop->now() + absl::Seconds(10);
  auto tls =
      co_await ioloop::TlsStream::Accept(std::move(stream), context, soon);
  if (!tls.ok()) {
    std::fprintf(stderr, "%s\n", tls.status().ToString().c_str());
    co_return;
  }
  char bytes[4096];
  for (;;) {
    // Zero bytes: the client said that it is done. A bare end is an error.
    absl::StatusOr<size_t> got = co_await tls->Receive(bytes);
    if (!got.ok() || *got == 0) break;
    if (!(co_await tls->SendAll({bytes, *got})).ok()) break;
  }
  co_await tls->Close();
}

ioloop::Task<> Serve(Loop* loop, ioloop::Listener listener, Context context) {
  ioloop::TaskGroup clients;
  for (;;) {
    auto stream = co_await listener.Accept();
    if (!stream.ok()) break;
    clients.Spawn(Echo(loop, *std::move(stream), context));
  }
  co_await clients.Join();
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  auto identity = ioloop::TlsIdentity::FromFiles(argv[1], argv[2]);
  if (!identity.ok()) return 1;
  ioloop::TlsContext::ServerOptions options;
  options.identity = *identity;
  options.alpn = {"echo"};
  auto context = ioloop::TlsContext::Server(options);
  auto loop = Loop::Create({});
  if (!context.ok() || !loop.ok()) return 1;
  const auto port = static_cast<uint16_t>(argc > 3 ? std::atoi(argv[3]) : 7443);
  auto listener = ioloop::Listener::Bind(loop->get(), port);
  if (!listener.ok()) return 1;
  std::fprintf(stderr, "listening on %s\n",
               listener->local_address().ToString().c_str());
  (*loop)->RunUntilDone(Serve(loop->get(), *std::move(listener), *context));
}
