#include "cql/node/log_file.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace cql::node {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// A file grows by as much as it holds, within these bounds: a small log stays
// small, and a large one rarely grows.
constexpr uint64_t kAheadBytesMin = 256 << 10;
constexpr uint64_t kAheadBytesMax = 8 << 20;
constexpr uint64_t kZeroBytes = 64 << 10;

// Thread-safety: as RocksDB's own, which calls it under its mutex.
class LogAheadFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  // `fd`: the same file again. Takes it.
  LogAheadFile(std::unique_ptr<FSWritableFile> file, int fd)
      : FSWritableFileOwnerWrapper(std::move(file)), fd_(fd) {}
  ~LogAheadFile() override { Cut(); }

  IOStatus Append(const Slice& data, const IOOptions& options,
                  IODebugContext* context) override {
    GrowTo(size_ + data.size());
    const IOStatus status = target()->Append(data, options, context);
    if (status.ok()) size_ += data.size();
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& verification,
                  IODebugContext* context) override {
    GrowTo(size_ + data.size());
    const IOStatus status =
        target()->Append(data, options, verification, context);
    if (status.ok()) size_ += data.size();
    return status;
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options,
                    IODebugContext* context) override {
    size_ = std::min(size_, size);
    end_ = std::min(end_, size);
    return target()->Truncate(size, options, context);
  }
  IOStatus Close(const IOOptions& options, IODebugContext* context) override {
    Cut();
    return target()->Close(options, context);
  }

 private:
  // Makes room for a file of `size` bytes, and more. What cannot be done here
  // is left to the write itself, which tells why.
  void GrowTo(uint64_t size) {
    if (fd_ < 0 || size <= end_) return;
    static const char kZeros[kZeroBytes] = {};
    const uint64_t end =
        size + std::clamp(size, kAheadBytesMin, kAheadBytesMax);
    for (uint64_t at = end_; at < end;) {
      const ssize_t written = pwrite(
          fd_, kZeros, std::min(kZeroBytes, end - at), static_cast<off_t>(at));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return Cut();  // No more of this.
      at += static_cast<uint64_t>(written);
      end_ = at;
    }
  }

  // Ends the file where what was written ends.
  void Cut() {
    if (fd_ < 0) return;
    // If it fails there are zeros at the end, which do no harm.
    if (end_ > size_) {
      static_cast<void>(!ftruncate(fd_, static_cast<off_t>(size_)));
    }
    close(std::exchange(fd_, -1));
  }

  int fd_;
  uint64_t size_ = 0;  // Written.
  uint64_t end_ = 0;   // Up to here the file was grown.
};

class LogAheadFileSystem : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  static const char* kClassName() { return "ringplane.log_ahead"; }
  const char* Name() const override { return kClassName(); }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* result,
                           IODebugContext* context) override {
    IOStatus status = target()->NewWritableFile(path, options, result, context);
    if (!status.ok() || !path.ends_with(".log")) return status;
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    // Without it the log is slower, no more.
    if (fd < 0) return status;
    *result = std::make_unique<LogAheadFile>(std::move(*result), fd);
    return status;
  }
};

}  // namespace

rocksdb::Env* LogAheadEnv() {
  static rocksdb::Env* const env =
      rocksdb::NewCompositeEnv(
          std::make_shared<LogAheadFileSystem>(rocksdb::FileSystem::Default()))
          .release();
  return env;
}

}  // namespace cql::node
