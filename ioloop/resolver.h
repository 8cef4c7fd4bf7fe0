// Names to addresses, off the loop: getaddrinfo(3) blocks, so a helper thread
// calls it and the answer comes back through the loop's mailbox.
#ifndef RINGPLANE_IOLOOP_RESOLVER_H_
#define RINGPLANE_IOLOOP_RESOLVER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace ioloop {

// Thread-safety: Resolve() from any loop's thread. The helper thread starts
// with the first name that is not numeric.
class Resolver {
 public:
  struct Options {
    // Lookups that wait or run; more end with kResourceExhausted.
    size_t pending_max = 256;
  };
  Resolver();
  explicit Resolver(const Options& options);
  // Waits for the lookup that runs, if any (getaddrinfo cannot be cancelled).
  // REQUIRES: nobody awaits Resolve().
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The addresses of `host` ("localhost", "10.0.0.1", "::1") with `port`, in
  // the order of getaddrinfo, each once. kNotFound if there is no such name,
  // kUnavailable if the name server failed, kDeadlineExceeded, kCancelled when
  // `stop` asks.
  Task<absl::StatusOr<std::vector<SocketAddress>>> Resolve(
      Loop* loop, std::string host, uint16_t port, absl::Time deadline,
      StopToken stop = StopToken());
  // "host:port"; "unix:/path" as well.
  Task<absl::StatusOr<std::vector<SocketAddress>>> Resolve(
      Loop* loop, std::string host_port, absl::Time deadline,
      StopToken stop = StopToken());

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_RESOLVER_H_
