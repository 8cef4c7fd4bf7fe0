// Seeded trouble for tests: what the kernel may do any day but seldom does.
#ifndef RINGPLANE_IOLOOP_INTERNAL_FAULTS_H_
#define RINGPLANE_IOLOOP_INTERNAL_FAULTS_H_

#include <errno.h>

#include <cstdint>

namespace ioloop::internal {

class Faults {
 public:
  explicit Faults(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u) {}

  // An errno that io_uring_enter gives instead of entering, or 0.
  int EnterError() {
    if (Next() % 6 != 0) return 0;
    constexpr int kErrors[] = {EINTR, EAGAIN, EBUSY};
    return kErrors[Next() % 3];
  }
  // How much of a send of `length` bytes is asked for.
  uint32_t SendLength(uint32_t length) {
    if (length < 2 || Next() % 3 != 0) return length;
    return 1 + static_cast<uint32_t>(Next() % (length - 1));
  }
  // How much of a buffer of `length` bytes a receive may fill.
  uint32_t ReceiveLength(uint32_t length) { return SendLength(length); }
  // Whether a receive is cancelled as soon as it is armed.
  bool CancelsReceive() { return Next() % 4 == 0; }

 private:
  uint64_t Next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_FAULTS_H_
