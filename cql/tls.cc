#include "cql/tls.h"

#include <utility>

namespace cql {
namespace {

using ioloop::Task;

class Channel final : public SecureChannel {
 public:
  explicit Channel(ioloop::TlsStream stream) : stream_(std::move(stream)) {}

  void Send(std::string_view bytes) override { stream_.Queue(bytes); }
  Task<absl::StatusOr<size_t>> Receive(std::span<char> into,
                                       ioloop::StopToken stop) override {
    return stream_.Receive(into, absl::InfiniteFuture(), stop);
  }
  size_t queued_bytes() const override { return stream_.queued_bytes(); }
  Task<void> Close() override { return stream_.Close(); }
  bool closed() const override { return stream_.stream().closed(); }

 private:
  ioloop::TlsStream stream_;
};

class Transport final : public SecureTransport {
 public:
  Transport(std::shared_ptr<ioloop::TlsContext> context,
            std::string server_name)
      : context_(std::move(context)), server_name_(std::move(server_name)) {}

  Task<absl::StatusOr<std::unique_ptr<SecureChannel>>> Secure(
      ioloop::Stream stream, std::string host, absl::Time deadline) override {
    if (!server_name_.empty()) host = server_name_;
    absl::StatusOr<ioloop::TlsStream> secured =
        co_await ioloop::TlsStream::Connect(std::move(stream), context_,
                                            std::move(host), deadline);
    if (!secured.ok()) co_return secured.status();
    co_return TlsChannel(*std::move(secured));
  }

 private:
  const std::shared_ptr<ioloop::TlsContext> context_;
  const std::string server_name_;
};

}  // namespace

std::shared_ptr<SecureTransport> TlsTransport(
    std::shared_ptr<ioloop::TlsContext> context, std::string server_name) {
  return std::make_shared<Transport>(std::move(context),
                                     std::move(server_name));
}

std::unique_ptr<SecureChannel> TlsChannel(ioloop::TlsStream stream) {
  return std::make_unique<Channel>(std::move(stream));
}

}  // namespace cql
