#include "cql/setup_governor.h"

#include <algorithm>
#include <utility>

#include "ioloop/check.h"

namespace cql {
namespace {

// The node, whatever its port: shards have one of their own.
std::string NodeOf(const ioloop::SocketAddress& address) {
  return address.is_unix() ? address.ToString() : address.IpBytes();
}

}  // namespace

SetupGovernor::SetupGovernor(const Options& options)
    : options_(options),
      interval_(absl::Seconds(1) / std::max(options.attempts_per_second, 1u)) {
  RINGPLANE_CHECK(options.at_once > 0 && options.node_at_once > 0 &&
                      options.attempts_per_second > 0,
                  "nobody could ever connect");
}

SetupGovernor::~SetupGovernor() {
  RINGPLANE_CHECK(nodes_.empty(), "somebody still connects");
}

const std::shared_ptr<SetupGovernor>& SetupGovernor::Process() {
  static const auto& governor = *new std::shared_ptr<SetupGovernor>(
      std::make_shared<SetupGovernor>(Options()));
  return governor;
}

SetupGovernor::Stats SetupGovernor::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

bool SetupGovernor::HasPlace(const Node& node) const {
  return node.inside < std::min(node.places, options_.node_at_once);
}

bool SetupGovernor::Join(Attempt* attempt, bool urgent) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = nodes_.try_emplace(attempt->address_).first;
  Node* const node = &entry->second;
  node->address = &entry->first;
  attempt->node_ = node;
  const bool anybody = !node->urgent.empty() || !node->waiting.empty();
  if (!anybody && HasPlace(*node) && stats_.at_once < options_.at_once) {
    Take(attempt);
    return true;
  }
  ++stats_.delayed;
  ++stats_.waiting;
  (urgent ? node->urgent : node->waiting).push_back(attempt);
  Offer(node);
  return false;
}

bool SetupGovernor::Withdraw(Attempt* attempt) {
  std::lock_guard<std::mutex> lock(mutex_);
  Node* const node = attempt->node_;
  for (std::deque<Attempt*>* line : {&node->urgent, &node->waiting}) {
    const auto found = std::find(line->begin(), line->end(), attempt);
    if (found == line->end()) continue;
    line->erase(found);
    --stats_.waiting;
    attempt->node_ = nullptr;
    Offer(node);
    return true;
  }
  return false;
}

void SetupGovernor::Take(Attempt* attempt) {
  ++attempt->node_->inside;
  ++stats_.at_once;
  stats_.at_once_max = std::max(stats_.at_once_max, stats_.at_once);
}

void SetupGovernor::Leave(Attempt* attempt) {
  std::lock_guard<std::mutex> lock(mutex_);
  Node* const node = attempt->node_;
  --node->inside;
  --stats_.at_once;
  if (attempt->succeeded_) {
    node->places = std::min(node->places + 1, options_.node_at_once);
  } else if (attempt->begun_) {
    node->places = std::max(node->places / 2, 1u);
    ++stats_.failed;
  }
  Offer(node);
  Grant();
}

// Puts a node that can take somebody in the turn, and forgets one where nobody
// is.
void SetupGovernor::Offer(Node* node) {
  const bool wanted = !node->urgent.empty() || !node->waiting.empty();
  if (node->in_turn) return;
  if (wanted && HasPlace(*node)) {
    node->in_turn = true;
    turn_.push_back(node);
  } else if (!wanted && node->inside == 0) {
    nodes_.erase(*node->address);
  }
}

void SetupGovernor::Grant() {
  while (stats_.at_once < options_.at_once && !turn_.empty()) {
    Node* const node = turn_.front();
    turn_.pop_front();
    node->in_turn = false;
    std::deque<Attempt*>& line =
        node->urgent.empty() ? node->waiting : node->urgent;
    if (!line.empty() && HasPlace(*node)) {
      Attempt* const next = line.front();
      line.pop_front();
      --stats_.waiting;
      Take(next);
      // A loop that has ended has no attempts under way.
      RINGPLANE_CHECK(next->loop_->mailbox().Post(next), "its loop has ended");
    }
    Offer(node);
  }
}

absl::Time SetupGovernor::Reserve(absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  // Each that has a place may have reserved: more than that is another clock.
  if (next_ > now + interval_ * (options_.at_once + 1) + absl::Seconds(1)) {
    next_ = now;
  }
  const absl::Time begin = std::max(next_, now);
  next_ = begin + interval_;
  return begin + interval_ * absl::Uniform(random_, 0.0, 1.0);
}

void SetupGovernor::CountAttempt() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.attempts;
}

SetupGovernor::Attempt::Attempt(SetupGovernor* governor, ioloop::Loop* loop,
                                const ioloop::SocketAddress& address)
    : PostedWork(&OnGranted),
      governor_(governor),
      loop_(loop),
      address_(NodeOf(address)),
      granted_(loop) {}

SetupGovernor::Attempt::~Attempt() {
  if (node_ != nullptr) governor_->Leave(this);
}

ioloop::Task<bool> SetupGovernor::Attempt::Begin(bool urgent,
                                                 ioloop::StopToken stop) {
  if (stop.stop_requested()) co_return false;
  if (!governor_->Join(this, urgent)) {
    const bool granted = co_await ioloop::WithStop(granted_.Wait(), stop);
    if (!granted) {
      if (governor_->Withdraw(this)) co_return false;
      // On its way: it has to arrive before this may go.
      co_await granted_.Wait();
      co_return false;
    }
  }
  granted_.Reset();
  const absl::Time begin = governor_->Reserve(loop_->now());
  static_cast<void>(co_await ioloop::WithStop(granted_.WaitUntil(begin), stop));
  if (stop.stop_requested()) co_return false;
  begun_ = true;
  governor_->CountAttempt();
  co_return true;
}

void SetupGovernor::Attempt::OnGranted(ioloop::PostedWork* work,
                                       bool delivered) {
  if (delivered) static_cast<Attempt*>(work)->granted_.Set();
}

}  // namespace cql
