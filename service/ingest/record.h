// What the dataplane indexes of a record, checked.
#ifndef RINGPLANE_SERVICE_INGEST_RECORD_H_
#define RINGPLANE_SERVICE_INGEST_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace ingest {

enum class Collection : uint8_t {
  kPost,
  kThreadgate,
  kPostgate,
  kLike,
  kRepost,
  kFollow,
  kProfile,
  kList,
  kListitem,
  kListblock,
  kBlock,
  kGenerator,
  kStarterpack,
  kLabeler,
  kNotificationDeclaration,
  kChatDeclaration,
  kGermDeclaration,
  kVerification,
  kStatus,
};
inline constexpr size_t kCollectionCount = 19;

std::optional<Collection> FindCollection(std::string_view nsid);
std::string_view CollectionNsid(Collection collection);

// The parts of "at://did:plc:abc/app.bsky.feed.post/3k2a", as views of it.
struct UriParts {
  std::string_view did;
  std::string_view collection;
  std::string_view rkey;
};
// Nothing unless `uri` names a record of a DID. At most 1,024 bytes long.
std::optional<UriParts> ParseRecordUri(std::string_view uri);

// "at://<did>/<collection>/<rkey>".
std::string RecordUri(std::string_view did, std::string_view collection,
                      std::string_view rkey);

// The URI with another collection: how a gate is found from its post.
std::string UriInCollection(std::string_view uri, Collection collection);

// Only what the collection has is set; strings are empty otherwise.
struct Record {
  std::optional<int64_t> created_at_ms;

  // like, repost, listblock, threadgate and postgate (the post): a record's
  // URI. follow, block, listitem, verification: a DID.
  std::string subject;
  // like, repost: the repost through which the subject was found.
  std::string via;
  // listitem.
  std::string list;

  // post.
  std::string reply_parent;
  std::string reply_root;
  std::string quote;  // The post that is embedded.
  std::vector<std::string> mentions;
  bool has_images = false;
  bool has_video = false;

  // threadgate. Without `allow`, everybody may reply.
  bool has_allow = false;
  bool allow_mentioned = false;
  bool allow_followed = false;   // Those whom the author follows.
  bool allow_followers = false;  // Those who follow the author.
  std::vector<std::string> allow_lists;
  std::vector<std::string> hidden_replies;

  // postgate.
  bool embedding_disabled = false;

  // profile.
  std::string joined_via_starter_pack;

  // verification.
  std::string handle;
  std::string display_name;

  void Clear();
};

// Parses records, one after the other. Not for use by two threads at once.
class RecordParser {
 public:
  RecordParser();
  ~RecordParser();
  RecordParser(const RecordParser&) = delete;
  RecordParser& operator=(const RecordParser&) = delete;

  // Fills `record` from `json`, a record of `did`'s collection under `rkey`.
  // kInvalidArgument names the field and what is wrong ("reply.root.uri: not
  // the URI of a record"); `record` is then unspecified. What the dataplane
  // does not index is not looked at.
  absl::Status Parse(Collection collection, std::string_view did,
                     std::string_view rkey, std::string_view json,
                     Record* record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_RECORD_H_
