// A thread for what a readiness loop cannot wait for: reading, writing and
// syncing files. One at a time, in the order given.
#ifndef RINGPLANE_IOLOOP_INTERNAL_FILE_WORKER_H_
#define RINGPLANE_IOLOOP_INTERNAL_FILE_WORKER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "ioloop/operation.h"

namespace ioloop::internal {

struct FileJob {
  uint32_t id = 0;  // The owner's.
  OpKind kind = OpKind::kRead;
  int fd = -1;
  FileSpan span;       // An offset of UINT64_MAX is the file's position.
  uint32_t flags = 0;  // Of a kSync.
  int32_t result = 0;  // A count or a negated errno.
};

// Thread-safety: none but for its own thread; it belongs to one backend.
class FileWorker {
 public:
  // kResourceExhausted for want of a descriptor or a thread.
  static absl::StatusOr<std::unique_ptr<FileWorker>> Start();
  // Drops what has not begun, and waits for what has.
  ~FileWorker();
  FileWorker(const FileWorker&) = delete;
  FileWorker& operator=(const FileWorker&) = delete;

  void Add(const FileJob& job);
  // Takes a job back; false if it has begun: then it ends by itself.
  bool Remove(uint32_t id);
  // Appends the jobs that have ended.
  void TakeDone(std::vector<FileJob>* done);
  // An eventfd that is written to when a job has ended. Nobody need read it.
  int fd() const { return fd_; }

 private:
  explicit FileWorker(int fd) : fd_(fd) {}
  void Work();

  const int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<FileJob> queue_;
  std::vector<FileJob> done_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_FILE_WORKER_H_
