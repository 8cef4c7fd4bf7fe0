#include "ioloop/mailbox.h"

#include <unistd.h>

#include <cstdint>

namespace ioloop {
Mailbox::~Mailbox() { close(wake_fd_); }

// The order of two sequentially consistent accesses makes sure that nobody
// sleeps beside work: a poster sets `head_`, then reads `sleeping_`; the loop
// sets `sleeping_`, then reads `head_`.
bool Mailbox::Post(PostedWork* work) {
  PostedWork* head = head_.load(std::memory_order_relaxed);
  do {
    if (head == Closed()) return false;
    work->next_ = head;
  } while (!head_.compare_exchange_weak(head, work, std::memory_order_seq_cst,
                                        std::memory_order_relaxed));
  // Only the first of a batch has to look whether the loop sleeps. `this` may
  // be gone as soon as the work is seen, unless the caller keeps it alive.
  if (head == nullptr && sleeping_.load(std::memory_order_seq_cst) &&
      sleeping_.exchange(false, std::memory_order_seq_cst)) {
    Wake();
  }
  return true;
}

void Mailbox::Wake() {
  const uint64_t one = 1;
  static_cast<void>(!write(wake_fd_, &one, sizeof(one)));
}

bool Mailbox::PrepareSleep() {
  sleeping_.store(true, std::memory_order_seq_cst);
  if (Empty(head_.load(std::memory_order_seq_cst))) return true;
  sleeping_.store(false, std::memory_order_relaxed);
  return false;
}

size_t Mailbox::RunPosted() {
  if (empty()) return 0;
  PostedWork* newest = head_.exchange(nullptr, std::memory_order_acquire);
  PostedWork* oldest = nullptr;
  while (newest != nullptr) {
    PostedWork* next = newest->next_;
    newest->next_ = oldest;
    oldest = newest;
    newest = next;
  }
  size_t ran = 0;
  while (oldest != nullptr) {
    PostedWork* work = oldest;
    oldest = work->next_;
    work->handler_(work, /*delivered=*/true);
    ++ran;
  }
  return ran;
}

void Mailbox::Close() {
  PostedWork* work = head_.exchange(Closed(), std::memory_order_acquire);
  while (work != nullptr && work != Closed()) {
    PostedWork* next = work->next_;
    work->handler_(work, /*delivered=*/false);
    work = next;
  }
}

}  // namespace ioloop
