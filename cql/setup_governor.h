// How many connections a process sets up at once, and how fast: a cluster that
// restarts meets a bounded crowd, however many loops and sessions lost it.
#ifndef RINGPLANE_CQL_SETUP_GOVERNOR_H_
#define RINGPLANE_CQL_SETUP_GOVERNOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/random/random.h"
#include "absl/time/time.h"
#include "ioloop/event.h"
#include "ioloop/loop.h"
#include "ioloop/mailbox.h"
#include "ioloop/socket_address.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace cql {

// Whoever wants to connect waits for a place, in the order of coming at each
// node and in turn among nodes, and then for a moment of its own. A node gets
// one place at first; each connection set up adds one, up to `node_at_once`,
// and each that fails takes half of them away.
//
// Thread-safety: all of it, but for an Attempt, which belongs to its loop.
class SetupGovernor {
 public:
  struct Options {
    // Connections in set-up at once, from connect(2) to READY: over all nodes,
    // and most to one node (an address). At least 1.
    uint32_t at_once = 64;
    uint32_t node_at_once = 16;
    // Attempts begun per second. At least 1. They are spread evenly, each a
    // random part of its interval late.
    uint32_t attempts_per_second = 1000;
  };

  struct Stats {
    uint64_t attempts = 0;  // Begun.
    uint64_t delayed = 0;   // Of them those that waited for a place.
    uint64_t failed = 0;
    uint32_t at_once = 0;  // Now, and the most there were.
    uint32_t at_once_max = 0;
    uint32_t waiting = 0;
  };

  explicit SetupGovernor(const Options& options);
  ~SetupGovernor();  // REQUIRES: no attempt is under way.
  SetupGovernor(const SetupGovernor&) = delete;
  SetupGovernor& operator=(const SetupGovernor&) = delete;

  // Of sessions that are given none: one for the process, with the defaults.
  static const std::shared_ptr<SetupGovernor>& Process();

  Stats stats() const;

  class Attempt;

 private:
  struct Node {
    const std::string* address = nullptr;  // Its key in `nodes_`.
    uint32_t places = 1;
    uint32_t inside = 0;
    bool in_turn = false;
    std::deque<Attempt*> urgent;
    std::deque<Attempt*> waiting;
  };

  // Gives `attempt` a place at once, or puts it in line: false.
  bool Join(Attempt* attempt, bool urgent);
  // Takes it out of the line; false: it was given a place meanwhile.
  bool Withdraw(Attempt* attempt);
  // When `attempt`, which has a place, may begin.
  absl::Time Reserve(absl::Time now);
  void CountAttempt();
  void Leave(Attempt* attempt);

  // With `mutex_` held:
  bool HasPlace(const Node& node) const;
  void Take(Attempt* attempt);
  void Offer(Node* node);
  void Grant();

  const Options options_;
  const absl::Duration interval_;
  mutable std::mutex mutex_;
  Stats stats_;
  absl::Time next_ = absl::InfinitePast();
  absl::BitGen random_;
  std::map<std::string, Node> nodes_;  // Those that anybody is or waits at.
  std::deque<Node*> turn_;  // Nodes at which somebody waits and has room.
};

// One attempt to connect to a node:
//
//   SetupGovernor::Attempt attempt(governor, loop, address);
//   if (!co_await attempt.Begin(/*urgent=*/false, stop)) co_return ...;
//   ... connect ...
//   attempt.Succeeded();
//
// Its end, which gives the place back, is a failure unless Succeeded() was
// called or it never began. Immovable. REQUIRES: Begin() is awaited once, to
// its end.
class SetupGovernor::Attempt : private ioloop::PostedWork {
 public:
  Attempt(SetupGovernor* governor, ioloop::Loop* loop,
          const ioloop::SocketAddress& address);
  ~Attempt();

  // Waits until the attempt may begin; false when `stop` asked first. `urgent`
  // ones come before the others at their node: those without which there is no
  // connection to it at all.
  ioloop::Task<bool> Begin(bool urgent, ioloop::StopToken stop);
  void Succeeded() { succeeded_ = true; }

 private:
  friend class SetupGovernor;
  static void OnGranted(ioloop::PostedWork* work, bool delivered);

  SetupGovernor* const governor_;
  ioloop::Loop* const loop_;
  const std::string address_;
  Node* node_ = nullptr;  // Set with a place.
  bool begun_ = false;
  bool succeeded_ = false;
  ioloop::Event granted_;
};

}  // namespace cql

#endif  // RINGPLANE_CQL_SETUP_GOVERNOR_H_
