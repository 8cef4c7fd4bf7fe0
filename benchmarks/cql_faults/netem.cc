// Delays and drops the packets of a netfilter queue, where the kernel has no
// netem:
//
//   netem QUEUE DELAY_MS LOSS_PERCENT SEED
//
// A rule like `iptables -A INPUT -d 127.0.0.2 -j NFQUEUE --queue-num QUEUE
// --queue-bypass` sends packets here. SIGTERM lets what is held go, and ends
// it.
#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>

namespace {

using Clock = std::chrono::steady_clock;

struct Held {
  uint32_t id;
  Clock::time_point due;
};

struct Link {
  nfq_q_handle* queue = nullptr;
  std::chrono::milliseconds delay{0};
  double loss = 0;
  std::mt19937_64 random;
  std::deque<Held> held;  // All wait equally long, so the first is due first.
  uint64_t seen = 0;
  uint64_t lost = 0;
};

volatile sig_atomic_t g_stop = 0;

void Stop(int) { g_stop = 1; }

int OnPacket(nfq_q_handle* queue, nfgenmsg*, nfq_data* packet, void* data) {
  auto* link = static_cast<Link*>(data);
  const uint32_t id = ntohl(nfq_get_msg_packet_hdr(packet)->packet_id);
  ++link->seen;
  if (std::uniform_real_distribution<>(0, 1)(link->random) < link->loss) {
    ++link->lost;
    return nfq_set_verdict(queue, id, NF_DROP, 0, nullptr);
  }
  link->held.push_back({id, Clock::now() + link->delay});
  return 0;
}

void Release(Link* link, Clock::time_point until) {
  while (!link->held.empty() && link->held.front().due <= until) {
    nfq_set_verdict(link->queue, link->held.front().id, NF_ACCEPT, 0, nullptr);
    link->held.pop_front();
  }
}

int Wait(const Link& link) {
  if (link.held.empty()) return 100;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      link.held.front().due - Clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

int Run(nfq_handle* handle, uint16_t number, Link* link) {
  link->queue = nfq_create_queue(handle, number, &OnPacket, link);
  if (link->queue == nullptr ||
      nfq_set_mode(link->queue, NFQNL_COPY_META, 0) < 0 ||
      nfq_set_queue_maxlen(link->queue, 65535) < 0) {
    std::perror("netem: nfq_create_queue");
    return EXIT_FAILURE;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  pollfd descriptor = {nfq_fd(handle), POLLIN, 0};
  alignas(8) static char buffer[1 << 16];
  while (!g_stop) {
    if (poll(&descriptor, 1, Wait(*link)) > 0) {
      ssize_t size;
      while ((size = recv(descriptor.fd, buffer, sizeof(buffer),
                          MSG_DONTWAIT)) > 0) {
        nfq_handle_packet(handle, buffer, static_cast<int>(size));
      }
    }
    Release(link, Clock::now());
  }
  Release(link, Clock::time_point::max());
  std::fprintf(stderr, "netem: %llu packets, %llu lost\n",
               static_cast<unsigned long long>(link->seen),
               static_cast<unsigned long long>(link->lost));
  nfq_destroy_queue(link->queue);
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: netem QUEUE DELAY_MS LOSS_PERCENT SEED\n");
    return 2;
  }
  Link link;
  const auto number = static_cast<uint16_t>(std::atoi(argv[1]));
  link.delay = std::chrono::milliseconds(std::atoi(argv[2]));
  link.loss = std::atof(argv[3]) / 100;
  link.random.seed(static_cast<uint64_t>(std::atoll(argv[4])));
  struct sigaction stop = {};
  stop.sa_handler = &Stop;
  sigaction(SIGTERM, &stop, nullptr);
  nfq_handle* handle = nfq_open();
  if (handle == nullptr) {
    std::perror("netem: nfq_open");
    return EXIT_FAILURE;
  }
  const int status = Run(handle, number, &link);
  nfq_close(handle);
  return status;
}
