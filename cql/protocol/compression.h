// Compressed frame bodies: LZ4 (a big-endian length, then a block) and Snappy.
#ifndef RINGPLANE_CQL_PROTOCOL_COMPRESSION_H_
#define RINGPLANE_CQL_PROTOCOL_COMPRESSION_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cql::protocol {

enum class Compression { kNone, kLz4, kSnappy };

// "lz4", "snappy"; empty for kNone.
std::string_view CompressionName(Compression compression);
std::optional<Compression> ParseCompression(std::string_view name);

// How large `body` says it will be. kResourceExhausted above `bytes_max`,
// kInvalidArgument when a body of its size cannot hold that much: memory can
// be allocated for the answer.
absl::StatusOr<size_t> DecompressedSize(Compression compression,
                                        std::string_view body,
                                        size_t bytes_max);

// Fills `out`, whose size is that of DecompressedSize().
absl::Status Decompress(Compression compression, std::string_view body,
                        std::span<char> out);

// Room that Compress() may need for a body of `bytes`.
size_t CompressBound(Compression compression, size_t bytes);

// Returns the bytes used of `out`. REQUIRES: out.size() >= CompressBound(),
// body.size() below 2^31 - 2^24.
size_t Compress(Compression compression, std::string_view body,
                std::span<char> out);

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_COMPRESSION_H_
