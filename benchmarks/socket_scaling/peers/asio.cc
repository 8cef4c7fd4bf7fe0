// Asio on one thread, with callbacks, which cost less than its coroutines. The
// same source is built twice: on epoll, and with io_uring as the default.
//
//   asio-… echo
//   asio-… pipelined --port=P --sockets=N --in-flight=W --message=BYTES
#include <array>
#include <asio.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/pipeline.h"

namespace socket_scaling {
namespace {

using asio::ip::tcp;

Counts g_counts;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

  void Read() {
    socket_.async_read_some(asio::buffer(data_),
                            [self = shared_from_this()](
                                const asio::error_code& error, size_t bytes) {
                              if (error) return;
                              g_counts.events.Add(1);
                              g_counts.bytes.Add(bytes);
                              self->Write(bytes);
                            });
  }

 private:
  void Write(size_t bytes) {
    asio::async_write(
        socket_, asio::buffer(data_.data(), bytes),
        [self = shared_from_this()](const asio::error_code& error, size_t) {
          if (!error) self->Read();
        });
  }

  tcp::socket socket_;
  std::array<char, 4096> data_;
};

void Accept(tcp::acceptor* acceptor) {
  acceptor->async_accept(
      [acceptor](const asio::error_code& error, tcp::socket socket) {
        if (!error) {
          socket.set_option(tcp::no_delay(true));
          SetReset(socket.native_handle());
          std::make_shared<Session>(std::move(socket))->Read();
        }
        Accept(acceptor);
      });
}

[[noreturn]] void Echo() {
  Reporter reporter;
  asio::io_context context(1);  // One thread: no locks to contend for.
  tcp::acceptor acceptor(context);
  const tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
  acceptor.open(any.protocol());
  acceptor.bind(any);
  acceptor.listen(4096);
  Accept(&acceptor);
  reporter.Start({&g_counts});
  Say("listening " + std::to_string(acceptor.local_endpoint().port()));
  context.run();
  Die("the loop ended");
}

class Client {
 public:
  Client(asio::io_context* context, const Pipeline::Options& options)
      : context_(context),
        pipeline_(options),
        issuer_(&pipeline_, this, &g_counts, 1) {}

  void Connect(uint32_t index, uint16_t port) {
    connections_.push_back(std::make_unique<Connection>(*context_));
    connections_.back()->socket.assign(tcp::v4(), ConnectTo(index, port));
  }

  void Start(const Pipeline::Options& options) {
    for (uint32_t i = 0; i < connections_.size(); ++i) Read(i);
    issuer_.Start(0, options.in_flight, 0, options.connections);
  }

  char* Reserve(uint32_t index, uint32_t bytes) {
    std::string& queue = connections_[index]->queue;
    const size_t before = queue.size();
    queue.resize(before + bytes);
    return queue.data() + before;
  }
  // Flushes behind the handlers that are ready now, once for all they queue.
  void Commit(uint32_t index, uint32_t) {
    Connection& connection = *connections_[index];
    if (connection.busy) return;
    connection.busy = true;
    asio::post(*context_, [this, index] { Flush(index); });
  }

 private:
  struct Connection {
    explicit Connection(asio::io_context& context) : socket(context) {}
    tcp::socket socket;
    std::array<char, 16384> data;
    std::string queue;
    std::string writing;
    bool busy = false;  // A flush or a write is on its way.
  };

  void Read(uint32_t index) {
    Connection& connection = *connections_[index];
    connection.socket.async_read_some(
        asio::buffer(connection.data),
        [this, index](const asio::error_code& error, size_t bytes) {
          if (error) Die("the responder went away");
          issuer_.OnBytes(index, connections_[index]->data.data(), bytes);
          Read(index);
        });
  }

  void Flush(uint32_t index) {
    Connection& connection = *connections_[index];
    connection.writing.swap(connection.queue);
    asio::async_write(connection.socket, asio::buffer(connection.writing),
                      [this, index](const asio::error_code& error, size_t) {
                        if (error) Die("the responder went away");
                        Connection& written = *connections_[index];
                        written.writing.clear();
                        if (written.queue.empty()) {
                          written.busy = false;
                        } else {
                          Flush(index);
                        }
                      });
  }

  asio::io_context* context_;
  Pipeline pipeline_;
  Pipeline::Issuer<Client> issuer_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

[[noreturn]] void Pipelined(const Args& args) {
  Reporter reporter;
  const Pipeline::Options options = {
      static_cast<uint32_t>(args.Get("sockets", 128)),
      static_cast<uint32_t>(args.Get("in-flight", 512)),
      static_cast<uint32_t>(args.Get("message", 100))};
  Say("started");
  AwaitGo();
  asio::io_context context(1);
  Client client(&context, options);
  for (uint32_t i = 0; i < options.connections; ++i) {
    client.Connect(i, static_cast<uint16_t>(args.Get("port", 0)));
  }
  Say("connected");
  AwaitGo();
  reporter.Start({&g_counts});
  client.Start(options);
  context.run();
  Die("the loop ended");
}

}  // namespace
}  // namespace socket_scaling

int main(int argc, char** argv) {
  const socket_scaling::Args args(argc, argv);
  if (args.mode() == "echo") socket_scaling::Echo();
  if (args.mode() == "pipelined") socket_scaling::Pipelined(args);
  socket_scaling::Die("usage: asio-… echo|pipelined --name=value ...");
}
