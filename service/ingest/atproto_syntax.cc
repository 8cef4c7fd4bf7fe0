#include "service/ingest/atproto_syntax.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/ascii.h"

namespace ingest {
namespace {

constexpr size_t kDidBytesMax = 2048;
constexpr size_t kNsidBytesMax = 317;
constexpr size_t kRecordKeyBytesMax = 512;
constexpr size_t kHandleBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;
constexpr size_t kCidBytesMin = 16;
constexpr size_t kCidBytesMax = 256;

bool IsBase32(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
}

// Calls `accept(label, last)` for each part between dots; false if any is not
// accepted. Returns how many there are through `labels`.
template <typename Accept>
bool EveryLabel(std::string_view text, int* labels, Accept accept) {
  *labels = 0;
  for (;;) {
    size_t dot = text.find('.');
    bool last = dot == std::string_view::npos;
    ++*labels;
    if (!accept(text.substr(0, dot), last)) return false;
    if (last) return true;
    text.remove_prefix(dot + 1);
  }
}

bool IsDomainLabel(std::string_view label) {
  if (label.empty() || label.size() > kLabelBytesMax) return false;
  if (label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  });
}

}  // namespace

bool IsDid(std::string_view text) {
  if (text.size() > kDidBytesMax || !text.starts_with("did:")) return false;
  text.remove_prefix(4);
  size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  for (char c : text.substr(0, colon)) {
    if (!absl::ascii_islower(static_cast<unsigned char>(c))) return false;
  }
  std::string_view id = text.substr(colon + 1);
  if (id.empty() || id.back() == ':' || id.back() == '%') return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '_' || c == ':' || c == '%' || c == '-';
  });
}

bool IsNsid(std::string_view text) {
  if (text.size() > kNsidBytesMax) return false;
  int labels = 0;
  bool good = EveryLabel(text, &labels, [](std::string_view label, bool last) {
    if (!IsDomainLabel(label)) return false;
    // The name itself, unlike the domain before it, has no hyphens.
    if (last && label.find('-') != std::string_view::npos) return false;
    return !(last && absl::ascii_isdigit(static_cast<unsigned char>(label[0])));
  });
  return good && labels >= 3 &&
         !absl::ascii_isdigit(static_cast<unsigned char>(text[0]));
}

bool IsRecordKey(std::string_view text) {
  if (text.empty() || text.size() > kRecordKeyBytesMax) return false;
  if (text == "." || text == "..") return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '_' || c == ':' || c == '~' || c == '-';
  });
}

bool IsCid(std::string_view text) {
  if (text.size() < kCidBytesMin || text.size() > kCidBytesMax) return false;
  // "b" names base32; five and three bits of "ae" to "ah" are the version, 1.
  if (text[0] != 'b' || text[1] != 'a' || text[2] < 'e' || text[2] > 'h') {
    return false;
  }
  return std::all_of(text.begin(), text.end(), IsBase32);
}

bool IsHandle(std::string_view text) {
  if (text.size() > kHandleBytesMax) return false;
  int labels = 0;
  bool good = EveryLabel(text, &labels, [](std::string_view label, bool last) {
    if (!IsDomainLabel(label)) return false;
    return !(last && absl::ascii_isdigit(static_cast<unsigned char>(label[0])));
  });
  return good && labels >= 2;
}

bool IsServedCollection(std::string_view nsid) {
  static constexpr std::array<std::string_view, 19> kServed = {
      "app.bsky.actor.profile",
      "app.bsky.actor.status",
      "app.bsky.feed.generator",
      "app.bsky.feed.like",
      "app.bsky.feed.post",
      "app.bsky.feed.postgate",
      "app.bsky.feed.repost",
      "app.bsky.feed.threadgate",
      "app.bsky.graph.block",
      "app.bsky.graph.follow",
      "app.bsky.graph.list",
      "app.bsky.graph.listblock",
      "app.bsky.graph.listitem",
      "app.bsky.graph.starterpack",
      "app.bsky.graph.verification",
      "app.bsky.labeler.service",
      "app.bsky.notification.declaration",
      "chat.bsky.actor.declaration",
      "com.germnetwork.declaration",
  };
  static_assert(std::is_sorted(kServed.begin(), kServed.end()));
  return std::binary_search(kServed.begin(), kServed.end(), nsid);
}

}  // namespace ingest
