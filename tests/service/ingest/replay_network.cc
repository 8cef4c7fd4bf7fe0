#include "tests/service/ingest/replay_network.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

#include "gtest/gtest.h"
#include "service/ingest/record.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

// Kinds of record of which an account has one, under the key "self".
bool IsSelf(Collection collection) {
  switch (collection) {
    case Collection::kProfile:
    case Collection::kLabeler:
    case Collection::kStatus:
    case Collection::kNotificationDeclaration:
    case Collection::kChatDeclaration:
    case Collection::kGermDeclaration:
      return true;
    default:
      return false;
  }
}

bool IsGate(Collection collection) {
  return collection == Collection::kThreadgate ||
         collection == Collection::kPostgate;
}

class Network {
 public:
  explicit Network(const NetworkOptions& options)
      : options_(options), random_(options.seed) {}

  std::vector<Event> Make() {
    // Something to be about.
    for (const std::string& name : names_) Create(Collection::kPost, name);
    Create(Collection::kList, names_[0]);
    Create(Collection::kStarterpack, names_[1]);
    while (events_.size() < options_.events) Next();
    return std::move(events_);
  }

 private:
  struct Made {
    std::string name;
    std::string rkey;
    std::string root;  // Of a post that is a reply.
    bool live = true;
    size_t event = 0;  // The last that wrote it.
  };

  uint32_t Below(size_t bound) { return random_() % bound; }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  const std::string& Name() { return names_[Below(names_.size())]; }
  std::vector<Made>& Of(Collection collection) {
    return made_[static_cast<size_t>(collection)];
  }
  std::string UriOf(Collection collection, const Made& made) {
    return EventMaker::Uri(made.name, CollectionNsid(collection), made.rkey);
  }
  // The URI of one that was made, and may be gone.
  std::string Some(Collection collection) {
    std::vector<Made>& all = Of(collection);
    // Mostly the newest, so that much comes together at one.
    const size_t recent = std::min<size_t>(all.size(), OneIn(3) ? 1000 : 4);
    return UriOf(collection, all[all.size() - 1 - Below(recent)]);
  }

  void Next() {
    const uint32_t what = Below(100);
    if (what < 3) {
      events_.push_back(
          make_.Identity(Name(), OneIn(4) ? "" : Cat("h", Below(5), ".test")));
      return;
    }
    if (what < 6) {
      constexpr const char* kStatus[] = {"deactivated", "takendown", ""};
      const char* status = kStatus[Below(3)];
      events_.push_back(make_.Account(Name(), *status == 0, status));
      return;
    }
    if (what < 8) {
      // In some networks rarely, so that they grow.
      if (!options_.purges || (options_.seed % 2 == 0 && !OneIn(8))) return;
      Purge(Name());
      return;
    }
    const Collection collection = PickCollection();
    const uint32_t operation = Below(10);
    if (operation < 4) {
      Create(collection, Name());
    } else if (operation < 7) {
      Update(collection);
    } else {
      Delete(collection);
    }
  }

  Collection PickCollection() {
    // Posts and the pairs that feeds are made of a third of the time.
    if (!OneIn(3)) return static_cast<Collection>(Below(kCollectionCount));
    constexpr Collection kOften[] = {Collection::kPost, Collection::kPost,
                                     Collection::kLike, Collection::kRepost,
                                     Collection::kFollow};
    return kOften[Below(std::size(kOften))];
  }

  void Create(Collection collection, std::string name) {
    std::vector<Made>& all = Of(collection);
    Made made;
    made.name = std::move(name);
    made.rkey = Cat(++next_);
    if (IsSelf(collection)) made.rkey = "self";
    if (IsGate(collection)) {
      const std::vector<Made>& posts = Of(Collection::kPost);
      const Made& post = posts[Below(posts.size())];
      made.name = post.name;
      // A gate may come before its post.
      made.rkey = OneIn(4) ? Cat(next_ + 1) : post.rkey;
    }
    // A key that was used before is used again.
    if (!IsSelf(collection) && !IsGate(collection) && OneIn(8)) {
      for (const Made& old : all) {
        if (old.live) continue;
        made.name = old.name;
        made.rkey = old.rkey;
        break;
      }
    }
    auto same = std::find_if(all.begin(), all.end(), [&made](const Made& old) {
      return old.name == made.name && old.rkey == made.rkey;
    });
    const bool anew = same == all.end();
    if (!anew) made = *same;
    made.live = true;
    const std::string fields = Fields(collection, &made);
    made.event = events_.size();
    events_.push_back(
        make_.Create(made.name, CollectionNsid(collection), made.rkey, fields));
    if (anew) {
      all.push_back(std::move(made));
    } else {
      *same = std::move(made);
    }
  }

  void Update(Collection collection) {
    Made* made = PickLive(collection);
    if (made == nullptr) return Create(collection, Name());
    if (OneIn(6)) {
      // The same record in another commit.
      Event again = events_[made->event];
      Event now =
          make_.Update(made->name, CollectionNsid(collection), made->rkey, "");
      now.cid = again.cid;
      now.record = again.record;
      events_.push_back(std::move(now));
      return;
    }
    const std::string fields = Fields(collection, made);
    made->event = events_.size();
    events_.push_back(make_.Update(made->name, CollectionNsid(collection),
                                   made->rkey, fields));
  }

  void Delete(Collection collection) {
    if (OneIn(12)) {
      // Of what never was.
      events_.push_back(make_.Delete(Name(), CollectionNsid(collection),
                                     IsSelf(collection) ? "self" : "never"));
      return;
    }
    Made* made = PickLive(collection);
    if (made == nullptr) return Create(collection, Name());
    made->live = false;
    events_.push_back(
        make_.Delete(made->name, CollectionNsid(collection), made->rkey));
  }

  void Purge(const std::string& name) {
    events_.push_back(make_.Account(name, false, "deleted"));
    for (std::vector<Made>& all : made_) {
      for (Made& made : all) {
        if (made.name == name) made.live = false;
      }
    }
  }

  Made* PickLive(Collection collection) {
    std::vector<Made*> live;
    for (Made& made : Of(collection)) {
      if (made.live) live.push_back(&made);
    }
    return live.empty() ? nullptr : live[Below(live.size())];
  }

  // A record's own fields; `made` is told what the generator has to know.
  std::string Fields(Collection collection, Made* made) {
    std::string fields;
    switch (collection) {
      case Collection::kPost:
        fields = PostFields(made);
        break;
      case Collection::kThreadgate:
      case Collection::kPostgate:
        fields = GateFields(collection, *made);
        break;
      case Collection::kLike:
      case Collection::kRepost:
        fields = Cat(R"("subject":)", Ref(Subject(collection)));
        if (OneIn(3) && !Of(Collection::kRepost).empty()) {
          Append(&fields, R"(,"via":)", Ref(Some(Collection::kRepost)));
        }
        break;
      case Collection::kFollow:
      case Collection::kBlock:
        fields = Cat(R"("subject":")", EventMaker::Did(Name()), R"(")");
        break;
      case Collection::kVerification:
        fields = Cat(R"("subject":")", EventMaker::Did(Name()),
                     R"(","handle":"h.test","displayName":"H")");
        break;
      case Collection::kListitem:
        // Of an own list, which need not be there.
        fields = Cat(R"("subject":")", EventMaker::Did(Name()), R"(","list":")",
                     OwnList(made->name), R"(")");
        break;
      case Collection::kListblock:
        fields = Cat(R"("subject":")", Some(Collection::kList), R"(")");
        break;
      case Collection::kProfile:
        fields = Cat(R"("displayName":")", ++next_, R"(")");
        if (OneIn(2)) {
          Append(&fields, R"(,"joinedViaStarterPack":)",
                 Ref(Some(Collection::kStarterpack)));
        }
        break;
      default:
        fields = Cat(R"("name":")", ++next_, R"(")");
        break;
    }
    // Not in the order of the events.
    if (OneIn(4)) {
      Append(&fields, R"(,"createdAt":"202)", Below(5), R"(-0)", 1 + Below(9),
             R"(-01T00:00:00Z")");
    }
    return fields;
  }

  std::string Subject(Collection collection) {
    if (collection == Collection::kLike && OneIn(5)) {
      for (Collection other : {Collection::kGenerator, Collection::kLabeler}) {
        if (OneIn(2) && !Of(other).empty()) return Some(other);
      }
    }
    return Some(Collection::kPost);
  }

  std::string OwnList(const std::string& name) {
    for (const Made& list : Of(Collection::kList)) {
      if (list.name == name && !OneIn(3)) return UriOf(Collection::kList, list);
    }
    return EventMaker::Uri(name, CollectionNsid(Collection::kList), "none");
  }

  std::string PostFields(Made* made) {
    std::string fields = Cat(R"("text":")", ++next_, R"(")");
    const std::string self = UriOf(Collection::kPost, *made);
    made->root.clear();
    if (!Of(Collection::kPost).empty() && OneIn(2)) {
      const std::vector<Made>& posts = Of(Collection::kPost);
      const size_t recent = std::min<size_t>(posts.size(), 6);
      const Made parent = posts[posts.size() - 1 - Below(recent)];
      const std::string uri = UriOf(Collection::kPost, parent);
      made->root = parent.root.empty() ? uri : parent.root;
      Append(&fields, R"(,"reply":{"root":)", Ref(made->root), R"(,"parent":)",
             Ref(uri), "}");
    }
    if (OneIn(4)) {
      Append(&fields, R"(,"facets":[{"features":[)");
      for (int i = 0; i < 3; ++i) {
        Append(&fields, i > 0 ? "," : "",
               R"({"$type":"app.bsky.richtext.facet#mention","did":")",
               EventMaker::Did(Name()), R"("})");
      }
      fields += "]}]";
    }
    constexpr std::string_view kImages =
        R"({"$type":"app.bsky.embed.images","images":[]})";
    constexpr std::string_view kVideo = R"({"$type":"app.bsky.embed.video"})";
    if (Of(Collection::kPost).empty()) return fields;
    const std::string quote = OneIn(20) ? self : Some(Collection::kPost);
    switch (Below(6)) {
      case 0:
        Append(&fields, R"(,"embed":)", kImages);
        break;
      case 1:
        Append(&fields, R"(,"embed":)", kVideo);
        break;
      case 2:
        Append(&fields, R"(,"embed":{"$type":"app.bsky.embed.record",)",
               R"("record":)", Ref(quote), "}");
        break;
      case 3:
        Append(&fields,
               R"(,"embed":{"$type":"app.bsky.embed.recordWithMedia",)",
               R"("record":{"record":)", Ref(quote), R"(},"media":)", kImages,
               "}");
        break;
      default:
        break;
    }
    return fields;
  }

  std::string GateFields(Collection collection, const Made& made) {
    const std::string post = EventMaker::PostUri(made.name, made.rkey);
    std::string fields = Cat(R"("post":")", post, R"(")");
    if (collection == Collection::kPostgate) {
      if (OneIn(2)) {
        Append(&fields, R"(,"embeddingRules":[{"$type":)",
               R"("app.bsky.feed.postgate#disableRule"}])");
      }
      return fields;
    }
    const std::string rules[] = {
        R"({"$type":"app.bsky.feed.threadgate#mentionRule"})",
        R"({"$type":"app.bsky.feed.threadgate#followingRule"})",
        R"({"$type":"app.bsky.feed.threadgate#followerRule"})",
        Cat(R"({"$type":"app.bsky.feed.threadgate#listRule","list":")",
            OwnList(made.name), R"("})"),
    };
    Append(&fields, R"(,"allow":[)");
    bool any = false;
    for (const std::string& rule : rules) {
      if (!OneIn(3)) continue;
      Append(&fields, any ? "," : "", rule);
      any = true;
    }
    Append(&fields, R"(],"hiddenReplies":[")", Some(Collection::kPost),
           R"("])");
    return fields;
  }

  const NetworkOptions options_;
  std::mt19937 random_;
  EventMaker make_;
  const std::vector<std::string> names_ = NetworkNames();
  std::vector<Event> events_;
  std::vector<std::vector<Made>> made_{kCollectionCount};
  int next_ = 0;
};

}  // namespace

std::vector<std::string> NetworkNames() {
  return {"alice", "bob", "carol", "dan", "erin"};
}

std::vector<Event> MakeNetwork(const NetworkOptions& options) {
  return Network(options).Make();
}

std::string KindOf(const Event& event) {
  switch (event.kind) {
    case EventKind::kIdentity:
      return "identity";
    case EventKind::kAccount:
      return event.status == "deleted" ? "account deleted" : "account";
    case EventKind::kCommit:
      return Cat(CommitOperationName(event.operation), " ", event.collection);
  }
  __builtin_unreachable();
}

std::vector<std::string> NetworkKinds() {
  std::vector<std::string> kinds = {"identity", "account", "account deleted"};
  for (size_t i = 0; i < kCollectionCount; ++i) {
    for (CommitOperation operation :
         {CommitOperation::kCreate, CommitOperation::kUpdate,
          CommitOperation::kDelete}) {
      kinds.push_back(Cat(CommitOperationName(operation), " ",
                          CollectionNsid(static_cast<Collection>(i))));
    }
  }
  return kinds;
}

void PrepareNetwork(IndexedStore* store) {
  const std::vector<std::string> names = NetworkNames();
  const std::string verifier = EventMaker::Did(names[0]);
  absl::Status status = store->loop()->RunUntilDone(
      store->indexer()->SetTrustedVerifier(verifier, true));
  EXPECT_TRUE(status.ok()) << status;
  // The first posts are those of the accounts in turn, under the keys 1, 2, …
  for (size_t i = 0; i < 2; ++i) {
    store->Query(Cat("INSERT INTO thread_mutes (actor, root) VALUES ('",
                     EventMaker::Did(names[i]), "', '",
                     EventMaker::PostUri(names[0], "1"), "')"));
  }
}

IndexerOptions SmallOptions() {
  IndexerOptions options;
  options.list_bucket_rows = 4;
  options.timeline_rows = 16;
  options.duplicates_max = 3;
  options.op_replies_max = 3;
  options.mentions_max = 2;
  options.page_rows = 3;
  options.writes_in_flight = 4;
  return options;
}

IndexerOptions WideOptions() {
  IndexerOptions options = SmallOptions();
  options.list_bucket_rows = 10'000;
  options.timeline_rows = 10'000;
  return options;
}

std::vector<std::string> Difference(const std::vector<std::string>& expected,
                                    const std::vector<std::string>& actual) {
  std::vector<std::string> difference;
  auto mark = [&difference](const std::vector<std::string>& from,
                            const std::vector<std::string>& without,
                            std::string_view sign) {
    std::vector<std::string> only;
    std::set_difference(from.begin(), from.end(), without.begin(),
                        without.end(), std::back_inserter(only));
    for (const std::string& line : only) {
      difference.push_back(Cat(sign, line));
    }
  };
  mark(expected, actual, "-");
  mark(actual, expected, "+");
  return difference;
}

}  // namespace ingest
