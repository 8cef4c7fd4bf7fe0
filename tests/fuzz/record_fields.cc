// Records of every collection: any bytes are either refused or indexed.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "service/ingest/datetime.h"
#include "service/ingest/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static ingest::RecordParser parser;
  const auto collection =
      static_cast<ingest::Collection>(data[0] % ingest::kCollectionCount);
  std::string_view json(reinterpret_cast<const char*>(data + 1), size - 1);
  ingest::Record record;
  if (parser
          .Parse(collection, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "3k2a", json,
                 &record)
          .ok()) {
    if (!record.reply_root.empty() &&
        !ingest::ParseRecordUri(record.reply_root)) {
      __builtin_trap();
    }
  }
  static_cast<void>(ingest::ParseDatetimeMs(json));
  static_cast<void>(ingest::ParseRecordUri(json));
  return 0;
}
