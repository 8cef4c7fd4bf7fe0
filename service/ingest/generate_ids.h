// Identifiers of a synthetic network: right in form, a function of the seed.
#ifndef RINGPLANE_SERVICE_INGEST_GENERATE_IDS_H_
#define RINGPLANE_SERVICE_INGEST_GENERATE_IDS_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace ingest {

// Fixed-size text, so that a network of millions of users holds no strings.
template <size_t N>
struct FixedText {
  std::array<char, N> bytes;
  std::string_view view() const { return {bytes.data(), N}; }
};

using DidText = FixedText<32>;  // "did:plc:" and 24 letters
using CidText = FixedText<59>;  // "bafyrei…" or "bafkrei…"
using TidText = FixedText<13>;

// The DID of user `user` of network `seed`.
DidText MakeDid(uint64_t seed, uint32_t user);

// The CID that names `content`: its SHA-256, marked as DAG-CBOR (a record) or
// as raw bytes (a blob). A true record's is of its CBOR form; nothing that
// reads Jetstream has that form, so nothing can tell.
CidText MakeRecordCid(std::string_view content);
CidText MakeBlobCid(std::string_view content);

// The timestamp identifier of `time_us` on clock `clock` (ten bits): sorts as
// text in the order of time.
TidText MakeTid(int64_t time_us, uint32_t clock);

// "2024-05-06T07:08:09.123Z" of `time_us`.
FixedText<24> MakeTimestamp(int64_t time_us);

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_GENERATE_IDS_H_
