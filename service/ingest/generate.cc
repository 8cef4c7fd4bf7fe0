#include "service/ingest/generate.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>
#include <vector>

#include "service/ingest/generate_ids.h"
#include "service/ingest/generate_random.h"
#include "service/ingest/generate_text.h"
#include "service/ingest/generate_writer.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr uint32_t kUsersMax = 100'000'000;
constexpr int64_t kDayUs = int64_t{86400} * 1000 * 1000;
constexpr int64_t kStartMax = 4102444800000000;   // The year 2100.
constexpr int64_t kTimeMax = 253402300799999999;  // The end of the year 9999.
// Mean of GenerateRandom::Log16().
constexpr int64_t kLogMean = 98304;
// Records that later events may still refer to.
constexpr size_t kPostWindow = 4096;
constexpr size_t kListWindow = 256;
constexpr size_t kDeletableWindow = 4096;
// Everyone may follow this many neighbours by number, as friends do; the walk
// down the popular accounts leaves them out, so no follow is made twice.
constexpr uint32_t kNeighbours = 32;
constexpr uint32_t kFirstFollows = 4;

constexpr std::string_view kPost = "app.bsky.feed.post";
constexpr std::string_view kLike = "app.bsky.feed.like";
constexpr std::string_view kRepost = "app.bsky.feed.repost";
constexpr std::string_view kFollow = "app.bsky.graph.follow";
constexpr std::string_view kBlock = "app.bsky.graph.block";
constexpr std::string_view kList = "app.bsky.graph.list";
constexpr std::string_view kListItem = "app.bsky.graph.listitem";
constexpr std::string_view kListBlock = "app.bsky.graph.listblock";
constexpr std::string_view kProfile = "app.bsky.actor.profile";
constexpr std::string_view kThreadgate = "app.bsky.feed.threadgate";
constexpr std::string_view kPostgate = "app.bsky.feed.postgate";

struct User {
  // How far down the list of popular accounts this one has followed.
  uint32_t follow_rank = 0;
  uint8_t neighbours = 0;
  uint8_t handle_generation = 0;
  bool active = true;
};

struct Post {
  RecordName name;
  CidText cid;
  RecordName root;
  CidText root_cid;
  uint32_t depth = 0;
  uint32_t appeal = 0;
  uint32_t likes = 0;
  uint32_t reposts = 0;
  bool thread_gate = false;
  bool post_gate = false;
  bool gone = false;
};

struct List {
  RecordName name;
  bool moderation = false;
  uint32_t members = 0;
};

struct Deletable {
  RecordName name;
  std::string_view collection;
};

// The last `capacity` values that were added.
template <typename T>
class Window {
 public:
  explicit Window(size_t capacity) : capacity_(capacity) {}
  bool empty() const { return values_.empty(); }
  void Add(const T& value) {
    if (values_.size() < capacity_) {
      values_.push_back(value);
    } else {
      values_[next_] = value;
      next_ = (next_ + 1) % capacity_;
    }
  }
  T& Any(GenerateRandom* random) {
    return values_[random->Below(static_cast<uint32_t>(values_.size()))];
  }

 private:
  size_t capacity_;
  size_t next_ = 0;
  std::vector<T> values_;
};

}  // namespace

absl::Status ValidateGenerateOptions(const GenerateOptions& options) {
  if (options.users < 1 || options.users > kUsersMax) {
    return absl::InvalidArgumentError(
        Cat("users: not between 1 and ", kUsersMax));
  }
  if (options.start_us <= 0 || options.start_us > kStartMax) {
    return absl::InvalidArgumentError("start: not between 1970 and 2100");
  }
  if (options.gap_us < 0 || options.gap_us > kDayUs) {
    return absl::InvalidArgumentError("gap: not between zero and a day");
  }
  return absl::OkStatus();
}

class Generator::Impl {
 public:
  explicit Impl(const GenerateOptions& options)
      : options_(options),
        random_(options.seed),
        writer_(options.seed),
        users_(options.users) {
    uint32_t n = options_.users;
    if (options_.events == 0 && options_.posts == 0) {
      options_.events = uint64_t{50} * n;
    }
    if (options_.gap_us == 0) options_.gap_us = kDayUs / 20 / n + 1;
    // Steps of this size visit every user before any twice.
    stride_ = static_cast<uint32_t>(2654435761 % n) | 1;
    while (std::gcd(stride_, n) != 1) ++stride_;
    now_ = options_.start_us;
  }

  bool Next(std::string* out) {
    if (options_.events > 0 && events_ >= options_.events) return false;
    if (options_.posts > 0 && posts_ >= options_.posts) return false;
    int64_t step = 1 + options_.gap_us * random_.Log16() / kLogMean;
    now_ += now_ + step > kTimeMax ? 1 : step;
    writer_.Start(out, now_, ++events_);
    if (introduced_ < options_.users) {
      Introduce();
    } else if (befriended_ < options_.users) {
      Befriend();
    } else {
      Act();
    }
    return true;
  }

  uint64_t events() const { return events_; }
  uint64_t posts() const { return posts_; }

 private:
  // ---- The population: identity and profile of each, then first follows.

  void Introduce() {
    uint32_t user = introduced_;
    switch (introduction_step_++) {
      case 0:
        Identity(user);
        return;
      case 1:
        Profile(user, CommitOperation::kCreate);
        // Some say who may write to them, and who may follow their activity.
        if (random_.Percent(20)) return;
        break;
      default:
        Declaration(user);
    }
    introduction_step_ = 0;
    ++introduced_;
  }

  void Befriend() {
    uint32_t user = befriended_;
    if (!Follow(user)) Write(user, kPost);
    if (++first_follows_ >= kFirstFollows) {
      first_follows_ = 0;
      ++befriended_;
    }
  }

  // ---- One act of somebody, by how often people do it.

  void Act() {
    uint32_t dice = random_.Below(1000);
    bool done = false;
    if (dice < 470) {
      done = Like();
    } else if (dice < 560) {
      done = Repost();
    } else if (dice < 700) {
      done = Follow(Anyone());
    } else if (dice < 820) {
      done = Reply();
    } else if (dice < 950) {
      done = false;  // A post.
    } else if (dice < 975) {
      done = Delete();
    } else {
      done = ActRarely(dice - 975);
    }
    if (!done) Write(Author(), kPost);
  }

  bool ActRarely(uint32_t dice) {
    switch (dice) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        return Block();
      case 6:
      case 7:
      case 8:
        MakeList();
        return true;
      case 9:
      case 10:
      case 11:
      case 12:
      case 13:
        return AddToList();
      case 14:
        return SubscribeToBlockList();
      case 15:
      case 16:
        return Gate(kThreadgate);
      case 17:
        return Gate(kPostgate);
      case 18:
      case 19:
        Profile(Anyone(), CommitOperation::kUpdate);
        return true;
      case 20:
        Rename();
        return true;
      case 21:
        Account();
        return true;
      case 22:
        Service();
        return true;
      default:
        return false;
    }
  }

  uint32_t Anyone() { return random_.Below(options_.users); }
  // The popular write more.
  uint32_t Author() {
    return random_.Percent(50) ? random_.Zipf(options_.users) : Anyone();
  }

  // The `k`-th user of an order of all that `key` chooses.
  uint32_t InTurn(uint64_t key, uint32_t k) const {
    uint64_t n = options_.users;
    uint64_t first = GenerateRandom::Mix(key ^ options_.seed) % n;
    return static_cast<uint32_t>((first + uint64_t{k} * stride_) % n);
  }

  // A post of the window, the more appealing the likelier; nullptr if none.
  Post* AnyPost() {
    if (window_.empty()) return nullptr;
    Post* best = nullptr;
    for (int i = 0; i < 6; ++i) {
      Post& post = window_.Any(&random_);
      if (post.gone) continue;
      if (best == nullptr || post.appeal > best->appeal) best = &post;
    }
    return best;
  }

  bool Like() {
    Post* post = AnyPost();
    if (post == nullptr || post->likes >= options_.users) return false;
    uint32_t user = InTurn(post->name.time_us, post->likes++);
    SubjectRecord(user, kLike, *post);
    return true;
  }

  bool Repost() {
    Post* post = AnyPost();
    if (post == nullptr || post->reposts >= options_.users) return false;
    uint32_t user = InTurn(~post->name.time_us, post->reposts++);
    SubjectRecord(user, kRepost, *post);
    return true;
  }

  void SubjectRecord(uint32_t user, std::string_view collection,
                     const Post& post) {
    writer_.Begin(collection);
    writer_.Add(",\"subject\":");
    writer_.AddRef(post.name, kPost, post.cid);
    writer_.AddCreatedAt();
    writer_.Commit(user, CommitOperation::kCreate);
    deletable_.Add({{user, now_}, collection});
  }

  bool Follow(uint32_t user) {
    std::optional<uint32_t> subject = NextToFollow(user);
    if (!subject.has_value()) return false;
    SubjectDid(user, kFollow, *subject);
    return true;
  }

  std::optional<uint32_t> NextToFollow(uint32_t user) {
    const uint32_t n = options_.users;
    User& state = users_[user];
    uint32_t neighbours_max = std::min(kNeighbours, n - 1);
    bool few = n <= kNeighbours;
    if (state.neighbours < neighbours_max && (few || random_.Percent(30))) {
      uint32_t k = state.neighbours++;
      if (few) return (user + k + 1) % n;
      uint32_t distance = k / 2 + 1;
      return (user + (k % 2 == 0 ? distance : n - distance)) % n;
    }
    // The chance that a user follows the account of rank r falls as 1/r: the
    // gaps between ranks grow with the rank.
    uint64_t sociable = 3 + GenerateRandom::Mix(user ^ options_.seed) % 12;
    while (state.follow_rank < n) {
      uint64_t rank = state.follow_rank;
      rank += rank * random_.Log16() / kLogMean / sociable;
      state.follow_rank =
          static_cast<uint32_t>(std::min<uint64_t>(rank + 1, n));
      if (rank >= n) break;
      uint32_t subject = static_cast<uint32_t>(rank);
      uint32_t up = (subject + n - user) % n;
      if (std::min(up, n - up) > kNeighbours / 2) return subject;
    }
    return std::nullopt;
  }

  bool Block() {
    if (options_.users < 2) return false;
    uint32_t user = Anyone();
    uint32_t subject =
        (user + 1 + random_.Below(options_.users - 1)) % options_.users;
    SubjectDid(user, kBlock, subject);
    return true;
  }

  void SubjectDid(uint32_t user, std::string_view collection,
                  uint32_t subject) {
    writer_.Begin(collection);
    writer_.Add(",\"subject\":\"", writer_.Did(subject).view(), "\"");
    writer_.AddCreatedAt();
    writer_.Commit(user, CommitOperation::kCreate);
    deletable_.Add({{user, now_}, collection});
  }

  // ---- Posts.

  bool Reply() {
    Post* parent = AnyPost();
    if (parent == nullptr) return false;
    // Often the author of the thread goes on, or answers.
    uint32_t user = random_.Percent(25) ? parent->root.author : Anyone();
    Post copy = *parent;  // Writing may move the window over it.
    Write(user, kPost, &copy);
    return true;
  }

  void Write(uint32_t user, std::string_view collection,
             const Post* parent = nullptr) {
    text_.clear();
    std::string facets;
    if (random_.OneIn(20)) Mention(&facets);
    AppendSentence(&random_, &text_);
    if (random_.OneIn(12)) Hashtag(&facets);

    writer_.Begin(collection);
    writer_.Add(",\"text\":");
    writer_.AddQuoted(text_);
    if (!facets.empty()) writer_.Add(",\"facets\":[", facets, "]");
    if (random_.Percent(80)) writer_.Add(",\"langs\":[\"en\"]");
    if (parent != nullptr) {
      writer_.Add(",\"reply\":{\"root\":");
      writer_.AddRef(parent->root, kPost, parent->root_cid);
      writer_.Add(",\"parent\":");
      writer_.AddRef(parent->name, kPost, parent->cid);
      writer_.Add("}");
    }
    AppendEmbed();
    writer_.AddCreatedAt();
    CidText cid = writer_.Commit(user, CommitOperation::kCreate);
    ++posts_;

    Post post;
    post.name = {user, now_};
    post.cid = cid;
    post.root = parent != nullptr ? parent->root : post.name;
    post.root_cid = parent != nullptr ? parent->root_cid : cid;
    post.depth = parent != nullptr ? parent->depth + 1 : 0;
    // One post in a thousand is a thousand times as appealing.
    uint32_t chance = static_cast<uint32_t>(random_.Next() >> 40) + 1;
    post.appeal = ((1u << 24) / chance) * (user * 100 < options_.users ? 8 : 1);
    window_.Add(post);
  }

  void Mention(std::string* facets) {
    uint32_t subject = Author();
    std::string handle =
        Cat("@", MakeHandle(subject, users_[subject].handle_generation));
    Append(facets, "{\"index\":{\"byteStart\":", text_.size(),
           ",\"byteEnd\":", text_.size() + handle.size(),
           "},\"features\":[{\"$type\":\"app.bsky.richtext.facet#mention\","
           "\"did\":\"",
           writer_.Did(subject).view(), "\"}]}");
    Append(&text_, handle, " ");
  }

  void Hashtag(std::string* facets) {
    std::string tag(MakeTopic(&random_));
    text_.push_back(' ');
    if (!facets->empty()) facets->push_back(',');
    Append(
        facets, "{\"index\":{\"byteStart\":", text_.size(),
        ",\"byteEnd\":", text_.size() + 1 + tag.size(),
        "},\"features\":[{\"$type\":\"app.bsky.richtext.facet#tag\",\"tag\":\"",
        tag, "\"}]}");
    Append(&text_, "#", tag);
  }

  void AppendEmbed() {
    uint32_t dice = random_.Below(100);
    if (dice < 12) {
      writer_.Add(
          ",\"embed\":{\"$type\":\"app.bsky.embed.images\","
          "\"images\":[");
      for (uint32_t i = 0, n = 1 + random_.Zipf(4); i < n; ++i) {
        writer_.Add(i > 0 ? "," : "", "{\"alt\":\"", MakeTopic(&random_),
                    "\",\"image\":");
        writer_.AddBlob(random_.Next(), "image/jpeg");
        writer_.Add("}");
      }
      writer_.Add("]}");
    } else if (dice < 15) {
      writer_.Add(
          ",\"embed\":{\"$type\":\"app.bsky.embed.video\","
          "\"video\":");
      writer_.AddBlob(random_.Next(), "video/mp4");
      writer_.Add("}");
    } else if (dice < 20) {
      std::string_view topic = MakeTopic(&random_);
      writer_.Add(
          ",\"embed\":{\"$type\":\"app.bsky.embed.external\","
          "\"external\":{\"uri\":\"https://example.com/",
          topic, "/", random_.Below(100000), "\",\"title\":\"All about ", topic,
          "\",\"description\":\"\"}}");
    } else if (dice < 28) {
      Post* quoted = AnyPost();
      if (quoted == nullptr) return;
      writer_.Add(
          ",\"embed\":{\"$type\":\"app.bsky.embed.record\","
          "\"record\":");
      writer_.AddRef(quoted->name, kPost, quoted->cid);
      writer_.Add("}");
    }
  }

  bool Gate(std::string_view collection) {
    Post* post = AnyPost();
    if (post == nullptr) return false;
    bool thread = collection == kThreadgate;
    // Only roots have a thread to close.
    if (thread && post->depth > 0) return false;
    bool& gate = thread ? post->thread_gate : post->post_gate;
    if (gate) return false;
    gate = true;
    writer_.Begin(collection);
    writer_.Add(",\"post\":\"");
    writer_.AddUri(post->name, kPost);
    if (thread) {
      writer_.Add(
          "\",\"allow\":[{\"$type\":\"app.bsky.feed.threadgate#"
          "followingRule\"}]");
    } else {
      writer_.Add(
          "\",\"embeddingRules\":[{\"$type\":\"app.bsky.feed."
          "postgate#disableRule\"}]");
    }
    writer_.AddCreatedAt();
    TidText rkey = EventWriter::Rkey(post->name);
    writer_.Commit(post->name.author, CommitOperation::kCreate, rkey.view());
    return true;
  }

  // ---- Lists.

  void MakeList() {
    uint32_t user = Anyone();
    bool moderation = random_.Percent(40);
    writer_.Begin(kList);
    writer_.Add(",\"purpose\":\"app.bsky.graph.defs#",
                moderation ? "modlist" : "curatelist", "\",\"name\":\"",
                moderation ? "Not so " : "Best of ", MakeTopic(&random_), "\"");
    writer_.AddCreatedAt();
    writer_.Commit(user, CommitOperation::kCreate);
    lists_.Add({{user, now_}, moderation, 0});
  }

  bool AddToList() {
    if (lists_.empty()) return false;
    List& list = lists_.Any(&random_);
    if (list.members >= options_.users) return false;
    uint32_t member = InTurn(list.name.time_us, list.members++);
    writer_.Begin(kListItem);
    writer_.Add(",\"subject\":\"", writer_.Did(member).view(),
                "\",\"list\":\"");
    writer_.AddUri(list.name, kList);
    writer_.Add("\"");
    writer_.AddCreatedAt();
    writer_.Commit(list.name.author, CommitOperation::kCreate);
    deletable_.Add({{list.name.author, now_}, kListItem});
    return true;
  }

  bool SubscribeToBlockList() {
    if (lists_.empty()) return false;
    const List& list = lists_.Any(&random_);
    if (!list.moderation) return false;
    uint32_t user = Anyone();
    writer_.Begin(kListBlock);
    writer_.Add(",\"subject\":\"");
    writer_.AddUri(list.name, kList);
    writer_.Add("\"");
    writer_.AddCreatedAt();
    writer_.Commit(user, CommitOperation::kCreate);
    deletable_.Add({{user, now_}, kListBlock});
    return true;
  }

  // ---- Accounts.

  void Identity(uint32_t user) {
    writer_.Identity(user, MakeHandle(user, users_[user].handle_generation));
  }

  void Rename() {
    uint32_t user = Anyone();
    if (users_[user].handle_generation < 255) {
      ++users_[user].handle_generation;
    }
    Identity(user);
  }

  void Account() {
    uint32_t user = Anyone();
    users_[user].active = !users_[user].active;
    writer_.Account(user, users_[user].active);
  }

  void Profile(uint32_t user, CommitOperation operation) {
    text_.clear();
    AppendSentence(&random_, &text_);
    writer_.Begin(kProfile);
    writer_.Add(",\"displayName\":\"", MakeDisplayName(options_.seed, user),
                "\",\"description\":");
    writer_.AddQuoted(text_);
    if (random_.Percent(60)) {
      writer_.Add(",\"avatar\":");
      writer_.AddBlob(random_.Next(), "image/jpeg");
    }
    writer_.AddCreatedAt();
    writer_.Commit(user, operation, "self");
  }

  void Declaration(uint32_t user) {
    bool chat = random_.Percent(50);
    std::string_view collection = chat ? "chat.bsky.actor.declaration"
                                       : "app.bsky.notification.declaration";
    writer_.Begin(collection);
    writer_.Add(chat ? ",\"allowIncoming\":\"following\"}"
                     : ",\"allowSubscriptions\":\"mutuals\"}");
    writer_.Commit(user, CommitOperation::kCreate, "self");
  }

  // What few accounts publish: feed generators, labelers, verifications,
  // statuses, starter packs.
  void Service() {
    uint32_t user = Anyone();
    DidText did = writer_.Did(user);
    std::string_view topic = MakeTopic(&random_);
    switch (random_.Below(5)) {
      case 0:
        writer_.Begin("app.bsky.feed.generator");
        writer_.Add(",\"did\":\"", did.view(), "\",\"displayName\":\"", topic,
                    "\"");
        writer_.AddCreatedAt();
        writer_.Commit(user, CommitOperation::kCreate);
        return;
      case 1:
        writer_.Begin("app.bsky.labeler.service");
        writer_.Add(",\"policies\":{\"labelValues\":[\"", topic, "\"]}");
        writer_.AddCreatedAt();
        writer_.Commit(user, CommitOperation::kUpdate, "self");
        return;
      case 2:
        writer_.Begin("app.bsky.graph.verification");
        writer_.Add(",\"subject\":\"", did.view(), "\",\"handle\":\"",
                    MakeHandle(user, users_[user].handle_generation),
                    "\",\"displayName\":\"",
                    MakeDisplayName(options_.seed, user), "\"");
        writer_.AddCreatedAt();
        writer_.Commit(Author(), CommitOperation::kCreate);
        return;
      case 3:
        writer_.Begin("app.bsky.actor.status");
        writer_.Add(
            ",\"status\":\"app.bsky.actor.status#live\","
            "\"durationMinutes\":30");
        writer_.AddCreatedAt();
        writer_.Commit(user, CommitOperation::kUpdate, "self");
        return;
      default: {
        if (lists_.empty()) return Profile(user, CommitOperation::kUpdate);
        const List& list = lists_.Any(&random_);
        writer_.Begin("app.bsky.graph.starterpack");
        writer_.Add(",\"name\":\"", topic, "\",\"list\":\"");
        writer_.AddUri(list.name, kList);
        writer_.Add("\"");
        writer_.AddCreatedAt();
        writer_.Commit(list.name.author, CommitOperation::kCreate);
      }
    }
  }

  bool Delete() {
    if (random_.Percent(40)) {
      Post* post = AnyPost();
      if (post == nullptr) return false;
      post->gone = true;
      writer_.CommitDelete(post->name, kPost);
      return true;
    }
    if (deletable_.empty()) return false;
    Deletable& record = deletable_.Any(&random_);
    if (record.name.time_us == 0) return false;  // Gone already.
    writer_.CommitDelete(record.name, record.collection);
    record.name.time_us = 0;
    return true;
  }

  GenerateOptions options_;
  GenerateRandom random_;
  EventWriter writer_;
  std::vector<User> users_;
  Window<Post> window_{kPostWindow};
  Window<List> lists_{kListWindow};
  Window<Deletable> deletable_{kDeletableWindow};
  uint32_t stride_ = 1;
  uint32_t introduced_ = 0;
  uint32_t introduction_step_ = 0;
  uint32_t befriended_ = 0;
  uint32_t first_follows_ = 0;
  int64_t now_ = 0;
  uint64_t events_ = 0;
  uint64_t posts_ = 0;
  // Of the event in the making.
  std::string text_;
};

Generator::Generator(const GenerateOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}
Generator::~Generator() = default;

bool Generator::Next(std::string* out) { return impl_->Next(out); }
uint64_t Generator::events() const { return impl_->events(); }
uint64_t Generator::posts() const { return impl_->posts(); }

}  // namespace ingest
