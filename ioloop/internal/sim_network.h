// The simulated network: one clock, one queue of events, and the sockets and
// files that descriptors and requests of a simulated kernel refer to.
#ifndef RINGPLANE_IOLOOP_INTERNAL_SIM_NETWORK_H_
#define RINGPLANE_IOLOOP_INTERNAL_SIM_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ioloop/internal/random.h"
#include "ioloop/sim_options.h"
#include "ioloop/socket_address.h"

namespace ioloop::internal {

class SimNetwork;
class SimSocket;
class SimStream;

// An open file as the kernel has it: lives as long as a descriptor or a request
// in flight refers to it, and then as long as it has bytes to deliver. Others
// refer to it by its number only, and find it gone.
class SimFile {
 public:
  explicit SimFile(SimNetwork* network) : network_(network) {}
  virtual ~SimFile() = default;
  SimFile(const SimFile&) = delete;
  SimFile& operator=(const SimFile&) = delete;

  uint64_t number() const { return number_; }
  // POLLIN, POLLOUT, POLLHUP, POLLERR, as they are now.
  virtual uint32_t Events() const = 0;
  // The last descriptor and request are gone. May end with Remove(this).
  virtual void Released() = 0;

  virtual SimSocket* socket() { return nullptr; }
  virtual SimStream* stream() { return nullptr; }
  virtual class SimDatagram* datagram() { return nullptr; }
  virtual class SimData* data() { return nullptr; }

  // Requests that must be alone on their file.
  int sends = 0;
  int receives = 0;

 protected:
  SimNetwork* const network_;

 private:
  friend class SimNetwork;
  uint64_t number_ = 0;
  int users_ = 0;
};

class SimNetwork {
 public:
  SimNetwork(const SimOptions& options, SimCounts* counts);
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  const SimOptions& options() const { return options_; }
  const SimTrouble& trouble() const { return options_.trouble; }
  Random& random() { return random_; }
  SimCounts& counts() { return *counts_; }
  // Whether trouble of this probability happens now; counts it if so.
  bool Strikes(double probability, uint64_t SimCounts::* count);

  // The clock, in nanoseconds. Events of one time run in the order they were
  // asked for.
  static constexpr int64_t kNever = INT64_MAX;
  int64_t now_ns() const { return now_ns_; }
  void At(int64_t when_ns, std::function<void()> event);
  void AfterDelay(std::function<void()> event);
  int64_t DelayNs();  // Of one hop.
  int64_t next_event_ns() const {
    return events_.empty() ? kNever : events_.begin()->first.first;
  }
  // Moves the clock, running the events on the way; true if there were any.
  bool AdvanceTo(int64_t when_ns);

  // The trace: two runs with one hash did the same in the same order.
  void Trace(uint64_t word) { trace_ = Mix(trace_ ^ word) + word; }
  uint64_t trace() const { return trace_; }

  // Files. Hold() and Drop() count descriptors and requests.
  template <typename T>
  T* Add(std::unique_ptr<T> file) {
    T* added = file.get();
    Register(std::move(file));
    return added;
  }
  SimFile* Find(uint64_t number) const;
  void Remove(SimFile* file);
  static void Hold(SimFile* file) { ++file->users_; }
  static void Drop(SimFile* file) {
    if (--file->users_ == 0) file->Released();
  }
  static bool Held(const SimFile* file) { return file->users_ > 0; }
  size_t files() const { return files_.size(); }

  // Addresses. Bind() gives 0 or a negated errno, and picks a port for port 0.
  int Bind(SimSocket* socket, SocketAddress address);
  void Unbind(SimSocket* socket);
  SocketAddress PickPort(const SocketAddress& address);
  // Who listens, or takes datagrams, at `address`; nullptr if nobody does.
  SimSocket* FindBound(const SocketAddress& address, int type);
  // Whether a connection between the two exists.
  bool Connected(const SocketAddress& local, const SocketAddress& peer) const;

 private:
  using BoundKey = std::pair<int, std::string>;  // Type of socket, address.
  void Register(std::unique_ptr<SimFile> file);

  const SimOptions options_;
  SimCounts* const counts_;
  Random random_;
  int64_t now_ns_ = 1'000'000'000;
  uint64_t asked_ = 0;
  uint64_t numbers_ = 0;
  uint64_t trace_ = 0;
  uint16_t next_port_;
  std::map<std::pair<int64_t, uint64_t>, std::function<void()>> events_;
  std::map<uint64_t, std::unique_ptr<SimFile>> files_;
  std::map<BoundKey, std::vector<SimSocket*>> bound_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_SIM_NETWORK_H_
