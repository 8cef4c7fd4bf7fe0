#include "tests/service/dataplane/dataplane_fixture.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace dataplane {
namespace {

ioloop::Task<absl::Status> RunText(cql::Session* session, std::string text) {
  cql::RequestOptions options;
  options.access = cql::Access::kWrite;
  cql::Query query = session->ExecuteText(options, text);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows.status();
}

// The statements of schema.cql, without comments.
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

}  // namespace

void DataplaneFixture::SetUp() {
  char folder[] = "/tmp/ringplane-dataplane-XXXXXX";
  folder_ = mkdtemp(folder);
  auto loop = ioloop::Loop::Create(ioloop::Loop::Options());
  ASSERT_TRUE(loop.ok()) << loop.status();
  loop_ = *std::move(loop);
  cql::node::NodeOptions node_options;
  node_options.data_dir = folder_;
  node_options.sync = cql::node::SyncMode::kProcess;
  node_options.port = 0;
  node_options.shard_aware_port = 0;
  auto node = cql::node::Node::Start(loop_.get(), node_options);
  ASSERT_TRUE(node.ok()) << node.status();
  node_ = *std::move(node);

  cql::SessionOptions session_options;
  session_options.contact_points = {node_->address().ToString()};
  session_options.request_timeout = absl::Seconds(60);
  {
    auto bare = loop_->RunUntilDone(
        cql::Session::Connect(loop_.get(), session_options));
    ASSERT_TRUE(bare.ok()) << bare.status();
    absl::Status status = loop_->RunUntilDone(RunText(
        bare->get(),
        "CREATE KEYSPACE t WITH replication = {'class': 'SimpleStrategy', "
        "'replication_factor': 1}"));
    EXPECT_TRUE(status.ok()) << status;
    loop_->RunUntilDone((*bare)->Close());
  }
  session_options.keyspace = "t";
  auto session =
      loop_->RunUntilDone(cql::Session::Connect(loop_.get(), session_options));
  ASSERT_TRUE(session.ok()) << session.status();
  session_ = *std::move(session);
  for (const std::string& statement : SchemaStatements()) {
    absl::Status status =
        loop_->RunUntilDone(RunText(session_.get(), statement));
    ASSERT_TRUE(status.ok()) << status << "\n" << statement;
  }
  auto dataplane = loop_->RunUntilDone(Dataplane::Create(
      session_.get(), nullptr, options_, PostRecordCache::Options()));
  ASSERT_TRUE(dataplane.ok()) << dataplane.status();
  dataplane_ = *std::move(dataplane);
}

void DataplaneFixture::TearDown() {
  dataplane_.reset();
  if (session_ != nullptr) loop_->RunUntilDone(session_->Close());
  session_.reset();
  if (node_ != nullptr) loop_->RunUntilDone(node_->Stop());
  node_.reset();
  loop_.reset();
  std::filesystem::remove_all(folder_);
}

void DataplaneFixture::Write(std::string_view cql) {
  absl::Status status =
      loop_->RunUntilDone(RunText(session_.get(), std::string(cql)));
  ASSERT_TRUE(status.ok()) << status << "\n" << cql;
}

void DataplaneFixture::AddRecord(std::string_view uri, std::string_view cid,
                                 int64_t at_ms) {
  Write(absl::StrCat(
      "INSERT INTO records (uri, cid, record, indexed_at, created_at, sort_at) "
      "VALUES ('",
      std::string(uri), "', '", std::string(cid), "', '{\"a\":1}', ", at_ms,
      ", ", at_ms, ", ", at_ms, ")"));
}

void DataplaneFixture::AddActor(std::string_view did, std::string_view handle) {
  Write(absl::StrCat("INSERT INTO actors (did, known, handle) VALUES ('",
                     std::string(did), "', true, '", std::string(handle),
                     "')"));
}

}  // namespace dataplane
