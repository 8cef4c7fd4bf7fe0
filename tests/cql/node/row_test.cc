#include "cql/node/row.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace cql::node {
namespace {

StoredCell Live(uint16_t column, int64_t timestamp, std::string_view bytes) {
  StoredCell cell;
  cell.column = column;
  cell.kind = CellKind::kLive;
  cell.timestamp = timestamp;
  cell.bytes = bytes;
  return cell;
}
StoredCell Dead(uint16_t column, int64_t timestamp) {
  StoredCell cell;
  cell.column = column;
  cell.timestamp = timestamp;
  cell.expires_at = 100;
  return cell;
}

constexpr uint16_t kCounterColumn = 3;

// "live:3 tomb:2 0=a@1 1={p:b@2}"
std::string Show(std::string_view record) {
  RecordReader reader(record);
  RowHeader header;
  EXPECT_TRUE(reader.ReadHeader(&header));
  std::string text;
  if (header.liveness != kNoTimestamp) {
    text += "live:" + std::to_string(header.liveness) + " ";
  }
  if (header.tombstone != kNoTimestamp) {
    text += "tomb:" + std::to_string(header.tombstone) + " ";
  }
  const auto show = [](const StoredCell& cell) {
    return (cell.kind == CellKind::kDead ? "-" : std::string(cell.bytes)) +
           "@" + std::to_string(cell.timestamp);
  };
  StoredCell cell;
  while (reader.NextCell(&cell)) {
    // A deleted counter reads like one that is not there.
    if (cell.column == kCounterColumn && cell.kind == CellKind::kDead) continue;
    text += std::to_string(cell.column) + "=";
    if (cell.kind == CellKind::kCounter) {
      text += (cell.reset ? "!" : "+") + std::to_string(cell.sum) + " ";
    } else if (cell.kind == CellKind::kComplex) {
      text += "{";
      if (cell.timestamp != kNoTimestamp) {
        text += "del:" + std::to_string(cell.timestamp) + " ";
      }
      ElementReader elements(cell.bytes);
      StoredCell element;
      while (elements.Next(&element)) {
        text += std::string(element.path) + ":" + show(element) + " ";
      }
      EXPECT_FALSE(elements.malformed());
      text += "} ";
    } else {
      text += show(cell) + " ";
    }
  }
  EXPECT_FALSE(reader.malformed());
  return text;
}

std::string Build(const std::vector<StoredCell>& cells,
                  int64_t liveness = kNoTimestamp,
                  int64_t tombstone = kNoTimestamp) {
  RecordBuilder builder;
  builder.Clear();
  builder.header.liveness = liveness;
  builder.header.tombstone = tombstone;
  for (const StoredCell& cell : cells) builder.AddCell(cell);
  std::string record;
  builder.Finish(&record);
  return record;
}

std::string Merge(const std::string& a, const std::string& b) {
  std::string merged;
  EXPECT_TRUE(MergeRecords(a, b, &merged));
  return merged;
}

TEST(RowTest, TheNewerCellWinsThenTheDeadThenTheGreater) {
  EXPECT_EQ(Show(Merge(Build({Live(0, 1, "a")}), Build({Live(0, 2, "b")}))),
            "0=b@2 ");
  EXPECT_EQ(Show(Merge(Build({Live(0, 2, "a")}), Build({Live(0, 1, "b")}))),
            "0=a@2 ");
  EXPECT_EQ(Show(Merge(Build({Live(0, 2, "b")}), Build({Live(0, 2, "a")}))),
            "0=b@2 ");
  EXPECT_EQ(Show(Merge(Build({Live(0, 2, "b")}), Build({Dead(0, 2)}))),
            "0=-@2 ");
  EXPECT_EQ(Show(Merge(Build({Live(0, 2, "b")}), Build({Dead(0, 1)}))),
            "0=b@2 ");
}

TEST(RowTest, ATombstoneHidesWhatIsNotNewer) {
  EXPECT_EQ(Show(Merge(Build({Live(0, 1, "a"), Live(1, 3, "b")}, 1),
                       Build({}, kNoTimestamp, 2))),
            "tomb:2 1=b@3 ");
  EXPECT_EQ(
      Show(Merge(Build({}, kNoTimestamp, 2), Build({Live(0, 2, "late")}, 2))),
      "tomb:2 ");
}

TEST(RowTest, CountersAddUpAndDeletionsResetThem) {
  StoredCell one;
  one.kind = CellKind::kCounter;
  one.sum = 1;
  one.timestamp = 1;
  const std::string add = Build({one});
  const std::string deleted = Build({}, kNoTimestamp, 5);
  EXPECT_EQ(Show(Merge(add, Merge(add, add))), "0=+3 ");
  EXPECT_EQ(Show(Merge(Merge(add, deleted), add)), "tomb:5 0=+1 ");
  EXPECT_EQ(Show(Merge(add, Merge(deleted, add))), "tomb:5 0=+1 ");
  const std::string cell_deleted = Build({Dead(0, 5)});
  EXPECT_EQ(Show(Merge(Merge(add, cell_deleted), add)), "0=!1 ");
}

// RocksDB merges operands in groups of its choice: the result must be one.
TEST(RowTest, MergingIsAssociative) {
  std::mt19937 random(20261123);
  const auto pick = [&](int n) { return static_cast<int>(random() % n); };
  const auto any_record = [&] {
    RecordBuilder builder;
    builder.Clear();
    if (pick(3) == 0) builder.header.liveness = pick(6);
    if (pick(4) == 0) builder.header.tombstone = pick(6);
    const std::string values[] = {"a", "b", "c"};
    for (int i = pick(6); i > 0; --i) {
      const auto column = static_cast<uint16_t>(pick(4));
      const int64_t timestamp = pick(6);
      if (column == kCounterColumn) {
        StoredCell counter;
        counter.column = column;
        counter.kind = pick(4) == 0 ? CellKind::kDead : CellKind::kCounter;
        counter.sum = pick(5);
        counter.timestamp = timestamp;
        builder.AddCell(counter);
      } else if (column == 2) {
        if (pick(3) == 0) {
          builder.DeleteElements(column, timestamp);
          continue;
        }
        StoredCell element = pick(3) == 0
                                 ? Dead(column, timestamp)
                                 : Live(column, timestamp, values[pick(3)]);
        element.path = values[pick(3)];
        builder.AddElement(element);
      } else {
        builder.AddCell(pick(3) == 0
                            ? Dead(column, timestamp)
                            : Live(column, timestamp, values[pick(3)]));
      }
    }
    std::string record;
    builder.Finish(&record);
    return record;
  };
  for (int i = 0; i < 20000; ++i) {
    const std::string a = any_record();
    const std::string b = any_record();
    const std::string c = any_record();
    ASSERT_EQ(Show(Merge(Merge(a, b), c)), Show(Merge(a, Merge(b, c))))
        << Show(a) << "\n"
        << Show(b) << "\n"
        << Show(c);
  }
}

TEST(RowTest, BytesThatAreNoRecordAreRefused) {
  const std::string record = Build({Live(0, 1, "abc"), Dead(1, 2)}, 3, 1);
  std::string merged;
  for (size_t size = 0; size < record.size(); ++size) {
    // Some prefixes end between cells: those are records.
    MergeRecords(record.substr(0, size), record, &merged);
    MergeRecords(record, record.substr(0, size), &merged);
  }
  EXPECT_FALSE(MergeRecords("", record, &merged));
  EXPECT_FALSE(MergeRecords("\xff", record, &merged));
  EXPECT_FALSE(
      MergeRecords(record.substr(0, record.size() - 1), record, &merged));
}

TEST(RowTest, PurgingDropsWhatNobodyCanSee) {
  StoredCell expiring = Live(0, 1, "a");
  expiring.kind = CellKind::kExpiring;
  expiring.ttl = 10;
  expiring.expires_at = 100;
  std::string purged;
  EXPECT_FALSE(PurgeRecord(Build({expiring}), 50, 10, &purged));
  EXPECT_TRUE(PurgeRecord(Build({expiring}), 5000, 1000, &purged));
  EXPECT_EQ(purged, "");
  EXPECT_TRUE(
      PurgeRecord(Build({Dead(0, 1), Live(1, 1, "b")}), 5000, 1000, &purged));
  EXPECT_EQ(Show(purged), "1=b@1 ");
  EXPECT_FALSE(PurgeRecord(Build({Live(1, 1, "b")}), 5000, 1000, &purged));
}

}  // namespace
}  // namespace cql::node
