// What every measured program of the study has in common: its arguments, what
// it counts, and how it answers when it is asked for the counts.
//
// On SIGUSR1 a program prints one line,
//   report clock_ns=… user_us=… system_us=… bytes=… events=… turns=…
//     syscalls=… frame_bytes=… latency=BUCKET:COUNT,…
// and the study takes the difference of two such lines. On SIGTERM it exits. A
// thread of its own waits for the signals, so that nothing of this is seen by
// the loop that is measured.
#ifndef RINGPLANE_BENCHMARKS_SOCKET_SCALING_MEASURE_H_
#define RINGPLANE_BENCHMARKS_SOCKET_SCALING_MEASURE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace socket_scaling {

// Ends the process with a message; a benchmark has nothing to save.
[[noreturn]] void Die(std::string_view what);
[[noreturn]] void DieOfErrno(std::string_view what);
// Ends the process as one that cannot run here; the study lists it as skipped.
[[noreturn]] void Skip(std::string_view why);

// `program MODE --name=value ...`.
class Args {
 public:
  Args(int argc, char** argv);
  const std::string& mode() const { return mode_; }
  int64_t Get(const std::string& name, int64_t otherwise) const;

 private:
  std::string mode_;
  std::map<std::string, int64_t> values_;
};

int64_t NowNs();

// One thread adds, any thread reads; no locked instruction.
class Count {
 public:
  void Add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount,
                 std::memory_order_relaxed);
  }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Nanoseconds in buckets of 1/32: what is below 64 exactly, then 32 buckets for
// each doubling.
class Histogram {
 public:
  static constexpr size_t kBuckets = 1920;
  void Add(uint64_t ns) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - 6);
    buckets_[static_cast<size_t>(shift) * 32 + (ns >> shift)].Add(1);
  }
  uint64_t bucket(size_t i) const { return buckets_[i].Get(); }

 private:
  std::array<Count, kBuckets> buckets_;
};

// What one thread counts. A turn is one wait with all that it brought; an
// event is a receive completion, or a descriptor reported readable.
struct Counts {
  Count bytes;  // Of messages, received.
  Count events;
  Count turns;
  Count syscalls;
  Histogram latency;
};

// Answers the signals for as long as the process lives. Create it first: it
// blocks the signals in the thread that creates it and all that follow.
class Reporter {
 public:
  // For what is counted elsewhere: called before a report is printed.
  struct Totals {
    uint64_t bytes = 0, events = 0, turns = 0, syscalls = 0;
    // Of the coroutine with which the program serves one socket.
    uint64_t frame_bytes = 0;
    std::string more;  // Of one program: " name=number", each.
  };
  using Refresh = std::function<void(Totals*)>;

  Reporter();
  // Starts to answer, with the sum of `counts`, corrected by `refresh`.
  void Start(std::vector<const Counts*> counts, Refresh refresh = nullptr);

 private:
  void Report() const;
  std::vector<const Counts*> counts_;
  Refresh refresh_;
};

// Prints `line` for the study and flushes.
void Say(std::string_view line);
// Waits for the study's word: a line on standard input. Exits at its end.
void AwaitGo();

// --- sockets ----------------------------------------------------------------

// How many loopback addresses, from 127.0.0.1, connections are spread over: a
// pair of addresses has only so many ports.
inline constexpr uint32_t kAddresses = 16;

// Listens on 127.0.0.1 to 127.0.0.`addresses`, on one port that is free on
// all; the listeners, and the port in `*port`.
std::vector<int> Listen(uint32_t addresses, uint16_t* port);
// A connected, blocking socket without Nagle, whose end resets: no port of a
// short run is left in TIME_WAIT. Connection `index` leaves from, or goes to,
// the address that is its turn.
int ConnectFrom(uint32_t index, uint16_t port);
int ConnectTo(uint32_t index, uint16_t port);
void SetNoDelay(int fd);
void SetReset(int fd);
void SetNonBlocking(int fd);
// As many descriptors as the hard limit allows.
void RaiseDescriptorLimit();

}  // namespace socket_scaling

#endif  // RINGPLANE_BENCHMARKS_SOCKET_SCALING_MEASURE_H_
