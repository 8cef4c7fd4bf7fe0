#include "cql/protocol/rows.h"

#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

const ColumnSpecs kColumns = {{"ks", "t", "id", TypeId::kInt},
                              {"ks", "t", "name", TypeId::kText}};

TEST(RowsTest, AreReadWhereTheyLie) {
  const std::string content =
      Bytes("00000004 00000001 00000003 'one' 00000004 00000002 ffffffff");
  const absl::StatusOr<RowsView> rows = RowsView::Create(kColumns, 2, content);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->size(), 2u);
  EXPECT_EQ(rows->Find("name"), 1u);
  EXPECT_EQ(rows->Find("nope"), std::nullopt);

  std::vector<int32_t> ids;
  std::vector<std::optional<std::string_view>> names;
  for (const RowView& row : *rows) {
    int32_t id = 0;
    std::optional<std::string_view> name;
    ASSERT_TRUE(row.Read(&id, &name).ok());
    ids.push_back(id);
    names.push_back(name);
    EXPECT_EQ(*row.Get<int64_t>(0), id);
    EXPECT_EQ(row.is_null(1), !name.has_value());
  }
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(names[0], "one");
  EXPECT_EQ(names[0]->data(), content.data() + 12);
  EXPECT_EQ(names[1], std::nullopt);
}

TEST(RowsTest, NameTheColumnThatCannotBeRead) {
  const std::string content = Bytes("00000004 00000001 ffffffff");
  const absl::StatusOr<RowsView> rows = RowsView::Create(kColumns, 1, content);
  ASSERT_TRUE(rows.ok());
  const RowsView::Iterator first = rows->begin();
  const RowView row = *first;
  EXPECT_EQ(row.Get<std::string_view>(0).status().message(),
            "column 'id': a C++ string does not fit CQL type int");
  EXPECT_EQ(row.Get<std::string_view>(1).status().message(),
            "column 'name': null where a value is asked for (std::optional "
            "takes nulls)");
  EXPECT_EQ(row.Get<int>(2).status().message(),
            "column 2 of a row that has 2 columns");
}

TEST(RowsTest, GiveTheFirstRowWithoutAnIterator) {
  const std::string content =
      Bytes("00000004 00000001 00000003 'one' 00000004 00000002 ffffffff");
  const absl::StatusOr<RowsView> rows = RowsView::Create(kColumns, 2, content);
  ASSERT_TRUE(rows.ok());
  int32_t id = 0;
  std::string_view name;
  EXPECT_TRUE(rows->ReadFirst(&id).ok());
  EXPECT_EQ(id, 1);
  EXPECT_TRUE(rows->ReadFirst(&id, &name).ok());
  EXPECT_EQ(name, "one");
  EXPECT_EQ(rows->ReadFirst(&name, &name).message(),
            "column 'id': a C++ string does not fit CQL type int");
  EXPECT_EQ(rows->ReadFirst(&id, &name, &id).message(),
            "column 2 of a row that has 2 columns");
}

TEST(RowsTest, AreRefusedWhenTheBytesAreTooFewOrTooMany) {
  const std::string content =
      Bytes("00000004 00000001 00000003 'one' 00000004 00000002 ffffffff");
  for (size_t size = 0; size < content.size(); ++size) {
    EXPECT_FALSE(
        RowsView::Create(kColumns, 2, std::string_view(content).substr(0, size))
            .ok());
  }
  EXPECT_FALSE(RowsView::Create(kColumns, 2, content + "x").ok());
  EXPECT_FALSE(RowsView::Create(kColumns, 1, content).ok());
  EXPECT_FALSE(RowsView::Create(kColumns, 3, content).ok());
  EXPECT_FALSE(RowsView::Create(kColumns, 1, Bytes("00000000 7fffffff")).ok());
}

TEST(RowsTest, ThatLieAboutTheirNumberAreRefusedAtOnce) {
  EXPECT_FALSE(RowsView::Create(kColumns, UINT32_MAX, "").ok());
  EXPECT_FALSE(RowsView::Create({}, UINT32_MAX, "").ok());
  EXPECT_TRUE(RowsView::Create({}, 0, "").ok());
  EXPECT_TRUE(RowsView::Create(kColumns, 0, "").ok());
}

TEST(RowsTest, HaveAnyNumberOfColumns) {
  ColumnSpecs columns(100, {"ks", "t", "c", TypeId::kTinyint});
  std::string content;
  for (int i = 0; i < 200; ++i) {
    content += Bytes("00000001") + static_cast<char>(i % 100);
  }
  const absl::StatusOr<RowsView> rows = RowsView::Create(columns, 2, content);
  ASSERT_TRUE(rows.ok());
  for (const RowView& row : *rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      EXPECT_EQ(*row.Get<int>(i), static_cast<int>(i));
    }
  }
}

}  // namespace
}  // namespace cql::protocol
