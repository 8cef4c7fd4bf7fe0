#include "cql/protocol/compression.h"

#include <lz4.h>
#include <snappy.h>

#include "absl/strings/str_cat.h"
#include "cql/protocol/wire.h"

namespace cql::protocol {
namespace {

constexpr size_t kLz4PrefixBytes = 4;
// What one compressed byte can stand for at most, with room to spare: LZ4's
// match lengths grow by 255 a byte, Snappy's copies are 64 bytes for 3.
constexpr size_t kLz4Ratio = 256;
constexpr size_t kSnappyRatio = 64;

}  // namespace

std::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kLz4:
      return "lz4";
    case Compression::kSnappy:
      return "snappy";
    case Compression::kNone:
      break;
  }
  return "";
}

std::optional<Compression> ParseCompression(std::string_view name) {
  if (name == "lz4") return Compression::kLz4;
  if (name == "snappy") return Compression::kSnappy;
  return std::nullopt;
}

absl::StatusOr<size_t> DecompressedSize(Compression compression,
                                        std::string_view body,
                                        size_t bytes_max) {
  size_t size = 0;
  size_t ratio = kLz4Ratio;
  size_t compressed = body.size();
  switch (compression) {
    case Compression::kNone:
      return absl::InvalidArgumentError(
          "a compressed frame on a connection that negotiated none");
    case Compression::kLz4:
      if (body.size() < kLz4PrefixBytes) {
        return absl::InvalidArgumentError(
            absl::StrCat("an LZ4 body of ", body.size(),
                         " bytes is too short for its length"));
      }
      size = LoadBig32(body.data());
      compressed -= kLz4PrefixBytes;
      break;
    case Compression::kSnappy:
      if (!snappy::GetUncompressedLength(body.data(), body.size(), &size)) {
        return absl::InvalidArgumentError(
            "a Snappy body does not begin with its length");
      }
      ratio = kSnappyRatio;
      break;
  }
  if (size > bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a body of ", size, " bytes when decompressed is above ",
                     "the limit of ", bytes_max));
  }
  if (size / ratio > compressed) {
    return absl::InvalidArgumentError(
        absl::StrCat(compressed, " compressed bytes cannot hold the ", size,
                     " bytes they promise"));
  }
  return size;
}

absl::Status Decompress(Compression compression, std::string_view body,
                        std::span<char> out) {
  if (compression == Compression::kLz4) {
    body.remove_prefix(kLz4PrefixBytes);
    if (out.empty()) {
      // One token without literals is how LZ4 writes nothing.
      return body.size() <= 1
                 ? absl::OkStatus()
                 : absl::InvalidArgumentError("LZ4 body is corrupted");
    }
    const int size = LZ4_decompress_safe(body.data(), out.data(),
                                         static_cast<int>(body.size()),
                                         static_cast<int>(out.size()));
    if (size < 0 || static_cast<size_t>(size) != out.size()) {
      return absl::InvalidArgumentError("LZ4 body is corrupted");
    }
    return absl::OkStatus();
  }
  size_t size = 0;
  if (!snappy::GetUncompressedLength(body.data(), body.size(), &size) ||
      size != out.size() ||
      !snappy::RawUncompress(body.data(), body.size(), out.data())) {
    return absl::InvalidArgumentError("Snappy body is corrupted");
  }
  return absl::OkStatus();
}

size_t CompressBound(Compression compression, size_t bytes) {
  switch (compression) {
    case Compression::kLz4:
      return kLz4PrefixBytes +
             static_cast<size_t>(LZ4_compressBound(static_cast<int>(bytes)));
    case Compression::kSnappy:
      return snappy::MaxCompressedLength(bytes);
    case Compression::kNone:
      break;
  }
  return bytes;
}

size_t Compress(Compression compression, std::string_view body,
                std::span<char> out) {
  if (compression == Compression::kLz4) {
    StoreBig32(out.data(), static_cast<uint32_t>(body.size()));
    const int size =
        LZ4_compress_default(body.data(), out.data() + kLz4PrefixBytes,
                             static_cast<int>(body.size()),
                             static_cast<int>(out.size() - kLz4PrefixBytes));
    return kLz4PrefixBytes + static_cast<size_t>(size);
  }
  size_t size = 0;
  snappy::RawCompress(body.data(), body.size(), out.data(), &size);
  return size;
}

}  // namespace cql::protocol
