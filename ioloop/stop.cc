#include "ioloop/stop.h"

namespace ioloop {

StopSource::~StopSource() {
  while (!alone()) next_->Unlink();
}

void StopSource::RequestStop() {
  if (stopped_) return;
  stopped_ = true;
  // Handlers may destroy this source: the ring goes on without it.
  StopLink watching;
  if (!alone()) watching.LinkAfter(*this);
  Unlink();
  while (!watching.alone()) {
    // The newest stand first; the oldest are asked first.
    StopLink* link = watching.previous_;
    link->Unlink();
    link->stopped_ = true;
    if (link->handler_ != nullptr) link->handler_(link);
  }
}

void TaskGroup::StoppableJoin::Stop() {
  stopped_ = true;
  if (!waits_ || !group_->waiter_) return;
  loop_->Resume(std::exchange(group_->waiter_, nullptr));
}

}  // namespace ioloop
