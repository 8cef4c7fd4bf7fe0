#include "ioloop/resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/mailbox.h"

namespace ioloop {
namespace {

using Addresses = std::vector<SocketAddress>;

class LookupAwaiter;

// One lookup; owned by the queue, then by the helper thread, then by the
// mailbox. Whoever awaited it may have left: `awaiter` belongs to the loop's
// thread, as does everything once the lookup is posted.
struct Lookup : PostedWork {
  Lookup() : PostedWork(&Finish) {}
  static void Finish(PostedWork* work, bool delivered);

  std::string host;
  uint16_t port = 0;
  std::shared_ptr<Mailbox> home;
  LookupAwaiter* awaiter = nullptr;
  absl::StatusOr<Addresses> result = absl::UnknownError("");
};

absl::StatusOr<Addresses> BlockingLookup(const std::string& host,
                                         uint16_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error == EAI_NONAME || error == EAI_NODATA) {
    // A machine with nothing but loopback has no "configured" family.
    hints.ai_flags = 0;
    error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  }
  if (error != 0) {
    const char* text =
        error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
    std::string message = absl::StrCat("resolve '", host, "': ", text);
    if (error == EAI_NONAME || error == EAI_NODATA) {
      return absl::NotFoundError(message);
    }
    return absl::UnavailableError(message);
  }
  Addresses addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    const SocketAddress address =
        SocketAddress::FromSockaddr(entry->ai_addr, entry->ai_addrlen)
            .WithPort(port);
    if (address.family() != AF_UNSPEC &&
        std::find(addresses.begin(), addresses.end(), address) ==
            addresses.end()) {
      addresses.push_back(address);
    }
  }
  freeaddrinfo(list);
  if (addresses.empty()) {
    return absl::NotFoundError(
        absl::StrCat("resolve '", host, "': no address"));
  }
  return addresses;
}

}  // namespace

struct Resolver::Shared {
  explicit Shared(const Options& given) : options(given) {}

  ~Shared() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }

  // False when too many lookups are pending.
  bool Add(std::unique_ptr<Lookup> lookup) {
    std::lock_guard lock(mutex);
    if (queue.size() + (busy ? 1 : 0) >= options.pending_max) return false;
    queue.push_back(std::move(lookup));
    if (!thread.joinable()) thread = std::thread([this] { Work(); });
    changed.notify_one();
    return true;
  }

  void Work() {
    pthread_setname_np(pthread_self(), "resolver");
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stopping || !queue.empty(); });
      if (stopping) return;
      std::unique_ptr<Lookup> lookup = std::move(queue.front());
      queue.pop_front();
      busy = true;
      lock.unlock();
      lookup->result = BlockingLookup(lookup->host, lookup->port);
      std::shared_ptr<Mailbox> home = lookup->home;
      // From here on the lookup is the loop's, unless the loop has ended.
      if (home->Post(static_cast<PostedWork*>(lookup.get()))) {
        static_cast<void>(lookup.release());
      }
      lookup.reset();
      home.reset();
      lock.lock();
      busy = false;
    }
  }

  const Options options;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::unique_ptr<Lookup>> queue;
  bool busy = false;
  bool stopping = false;
  std::thread thread;
};

namespace {

// Waits for a lookup. The helper thread cannot be stopped: a lookup that
// nobody waits for any more comes back to nobody.
class LookupAwaiter {
 public:
  explicit LookupAwaiter(Loop* loop) : loop_(loop) {}
  LookupAwaiter(const LookupAwaiter&) = delete;
  LookupAwaiter& operator=(const LookupAwaiter&) = delete;

  void Watch(Lookup* lookup) {
    lookup_ = lookup;
    lookup->awaiter = this;
  }
  void Deliver(absl::StatusOr<Addresses> result) {
    lookup_ = nullptr;
    result_ = std::move(result);
    waiter_.resume();
  }

  Loop* loop() const { return loop_; }
  void Stop() {
    if (lookup_ == nullptr) return;
    std::exchange(lookup_, nullptr)->awaiter = nullptr;
    if (waiter_) loop_->Resume(waiter_);
  }
  bool await_ready() const { return lookup_ == nullptr; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  absl::StatusOr<Addresses> await_resume() { return std::move(result_); }

 private:
  Loop* loop_;
  Lookup* lookup_ = nullptr;
  std::coroutine_handle<> waiter_;
  absl::StatusOr<Addresses> result_ =
      absl::CancelledError("the name server did not answer in time");
};

void Lookup::Finish(PostedWork* work, bool delivered) {
  std::unique_ptr<Lookup> lookup(static_cast<Lookup*>(work));
  if (!delivered || lookup->awaiter == nullptr) return;
  lookup->awaiter->Deliver(std::move(lookup->result));
}

}  // namespace

Resolver::Resolver() : Resolver(Options()) {}

Resolver::Resolver(const Options& options)
    : shared_(std::make_shared<Shared>(options)) {}

Resolver::~Resolver() = default;

Task<absl::StatusOr<std::vector<SocketAddress>>> Resolver::Resolve(
    Loop* loop, std::string host, uint16_t port, absl::Time deadline,
    StopToken stop) {
  absl::StatusOr<SocketAddress> numeric = SocketAddress::FromIp(host, port);
  if (numeric.ok()) {
    Addresses addresses(1, *numeric);
    co_return addresses;
  }
  if (host.empty() || host.size() > 253 ||
      host.find('\0') != std::string::npos) {
    co_return absl::InvalidArgumentError("not a host name");
  }
  auto lookup = std::make_unique<Lookup>();
  lookup->host = std::move(host);
  lookup->port = port;
  lookup->home = loop->shared_mailbox();
  LookupAwaiter answer(loop);
  answer.Watch(lookup.get());
  if (!shared_->Add(std::move(lookup))) {
    co_return absl::ResourceExhaustedError(absl::StrCat(
        "more than ", shared_->options.pending_max, " names to resolve"));
  }
  absl::StatusOr<Addresses> result =
      co_await WithDeadline(WithStop(answer, stop), deadline);
  co_return result;
}

Task<absl::StatusOr<std::vector<SocketAddress>>> Resolver::Resolve(
    Loop* loop, std::string host_port, absl::Time deadline, StopToken stop) {
  if (host_port.rfind("unix:", 0) == 0) {
    absl::StatusOr<SocketAddress> address = SocketAddress::Parse(host_port);
    if (!address.ok()) co_return address.status();
    Addresses addresses(1, *address);
    co_return addresses;
  }
  absl::StatusOr<HostPort> parts = ParseHostPort(host_port);
  if (!parts.ok()) co_return parts.status();
  Task<absl::StatusOr<Addresses>> resolving =
      Resolve(loop, std::move(parts->host), parts->port, deadline, stop);
  absl::StatusOr<Addresses> result = co_await resolving;
  co_return result;
}

}  // namespace ioloop
