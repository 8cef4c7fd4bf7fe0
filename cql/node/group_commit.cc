#include "cql/node/group_commit.h"

#include <utility>

#include "ioloop/check.h"

namespace cql::node {

GroupCommit::GroupCommit(ioloop::Loop* loop, Engine* engine, bool on_thread)
    : loop_(loop),
      engine_(engine),
      on_thread_(on_thread),
      end_of_turn_(this),
      ended_(loop),
      done_(this) {
  if (on_thread_) thread_ = std::thread([this] { RunThread(); });
}

GroupCommit::~GroupCommit() {
  RINGPLANE_CHECK(!running_, "a GroupCommit died while it synced");
  if (end_of_turn_.queued()) loop_->RemoveTurnEnd(&end_of_turn_);
  if (!on_thread_) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    quitting_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void GroupCommit::Add(CommitWaiter* waiter) {
  if (waiter != nullptr && !std::exchange(waiter->gathered_, true)) {
    gathering_.push_back(waiter);
  }
  if (wanted_) return;
  wanted_ = true;
  if (!running_) loop_->AtTurnEnd(&end_of_turn_);
}

void GroupCommit::Remove(CommitWaiter* waiter) {
  if (std::exchange(waiter->gathered_, false)) std::erase(gathering_, waiter);
  if (std::exchange(waiter->syncing_, false)) std::erase(syncing_, waiter);
}

ioloop::Task<absl::Status> GroupCommit::Flush() {
  Add(nullptr);
  // What runs now may have begun before the last write.
  const uint64_t enough = syncs_ + (running_ ? 2 : 1);
  while (syncs_ < enough) co_await ended_.Wait();
  co_return last_status_;
}

void GroupCommit::Start() {
  wanted_ = false;
  running_ = true;
  std::swap(gathering_, syncing_);
  for (CommitWaiter* waiter : syncing_) {
    waiter->gathered_ = false;
    waiter->syncing_ = true;
    waiter->OnSyncStarted();
  }
  if (!on_thread_) {
    OnDone(engine_->Sync());
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    requested_ = true;
  }
  work_.notify_one();
}

void GroupCommit::OnDone(const absl::Status& status) {
  running_ = false;
  ++syncs_;
  last_status_ = status;
  for (size_t i = 0; i < syncing_.size(); ++i) {
    syncing_[i]->syncing_ = false;
    syncing_[i]->OnSynced(status);
  }
  syncing_.clear();
  ended_.Pulse();
  // What was gathered meanwhile belongs to earlier turns.
  if (wanted_) Start();
}

void GroupCommit::RunThread() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return requested_ || quitting_; });
    if (!requested_) return;
    requested_ = false;
    lock.unlock();
    done_.status = engine_->Sync();
    // False only when the loop is gone, and everybody with it.
    static_cast<void>(loop_->mailbox().Post(&done_));
    lock.lock();
  }
}

}  // namespace cql::node
