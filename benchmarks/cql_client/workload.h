// What every client of the study asks for, and what the responder answers: one
// row of ten columns by its key.
#ifndef RINGPLANE_BENCHMARKS_CQL_CLIENT_WORKLOAD_H_
#define RINGPLANE_BENCHMARKS_CQL_CLIENT_WORKLOAD_H_

#include <cstdint>

namespace cql_client {

inline constexpr char kSelect[] =
    "SELECT key, author, uri, body, created_at, likes, score, pinned, id, "
    "digest FROM bench.posts WHERE key = ?";

// Of `likes` in every row.
inline constexpr int32_t kLikes = 42;

// The keys, without end and the same in each run.
class Keys {
 public:
  // xorshift64: spreads over every token.
  int64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<int64_t>(state_);
  }
  // Elsewhere in the sequence, for each of several.
  void Skip(uint64_t number) {
    state_ += number * 0xbf58476d1ce4e5b9;
    static_cast<void>(Next());
  }

 private:
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

// Of the requests in flight, one in so many has its latency measured.
inline constexpr uint32_t kTimedEvery = 64;

}  // namespace cql_client

#endif  // RINGPLANE_BENCHMARKS_CQL_CLIENT_WORKLOAD_H_
