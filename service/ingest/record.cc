#include "service/ingest/record.h"

#include <array>

#include "service/ingest/atproto_syntax.h"
#include "service/ingest/datetime.h"
#include "service/ingest/text.h"
#include "simdjson.h"

namespace ingest {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kUriBytesMax = 1024;
constexpr size_t kDepthMax = 64;
constexpr std::string_view kUriScheme = "at://";

constexpr std::array<std::string_view, kCollectionCount> kNsids = {
    "app.bsky.feed.post",
    "app.bsky.feed.threadgate",
    "app.bsky.feed.postgate",
    "app.bsky.feed.like",
    "app.bsky.feed.repost",
    "app.bsky.graph.follow",
    "app.bsky.actor.profile",
    "app.bsky.graph.list",
    "app.bsky.graph.listitem",
    "app.bsky.graph.listblock",
    "app.bsky.graph.block",
    "app.bsky.feed.generator",
    "app.bsky.graph.starterpack",
    "app.bsky.labeler.service",
    "app.bsky.notification.declaration",
    "chat.bsky.actor.declaration",
    "com.germnetwork.declaration",
    "app.bsky.graph.verification",
    "app.bsky.actor.status",
};

absl::Status Malformed(std::string_view path, std::string_view name,
                       std::string_view reason) {
  return absl::InvalidArgumentError(Cat(path, name, ": ", reason));
}

// The fields of one object and where it stands ("reply.root."), for messages.
// Of a name given twice the first counts, as in every reader of this kind.
class Object {
 public:
  Object(dom::object object, std::string path)
      : object_(object), path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  // Null counts as absent.
  std::optional<dom::element> Find(std::string_view name) const {
    dom::element value;
    if (object_.at_key(name).get(value) != simdjson::SUCCESS ||
        value.is_null()) {
      return std::nullopt;
    }
    return value;
  }
  absl::Status Error(std::string_view name, std::string_view reason) const {
    return Malformed(path_, name, reason);
  }

  // Each leaves `out` as it is when the field is absent.
  absl::Status OptionalString(std::string_view name,
                              std::optional<std::string_view>* out) const {
    std::optional<dom::element> value = Find(name);
    if (!value) return absl::OkStatus();
    std::string_view text;
    if (value->get_string().get(text) != simdjson::SUCCESS) {
      return Error(name, "not a string");
    }
    *out = text;
    return absl::OkStatus();
  }
  absl::Status String(std::string_view name, std::string_view* out) const {
    std::optional<std::string_view> value;
    absl::Status status = OptionalString(name, &value);
    if (!status.ok()) return status;
    if (!value) return Error(name, "missing");
    *out = *value;
    return absl::OkStatus();
  }
  absl::Status OptionalObject(std::string_view name,
                              std::optional<Object>* out) const {
    std::optional<dom::element> value = Find(name);
    if (!value) return absl::OkStatus();
    dom::object object;
    if (value->get_object().get(object) != simdjson::SUCCESS) {
      return Error(name, "not an object");
    }
    out->emplace(object, Cat(path_, name, "."));
    return absl::OkStatus();
  }
  absl::Status RequiredObject(std::string_view name,
                              std::optional<Object>* out) const {
    absl::Status status = OptionalObject(name, out);
    if (status.ok() && !*out) return Error(name, "missing");
    return status;
  }

  // Calls element(dom::element, path) for each element of an array, if there
  // is one, until one is not OK.
  template <typename F>
  absl::Status ForEach(std::string_view name, F element) const {
    std::optional<dom::element> value = Find(name);
    if (!value) return absl::OkStatus();
    dom::array array;
    if (value->get_array().get(array) != simdjson::SUCCESS) {
      return Error(name, "not a list");
    }
    size_t index = 0;
    for (dom::element item : array) {
      absl::Status status = element(item, Cat(path_, name, "[", index++, "]"));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  template <typename F>
  absl::Status ForEachObject(std::string_view name, F element) const {
    return ForEach(name, [&element](dom::element item, std::string path) {
      dom::object object;
      if (item.get_object().get(object) != simdjson::SUCCESS) {
        return Malformed(path, "", "not an object");
      }
      path += '.';
      return element(Object(object, std::move(path)));
    });
  }

  absl::Status Did(std::string_view name, std::string* out) const {
    std::string_view text;
    absl::Status status = String(name, &text);
    if (!status.ok()) return status;
    if (!IsDid(text)) return Error(name, "not a DID");
    out->assign(text);
    return absl::OkStatus();
  }
  absl::Status Uri(std::string_view name, std::string* out) const {
    std::string_view text;
    absl::Status status = String(name, &text);
    if (!status.ok()) return status;
    if (!ParseRecordUri(text)) {
      return Error(name, "not the URI of a record");
    }
    out->assign(text);
    return absl::OkStatus();
  }
  // The `uri` of a {uri, cid}.
  absl::Status Reference(std::string_view name, std::string* out) const {
    std::optional<Object> reference;
    absl::Status status = RequiredObject(name, &reference);
    if (!status.ok()) return status;
    return reference->Uri("uri", out);
  }
  std::string_view Type() const {
    std::optional<dom::element> value = Find("$type");
    std::string_view type;
    if (!value || value->get_string().get(type) != simdjson::SUCCESS) {
      return {};
    }
    return type;
  }

 private:
  dom::object object_;
  std::string path_;
};

// Whether a record of the collection must say when it was made, may, or has no
// such field.
enum class CreatedAt { kRequired, kOptional, kNone };

CreatedAt CreatedAtOf(Collection collection) {
  switch (collection) {
    case Collection::kNotificationDeclaration:
    case Collection::kChatDeclaration:
    case Collection::kGermDeclaration:
      return CreatedAt::kNone;
    case Collection::kProfile:
      return CreatedAt::kOptional;
    default:
      return CreatedAt::kRequired;
  }
}

absl::Status ParseCreatedAt(CreatedAt rule, const Object& object,
                            Record* record) {
  if (rule == CreatedAt::kNone) {
    // Whatever it says, it is not ours to judge.
    std::optional<std::string_view> text;
    if (object.OptionalString("createdAt", &text).ok() && text) {
      record->created_at_ms = ParseDatetimeMs(*text);
    }
    return absl::OkStatus();
  }
  std::optional<std::string_view> text;
  absl::Status status = object.OptionalString("createdAt", &text);
  if (!status.ok()) return status;
  if (!text) {
    if (rule == CreatedAt::kOptional) return absl::OkStatus();
    return object.Error("createdAt", "missing");
  }
  record->created_at_ms = ParseDatetimeMs(*text);
  if (!record->created_at_ms) return object.Error("createdAt", "not a time");
  return absl::OkStatus();
}

absl::Status ParseFacets(const Object& object, Record* record) {
  return object.ForEachObject("facets", [record](const Object& facet) {
    return facet.ForEachObject("features", [record](const Object& feature) {
      if (feature.Type() != "app.bsky.richtext.facet#mention") {
        return absl::OkStatus();
      }
      return feature.Did("did", &record->mentions.emplace_back());
    });
  });
}

void ParseMedia(std::string_view type, Record* record) {
  record->has_images =
      type == "app.bsky.embed.images" || type == "app.bsky.embed.gallery";
  record->has_video = type == "app.bsky.embed.video";
}

absl::Status ParseQuote(const Object& embed, Record* record) {
  absl::Status status = embed.Reference("record", &record->quote);
  if (!status.ok()) return status;
  // Lists, feeds and starter packs are embedded likewise.
  if (ParseRecordUri(record->quote)->collection !=
      CollectionNsid(Collection::kPost)) {
    record->quote.clear();
  }
  return absl::OkStatus();
}

absl::Status ParseEmbed(const Object& object, Record* record) {
  std::optional<Object> embed;
  absl::Status status = object.OptionalObject("embed", &embed);
  if (!status.ok() || !embed) return status;
  const std::string_view type = embed->Type();
  if (type == "app.bsky.embed.record") return ParseQuote(*embed, record);
  if (type != "app.bsky.embed.recordWithMedia") {
    ParseMedia(type, record);
    return absl::OkStatus();
  }
  std::optional<Object> media, inner;
  status = embed->RequiredObject("media", &media);
  if (!status.ok()) return status;
  ParseMedia(media->Type(), record);
  status = embed->RequiredObject("record", &inner);
  if (!status.ok()) return status;
  return ParseQuote(*inner, record);
}

absl::Status ParsePost(const Object& object, Record* record) {
  std::string_view text;
  absl::Status status = object.String("text", &text);
  if (!status.ok()) return status;
  std::optional<Object> reply;
  status = object.OptionalObject("reply", &reply);
  if (!status.ok()) return status;
  if (reply) {
    status = reply->Reference("root", &record->reply_root);
    if (!status.ok()) return status;
    status = reply->Reference("parent", &record->reply_parent);
    if (!status.ok()) return status;
  }
  status = ParseFacets(object, record);
  if (!status.ok()) return status;
  return ParseEmbed(object, record);
}

// A gate belongs to the post of the same account and key, or to none.
absl::Status ParseGatedPost(const Object& object, std::string_view did,
                            std::string_view rkey, Record* record) {
  absl::Status status = object.Uri("post", &record->subject);
  if (!status.ok()) return status;
  const UriParts post = *ParseRecordUri(record->subject);
  if (post.collection != CollectionNsid(Collection::kPost)) {
    return object.Error("post", "not the URI of a post");
  }
  if (post.did != did || post.rkey != rkey) {
    return object.Error("post", "not of the gate's account and key");
  }
  return absl::OkStatus();
}

absl::Status ParseThreadgate(const Object& object, Record* record) {
  record->has_allow = object.Find("allow").has_value();
  absl::Status status =
      object.ForEachObject("allow", [record](const Object& rule) {
        const std::string_view type = rule.Type();
        if (type == "app.bsky.feed.threadgate#mentionRule") {
          record->allow_mentioned = true;
        } else if (type == "app.bsky.feed.threadgate#followingRule") {
          record->allow_followed = true;
        } else if (type == "app.bsky.feed.threadgate#followerRule") {
          record->allow_followers = true;
        } else if (type == "app.bsky.feed.threadgate#listRule") {
          return rule.Uri("list", &record->allow_lists.emplace_back());
        }
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return object.ForEach("hiddenReplies",
                        [record](dom::element item, const std::string& path) {
                          std::string_view uri;
                          if (item.get_string().get(uri) != simdjson::SUCCESS) {
                            return Malformed(path, "", "not a string");
                          }
                          record->hidden_replies.emplace_back(uri);
                          return absl::OkStatus();
                        });
}

absl::Status ParsePostgate(const Object& object, Record* record) {
  return object.ForEachObject("embeddingRules", [record](const Object& rule) {
    if (rule.Type() == "app.bsky.feed.postgate#disableRule") {
      record->embedding_disabled = true;
    }
    return absl::OkStatus();
  });
}

absl::Status ParseVia(const Object& object, Record* record) {
  std::optional<Object> via;
  absl::Status status = object.OptionalObject("via", &via);
  if (!status.ok() || !via) return status;
  return via->Uri("uri", &record->via);
}

absl::Status ParseListitem(const Object& object, std::string_view did,
                           Record* record) {
  absl::Status status = object.Did("subject", &record->subject);
  if (!status.ok()) return status;
  status = object.Uri("list", &record->list);
  if (!status.ok()) return status;
  if (ParseRecordUri(record->list)->did != did) {
    return object.Error("list", "belongs to another account");
  }
  return absl::OkStatus();
}

absl::Status ParseProfile(const Object& object, Record* record) {
  std::optional<Object> pack;
  absl::Status status = object.OptionalObject("joinedViaStarterPack", &pack);
  if (!status.ok() || !pack) return status;
  return pack->Uri("uri", &record->joined_via_starter_pack);
}

absl::Status ParseVerification(const Object& object, Record* record) {
  absl::Status status = object.Did("subject", &record->subject);
  if (!status.ok()) return status;
  std::string_view handle, display_name;
  status = object.String("handle", &handle);
  if (!status.ok()) return status;
  status = object.String("displayName", &display_name);
  if (!status.ok()) return status;
  record->handle.assign(handle);
  record->display_name.assign(display_name);
  return absl::OkStatus();
}

std::string_view Reason(simdjson::error_code error) {
  switch (error) {
    case simdjson::UTF8_ERROR:
      return "not UTF-8";
    case simdjson::DEPTH_ERROR:
      return "nested too deep";
    case simdjson::CAPACITY:
      return "too large";
    default:
      return "not JSON";
  }
}

}  // namespace

std::optional<Collection> FindCollection(std::string_view nsid) {
  for (size_t i = 0; i < kNsids.size(); ++i) {
    if (kNsids[i] == nsid) return static_cast<Collection>(i);
  }
  return std::nullopt;
}

std::string_view CollectionNsid(Collection collection) {
  return kNsids[static_cast<size_t>(collection)];
}

std::optional<UriParts> ParseRecordUri(std::string_view uri) {
  if (uri.size() > kUriBytesMax || !uri.starts_with(kUriScheme)) {
    return std::nullopt;
  }
  uri.remove_prefix(kUriScheme.size());
  const size_t first = uri.find('/');
  if (first == uri.npos) return std::nullopt;
  const size_t second = uri.find('/', first + 1);
  if (second == uri.npos) return std::nullopt;
  UriParts parts = {uri.substr(0, first),
                    uri.substr(first + 1, second - first - 1),
                    uri.substr(second + 1)};
  if (!IsDid(parts.did) || !IsNsid(parts.collection) ||
      !IsRecordKey(parts.rkey)) {
    return std::nullopt;
  }
  return parts;
}

std::string RecordUri(std::string_view did, std::string_view collection,
                      std::string_view rkey) {
  return Cat(kUriScheme, did, "/", collection, "/", rkey);
}

std::string UriInCollection(std::string_view uri, Collection collection) {
  std::optional<UriParts> parts = ParseRecordUri(uri);
  if (!parts) return {};
  return RecordUri(parts->did, CollectionNsid(collection), parts->rkey);
}

void Record::Clear() { *this = Record(); }

struct RecordParser::Impl {
  dom::parser parser;
};

RecordParser::RecordParser() : impl_(std::make_unique<Impl>()) {}
RecordParser::~RecordParser() = default;

absl::Status RecordParser::Parse(Collection collection, std::string_view did,
                                 std::string_view rkey, std::string_view json,
                                 Record* record) {
  record->Clear();
  dom::parser& parser = impl_->parser;
  if (json.size() > parser.capacity() &&
      parser.allocate(json.size(), kDepthMax) != simdjson::SUCCESS) {
    return absl::ResourceExhaustedError("no memory to parse a record");
  }
  dom::element root;
  simdjson::error_code error = parser.parse(json.data(), json.size()).get(root);
  if (error != simdjson::SUCCESS) {
    return Malformed("", "record", Reason(error));
  }
  dom::object fields;
  if (root.get_object().get(fields) != simdjson::SUCCESS) {
    return Malformed("", "record", "not an object");
  }
  const Object object(fields, "");
  if (object.Find("$type") && object.Type() != CollectionNsid(collection)) {
    return object.Error("$type", Cat("not ", CollectionNsid(collection)));
  }
  absl::Status status = ParseCreatedAt(CreatedAtOf(collection), object, record);
  if (!status.ok()) return status;

  switch (collection) {
    case Collection::kPost:
      return ParsePost(object, record);
    case Collection::kThreadgate:
      status = ParseGatedPost(object, did, rkey, record);
      return status.ok() ? ParseThreadgate(object, record) : status;
    case Collection::kPostgate:
      status = ParseGatedPost(object, did, rkey, record);
      return status.ok() ? ParsePostgate(object, record) : status;
    case Collection::kLike:
    case Collection::kRepost:
      status = object.Reference("subject", &record->subject);
      return status.ok() ? ParseVia(object, record) : status;
    case Collection::kListblock:
      return object.Uri("subject", &record->subject);
    case Collection::kFollow:
    case Collection::kBlock:
      return object.Did("subject", &record->subject);
    case Collection::kListitem:
      return ParseListitem(object, did, record);
    case Collection::kProfile:
      return ParseProfile(object, record);
    case Collection::kVerification:
      return ParseVerification(object, record);
    case Collection::kList:
    case Collection::kGenerator:
    case Collection::kStarterpack:
    case Collection::kLabeler:
    case Collection::kNotificationDeclaration:
    case Collection::kChatDeclaration:
    case Collection::kGermDeclaration:
    case Collection::kStatus:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace ingest
