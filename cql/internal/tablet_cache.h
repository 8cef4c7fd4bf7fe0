// A TabletMap as bytes, to be kept over a restart.
#ifndef RINGPLANE_CQL_INTERNAL_TABLET_CACHE_H_
#define RINGPLANE_CQL_INTERNAL_TABLET_CACHE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cql/internal/tablet_map.h"

namespace cql::internal {

// All numbers are big-endian: "RPTABLET", version, a checksum of the rest
// (Murmur3Token()), then the hosts, and each table with its tablets.
std::string EncodeTabletCache(const TabletMap& map);

// Inserts what `bytes` hold into `*map`, which is left alone on an error:
// kInvalidArgument for another format or version, kDataLoss for bytes that are
// cut off or damaged. What `*map` has no room for is left out.
absl::Status DecodeTabletCache(std::string_view bytes, TabletMap* map);

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_TABLET_CACHE_H_
