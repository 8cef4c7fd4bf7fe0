// How a simulated kernel is to behave, and what it did.
#ifndef RINGPLANE_IOLOOP_SIM_OPTIONS_H_
#define RINGPLANE_IOLOOP_SIM_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace ioloop {

// What a kernel and a network may do any day but seldom do: probabilities, each
// at the occasions it names. All 0 is a kernel on its best behaviour.
struct SimTrouble {
  // A turn's entry into the kernel: interrupted, or refused for want of memory,
  // with none or only some of the requests taken.
  double interrupts = 0;
  // A transfer: less is moved than could be.
  double short_receives = 0;
  double short_sends = 0;
  double short_files = 0;
  // A request that could complete: it does so later.
  double delays = 0;
  // Two neighbouring completions of different requests: change places.
  double reorders = 0;
  // A receive: -ENOBUFS although there are buffers.
  double no_buffers = 0;
  // A receive, send or accept: ends with -EINTR, -EAGAIN or -ECANCELED.
  double spurious_ends = 0;
  // A completion of a multishot request: it is the last one.
  double multishot_ends = 0;
  // A cancellation: takes effect later, if the request does not end first.
  double late_cancels = 0;
  // A full completion queue: the rest comes with the next turn.
  double overflow_waits = 0;
  // A piece of a stream on its way: it and all behind it stop for long, or both
  // ends are reset.
  double stalls = 0;
  double resets = 0;
  // A connect: refused though somebody listens, or lost and sent again later.
  double refusals = 0;
  double lost_connects = 0;
  // An accept: -EMFILE.
  double no_descriptors = 0;
  // A datagram: lost, or delivered twice. Their order is the delays'.
  double lost_datagrams = 0;
  double double_datagrams = 0;
  // An access to a file: -EIO.
  double file_errors = 0;

  absl::Duration delay_max = absl::Microseconds(200);  // Of one hop.
  absl::Duration stall_max = absl::Seconds(5);

  // A mixture that `seed` decides: some kinds of trouble absent, some rare,
  // some frequent. No resets, refusals and errors of files: what is sent must
  // arrive. See WithLoss().
  static SimTrouble ForSeed(uint64_t seed);
  // Adds, as `seed` decides, what breaks connections and loses data.
  SimTrouble WithLoss(uint64_t seed) const;
};

struct SimOptions {
  uint64_t seed = 1;
  SimTrouble trouble;
  // Of each stream and direction: bytes that the sender's and the receiver's
  // socket hold.
  size_t send_buffer_bytes = 16 << 10;
  size_t receive_buffer_bytes = 16 << 10;
  size_t datagrams_max = 64;  // That wait in a socket; more are lost.
  // Descriptors of all loops together.
  size_t descriptors_max = 4096;
  // Turns of all loops together before RunUntil() gives up; 0: no end.
  uint64_t turns_max = 10'000'000;
};

// What has happened so far.
struct SimCounts {
  uint64_t turns = 0;
  uint64_t submitted = 0;
  uint64_t ended = 0;  // Final completions.
  uint64_t interrupts = 0;
  uint64_t short_receives = 0;
  uint64_t short_sends = 0;
  uint64_t short_files = 0;
  uint64_t delays = 0;
  uint64_t reorders = 0;
  uint64_t no_buffers = 0;
  uint64_t spurious_ends = 0;
  uint64_t multishot_ends = 0;
  uint64_t late_cancels = 0;
  uint64_t cancels_too_late = 0;  // The request had ended.
  uint64_t overflow_waits = 0;
  uint64_t stalls = 0;
  uint64_t resets = 0;
  uint64_t refusals = 0;
  uint64_t lost_connects = 0;
  uint64_t no_descriptors = 0;
  uint64_t lost_datagrams = 0;
  uint64_t double_datagrams = 0;
  uint64_t file_errors = 0;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_SIM_OPTIONS_H_
