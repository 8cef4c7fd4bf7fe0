// Metadata ids (SCYLLA_USE_METADATA_ID): columns that change under requests.
#include <algorithm>
#include <random>

#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;
using protocol::TypeId;

constexpr StatementOptions kRead{.idempotent = true};

// A node whose table gets a column more with each Alter(). It answers as the
// extension says: without metadata to the newest id, else with the columns
// and their id.
class MetadataTest : public ClientTest {
 protected:
  struct Held {
    FakeRequest request;
    int64_t key;
    bool knows;  // The id sent was the newest when the request came.
    size_t version;
  };

  MetadataTest() { star_.text = "SELECT * FROM ks.t WHERE key = ?"; }

  FakeNode* AddTableNode(bool with_ids) {
    FakeNode* node = AddNode({.shards = 1, .metadata_id = with_ids});
    star_.metadata_id = Id(0);
    node->AddStatement(star_);
    node->on_execute = [this](const FakeRequest& request) {
      const bool with_id = request.connection->metadata_id;
      Held held{request, request.key(),
                with_id && request.execute->metadata_id == Id(version_),
                version_};
      ids_.emplace_back(request.execute->metadata_id);
      if (hold_) {
        held_.push_back(held);
      } else {
        Answer(held);
      }
      return true;
    };
    return node;
  }

  static std::string Id(size_t version) {
    return absl::StrCat("metadata-", version);
  }
  protocol::ColumnSpecs Columns(size_t version) const {
    protocol::ColumnSpecs columns = star_.results;
    // The new columns come first: a row read with old columns is nonsense.
    for (size_t i = 0; i < version; ++i) {
      columns.insert(columns.begin(),
                     {"ks", "t", absl::StrCat("extra", i), TypeId::kText});
    }
    return columns;
  }
  void Answer(const Held& held) {
    const protocol::ColumnSpecs columns = Columns(held.version);
    std::string body;
    protocol::Writer writer(&body);
    protocol::RowsMetadata metadata;
    metadata.columns = columns;
    metadata.skip_columns = held.knows;
    const std::string id = Id(held.version);
    if (!held.knows && held.request.connection->metadata_id) {
      metadata.new_metadata_id = id;
    }
    protocol::EncodeRowsHeader(&writer, metadata, 1);
    for (size_t i = 0; i < held.version; ++i) writer.Bytes("extra");
    writer.Bytes(Bigint(held.key));
    writer.Bytes(absl::StrCat("v", held.key));
    writer.Finish();
    held.request.connection->Reply(held.request.stream,
                                   protocol::Opcode::kResult, body);
  }
  // Whether `rows` are the row of `key`, by the names of its columns.
  static bool IsRowOf(const Rows& rows, int64_t key) {
    const auto key_column = rows.Find("key");
    const auto value_column = rows.Find("value");
    if (rows.size() != 1 || !key_column || !value_column) return false;
    const Rows::Iterator first = rows.begin();
    const Row row = *first;
    return row.Get<int64_t>(*key_column).value_or(-1) == key &&
           row.Get<std::string>(*value_column).value_or("") ==
               absl::StrCat("v", key);
  }

  FakeStatement star_ = SelectStatement();
  size_t version_ = 0;
  bool hold_ = false;
  std::vector<Held> held_;
  std::vector<std::string> ids_;
};

// Answers with and without metadata, to requests of before and after a change,
// in any order: each is read with the columns that it was written with.
TEST_F(MetadataTest, ColumnsThatChangeUnderRequestsInFlightAreNeverMixedUp) {
  AddTableNode(true);
  hold_ = true;
  std::mt19937 random(20261130);
  Run([&](Session* session) -> Task<void> {
    auto all = co_await session->Prepare(star_.text, kRead);
    CO_ASSERT_OK(all);
    QuerySet queries(session, 1000);
    int64_t key = 0;
    for (size_t version = 0; version < 4; ++version) {
      version_ = version;
      // Some come before the client has seen the new columns, some after.
      for (int wave = 0; wave < 2; ++wave) {
        const size_t before = held_.size();
        for (int i = 0; i < 20; ++i, ++key) {
          queries.Add([&] { return session->Execute(**all, key); });
        }
        CO_ASSERT_TRUE(
            co_await Eventually([&] { return held_.size() == before + 20; }));
        std::shuffle(held_.begin(), held_.end(), random);
        for (int i = 0; i < 10; ++i) {
          Answer(held_.back());
          held_.pop_back();
        }
        const size_t left = held_.size();
        CO_ASSERT_TRUE(
            co_await Eventually([&] { return queries.unanswered() == left; }));
      }
    }
    for (const Held& held : held_) Answer(held);
    held_.clear();
    hold_ = false;
    for (int i = 0; i < 3; ++i, ++key) {
      queries.Add([&] { return session->Execute(**all, key); });
      CO_ASSERT_TRUE(
          co_await Eventually([&] { return queries.unanswered() == 0; }));
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      absl::StatusOr<Rows> rows = co_await queries[i];
      CO_ASSERT_OK(rows);
      EXPECT_TRUE(IsRowOf(*rows, static_cast<int64_t>(i))) << i;
    }
  });
  EXPECT_EQ(ids_.back(), Id(3));
}

// The id is kept per statement and sent back: metadata comes once per change.
TEST_F(MetadataTest, MetadataIsLeftOutOnceItsIdIsKnown) {
  AddTableNode(true);
  Run([&](Session* session) -> Task<void> {
    auto all = co_await session->Prepare(star_.text, kRead);
    CO_ASSERT_OK(all);
    for (size_t version : {0u, 1u, 2u}) {
      version_ = version;
      for (int64_t key = 0; key < 2; ++key) {
        Query query = session->Execute(**all, key);
        absl::StatusOr<Rows> rows = co_await query;
        CO_ASSERT_OK(rows);
        EXPECT_TRUE(IsRowOf(*rows, key));
        EXPECT_EQ(rows->columns().size(), 2 + version);
      }
    }
    EXPECT_THAT(
        ids_, ::testing::ElementsAre(Id(0), Id(0), Id(0), Id(1), Id(1), Id(2)));
  });
}

// A node that learns the extension by a restart knows no id of ours yet.
TEST_F(MetadataTest, ANodeThatLearnsTheExtensionTellsItsIdOnce) {
  FakeNode* node = AddTableNode(false);
  Run([&](Session* session) -> Task<void> {
    auto all = co_await session->Prepare(star_.text, kRead);
    CO_ASSERT_OK(all);
    Query before = session->Execute(**all, int64_t{1});
    CO_ASSERT_OK(co_await before);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    node->options().metadata_id = true;
    node->KillConnections();
    CO_ASSERT_TRUE(co_await Eventually([&] {
      return session->stats().counters.connections_lost >= 2 &&
             session->connections() == 3;
    }));
    for (int64_t key = 0; key < 3; ++key) {
      Query query = session->Execute(**all, key);
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      EXPECT_TRUE(IsRowOf(*rows, key));
    }
    EXPECT_THAT(ids_, ::testing::ElementsAre("", "", Id(0), Id(0)));
  });
}

}  // namespace
}  // namespace cql::testing
