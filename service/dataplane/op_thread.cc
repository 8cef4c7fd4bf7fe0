#include "service/dataplane/op_thread.h"

#include <algorithm>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "service/dataplane/at_uri.h"

namespace dataplane {
namespace {

constexpr std::string_view kTidAlphabet = "234567abcdefghijklmnopqrstuvwxyz";
constexpr size_t kTidChars = 13;
constexpr int kTidClockBits = 10;

using Children =
    absl::flat_hash_map<std::string_view, std::vector<const OpReply*>>;

// A post on the way down, and how far its replies have been tried.
struct Step {
  const OpReply* reply;  // nullptr: the root.
  const std::vector<const OpReply*>* children;
  size_t next = 0;
  std::optional<int64_t> vacated_ms;
};

// Whether `reply` was written after its place became free.
bool WrittenAfter(const OpReply& reply, int64_t vacated_ms) {
  const std::optional<AtUri> uri = ParseAtUri(reply.uri);
  if (!uri.has_value()) return false;
  const std::optional<int64_t> micros = MicrosOfTid(uri->rkey);
  return micros.has_value() && *micros > vacated_ms * 1000;
}

}  // namespace

std::optional<int64_t> MicrosOfTid(std::string_view rkey) {
  if (rkey.size() != kTidChars) return std::nullopt;
  uint64_t value = 0;
  for (char letter : rkey) {
    const size_t digit = kTidAlphabet.find(letter);
    if (digit == std::string_view::npos) return std::nullopt;
    value = (value << 5) | digit;
  }
  return static_cast<int64_t>(value >> kTidClockBits);
}

std::vector<std::string> OpThreadOf(std::string_view root,
                                    std::vector<OpReply> replies) {
  // By uri is by age: record keys are TIDs.
  std::sort(replies.begin(), replies.end(),
            [](const OpReply& a, const OpReply& b) {
              return std::tie(a.uri, a.parent) < std::tie(b.uri, b.parent);
            });
  Children children;
  for (const OpReply& reply : replies) {
    children[reply.parent].push_back(&reply);
  }
  static const std::vector<const OpReply*> kNone;
  auto children_of = [&children](std::string_view uri) {
    auto place = children.find(uri);
    return place == children.end() ? &kNone : &place->second;
  };

  absl::flat_hash_set<std::string_view> seen = {root};
  std::vector<Step> path = {{nullptr, children_of(root), 0, std::nullopt}};
  while (!path.empty()) {
    Step& step = path.back();
    if (step.next < step.children->size()) {
      const OpReply* reply = (*step.children)[step.next++];
      if (seen.contains(reply->uri)) return {};
      if (step.vacated_ms.has_value() &&
          !WrittenAfter(*reply, *step.vacated_ms)) {
        continue;
      }
      seen.insert(reply->uri);
      path.push_back({reply, children_of(reply->uri), 0, std::nullopt});
      continue;
    }
    // Nothing goes on below this post: it ends the chain if it lives.
    const OpReply* reply = step.reply;
    if (reply == nullptr) return {};
    if (!reply->deleted_at_ms.has_value()) break;
    seen.erase(reply->uri);
    path.pop_back();
    Step& parent = path.back();
    parent.vacated_ms =
        std::max(parent.vacated_ms.value_or(0), *reply->deleted_at_ms);
  }

  std::vector<std::string> thread = {std::string(root)};
  for (const Step& step : path) {
    if (step.reply != nullptr) thread.push_back(step.reply->uri);
  }
  return thread;
}

}  // namespace dataplane
