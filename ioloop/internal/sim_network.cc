#include "ioloop/internal/sim_network.h"

#include <errno.h>

#include <algorithm>

#include "ioloop/check.h"
#include "ioloop/internal/sim_socket.h"

namespace ioloop {
namespace {

// 0 in two cases of three, so that each mixture has a face of its own; else
// anything up to `most`.
double Some(internal::Random* random, double most) {
  if (random->Below(3) != 0) return 0;
  return most * static_cast<double>(1 + random->Below(100)) / 100;
}

}  // namespace

SimTrouble SimTrouble::ForSeed(uint64_t seed) {
  internal::Random random(seed ^ 0x7472'6f75'626c'65);
  SimTrouble trouble;
  trouble.interrupts = Some(&random, 0.3);
  trouble.short_receives = Some(&random, 0.5);
  trouble.short_sends = Some(&random, 0.5);
  trouble.short_files = Some(&random, 0.5);
  trouble.delays = Some(&random, 0.5);
  trouble.reorders = Some(&random, 0.8);
  trouble.no_buffers = Some(&random, 0.3);
  trouble.spurious_ends = Some(&random, 0.2);
  trouble.multishot_ends = Some(&random, 0.3);
  trouble.late_cancels = Some(&random, 0.8);
  trouble.overflow_waits = Some(&random, 0.8);
  trouble.stalls = Some(&random, 0.02);
  trouble.lost_connects = Some(&random, 0.2);
  trouble.no_descriptors = Some(&random, 0.2);
  trouble.delay_max = absl::Microseconds(1 + random.Below(2000));
  return trouble;
}

SimTrouble SimTrouble::WithLoss(uint64_t seed) const {
  internal::Random random(seed ^ 0x6c6f7373);
  SimTrouble trouble = *this;
  trouble.resets = Some(&random, 0.05);
  trouble.refusals = Some(&random, 0.3);
  trouble.lost_datagrams = Some(&random, 0.3);
  trouble.double_datagrams = Some(&random, 0.2);
  trouble.file_errors = Some(&random, 0.1);
  return trouble;
}

namespace internal {
namespace {

// Where Linux begins to pick ports by default.
constexpr uint16_t kFirstPort = 32768;
constexpr uint16_t kPorts = 28232;

}  // namespace

SimNetwork::SimNetwork(const SimOptions& options, SimCounts* counts)
    : options_(options),
      counts_(counts),
      random_(options.seed),
      next_port_(static_cast<uint16_t>(random_.Below(kPorts))) {}

SimNetwork::~SimNetwork() {
  for (const auto& [number, file] : files_) {
    RINGPLANE_CHECK(!Held(file.get()),
                    "a simulated kernel died with descriptors open");
  }
}

bool SimNetwork::Strikes(double probability, uint64_t SimCounts::* count) {
  if (!random_.Chance(probability)) return false;
  ++(counts_->*count);
  return true;
}

void SimNetwork::At(int64_t when_ns, std::function<void()> event) {
  events_.emplace(std::pair(std::max(when_ns, now_ns_), asked_++),
                  std::move(event));
}

void SimNetwork::AfterDelay(std::function<void()> event) {
  At(now_ns_ + DelayNs(), std::move(event));
}

int64_t SimNetwork::DelayNs() {
  const int64_t most = absl::ToInt64Nanoseconds(trouble().delay_max);
  return random_.Between(most / 8, most);
}

bool SimNetwork::AdvanceTo(int64_t when_ns) {
  bool ran = false;
  while (!events_.empty() && events_.begin()->first.first <= when_ns) {
    auto next = events_.extract(events_.begin());
    now_ns_ = std::max(now_ns_, next.key().first);
    Trace(static_cast<uint64_t>(now_ns_));
    next.mapped()();
    ran = true;
  }
  now_ns_ = std::max(now_ns_, when_ns);
  Trace(static_cast<uint64_t>(now_ns_));
  return ran;
}

void SimNetwork::Register(std::unique_ptr<SimFile> file) {
  file->number_ = ++numbers_;
  files_.emplace(file->number_, std::move(file));
}

SimFile* SimNetwork::Find(uint64_t number) const {
  const auto found = files_.find(number);
  return found == files_.end() ? nullptr : found->second.get();
}

void SimNetwork::Remove(SimFile* file) { files_.erase(file->number()); }

int SimNetwork::Bind(SimSocket* socket, SocketAddress address) {
  const bool any_port = address.port() == 0 && !address.is_unix();
  if (any_port) address = PickPort(address);
  std::vector<SimSocket*>& others =
      bound_[{socket->type(), address.ToString()}];
  for (const SimSocket* other : others) {
    const bool shared = socket->reuse_port && other->reuse_port;
    const bool again = socket->reuse_address && other->reuse_address &&
                       !other->listening() && !address.is_unix();
    if (!shared && !again) return -EADDRINUSE;
  }
  others.push_back(socket);
  socket->bound = true;
  socket->local = address;
  return 0;
}

void SimNetwork::Unbind(SimSocket* socket) {
  if (!socket->bound) return;
  socket->bound = false;
  const auto found = bound_.find({socket->type(), socket->local.ToString()});
  std::erase(found->second, socket);
  if (found->second.empty()) bound_.erase(found);
}

SocketAddress SimNetwork::PickPort(const SocketAddress& address) {
  for (;;) {
    next_port_ = static_cast<uint16_t>((next_port_ + 1) % kPorts);
    const SocketAddress candidate =
        address.WithPort(static_cast<uint16_t>(kFirstPort + next_port_));
    const std::string text = candidate.ToString();
    if (!bound_.contains({SOCK_STREAM, text}) &&
        !bound_.contains({SOCK_DGRAM, text})) {
      return candidate;
    }
  }
}

SimSocket* SimNetwork::FindBound(const SocketAddress& address, int type) {
  auto take = [this, type](const SocketAddress& wanted) -> SimSocket* {
    const auto found = bound_.find({type, wanted.ToString()});
    if (found == bound_.end()) return nullptr;
    std::vector<SimSocket*> takers;
    for (SimSocket* socket : found->second) {
      if (type == SOCK_DGRAM || socket->listening()) takers.push_back(socket);
    }
    if (takers.empty()) return nullptr;
    return takers[random_.Below(takers.size())];
  };
  if (SimSocket* exact = take(address); exact != nullptr) return exact;
  if (address.is_unix()) return nullptr;
  const auto any = SocketAddress::FromIp(
      address.family() == AF_INET ? "0.0.0.0" : "::", address.port());
  return take(*any);
}

bool SimNetwork::Connected(const SocketAddress& local,
                           const SocketAddress& peer) const {
  for (const auto& [number, file] : files_) {
    const SimStream* stream = file->stream();
    if (stream != nullptr && stream->connected() && stream->local == local &&
        stream->peer == peer) {
      return true;
    }
  }
  return false;
}

}  // namespace internal
}  // namespace ioloop
