#include "service/rpc/compression.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace rpc {
namespace {

constexpr int kGzipWindow = 15 + 16;  // 32 KiB, gzip's header and trailer
constexpr size_t kFirstStep = 16 << 10;

Bytef* In(std::string_view text) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

}  // namespace

struct Gzip::Contexts {
  z_stream inflater = {};
  z_stream deflater = {};
  bool can_inflate = false;
  bool can_deflate = false;

  ~Contexts() {
    if (can_inflate) inflateEnd(&inflater);
    if (can_deflate) deflateEnd(&deflater);
  }
};

Gzip::Gzip() : contexts_(std::make_unique<Contexts>()) {}
Gzip::~Gzip() = default;

absl::Status Gzip::Decompress(std::string_view compressed, size_t max_bytes,
                              std::string* out) {
  z_stream& stream = contexts_->inflater;
  int result = contexts_->can_inflate ? inflateReset(&stream)
                                      : inflateInit2(&stream, kGzipWindow);
  if (result != Z_OK) return absl::ResourceExhaustedError("gzip: no memory");
  contexts_->can_inflate = true;
  if (compressed.size() > std::numeric_limits<uInt>::max()) {
    return absl::ResourceExhaustedError("gzip: the message is too large");
  }
  stream.next_in = In(compressed);
  stream.avail_in = static_cast<uInt>(compressed.size());

  const size_t begin = out->size();
  size_t written = 0;
  size_t step = std::max(kFirstStep, compressed.size());
  while (true) {
    // One byte past the limit tells "as large as allowed" from "larger".
    size_t room = std::min(step, max_bytes + 1 - written);
    out->resize(begin + written + room);
    stream.next_out = reinterpret_cast<Bytef*>(out->data() + begin + written);
    stream.avail_out = static_cast<uInt>(room);
    result = inflate(&stream, Z_NO_FLUSH);
    written += room - stream.avail_out;
    if (written > max_bytes) {
      out->resize(begin);
      return absl::ResourceExhaustedError(absl::StrCat(
          "the message is larger than ", max_bytes, " bytes decompressed"));
    }
    if (result == Z_STREAM_END) break;
    if (result != Z_OK || stream.avail_out != 0) {
      out->resize(begin);
      return absl::InvalidArgumentError(result == Z_OK || result == Z_BUF_ERROR
                                            ? "gzip: the message is cut short"
                                            : "gzip: the message is malformed");
    }
    step *= 2;
  }
  out->resize(begin + written);
  if (stream.avail_in != 0) {
    out->resize(begin);
    return absl::InvalidArgumentError("gzip: bytes after the message");
  }
  return absl::OkStatus();
}

absl::Status Gzip::Compress(std::string_view plain, std::string* out) {
  z_stream& stream = contexts_->deflater;
  int result = contexts_->can_deflate
                   ? deflateReset(&stream)
                   : deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED,
                                  kGzipWindow, 8, Z_DEFAULT_STRATEGY);
  if (result != Z_OK) return absl::ResourceExhaustedError("gzip: no memory");
  contexts_->can_deflate = true;
  if (plain.size() > std::numeric_limits<uInt>::max() / 2) {
    return absl::ResourceExhaustedError("gzip: the message is too large");
  }
  const size_t begin = out->size();
  size_t room = deflateBound(&stream, plain.size());
  out->resize(begin + room);
  stream.next_in = In(plain);
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out->data() + begin);
  stream.avail_out = static_cast<uInt>(room);
  result = deflate(&stream, Z_FINISH);
  if (result != Z_STREAM_END) {
    out->resize(begin);
    return absl::InternalError("gzip: cannot compress");
  }
  out->resize(begin + room - stream.avail_out);
  return absl::OkStatus();
}

}  // namespace rpc
