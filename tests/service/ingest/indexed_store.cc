#include "tests/service/ingest/indexed_store.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "gtest/gtest.h"
#include "ioloop/check.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

ioloop::Task<absl::Status> Execute(cql::Session* session, std::string text) {
  cql::RequestOptions options;
  options.access = cql::Access::kWrite;
  cql::Query query = session->ExecuteText(options, text);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

std::vector<std::string> SchemaStatements() {
  std::ifstream file(RINGPLANE_SCHEMA_FILE);
  std::vector<std::string> statements(1);
  std::string line;
  while (std::getline(file, line)) {
    line = line.substr(0, line.find("--"));
    for (char letter : line) {
      if (letter == ';') {
        statements.emplace_back();
      } else {
        statements.back().push_back(letter);
      }
    }
    statements.back().push_back('\n');
  }
  statements.pop_back();
  return statements;
}

template <typename T>
std::string Text(const cql::Row& row, size_t column) {
  absl::StatusOr<T> value = row.Get<T>(column);
  if (!value.ok()) return std::string(value.status().message());
  if constexpr (std::is_same_v<T, absl::Time>) {
    return std::to_string(absl::ToUnixMillis(*value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return *value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(*value);
  } else {
    return std::string(*value);
  }
}

std::string Text(const cql::Row& row, size_t column) {
  if (row.is_null(column)) return "null";
  switch (row.spec(column).type.id) {
    case cql::protocol::TypeId::kTimestamp:
      return Text<absl::Time>(row, column);
    case cql::protocol::TypeId::kInt:
      return Text<int32_t>(row, column);
    case cql::protocol::TypeId::kBigint:
      return Text<int64_t>(row, column);
    case cql::protocol::TypeId::kBoolean:
      return Text<bool>(row, column);
    default:
      return Text<std::string_view>(row, column);
  }
}

ioloop::Task<std::vector<std::string>> Select(cql::Session* session,
                                              std::string text) {
  std::vector<std::string> lines;
  std::string paging_state;
  do {
    cql::RequestOptions options;
    options.paging_state = paging_state;
    cql::Query query = session->ExecuteText(options, text);
    absl::StatusOr<cql::Rows> rows = co_await query;
    EXPECT_TRUE(rows.ok()) << rows.status() << "\n" << text;
    if (!rows.ok()) break;
    for (const cql::Row& row : *rows) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        if (i > 0) line += '|';
        line += Text(row, i);
      }
      lines.push_back(std::move(line));
    }
    paging_state.assign(rows->paging_state());
  } while (!paging_state.empty());
  co_return lines;
}

}  // namespace

IndexedStore::IndexedStore(IndexerOptions options) {
  char folder[] = "/tmp/ringplane-indexer-XXXXXX";
  folder_ = mkdtemp(folder);
  auto loop = ioloop::Loop::Create(ioloop::Loop::Options());
  RINGPLANE_CHECK(loop.ok(), "no loop");
  loop_ = *std::move(loop);
  cql::node::NodeOptions node_options;
  node_options.data_dir = folder_;
  node_options.sync = cql::node::SyncMode::kProcess;
  node_options.port = 0;
  node_options.shard_aware_port = 0;
  auto node = cql::node::Node::Start(loop_.get(), node_options);
  EXPECT_TRUE(node.ok()) << node.status();
  node_ = *std::move(node);

  cql::SessionOptions session_options;
  session_options.contact_points = {node_->address().ToString()};
  session_options.request_timeout = absl::Seconds(60);
  auto bare =
      loop_->RunUntilDone(cql::Session::Connect(loop_.get(), session_options));
  EXPECT_TRUE(bare.ok()) << bare.status();
  absl::Status status = loop_->RunUntilDone(Execute(
      bare->get(),
      "CREATE KEYSPACE t WITH replication = {'class': 'SimpleStrategy', "
      "'replication_factor': 1}"));
  EXPECT_TRUE(status.ok()) << status;
  loop_->RunUntilDone((*bare)->Close());
  session_options.keyspace = "t";
  auto session =
      loop_->RunUntilDone(cql::Session::Connect(loop_.get(), session_options));
  EXPECT_TRUE(session.ok()) << session.status();
  session_ = *std::move(session);
  for (const std::string& statement : SchemaStatements()) {
    status = loop_->RunUntilDone(Execute(session_.get(), statement));
    EXPECT_TRUE(status.ok()) << status << "\n" << statement;
  }
  Restart(options);
}

IndexedStore::~IndexedStore() {
  indexer_.reset();
  loop_->RunUntilDone(session_->Close());
  session_.reset();
  loop_->RunUntilDone(node_->Stop());
  node_.reset();
  loop_.reset();
  std::filesystem::remove_all(folder_);
}

void IndexedStore::Restart(IndexerOptions options) {
  indexer_.reset();
  auto indexer =
      loop_->RunUntilDone(Indexer::Create(session_.get(), options, nullptr));
  EXPECT_TRUE(indexer.ok()) << indexer.status();
  indexer_ = *std::move(indexer);
}

absl::StatusOr<Indexer::Outcome> IndexedStore::Apply(const Event& event) {
  return loop_->RunUntilDone(indexer_->Apply(event));
}

std::vector<std::string> IndexedStore::Query(std::string text) {
  return loop_->RunUntilDone(Select(session_.get(), std::move(text)));
}

std::string IndexedStore::Value(std::string text) {
  std::vector<std::string> lines = Query(std::move(text));
  if (lines.empty()) return "";
  return lines[0].substr(0, lines[0].find('|'));
}

std::vector<std::string> IndexedStore::Dump() {
  std::vector<std::string> dump;
  std::vector<std::string> tables = Query(
      "SELECT table_name FROM system_schema.tables "
      "WHERE keyspace_name = 't'");
  EXPECT_FALSE(tables.empty());
  for (const std::string& table : tables) {
    for (const std::string& row : Query(Cat("SELECT * FROM ", table))) {
      dump.push_back(Cat(table, "|", row));
    }
  }
  std::sort(dump.begin(), dump.end());
  return dump;
}

std::string EventMaker::Did(std::string_view name) {
  std::string id(name);
  id.resize(24, 'a');
  return Cat("did:plc:", id);
}

std::string EventMaker::Cid(uint64_t number) {
  constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
  std::string digits;
  // Scrambled: CIDs are in no order.
  number = number * 0x9E3779B97F4A7C15 + 1;
  for (int i = 0; i < 12; ++i, number >>= 5) digits += kDigits[number & 31];
  return Cat("bafyrei", digits, std::string(40, 'a'));
}

std::string EventMaker::Uri(std::string_view name, std::string_view collection,
                            std::string_view rkey) {
  return Cat("at://", Did(name), "/", collection, "/", rkey);
}

std::string EventMaker::PostUri(std::string_view name, std::string_view rkey) {
  return Uri(name, "app.bsky.feed.post", rkey);
}

Event EventMaker::Commit(CommitOperation operation, std::string_view name,
                         std::string_view collection, std::string_view rkey) {
  constexpr std::string_view kDigits = "234567abcdefghijklmnopqrstuvwxyz";
  now_us_ += 1'000'000;
  Event event;
  event.kind = EventKind::kCommit;
  event.did = Did(name);
  event.time_us = now_us_;
  event.operation = operation;
  uint64_t tid = static_cast<uint64_t>(now_us_) << 10;
  for (int i = 0; i < 13; ++i, tid >>= 5) {
    event.rev.insert(event.rev.begin(), kDigits[tid & 31]);
  }
  event.collection = collection;
  event.rkey = rkey;
  if (operation != CommitOperation::kDelete) event.cid = Cid(++number_);
  return event;
}

Event EventMaker::Create(std::string_view name, std::string_view collection,
                         std::string_view rkey, std::string_view fields) {
  Event event = Commit(CommitOperation::kCreate, name, collection, rkey);
  event.record = Cat(R"({"$type":")", collection, R"(",)", fields,
                     fields.empty() ? "" : ",", R"("createdAt":")",
                     View(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ",
                                           absl::FromUnixMicros(event.time_us),
                                           absl::UTCTimeZone())),
                     R"("})");
  return event;
}

Event EventMaker::Update(std::string_view name, std::string_view collection,
                         std::string_view rkey, std::string_view fields) {
  Event event = Create(name, collection, rkey, fields);
  event.operation = CommitOperation::kUpdate;
  return event;
}

Event EventMaker::Delete(std::string_view name, std::string_view collection,
                         std::string_view rkey) {
  return Commit(CommitOperation::kDelete, name, collection, rkey);
}

Event EventMaker::Identity(std::string_view name, std::string_view handle) {
  Event event = Commit(CommitOperation::kDelete, name, "", "");
  event.kind = EventKind::kIdentity;
  event.handle = handle;
  return event;
}

Event EventMaker::Account(std::string_view name, bool active,
                          std::string_view status) {
  Event event = Commit(CommitOperation::kDelete, name, "", "");
  event.kind = EventKind::kAccount;
  event.active = active;
  event.status = status;
  return event;
}

std::string Ref(std::string_view uri) {
  return Cat(R"({"uri":")", uri, R"(","cid":")", EventMaker::Cid(0), R"("})");
}

Event EventMaker::Post(std::string_view name, std::string_view rkey,
                       std::string_view more) {
  return Create(name, "app.bsky.feed.post", rkey,
                Cat(R"("text":"hello")", more.empty() ? "" : ",", more));
}

Event EventMaker::Reply(std::string_view name, std::string_view rkey,
                        const std::string& root, const std::string& parent,
                        std::string_view more) {
  return Post(name, rkey,
              Cat(R"("reply":{"root":)", Ref(root), R"(,"parent":)",
                  Ref(parent), "}", more.empty() ? "" : ",", more));
}

Event EventMaker::Like(std::string_view name, std::string_view rkey,
                       const std::string& subject) {
  return Create(name, "app.bsky.feed.like", rkey,
                Cat(R"("subject":)", Ref(subject)));
}

Event EventMaker::Repost(std::string_view name, std::string_view rkey,
                         const std::string& subject) {
  return Create(name, "app.bsky.feed.repost", rkey,
                Cat(R"("subject":)", Ref(subject)));
}

Event EventMaker::Follow(std::string_view name, std::string_view rkey,
                         std::string_view whom) {
  return Create(name, "app.bsky.graph.follow", rkey,
                Cat(R"("subject":")", Did(whom), R"(")"));
}

}  // namespace ingest
