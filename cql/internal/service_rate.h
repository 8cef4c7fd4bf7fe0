// How fast a line moves.
#ifndef RINGPLANE_CQL_INTERNAL_SERVICE_RATE_H_
#define RINGPLANE_CQL_INTERNAL_SERVICE_RATE_H_

#include <cstddef>
#include <cstdint>

namespace cql::internal {

// Measured only while someone waits, when what is served is what the server
// can do and not what is asked of it. Times are nanoseconds of the loop.
class ServiceRate {
 public:
  // Shorter than this nothing is concluded.
  static constexpr int64_t kWindowNs = 100'000'000;

  // Someone steps into the empty line.
  void Begin(int64_t now_ns) {
    window_begin_ns_ = now_ns;
    served_ = 0;
    per_ns_ = 0;
  }

  // So many left the line to be sent.
  void Served(size_t count, int64_t now_ns) {
    served_ += count;
    const int64_t elapsed_ns = now_ns - window_begin_ns_;
    // As long as nobody is served, the window goes on.
    if (elapsed_ns < kWindowNs || served_ == 0) return;
    per_ns_ = static_cast<double>(served_) / static_cast<double>(elapsed_ns);
    window_begin_ns_ = now_ns;
    served_ = 0;
  }

  // How long one with `ahead` before it is likely to wait; 0 as long as nothing
  // is known. A line that stands still gets longer waits as it stands.
  double WaitNs(size_t ahead, int64_t now_ns) const {
    const int64_t elapsed_ns = now_ns - window_begin_ns_;
    const double before = static_cast<double>(ahead);
    if (elapsed_ns >= kWindowNs) {
      // One more may be about to be served.
      return before * static_cast<double>(elapsed_ns) /
             static_cast<double>(served_ + 1);
    }
    return per_ns_ == 0 ? 0 : before / per_ns_;
  }

 private:
  int64_t window_begin_ns_ = 0;
  size_t served_ = 0;  // In this window.
  double per_ns_ = 0;  // In the last one; 0: not known.
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_SERVICE_RATE_H_
