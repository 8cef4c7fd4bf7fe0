#include "cql/node/paging.h"

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"

namespace cql::node {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kChecksumSize = 8;

}  // namespace

uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325 ^ seed;
  for (char c : bytes) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x100000001b3;
    hash ^= hash >> 29;
  }
  return hash;
}

void EncodePosition(const PagePosition& position, uint64_t statement,
                    uint64_t seal, std::string* state) {
  state->clear();
  state->push_back(kVersion);
  state->push_back(position.whole_partition ? 1 : 0);
  AppendBig(position.rows, state);
  AppendBig(position.rows_of_partition, state);
  AppendBytes(position.partition, state);
  AppendBytes(position.clustering, state);
  AppendBig(HashBytes(*state, statement ^ seal), state);
}

absl::Status DecodePosition(std::string_view state, uint64_t statement,
                            uint64_t seal, PagePosition* position) {
  const absl::Status invalid = MakeError(ServerCode::kProtocolError,
                                         "Invalid value for the paging state");
  if (state.size() < kChecksumSize) return invalid;
  const std::string_view body = state.substr(0, state.size() - kChecksumSize);
  if (LoadBig<uint64_t>(state.data() + body.size()) !=
      HashBytes(body, statement ^ seal)) {
    return invalid;
  }
  ByteReader reader(body);
  uint8_t version;
  uint8_t whole;
  std::string_view partition;
  std::string_view clustering;
  bool null;
  if (!reader.Read(&version) || version != kVersion || !reader.Read(&whole) ||
      !reader.Read(&position->rows) ||
      !reader.Read(&position->rows_of_partition) ||
      !reader.ReadBytes(&partition, &null) || null ||
      !reader.ReadBytes(&clustering, &null) || null || !reader.empty()) {
    return invalid;
  }
  position->whole_partition = whole != 0;
  position->partition = std::string(partition);
  position->clustering = std::string(clustering);
  return absl::OkStatus();
}

}  // namespace cql::node
