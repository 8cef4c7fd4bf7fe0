// Regular files, for logs and dumps: reads, writes and syncs go through the
// loop, so that a slow disk holds up no socket.
#ifndef RINGPLANE_IOLOOP_FILE_H_
#define RINGPLANE_IOLOOP_FILE_H_

#include <sys/types.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/await.h"
#include "ioloop/loop.h"
#include "ioloop/operation.h"
#include "ioloop/task.h"

namespace ioloop {

// Move-only. Await what was started before it dies: the kernel goes on with the
// memory of an operation until that resumes. Operations at different places of
// a file may run side by side, in any order.
//
// Opening, size() and closing are plain system calls and block, as long as the
// file system takes to look a name up.
//
// Errors: kNotFound, kAlreadyExists, kPermissionDenied; kResourceExhausted for
// a full disk, a quota or no descriptor left; kUnavailable otherwise. They name
// the file.
//
// Thread-safety: none; a file belongs to its loop.
class [[nodiscard]] File {
 public:
  enum class Mode {
    kRead,       // Must be there.
    kReadWrite,  // Created if it is not there; kept if it is.
    kCreate,     // Must not be there.
    kTruncate,   // Created, or emptied.
  };
  static absl::StatusOr<File> Open(Loop* loop, std::string path, Mode mode,
                                   mode_t permissions = 0644);
  // Takes over a descriptor; `path` is for messages.
  static File Adopt(Loop* loop, int fd, std::string path);

  File() = default;
  File(File&& other) noexcept
      : loop_(other.loop_),
        path_(std::move(other.path_)),
        fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept;
  ~File();

  bool valid() const { return fd_ >= 0; }

  // Fills `into` from `offset` on; how many bytes, fewer only before the end of
  // the file or when interrupted, 0 at the end. `into` must stay until it
  // resumes. An awaiter: no allocation; takes WithDeadline() and WithStop(),
  // but a disk that is at it already is not to be stopped.
  class [[nodiscard]] ReadAwaiter {
   public:
    ReadAwaiter(const File* file, uint64_t offset, std::span<char> into);
    bool await_ready() const { return request_.await_ready(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      request_.await_suspend(waiter);
    }
    absl::StatusOr<size_t> await_resume() const;
    void Stop() { request_.Stop(); }
    Loop* loop() const { return request_.loop(); }

   private:
    const File* file_;
    FileSpan span_;
    RequestAwaiter request_;
  };
  ReadAwaiter ReadAt(uint64_t offset, std::span<char> into) const {
    return ReadAwaiter(this, offset, into);
  }

  // Writes all of `bytes`, which must stay until this is done. On an error some
  // of them may be written.
  Task<absl::Status> WriteAt(uint64_t offset, std::string_view bytes);
  // What is written survives a loss of power once this is done; with
  // `data_only` the time stamps may not.
  Task<absl::Status> Sync(bool data_only = false);

  absl::StatusOr<uint64_t> size() const;
  const std::string& path() const { return path_; }
  int fd() const { return fd_; }

 private:
  friend class ReadAwaiter;
  File(Loop* loop, std::string path, int fd)
      : loop_(loop), path_(std::move(path)), fd_(fd) {}
  absl::Status Failed(const char* doing, int error) const;

  Loop* loop_ = nullptr;
  std::string path_;
  int fd_ = -1;
};

// All of a file; kResourceExhausted if it has more than `most` bytes.
Task<absl::StatusOr<std::string>> ReadFile(Loop* loop, std::string path,
                                           size_t most);
// Puts a file with `bytes` in the place of `path`: whoever looks sees the old
// one or the new one, whole, also after a loss of power. Writes "PATH.new"
// first, which is removed if that fails.
Task<absl::Status> ReplaceFile(Loop* loop, std::string path, std::string bytes);

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_FILE_H_
