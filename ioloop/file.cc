#include "ioloop/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ioloop {
namespace {

// One operation moves no more than this; the rest follows.
constexpr size_t kMoveMax = 1 << 30;

absl::Status FileError(const char* doing, const std::string& path, int error) {
  std::string text = absl::StrCat(doing, " ", path, ": ", strerror(error));
  switch (error) {
    case ECANCELED:
      return absl::CancelledError(text);
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

int OpenFlags(File::Mode mode) {
  switch (mode) {
    case File::Mode::kRead:
      return O_RDONLY;
    case File::Mode::kReadWrite:
      return O_RDWR | O_CREAT;
    case File::Mode::kCreate:
      return O_RDWR | O_CREAT | O_EXCL;
    case File::Mode::kTruncate:
      return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

Request SpanRequest(OpKind kind, int fd, const FileSpan* span) {
  Request request;
  request.kind = kind;
  request.fd = fd;
  request.address = span;
  return request;
}

constexpr bool kInsists = true;

}  // namespace

absl::StatusOr<File> File::Open(Loop* loop, std::string path, Mode mode,
                                mode_t permissions) {
  const int fd = open(path.c_str(), OpenFlags(mode) | O_CLOEXEC, permissions);
  if (fd < 0) return FileError("open", path, errno);
  return File(loop, std::move(path), fd);
}

File File::Adopt(Loop* loop, int fd, std::string path) {
  return File(loop, std::move(path), fd);
}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) loop_->sockets().Close(fd_);
    loop_ = other.loop_;
    path_ = std::move(other.path_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

File::~File() {
  if (fd_ >= 0) loop_->sockets().Close(fd_);
}

absl::Status File::Failed(const char* doing, int error) const {
  return FileError(doing, path_, error);
}

File::ReadAwaiter::ReadAwaiter(const File* file, uint64_t offset,
                               std::span<char> into)
    : file_(file),
      span_{into.data(), static_cast<uint32_t>(std::min(into.size(), kMoveMax)),
            offset},
      request_(file->loop_, SpanRequest(OpKind::kReadAt, file->fd_, &span_),
               kInsists) {}

absl::StatusOr<size_t> File::ReadAwaiter::await_resume() const {
  const int32_t result = request_.await_resume().result;
  if (result < 0) return file_->Failed("read", -result);
  return static_cast<size_t>(result);
}

Task<absl::Status> File::WriteAt(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const FileSpan span = {
        const_cast<char*>(bytes.data()),
        static_cast<uint32_t>(std::min(bytes.size(), kMoveMax)), offset};
    RequestAwaiter write(loop_, SpanRequest(OpKind::kWriteAt, fd_, &span),
                         kInsists);
    const Completion written = co_await write;
    if (written.result <= 0) {
      co_return Failed("write", written.result == 0 ? EIO : -written.result);
    }
    const auto count = static_cast<size_t>(written.result);
    bytes.remove_prefix(count);
    offset += count;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> File::Sync(bool data_only) {
  Request request;
  request.kind = OpKind::kSync;
  request.fd = fd_;
  request.flags = data_only ? kSyncData : 0;
  RequestAwaiter sync(loop_, request, kInsists);
  const Completion synced = co_await sync;
  if (synced.result < 0) co_return Failed("sync", -synced.result);
  co_return absl::OkStatus();
}

absl::StatusOr<uint64_t> File::size() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return Failed("stat", errno);
  return static_cast<uint64_t>(info.st_size);
}

// Read to the end and not to the size: files of /proc have none, and others
// may grow meanwhile.
Task<absl::StatusOr<std::string>> ReadFile(Loop* loop, std::string path,
                                           size_t most) {
  absl::StatusOr<File> file =
      File::Open(loop, std::move(path), File::Mode::kRead);
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> expected = file->size();
  if (!expected.ok()) co_return expected.status();
  constexpr size_t kStep = 65536;
  std::string bytes;
  bytes.reserve(std::min<uint64_t>(*expected, most) + 1);
  for (size_t done = 0;;) {
    const size_t room = std::max(kStep, bytes.capacity() - done);
    bytes.resize(done + room);
    auto read = file->ReadAt(done, {bytes.data() + done, room});
    absl::StatusOr<size_t> got = co_await read;
    if (!got.ok()) co_return got.status();
    done += *got;
    if (done > most) {
      co_return absl::ResourceExhaustedError(
          absl::StrCat("read ", file->path(), ": more than ", most, " bytes"));
    }
    bytes.resize(done);
    if (*got == 0) co_return bytes;
  }
}

Task<absl::Status> ReplaceFile(Loop* loop, std::string path,
                               std::string bytes) {
  const std::string beside = absl::StrCat(path, ".new");
  absl::StatusOr<File> file = File::Open(loop, beside, File::Mode::kTruncate);
  if (!file.ok()) co_return file.status();
  absl::Status status = co_await file->WriteAt(0, bytes);
  if (status.ok()) status = co_await file->Sync();
  if (status.ok() && rename(beside.c_str(), path.c_str()) != 0) {
    status = FileError("replace", path, errno);
  }
  if (!status.ok()) {
    static_cast<void>(unlink(beside.c_str()));
    co_return status;
  }
  // The new name is on the disk once its folder is.
  const size_t slash = path.rfind('/');
  std::string folder = ".";
  if (slash != std::string::npos) folder = path.substr(0, slash + 1);
  absl::StatusOr<File> parent =
      File::Open(loop, std::move(folder), File::Mode::kRead);
  if (!parent.ok()) co_return parent.status();
  co_return co_await parent->Sync();
}

}  // namespace ioloop
