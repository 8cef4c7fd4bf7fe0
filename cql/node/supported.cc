#include "cql/node/supported.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cql/protocol/absl_text.h"

namespace cql::node {

using protocol::AbslText;

protocol::Supported MakeSupported(const NodeOptions& options, uint32_t shard,
                                  uint16_t shard_aware_port) {
  protocol::Supported supported;
  const auto add = [&](std::string key, std::vector<std::string> values) {
    supported.options.emplace_back(std::move(key), std::move(values));
  };
  add("CQL_VERSION", {"3.3.1"});
  add("COMPRESSION", {"lz4", "snappy"});
  add("CLIENT_OPTIONS", {""});
  if (options.announce_sharding) {
    add("SCYLLA_SHARD", {absl::StrCat(shard)});
    add("SCYLLA_NR_SHARDS", {absl::StrCat(options.shards)});
    add("SCYLLA_SHARDING_ALGORITHM", {"biased-token-round-robin"});
    add("SCYLLA_SHARDING_IGNORE_MSB",
        {absl::StrCat(static_cast<int>(options.sharding_ignore_msb))});
    add("SCYLLA_PARTITIONER", {"org.apache.cassandra.dht.Murmur3Partitioner"});
    if (shard_aware_port != 0) {
      add("SCYLLA_SHARD_AWARE_PORT", {absl::StrCat(shard_aware_port)});
    }
  }
  if (options.announce_extensions) {
    add("SCYLLA_LWT_ADD_METADATA_MARK",
        {absl::StrCat("LWT_OPTIMIZATION_META_BIT_MASK=", kLwtMark)});
    add("SCYLLA_RATE_LIMIT_ERROR",
        {absl::StrCat("ERROR_CODE=",
                      static_cast<int32_t>(ServerCode::kRateLimit))});
    add("SCYLLA_USE_METADATA_ID", {""});
  }
  return supported;
}

absl::StatusOr<Negotiated> Negotiate(const NodeOptions& options,
                                     const protocol::StartupRequest& startup) {
  if (!startup.Find("CQL_VERSION").has_value()) {
    return absl::InvalidArgumentError(
        "Missing value CQL_VERSION in STARTUP message");
  }
  Negotiated negotiated;
  if (const auto name = startup.Find("COMPRESSION")) {
    const std::optional<protocol::Compression> compression =
        protocol::ParseCompression(*name);
    if (!compression.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("Unknown compression algorithm: ", AbslText(*name)));
    }
    negotiated.compression = *compression;
  }
  if (options.announce_extensions) {
    // The presence of the key is the choice; its value means nothing.
    const auto has = [&](std::string_view key) {
      return startup.Find(key).has_value();
    };
    negotiated.lwt_mark = has("SCYLLA_LWT_ADD_METADATA_MARK");
    negotiated.rate_limit_error = has("SCYLLA_RATE_LIMIT_ERROR");
    negotiated.metadata_id = has("SCYLLA_USE_METADATA_ID");
  }
  return negotiated;
}

}  // namespace cql::node
