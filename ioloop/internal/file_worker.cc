#include "ioloop/internal/file_worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace ioloop::internal {
namespace {

int32_t Run(const FileJob& job) {
  iovec piece = {job.span.data, job.span.length};
  const auto offset = static_cast<off_t>(job.span.offset);
  ssize_t result = -1;
  switch (job.kind) {
    case OpKind::kRead:
    case OpKind::kReadAt:
      result = preadv2(job.fd, &piece, 1, offset, 0);
      break;
    case OpKind::kWriteAt:
      result = pwritev2(job.fd, &piece, 1, offset, 0);
      break;
    case OpKind::kSync:
      result = (job.flags & kSyncData) != 0 ? fdatasync(job.fd) : fsync(job.fd);
      break;
    default:
      return -EINVAL;
  }
  return static_cast<int32_t>(result < 0 ? -errno : result);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileWorker>> FileWorker::Start() {
  const int fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("eventfd: ", strerror(errno)));
  }
  std::unique_ptr<FileWorker> worker(new FileWorker(fd));
  // Signals belong to the threads that expect them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  absl::Status status;
  try {
    worker->thread_ = std::thread(&FileWorker::Work, worker.get());
  } catch (const std::system_error& error) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("a thread for files: ", error.what()));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!status.ok()) return status;
  return worker;
}

FileWorker::~FileWorker() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  close(fd_);
}

void FileWorker::Add(const FileJob& job) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(job);
  }
  changed_.notify_one();
}

bool FileWorker::Remove(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(queue_.begin(), queue_.end(),
                   [id](const FileJob& job) { return job.id == id; });
  if (found == queue_.end()) return false;
  queue_.erase(found);
  return true;
}

void FileWorker::TakeDone(std::vector<FileJob>* done) {
  std::lock_guard lock(mutex_);
  done->insert(done->end(), done_.begin(), done_.end());
  done_.clear();
}

void FileWorker::Work() {
  pthread_setname_np(pthread_self(), "files");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    FileJob job = queue_.front();
    queue_.pop_front();
    lock.unlock();
    job.result = Run(job);
    lock.lock();
    done_.push_back(job);
    const uint64_t one = 1;
    static_cast<void>(!write(fd_, &one, sizeof(one)));
  }
}

}  // namespace ioloop::internal
