// Times as records carry them.
#ifndef RINGPLANE_SERVICE_INGEST_DATETIME_H_
#define RINGPLANE_SERVICE_INGEST_DATETIME_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace ingest {

// Milliseconds since 1970 of "2025-03-01T08:10:17.423Z"; finer digits are cut
// off. Takes what the network's clients write and not only RFC 3339: a space
// for the T, no seconds, an offset without a colon, no offset (UTC), a date
// alone. Years 0 to 9999. Nothing if it is no time.
std::optional<int64_t> ParseDatetimeMs(std::string_view text);

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_DATETIME_H_
