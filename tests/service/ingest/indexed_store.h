// An indexer on an embedded node, and eyes to see what is in the tables.
#ifndef RINGPLANE_TESTS_SERVICE_INGEST_INDEXED_STORE_H_
#define RINGPLANE_TESTS_SERVICE_INGEST_INDEXED_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/node/server.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "service/ingest/indexer.h"
#include "service/ingest/jetstream.h"

namespace ingest {

class IndexedStore {
 public:
  explicit IndexedStore(IndexerOptions options = IndexerOptions());
  ~IndexedStore();

  ioloop::Loop* loop() { return loop_.get(); }
  cql::Session* session() { return session_.get(); }
  cql::node::Node* node() { return node_.get(); }
  Indexer* indexer() { return indexer_.get(); }

  // A new indexer, which remembers nothing: what a restart is.
  void Restart(IndexerOptions options = IndexerOptions());

  absl::StatusOr<Indexer::Outcome> Apply(const Event& event);

  // Executes text and gives the rows, a line each: "a|b|null".
  std::vector<std::string> Query(std::string text);
  // The first column of the first row; "" without rows.
  std::string Value(std::string text);
  // Every row of every table, sorted.
  std::vector<std::string> Dump();

 private:
  std::string folder_;
  std::unique_ptr<ioloop::Loop> loop_;
  std::unique_ptr<cql::node::Node> node_;
  std::unique_ptr<cql::Session> session_;
  std::unique_ptr<Indexer> indexer_;
};

// Events of an invented network. Time goes on by a second with each.
class EventMaker {
 public:
  static std::string Did(std::string_view name);
  static std::string Cid(uint64_t number);

  // {"$type": …, `fields`, "createdAt": the time of the event}.
  Event Create(std::string_view name, std::string_view collection,
               std::string_view rkey, std::string_view fields);
  Event Update(std::string_view name, std::string_view collection,
               std::string_view rkey, std::string_view fields);
  Event Delete(std::string_view name, std::string_view collection,
               std::string_view rkey);
  Event Identity(std::string_view name, std::string_view handle);
  Event Account(std::string_view name, bool active, std::string_view status);

  Event Post(std::string_view name, std::string_view rkey,
             std::string_view more = "");
  Event Reply(std::string_view name, std::string_view rkey,
              const std::string& root, const std::string& parent,
              std::string_view more = "");
  Event Like(std::string_view name, std::string_view rkey,
             const std::string& subject);
  Event Repost(std::string_view name, std::string_view rkey,
               const std::string& subject);
  Event Follow(std::string_view name, std::string_view rkey,
               std::string_view whom);

  int64_t now_us() const { return now_us_; }
  static std::string Uri(std::string_view name, std::string_view collection,
                         std::string_view rkey);
  static std::string PostUri(std::string_view name, std::string_view rkey);

 private:
  Event Commit(CommitOperation operation, std::string_view name,
               std::string_view collection, std::string_view rkey);

  int64_t now_us_ = 1'740'000'000'000'000;
  uint64_t number_ = 0;
};

// {"uri": …, "cid": …}
std::string Ref(std::string_view uri);

}  // namespace ingest

#endif  // RINGPLANE_TESTS_SERVICE_INGEST_INDEXED_STORE_H_
