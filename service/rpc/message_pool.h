// Request and response messages, reused: parsing into one that has been used
// before costs half of parsing into a new one.
#ifndef RINGPLANE_SERVICE_RPC_MESSAGE_POOL_H_
#define RINGPLANE_SERVICE_RPC_MESSAGE_POOL_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "google/protobuf/message.h"
#include "service/rpc/router.h"

namespace rpc {

// One per loop. REQUIRES: every message is back before the pool dies.
class MessagePool {
 public:
  struct Options {
    // A message whose encoding was ever larger is not kept.
    size_t message_bytes_max = 64 << 10;
    // Pairs kept per method, and the encoded bytes that all kept messages may
    // have had at their largest.
    size_t pairs_per_method_max = 64;
    size_t total_bytes_max = 16 << 20;
  };

  // A call's messages, empty.
  struct Pair {
    std::unique_ptr<google::protobuf::Message> request;
    std::unique_ptr<google::protobuf::Message> response;
    size_t largest_bytes = 0;
  };

  MessagePool(size_t methods, const Options& options)
      : options_(options), free_(methods) {}

  Pair Take(const Router::Method& method, size_t index);
  // `bytes` is about the size of both messages, encoded.
  void Return(Pair pair, size_t index, size_t bytes);

  size_t kept() const;
  size_t kept_bytes() const { return kept_bytes_; }

 private:
  const Options options_;
  std::vector<std::vector<Pair>> free_;
  size_t kept_bytes_ = 0;
};

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_MESSAGE_POOL_H_
