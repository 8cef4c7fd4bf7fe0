#include "service/app/tablet_cache.h"

#include <errno.h>
#include <string.h>

#include <fstream>
#include <utility>

#include "ioloop/file.h"
#include "ioloop/log.h"

namespace app {
namespace {

constexpr size_t kBytesMax = 64 << 20;

}  // namespace

std::string ReadTabletCache(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    if (errno != ENOENT) {
      RINGPLANE_LOG(kWarning, "cannot read the tablet cache", {"file", path},
                    {"why", strerror(errno)});
    }
    return "";
  }
  const auto size = static_cast<std::streamoff>(file.tellg());
  if (size < 0 || size > static_cast<std::streamoff>(kBytesMax)) {
    RINGPLANE_LOG(kWarning, "the tablet cache is too long", {"file", path});
    return "";
  }
  std::string bytes(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(bytes.data(), size)) {
    RINGPLANE_LOG(kWarning, "cannot read the tablet cache", {"file", path});
    return "";
  }
  return bytes;
}

ioloop::Task<void> WriteTabletCache(ioloop::Loop* loop, std::string path,
                                    std::string bytes) {
  absl::Status written =
      co_await ioloop::ReplaceFile(loop, path, std::move(bytes));
  if (!written.ok()) {
    RINGPLANE_LOG(kWarning, "cannot write the tablet cache",
                  {"why", written.ToString()});
  }
}

}  // namespace app
