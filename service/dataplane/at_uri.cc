#include "service/dataplane/at_uri.h"

namespace dataplane {
namespace {

// Bytes that may stand in a key: visible ASCII.
bool IsPlain(std::string_view text) {
  for (char byte : text) {
    if (byte <= ' ' || byte > '~') return false;
  }
  return true;
}

}  // namespace

bool IsDid(std::string_view text) {
  if (text.size() > kKeyBytesMax || !IsPlain(text)) return false;
  if (!text.starts_with("did:")) return false;
  text.remove_prefix(4);
  const size_t method_end = text.find(':');
  return method_end != std::string_view::npos && method_end > 0 &&
         method_end + 1 < text.size() &&
         text.find('/') == std::string_view::npos;
}

std::optional<AtUri> ParseAtUri(std::string_view text) {
  if (text.size() > kKeyBytesMax || !IsPlain(text)) return std::nullopt;
  if (!text.starts_with("at://")) return std::nullopt;
  text.remove_prefix(5);
  const size_t did_end = text.find('/');
  if (did_end == std::string_view::npos) return std::nullopt;
  const size_t collection_end = text.find('/', did_end + 1);
  if (collection_end == std::string_view::npos) return std::nullopt;
  AtUri uri;
  uri.did = text.substr(0, did_end);
  uri.collection = text.substr(did_end + 1, collection_end - did_end - 1);
  uri.rkey = text.substr(collection_end + 1);
  if (!IsDid(uri.did) || uri.collection.empty() || uri.rkey.empty() ||
      uri.rkey.find('/') != std::string_view::npos) {
    return std::nullopt;
  }
  return uri;
}

}  // namespace dataplane
