#include <numeric>
#include <tuple>

#include "cql/protocol/value_types.h"
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;
using protocol::ColumnType;
using protocol::TypeId;

class SessionTest : public ClientTest {};

constexpr StatementOptions kRead{.idempotent = true};
constexpr StatementOptions kWrite{.access = Access::kWrite};

TEST_F(SessionTest, AnswersAreRowsReadInPlace) {
  AddNode();
  Run([](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{7});
    absl::StatusOr<Rows> rows = co_await query;
    CO_ASSERT_OK(rows);
    EXPECT_EQ(rows->size(), 1u);
    for (const Row& row : *rows) {
      EXPECT_EQ(row.Get<int64_t>(0).value(), 7);
      EXPECT_EQ(row.Get<std::string_view>(1).value(), "v7");
    }
    EXPECT_FALSE(rows->has_more_pages());
    EXPECT_EQ(session->stats().counters.answered, 1u);
  });
}

// The rows must not need anything of the session or of a receive buffer.
TEST_F(SessionTest, RowsOutliveTheSession) {
  AddNode();
  std::vector<Rows> kept;
  Run([&kept](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 100; ++key) {
      Query query = session->Execute(**select, key);
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      kept.push_back(*std::move(rows));
    }
  });
  EXPECT_EQ(loop_->buffers().lent(), 0u);
  int64_t key = 0;
  for (const Rows& rows : kept) {
    EXPECT_EQ((*rows.begin()).Get<int64_t>(0).value(), key);
    EXPECT_EQ((*rows.begin()).Get<std::string>(1).value(),
              absl::StrCat("v", key));
    ++key;
  }
}

TEST_F(SessionTest, QueriesThatStartTogetherMayBeAnsweredInAnyOrder) {
  FakeNode* node = AddNode();
  std::vector<FakeRequest> held;
  std::vector<int64_t> keys;
  node->on_execute = [&](const FakeRequest& request) {
    held.push_back(request);
    keys.push_back(request.key());
    if (held.size() < 200) return true;
    for (size_t i = held.size(); i-- > 0;) {
      held[i].connection->Reply(
          held[i].stream, protocol::Opcode::kResult,
          RowsBody(held[i].statement->results, false,
                   {{Bigint(keys[i]), absl::StrCat("v", keys[i])}}));
    }
    held.clear();
    return true;
  };
  Run([](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    QuerySet queries(session, 1000);
    for (int64_t key = 0; key < 200; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      absl::StatusOr<Rows> rows = co_await queries[i];
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(),
                static_cast<int64_t>(i));
    }
    EXPECT_FALSE((co_await queries.Next()) == std::nullopt);
  });
  held.clear();
}

TEST_F(SessionTest, QuerySetBoundsWhatIsInFlightAndYieldsInOrderOfAnswers) {
  FakeNode* node = AddNode();
  std::vector<FakeRequest> held;
  std::vector<int64_t> keys;
  size_t most = 0;
  node->on_execute = [&](const FakeRequest& request) {
    held.push_back(request);
    keys.push_back(request.key());
    most = std::max(most, held.size());
    return true;
  };
  // Answers the youngest first, one a millisecond.
  bool stop = false;
  auto answer = [&]() -> Task<void> {
    while (!stop) {
      if (!held.empty()) {
        held.back().connection->Reply(
            held.back().stream, protocol::Opcode::kResult,
            RowsBody(held.back().statement->results, false,
                     {{Bigint(keys.back()), "x"}}));
        held.pop_back();
        keys.pop_back();
      }
      co_await ioloop::SleepFor(loop_.get(), absl::Milliseconds(1));
    }
  };
  ioloop::TaskGroup group;
  group.Spawn(answer());
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    {
      QuerySet queries(session, 8);
      for (int64_t key = 0; key < 100; ++key) {
        co_await queries.Room();
        queries.Add([&] { return session->Execute(**select, key); });
      }
      std::vector<bool> seen(100);
      size_t yielded = 0;
      while (std::optional<size_t> i = co_await queries.Next()) {
        absl::StatusOr<Rows> rows = co_await queries[*i];
        CO_ASSERT_OK(rows);
        EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(),
                  static_cast<int64_t>(*i));
        EXPECT_FALSE(seen[*i]);
        seen[*i] = true;
        ++yielded;
      }
      EXPECT_EQ(yielded, 100u);
    }
    stop = true;
    co_await group.Join();
  });
  EXPECT_EQ(most, 8u);
}

TEST_F(SessionTest, ValuesThatDoNotFitAreRefusedUnsent) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    Query text = session->Execute(**select, "seven");
    EXPECT_TRUE(text.done());
    absl::StatusOr<Rows> rows = co_await text;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("key"));
    EXPECT_THAT(rows.status().ToString(), HasSubstr("SELECT key, value"));
    Query many = session->Execute(**select, int64_t{1}, int64_t{2});
    rows = co_await many;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(node->executes, 0);
  });
}

TEST_F(SessionTest, ARequestAboveTheBoundIsRefusedUnsent) {
  FakeNode* node = AddNode();
  SessionOptions options = Options();
  options.frame_bytes_max = 1 << 20;
  Run(options, [&](Session* session) -> Task<void> {
    auto update = co_await session->Prepare(std::string(kUpdate), kWrite);
    CO_ASSERT_OK(update);
    const std::string large(900000, 'x');
    const std::string too_large(1 << 20, 'x');
    Query fits = session->Execute(**update, large, int64_t{1});
    CO_ASSERT_OK(co_await fits);
    Query value = session->Execute(**update, too_large, int64_t{1});
    EXPECT_EQ((co_await value).status().code(),
              absl::StatusCode::kInvalidArgument);
    Query text = session->ExecuteText({}, too_large);
    EXPECT_EQ((co_await text).status().code(),
              absl::StatusCode::kInvalidArgument);
    Batch batch;
    batch.Add(**update, large, int64_t{1});
    batch.Add(**update, large, int64_t{2});
    Query two = session->ExecuteBatch({}, batch);
    absl::StatusOr<Rows> rows = co_await two;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("frame_bytes_max"));
    EXPECT_EQ(node->executes, 1);
  });
}

// A frame that spans many receive buffers.
TEST_F(SessionTest, LargeRowsComeWhole) {
  FakeNode* node = AddNode();
  std::string value(3 << 20, 'x');
  for (size_t i = 0; i < value.size(); ++i) {
    value[i] = static_cast<char>(i * 7 / 3);
  }
  node->on_execute = [&](const FakeRequest& request) {
    request.ReplyRows({{Bigint(request.key()), value}});
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    QuerySet queries(session);
    for (int64_t key = 0; key < 5; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    for (size_t i = 0; i < 5; ++i) {
      absl::StatusOr<Rows> rows = co_await queries[i];
      CO_ASSERT_OK(rows);
      EXPECT_TRUE((*rows->begin()).Get<std::string_view>(1).value() == value);
    }
  });
}

TEST_F(SessionTest, ServerErrorsNameStatementNodeAndCode) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    request.connection->ReplyError(request.stream, ServerCode::kOverloaded,
                                   "too busy");
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kOverloaded);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("SELECT key, value"));
    EXPECT_THAT(rows.status().ToString(), HasSubstr(node->address()));
    EXPECT_THAT(rows.status().ToString(), HasSubstr("too busy"));
  });
}

TEST_F(SessionTest, ReadsAndWritesHaveConnectionsAndConsistenciesOfTheirOwn) {
  FakeNode* node = AddNode();
  std::map<Consistency, std::set<FakeConnection*>> seen;
  node->on_execute = [&](const FakeRequest& request) {
    seen[request.execute->parameters.consistency].insert(
        request.connection.get());
    return false;
  };
  SessionOptions options = Options();
  options.read_consistency = Consistency::kLocalOne;
  options.write_consistency = Consistency::kEachQuorum;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    auto update = co_await session->Prepare(std::string(kUpdate), kWrite);
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(update);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    for (int64_t key = 0; key < 20; ++key) {
      Query read = session->Execute(**select, key);
      Query write = session->Execute(**update, "value", key);
      CO_ASSERT_OK(co_await read);
      CO_ASSERT_OK(co_await write);
    }
    RequestOptions all;
    all.consistency = Consistency::kAll;
    Query read = session->Execute(all, **select, int64_t{1});
    CO_ASSERT_OK(co_await read);
    const auto reads = seen[Consistency::kLocalOne];
    const auto writes = seen[Consistency::kEachQuorum];
    EXPECT_EQ(reads.size(), 1u);
    EXPECT_EQ(writes.size(), 1u);
    EXPECT_NE(reads, writes);
    EXPECT_EQ(seen[Consistency::kAll], reads);
  });
}

TEST_F(SessionTest, PagesGoOnWhereTheLastOneEnded) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    const auto& parameters = request.execute->parameters;
    EXPECT_EQ(parameters.page_size, 10);
    int page = parameters.paging_state.empty()
                   ? 0
                   : std::stoi(std::string(parameters.paging_state));
    std::vector<Cells> rows;
    for (int i = 0; i < 10; ++i) rows.push_back({Bigint(page * 10 + i), "x"});
    request.ReplyRows(rows, page == 4 ? "" : absl::StrCat(page + 1));
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), {.page_size = 10});
    CO_ASSERT_OK(select);
    auto start = [&](const RequestOptions& page) {
      return session->Execute(page, **select, int64_t{1});
    };
    Pages pages(RequestOptions{}, start);
    int64_t next = 0;
    while (pages.more()) {
      absl::StatusOr<Rows> rows = co_await pages.Next();
      CO_ASSERT_OK(rows);
      for (const Row& row : *rows) {
        EXPECT_EQ(row.Get<int64_t>(0).value(), next++);
      }
    }
    EXPECT_EQ(next, 50);
  });
}

TEST_F(SessionTest, PagesThatNeverEndAreStopped) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    request.ReplyRows({{Bigint(1), "x"}}, "same");
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    CO_ASSERT_OK(select);
    auto start = [&](const RequestOptions& page) {
      return session->Execute(page, **select, int64_t{1});
    };
    Pages pages(RequestOptions{}, start);
    absl::Status last;
    int count = 0;
    while (pages.more() && count < 10) {
      ++count;
      last = (co_await pages.Next()).status();
    }
    EXPECT_EQ(last.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(count, 2);
  });
}

TEST_F(SessionTest, BatchesCarryEachStatementAndItsValues) {
  FakeNode* node = AddNode();
  std::vector<std::string> values;
  protocol::BatchType type = protocol::BatchType::kLogged;
  node->on_batch = [&](const FakeRequest& request) {
    type = request.batch->type;
    for (const auto& value : request.batch->values) {
      values.emplace_back(value.bytes);
    }
    return false;
  };
  Run([&](Session* session) -> Task<void> {
    auto update = co_await session->Prepare(std::string(kUpdate), kWrite);
    CO_ASSERT_OK(update);
    Batch batch(BatchType::kUnlogged);
    for (int64_t key = 0; key < 3; ++key) {
      batch.Add(**update, absl::StrCat("value", key), key);
    }
    node->ForgetPrepared();  // A batch is prepared again as well.
    Query query = session->ExecuteBatch({}, batch);
    CO_ASSERT_OK(co_await query);
    EXPECT_EQ(type, protocol::BatchType::kUnlogged);
    EXPECT_THAT(values, ::testing::ElementsAre("value0", Bigint(0), "value1",
                                               Bigint(1), "value2", Bigint(2)));
    EXPECT_EQ(session->stats().counters.unprepared, 1u);

    batch.Clear();
    batch.Add(**update, int64_t{1}, int64_t{1});
    Query wrong = session->ExecuteBatch({}, batch);
    EXPECT_EQ((co_await wrong).status().code(),
              absl::StatusCode::kInvalidArgument);
    Batch empty;
    Query nothing = session->ExecuteBatch({}, empty);
    EXPECT_EQ((co_await nothing).status().code(),
              absl::StatusCode::kInvalidArgument);
  });
}

TEST_F(SessionTest, TextIsSentAsItIs) {
  FakeNode* node = AddNode();
  std::string text;
  node->on_query = [&](const FakeRequest& request) {
    text = request.text;
    return false;
  };
  Run([&](Session* session) -> Task<void> {
    const std::string long_text =
        "CREATE TABLE ks.t (key bigint PRIMARY KEY, " + std::string(1000, 'x') +
        " text)";
    Query query = session->ExecuteText({}, long_text);
    absl::StatusOr<Rows> rows = co_await query;
    CO_ASSERT_OK(rows);
    EXPECT_TRUE(rows->empty());
    EXPECT_EQ(text, long_text);
    CO_ASSERT_OK(co_await session->AwaitSchemaAgreement(absl::Seconds(10)));
  });
}

// Each type goes through the bound value and comes back out of a row.
TEST_F(SessionTest, EveryTypeComesBackAsItWasBound) {
  FakeNode* node = AddNode();
  FakeStatement echo;
  echo.text = "echo";
  const ColumnType udt = [] {
    ColumnType type(TypeId::kUdt, {TypeId::kInt, TypeId::kText});
    type.keyspace = "ks";
    type.name = "pair";
    type.field_names = {"a", "b"};
    return type;
  }();
  const std::vector<ColumnType> types = {
      TypeId::kAscii,
      TypeId::kBigint,
      TypeId::kBlob,
      TypeId::kBoolean,
      TypeId::kCounter,
      TypeId::kDecimal,
      TypeId::kDouble,
      TypeId::kFloat,
      TypeId::kInt,
      TypeId::kText,
      TypeId::kTimestamp,
      TypeId::kUuid,
      TypeId::kVarint,
      TypeId::kTimeuuid,
      TypeId::kInet,
      TypeId::kDate,
      TypeId::kTime,
      TypeId::kSmallint,
      TypeId::kTinyint,
      ColumnType(TypeId::kList, {TypeId::kInt}),
      ColumnType(TypeId::kSet, {TypeId::kText}),
      ColumnType(TypeId::kMap, {TypeId::kText, TypeId::kBigint}),
      ColumnType(TypeId::kTuple, {TypeId::kInt, TypeId::kText}),
      udt,
      TypeId::kInt};
  for (size_t i = 0; i < types.size(); ++i) {
    echo.binds.push_back({"ks", "t", absl::StrCat("c", i), types[i]});
  }
  echo.results = echo.binds;
  node->AddStatement(echo);
  node->on_execute = [](const FakeRequest& request) {
    Cells cells;
    for (const auto& value : request.execute->bound.values) {
      if (value.kind == protocol::BoundValue::Kind::kBytes) {
        cells.emplace_back(std::string(value.bytes));
      } else {
        cells.emplace_back();
      }
    }
    request.ReplyRows({cells});
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto statement = co_await session->Prepare("echo", kRead);
    CO_ASSERT_OK(statement);
    const Uuid uuid = *Uuid::Parse("123e4567-e89b-12d3-a456-426614174000");
    const Inet inet = *Inet::Parse("2001:db8::7");
    Decimal decimal;
    decimal.scale = 3;
    decimal.unscaled = Varint::FromInt64(-12345);
    const absl::Time time = absl::FromUnixMillis(1700000000123);
    const std::vector<int32_t> list = {1, -2, 3};
    const std::vector<std::string> set = {"a", "b"};
    const std::map<std::string, int64_t> map = {{"x", 1}, {"y", -1}};
    const std::tuple<int32_t, std::string> tuple = {5, "five"};
    Query query = session->Execute(
        **statement, "ascii", int64_t{-5}, std::string_view("\0\1", 2), true,
        int64_t{9}, decimal, 1.5, 2.5f, 42, std::string("t\xc3\xa9xt"), time,
        uuid, Varint::FromInt64(1), uuid, inet, Date{19000}, Time{12345},
        int16_t{-3}, int8_t{7}, list, set, map, tuple, tuple,
        std::optional<int32_t>());
    absl::StatusOr<Rows> rows = co_await query;
    CO_ASSERT_OK(rows);
    const auto first = rows->begin();
    const Row row = *first;
    EXPECT_EQ(row.Get<std::string>(0).value(), "ascii");
    EXPECT_EQ(row.Get<int64_t>(1).value(), -5);
    EXPECT_EQ(row.Get<std::string>(2).value(), std::string("\0\1", 2));
    EXPECT_TRUE(row.Get<bool>(3).value());
    EXPECT_EQ(row.Get<int64_t>(4).value(), 9);
    EXPECT_EQ(row.Get<Decimal>(5).value(), decimal);
    EXPECT_EQ(row.Get<double>(6).value(), 1.5);
    EXPECT_EQ(row.Get<float>(7).value(), 2.5f);
    EXPECT_EQ(row.Get<int32_t>(8).value(), 42);
    EXPECT_EQ(row.Get<std::string_view>(9).value(), "t\xc3\xa9xt");
    EXPECT_EQ(row.Get<absl::Time>(10).value(), time);
    EXPECT_EQ(row.Get<Uuid>(11).value(), uuid);
    EXPECT_EQ(row.Get<Varint>(12).value(), Varint::FromInt64(1));
    EXPECT_EQ(row.Get<Uuid>(13).value(), uuid);
    EXPECT_EQ(row.Get<Inet>(14).value(), inet);
    EXPECT_EQ(row.Get<Date>(15).value(), Date{19000});
    EXPECT_EQ(row.Get<Time>(16).value(), Time{12345});
    EXPECT_EQ(row.Get<int16_t>(17).value(), -3);
    EXPECT_EQ(row.Get<int8_t>(18).value(), 7);
    EXPECT_EQ(row.Get<std::vector<int32_t>>(19).value(), list);
    EXPECT_EQ(row.Get<std::vector<std::string>>(20).value(), set);
    EXPECT_EQ((row.Get<std::map<std::string, int64_t>>(21).value()), map);
    EXPECT_EQ((row.Get<std::tuple<int32_t, std::string>>(22).value()), tuple);
    EXPECT_EQ((row.Get<std::tuple<int32_t, std::string>>(23).value()), tuple);
    EXPECT_EQ(row.Get<std::optional<int32_t>>(24).value(), std::nullopt);
  });
}

TEST_F(SessionTest, AnswersLeaveMetadataOutOnlyWhereItCannotChangeUnseen) {
  FakeNode* node = AddNode();
  FakeStatement star = SelectStatement();
  star.text = "SELECT * FROM ks.t WHERE key = ?";
  node->AddStatement(star);
  std::map<std::string, int> skipped;
  node->on_execute = [&](const FakeRequest& request) {
    skipped[request.statement->text] += request.skip_metadata() ? 1 : 0;
    return false;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kRead);
    auto all = co_await session->Prepare(star.text, kRead);
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(all);
    for (int64_t key = 0; key < 3; ++key) {
      Query one = session->Execute(**select, key);
      CO_ASSERT_OK(co_await one);
      Query two = session->Execute(**all, key);
      CO_ASSERT_OK(co_await two);
    }
    EXPECT_EQ(skipped[std::string(kSelect)], 3);
    EXPECT_EQ(skipped[star.text], 0);
  });
}

TEST_F(SessionTest, AChangedMetadataIdBringsTheNewColumns) {
  FakeNode* node = AddNode({.shards = 1, .metadata_id = true});
  FakeStatement star = SelectStatement();
  star.text = "SELECT * FROM ks.t WHERE key = ?";
  node->AddStatement(star);
  std::vector<std::string> ids;
  node->on_execute = [&](const FakeRequest& request) {
    ids.emplace_back(request.execute->metadata_id);
    if (ids.back() == "metadata-2") {
      EXPECT_TRUE(request.skip_metadata());
      request.connection->Reply(
          request.stream, protocol::Opcode::kResult,
          RowsBody({{}, {}, {}}, true, {{Bigint(1), "v", "extra"}}));
      return true;
    }
    protocol::ColumnSpecs columns = request.statement->results;
    columns.push_back({"ks", "t", "extra", TypeId::kText});
    std::string body;
    protocol::Writer writer(&body);
    protocol::RowsMetadata metadata;
    metadata.columns = columns;
    metadata.new_metadata_id = "metadata-2";
    protocol::EncodeRowsHeader(&writer, metadata, 1);
    writer.Bytes(Bigint(1));
    writer.Bytes("v");
    writer.Bytes("extra");
    writer.Finish();
    request.connection->Reply(request.stream, protocol::Opcode::kResult, body);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto all = co_await session->Prepare(star.text, kRead);
    CO_ASSERT_OK(all);
    for (int i = 0; i < 3; ++i) {
      Query query = session->Execute(**all, int64_t{1});
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<std::string>(2).value(), "extra");
    }
    EXPECT_THAT(
        ids, ::testing::ElementsAre("metadata-1", "metadata-2", "metadata-2"));
  });
}

TEST_F(SessionTest, PreparingWhatTheServerRefusesIsItsError) {
  AddNode();
  Run([](Session* session) -> Task<void> {
    auto statement = co_await session->Prepare("SELECT nonsense", kRead);
    EXPECT_EQ(ErrorCode(statement.status()), ServerCode::kInvalid);
    EXPECT_THAT(statement.status().ToString(), HasSubstr("SELECT nonsense"));
  });
}

TEST_F(SessionTest, TheFirstContactPointThatAnswersServes) {
  AddNode();
  SessionOptions options = Options();
  // Nobody listens on the first, the second is no name at all.
  options.contact_points = {"127.0.0.1:1", "no-such-host.invalid:9042",
                            nodes_[0]->address()};
  Run(options, [](Session* session) -> Task<void> {
    EXPECT_GE(session->connections(), 2u);
    co_return;
  });
}

TEST_F(SessionTest, EveryContactPointIsNamedWhenNoneAnswers) {
  SessionOptions options;
  options.contact_points = {"127.0.0.1:1", "127.0.0.1:2"};
  RunAlone([&]() -> Task<void> {
    auto session = co_await Session::Connect(loop_.get(), options);
    EXPECT_EQ(session.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(session.status().ToString(), HasSubstr("127.0.0.1:1"));
    EXPECT_THAT(session.status().ToString(), HasSubstr("127.0.0.1:2"));
  });
}

TEST_F(SessionTest, AnUnknownDatacenterIsToldWithThoseThatExist) {
  AddNode();
  RunAlone([&]() -> Task<void> {
    SessionOptions options = Options();
    options.local_datacenter = "dc9";
    auto session = co_await Session::Connect(loop_.get(), options);
    EXPECT_THAT(session.status().ToString(), HasSubstr("dc9"));
    EXPECT_THAT(session.status().ToString(), HasSubstr("dc1"));
  });
}

class AuthenticationTest : public ClientTest {
 protected:
  absl::Status Connect(std::string authenticator, std::string username,
                       std::string password) {
    AddNode({.authenticator = std::move(authenticator)});
    SessionOptions options = Options();
    options.username = std::move(username);
    options.password = std::move(password);
    absl::Status result;
    RunAlone([&]() -> Task<void> {
      auto session = co_await Session::Connect(loop_.get(), options);
      result = session.status();
      if (session.ok()) co_await (*session)->Close();
    });
    return result;
  }
};
constexpr char kPassword[] = "org.apache.cassandra.auth.PasswordAuthenticator";

TEST_F(AuthenticationTest, TheRightPasswordConnects) {
  EXPECT_TRUE(Connect(kPassword, "user", "secret").ok());
}
TEST_F(AuthenticationTest, AWrongPasswordIsUnauthenticated) {
  const absl::Status status = Connect(kPassword, "user", "guess");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(status.ToString(), ::testing::Not(HasSubstr("guess")));
}
TEST_F(AuthenticationTest, APasswordIsNotToldToAnUnknownAuthenticator) {
  EXPECT_EQ(Connect("com.evil.Collector", "user", "secret").code(),
            absl::StatusCode::kUnauthenticated);
}
TEST_F(AuthenticationTest, AServerThatAsksForNoPasswordIsRefused) {
  EXPECT_EQ(Connect("", "user", "secret").code(),
            absl::StatusCode::kUnauthenticated);
}
TEST_F(AuthenticationTest, ANeededPasswordThatIsNotConfiguredIsTold) {
  const absl::Status status = Connect(kPassword, "", "");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(status.ToString(), HasSubstr("none is configured"));
}

}  // namespace
}  // namespace cql::testing
