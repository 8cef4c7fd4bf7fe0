// Keys of requests: at-uris and DIDs. Reading them never fails a request; what
// is not well-formed names nothing.
#ifndef RINGPLANE_SERVICE_DATAPLANE_AT_URI_H_
#define RINGPLANE_SERVICE_DATAPLANE_AT_URI_H_

#include <cstddef>
#include <optional>
#include <string_view>

namespace dataplane {

// Longer keys than this are in no table.
inline constexpr size_t kKeyBytesMax = 2048;

// "at://did:plc:abc/app.bsky.feed.post/3k2a": views into the text it was read
// from.
struct AtUri {
  std::string_view did;
  std::string_view collection;
  std::string_view rkey;
};

// Nothing unless `text` is the at-uri of a record with a DID as authority.
std::optional<AtUri> ParseAtUri(std::string_view text);

// Whether `text` may be a DID: its prefix, a method, something after it.
bool IsDid(std::string_view text);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_AT_URI_H_
