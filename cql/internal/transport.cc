#include "cql/internal/transport.h"

#include <algorithm>

namespace cql::internal {

void Transport::CancelReceive() {
  if (channel_ == nullptr) {
    stream_.CancelReceive();
  } else {
    stop_.RequestStop();
  }
}

ioloop::Task<void> Transport::Close() {
  if (channel_ == nullptr) {
    co_await stream_.Close();
  } else {
    stop_.RequestStop();
    gathered_.Drop();
    co_await channel_->Close();
  }
}

char* Transport::Gathered::Reserve(size_t bytes) {
  if (bytes_.size() - size_ < bytes) {
    bytes_.resize(std::max(size_ + bytes, 2 * bytes_.size()));
  }
  return bytes_.data() + size_;
}

void Transport::Gathered::Commit(size_t bytes) {
  size_ += bytes;
  loop_->AtTurnEnd(this);
}

void Transport::Gathered::Drop() {
  size_ = 0;
  loop_->RemoveTurnEnd(this);
}

void Transport::Gathered::OnTurnEnd(ioloop::TurnEnd* work) {
  auto* self = static_cast<Gathered*>(work);
  self->channel_->Send(std::string_view(self->bytes_).substr(0, self->size_));
  self->size_ = 0;
  if (self->bytes_.size() > kKeptBytes) self->bytes_ = std::string();
}

}  // namespace cql::internal
