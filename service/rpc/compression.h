// gzip for messages, with contexts that are reused: setting one up per message
// costs ten times the work on a small one.
#ifndef RINGPLANE_SERVICE_RPC_COMPRESSION_H_
#define RINGPLANE_SERVICE_RPC_COMPRESSION_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace rpc {

// One per loop; contexts are made at first use.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  // Appends what `compressed` holds to `out`. kResourceExhausted as soon as
  // that is more than `max_bytes`; kInvalidArgument if it is not gzip, is cut
  // short or goes on after its end.
  absl::Status Decompress(std::string_view compressed, size_t max_bytes,
                          std::string* out);

  // Appends `plain`, compressed for speed.
  absl::Status Compress(std::string_view plain, std::string* out);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_COMPRESSION_H_
