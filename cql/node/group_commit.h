// Answers to writes wait here until the writes are durable: all writes of a
// turn, and all that come while the disk is busy, share one sync.
#ifndef RINGPLANE_CQL_NODE_GROUP_COMMIT_H_
#define RINGPLANE_CQL_NODE_GROUP_COMMIT_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/engine.h"
#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/mailbox.h"
#include "ioloop/task.h"

namespace cql::node {

// Who waits for writes to become durable.
class CommitWaiter {
 public:
  // A sync begins that covers everything this waiter has executed by now.
  virtual void OnSyncStarted() = 0;
  // It ended; on an error nothing of it may be acknowledged.
  virtual void OnSynced(const absl::Status& status) = 0;

 protected:
  virtual ~CommitWaiter() = default;

 private:
  friend class GroupCommit;
  bool gathered_ = false;
  bool syncing_ = false;
};

// Thread-safety: none; it has a thread of its own for syncs that wait for a
// disk.
class GroupCommit {
 public:
  // `on_thread` false: syncs run on the loop, for those that take microseconds.
  GroupCommit(ioloop::Loop* loop, Engine* engine, bool on_thread);
  ~GroupCommit();  // REQUIRES: !busy().
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // Whether an answer to what was just executed has to wait.
  bool MustWait() const { return busy() || engine_->NeedsSync(); }

  // `waiter` has executed something: a sync starts at the end of this turn, or
  // when the one that runs ends. Once, however often it is called until then.
  void Add(CommitWaiter* waiter);
  // `waiter` goes and will not be told.
  void Remove(CommitWaiter* waiter);

  // A sync runs or is about to.
  bool busy() const { return running_ || wanted_; }
  // Makes everything executed so far durable.
  ioloop::Task<absl::Status> Flush();

  uint64_t syncs() const { return syncs_; }

 private:
  struct EndOfTurn : ioloop::TurnEnd {
    explicit EndOfTurn(GroupCommit* owner)
        : TurnEnd([](TurnEnd* work) {
            static_cast<EndOfTurn*>(work)->commit->Start();
          }),
          commit(owner) {}
    GroupCommit* commit;
  };
  struct Done : ioloop::PostedWork {
    explicit Done(GroupCommit* owner)
        : PostedWork([](PostedWork* work, bool delivered) {
            auto* done = static_cast<Done*>(work);
            if (delivered) done->commit->OnDone(done->status);
          }),
          commit(owner) {}
    GroupCommit* commit;
    absl::Status status;
  };

  void Start();
  void OnDone(const absl::Status& status);
  void RunThread();

  ioloop::Loop* const loop_;
  Engine* const engine_;
  const bool on_thread_;
  EndOfTurn end_of_turn_;
  std::vector<CommitWaiter*> gathering_;
  std::vector<CommitWaiter*> syncing_;
  bool wanted_ = false;
  bool running_ = false;
  uint64_t syncs_ = 0;
  absl::Status last_status_;
  ioloop::Event ended_;

  Done done_;
  std::mutex mutex_;
  std::condition_variable work_;
  bool requested_ = false;  // Guarded by mutex_.
  bool quitting_ = false;   // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_GROUP_COMMIT_H_
