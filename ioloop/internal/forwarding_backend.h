// A backend in front of another one: what decorators have in common.
#ifndef RINGPLANE_IOLOOP_INTERNAL_FORWARDING_BACKEND_H_
#define RINGPLANE_IOLOOP_INTERNAL_FORWARDING_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ioloop/backend.h"

namespace ioloop::internal {

// Passes every call on. The buffer pool stays attached to the inner backend.
class ForwardingBackend : public Backend {
 public:
  void Submit(Operation* op, const Request& request) override {
    inner_->Submit(op, request);
  }
  void Cancel(Operation* op) override { inner_->Cancel(op); }
  absl::Status Turn(const Wait& wait, std::vector<Harvested>* batch) override {
    return inner_->Turn(wait, batch);
  }
  void ProvideBuffer(uint32_t id) override { inner_->ProvideBuffer(id); }
  int fd() const override { return inner_->fd(); }
  bool HasWork() const override { return inner_->HasWork(); }
  std::string_view name() const override { return inner_->name(); }

  int Open(int family, int type) override { return inner_->Open(family, type); }
  int Bind(int fd, const sockaddr* address, socklen_t length) override {
    return inner_->Bind(fd, address, length);
  }
  int Listen(int fd, int backlog) override {
    return inner_->Listen(fd, backlog);
  }
  using Sockets::SetOption;
  int SetOption(int fd, int level, int name, const void* value,
                socklen_t length) override {
    return inner_->SetOption(fd, level, name, value, length);
  }
  int Shutdown(int fd, int how) override { return inner_->Shutdown(fd, how); }
  int Close(int fd) override { return inner_->Close(fd); }
  int LocalAddress(int fd, sockaddr* address, socklen_t* length) override {
    return inner_->LocalAddress(fd, address, length);
  }
  int PeerAddress(int fd, sockaddr* address, socklen_t* length) override {
    return inner_->PeerAddress(fd, address, length);
  }
  int64_t Now() override { return inner_->Now(); }

 protected:
  explicit ForwardingBackend(std::unique_ptr<Backend> inner)
      : inner_(std::move(inner)) {}

 private:
  std::unique_ptr<Backend> inner_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_FORWARDING_BACKEND_H_
