// Any bytes as a tablet of a custom payload, and as a tablet cache: a value or
// a reason, never a fault. Input: which of them; bytes. The cache's head is
// built around its bytes, so that mutations reach what follows the checksum.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "cql/internal/tablet_cache.h"
#include "cql/internal/tablet_map.h"
#include "cql/protocol/tablet.h"
#include "cql/protocol/token.h"
#include "cql/protocol/wire.h"
#include "ioloop/check.h"

namespace {

void TryTablet(std::string_view bytes) {
  const absl::StatusOr<cql::protocol::Tablet> tablet =
      cql::protocol::DecodeTablet(bytes);
  if (!tablet.ok()) return;
  std::string encoded;
  cql::protocol::Writer writer(&encoded);
  cql::protocol::EncodeTablet(&writer, *tablet);
  writer.Finish();
  const absl::StatusOr<cql::protocol::Tablet> again =
      cql::protocol::DecodeTablet(encoded);
  RINGPLANE_CHECK(again.ok() && *again == *tablet);
  cql::internal::TabletMap map(10);
  RINGPLANE_CHECK(map.Insert("ks", "t", *tablet));
  RINGPLANE_CHECK(map.Find("ks", "t")->Find(tablet->last).size() ==
                  tablet->replicas.size());
  RINGPLANE_CHECK(map.Find("ks", "t")->Find(tablet->first).empty());
}

void TryCache(std::string_view bytes) {
  cql::internal::TabletMap map(1000);
  if (!cql::internal::DecodeTabletCache(bytes, &map).ok()) {
    RINGPLANE_CHECK(map.size() == 0);
    return;
  }
  RINGPLANE_CHECK(map.size() <= 1000);
  cql::internal::TabletMap again(1000);
  RINGPLANE_CHECK(cql::internal::DecodeTabletCache(
                      cql::internal::EncodeTabletCache(map), &again)
                      .ok());
  RINGPLANE_CHECK(again.size() == map.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  switch (data[0] % 3) {
    case 0:
      TryTablet(rest);
      break;
    case 1:
      TryCache(rest);
      break;
    case 2: {
      std::string cache = "RPTABLET";
      cql::protocol::Writer writer(&cache);
      writer.Int(1);
      writer.Long(cql::Murmur3Token(rest));
      writer.Raw(rest);
      writer.Finish();
      TryCache(cache);
      break;
    }
  }
  return 0;
}
