// libuv, as its users write it: one read buffer for the loop, uv_try_write
// before uv_write, and in the client one write a connection and iteration.
//
//   libuv echo
//   libuv pipelined --port=P --sockets=N --in-flight=W --message=BYTES
#include <netinet/in.h>
#include <uv.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/pipeline.h"

namespace socket_scaling {
namespace {

Counts g_counts;
char g_read_buffer[65536];

void Check(int result, const char* what) {
  if (result < 0) Die(std::string(what) + ": " + uv_strerror(result));
}

void Allocate(uv_handle_t*, size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(g_read_buffer, sizeof(g_read_buffer));
}

void Close(uv_stream_t* stream) {
  uv_close(reinterpret_cast<uv_handle_t*>(stream), [](uv_handle_t* handle) {
    delete reinterpret_cast<uv_tcp_t*>(handle);
  });
}

// Writes at once what the socket takes, and queues the rest.
void Write(uv_stream_t* stream, const char* data, size_t size) {
  struct Rest {
    uv_write_t request;
    std::string bytes;
  };
  uv_buf_t buffer =
      uv_buf_init(const_cast<char*>(data), static_cast<unsigned>(size));
  const int written = uv_try_write(stream, &buffer, 1);
  if (written == static_cast<int>(size)) return;
  if (written < 0 && written != UV_EAGAIN) return;  // The read will tell.
  const size_t taken = written < 0 ? 0 : static_cast<size_t>(written);
  auto* rest = new Rest{{}, std::string(data + taken, size - taken)};
  buffer = uv_buf_init(rest->bytes.data(),
                       static_cast<unsigned>(rest->bytes.size()));
  uv_write(&rest->request, stream, &buffer, 1, [](uv_write_t* request, int) {
    delete reinterpret_cast<Rest*>(request);
  });
}

void OnEchoRead(uv_stream_t* stream, ssize_t bytes, const uv_buf_t* buffer) {
  if (bytes == 0) return;
  if (bytes < 0) {
    Close(stream);
    return;
  }
  g_counts.events.Add(1);
  g_counts.bytes.Add(static_cast<uint64_t>(bytes));
  Write(stream, buffer->base, static_cast<size_t>(bytes));
}

void OnConnection(uv_stream_t* listener, int status) {
  Check(status, "listen");
  auto* client = new uv_tcp_t;
  uv_tcp_init(listener->loop, client);
  auto* stream = reinterpret_cast<uv_stream_t*>(client);
  if (uv_accept(listener, stream) < 0) {
    Close(stream);
    return;
  }
  uv_tcp_nodelay(client, 1);
  uv_os_fd_t fd;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(client), &fd) == 0) {
    SetReset(fd);
  }
  uv_read_start(stream, Allocate, OnEchoRead);
}

[[noreturn]] void Echo() {
  Reporter reporter;
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  uv_tcp_init(loop, &listener);
  sockaddr_in address = {};
  uv_ip4_addr("127.0.0.1", 0, &address);
  Check(uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0),
        "bind");
  Check(
      uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 4096, OnConnection),
      "listen");
  int length = sizeof(address);
  uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &length);
  reporter.Start({&g_counts});
  Say("listening " + std::to_string(ntohs(address.sin_port)));
  uv_run(loop, UV_RUN_DEFAULT);
  Die("the loop ended");
}

struct Client {
  explicit Client(const Pipeline::Options& options)
      : pipeline(options),
        buffers(options.connections),
        issuer(&pipeline, &buffers, &g_counts, 1),
        streams(options.connections) {}
  void Flush() {
    buffers.Flush([this](uint32_t connection, std::string* bytes) {
      Write(reinterpret_cast<uv_stream_t*>(&streams[connection]), bytes->data(),
            bytes->size());
      bytes->clear();
    });
  }
  Pipeline pipeline;
  TurnBuffers buffers;
  Pipeline::Issuer<TurnBuffers> issuer;
  std::vector<uv_tcp_t> streams;
};
Client* g_client = nullptr;

void OnClientRead(uv_stream_t* stream, ssize_t bytes, const uv_buf_t* buffer) {
  if (bytes == 0) return;
  if (bytes < 0) Die("the responder went away");
  const auto connection =
      reinterpret_cast<uv_tcp_t*>(stream) - g_client->streams.data();
  g_client->issuer.OnBytes(static_cast<uint32_t>(connection), buffer->base,
                           static_cast<size_t>(bytes));
}

[[noreturn]] void Pipelined(const Args& args) {
  Reporter reporter;
  const Pipeline::Options options = {
      static_cast<uint32_t>(args.Get("sockets", 128)),
      static_cast<uint32_t>(args.Get("in-flight", 512)),
      static_cast<uint32_t>(args.Get("message", 100))};
  Say("started");
  AwaitGo();
  uv_loop_t* loop = uv_default_loop();
  g_client = new Client(options);
  for (uint32_t i = 0; i < options.connections; ++i) {
    uv_tcp_t* tcp = &g_client->streams[i];
    uv_tcp_init(loop, tcp);
    Check(uv_tcp_open(tcp,
                      ConnectTo(i, static_cast<uint16_t>(args.Get("port", 0)))),
          "open");
    uv_read_start(reinterpret_cast<uv_stream_t*>(tcp), Allocate, OnClientRead);
  }
  Say("connected");
  AwaitGo();
  reporter.Start({&g_counts});
  // After each poll: what its reads have queued leaves together.
  uv_check_t check;
  uv_check_init(loop, &check);
  uv_check_start(&check, [](uv_check_t*) { g_client->Flush(); });
  g_client->issuer.Start(0, options.in_flight, 0, options.connections);
  g_client->Flush();
  uv_run(loop, UV_RUN_DEFAULT);
  Die("the loop ended");
}

}  // namespace
}  // namespace socket_scaling

int main(int argc, char** argv) {
  const socket_scaling::Args args(argc, argv);
  if (args.mode() == "echo") socket_scaling::Echo();
  if (args.mode() == "pipelined") socket_scaling::Pipelined(args);
  socket_scaling::Die("usage: libuv echo|pipelined --name=value ...");
}
