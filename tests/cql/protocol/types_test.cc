#include "cql/protocol/types.h"

#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

std::vector<ColumnType> Samples() {
  std::vector<ColumnType> types;
  for (const TypeId id :
       {TypeId::kAscii,     TypeId::kBigint,   TypeId::kBlob,
        TypeId::kBoolean,   TypeId::kCounter,  TypeId::kDecimal,
        TypeId::kDouble,    TypeId::kFloat,    TypeId::kInt,
        TypeId::kTimestamp, TypeId::kUuid,     TypeId::kText,
        TypeId::kVarint,    TypeId::kTimeuuid, TypeId::kInet,
        TypeId::kDate,      TypeId::kTime,     TypeId::kSmallint,
        TypeId::kTinyint,   TypeId::kDuration}) {
    types.emplace_back(id);
  }
  types.push_back({TypeId::kList, {TypeId::kInt}});
  types.push_back({TypeId::kSet, {TypeId::kUuid}});
  types.push_back({TypeId::kMap, {TypeId::kText, types[20]}});
  types.push_back({TypeId::kTuple, {TypeId::kInt, types[22], TypeId::kBlob}});
  types.push_back({TypeId::kTuple, {}});
  ColumnType udt(TypeId::kUdt, {TypeId::kText, types[23]});
  udt.keyspace = "ks";
  udt.name = "address";
  udt.field_names = {"street", "parts"};
  types.push_back(udt);
  types.push_back({TypeId::kList, {udt}});
  ColumnType custom(TypeId::kCustom);
  custom.name = "org.example.Point";
  types.push_back(custom);
  return types;
}

TEST(TypesTest, ComeBackAsTheyWereWritten) {
  for (const ColumnType& type : Samples()) {
    const std::string bytes =
        Written([&](Writer* writer) { WriteType(writer, type); });
    Reader reader(bytes);
    EXPECT_EQ(ReadType(&reader), type) << type.ToString();
    EXPECT_TRUE(reader.ok());
    EXPECT_EQ(reader.remaining(), 0u);

    Reader skipping(bytes);
    SkipType(&skipping);
    EXPECT_TRUE(skipping.ok());
    EXPECT_EQ(skipping.remaining(), 0u);

    for (size_t size = 0; size < bytes.size(); ++size) {
      Reader cut(std::string_view(bytes).substr(0, size));
      ReadType(&cut);
      EXPECT_FALSE(cut.ok()) << type.ToString() << " cut at " << size;
    }
  }
}

TEST(TypesTest, HaveTheBytesOfTheSpecification) {
  const ColumnType map(
      TypeId::kMap, {TypeId::kText, ColumnType(TypeId::kList, {TypeId::kInt})});
  EXPECT_EQ(Written([&](Writer* writer) { WriteType(writer, map); }),
            Bytes("0021 000d 0020 0009"));
  EXPECT_EQ(map.ToString(), "map<text, list<int>>");
}

TEST(TypesTest, ReadDurationInBothOfItsForms) {
  const std::string v5 = Bytes("0015");
  Reader number(v5);
  EXPECT_EQ(ReadType(&number).id, TypeId::kDuration);
  const std::string v4 = Written([](Writer* writer) {
    writer->Short(0);
    writer->String("org.apache.cassandra.db.marshal.DurationType");
  });
  Reader custom(v4);
  EXPECT_EQ(ReadType(&custom).id, TypeId::kDuration);
}

TEST(TypesTest, AreReadToADepthOf32) {
  const auto nested = [](int depth) {
    std::string bytes;
    for (int i = 1; i < depth; ++i) bytes += Bytes("0020");
    return bytes + Bytes("0009");
  };
  const std::string deep = nested(kTypeDepthMax);
  Reader fits(deep);
  ReadType(&fits);
  EXPECT_TRUE(fits.ok());
  for (const int depth : {kTypeDepthMax + 1, 64, 1000000}) {
    const std::string bytes = nested(depth);
    Reader reader(bytes);
    ReadType(&reader);
    EXPECT_FALSE(reader.ok());
    Reader skipping(bytes);
    SkipType(&skipping);
    EXPECT_FALSE(skipping.ok());
  }
}

TEST(TypesTest, RefuseUnknownNumbersAndLyingCounts) {
  for (const char* bytes : {"0016", "7777", "0020 1234", "0031 ffff 0009",
                            "0030 0001 'k' 0001 'n' ffff 0001 'f' 0009"}) {
    const std::string raw = Bytes(bytes);
    Reader reader(raw);
    ReadType(&reader);
    EXPECT_FALSE(reader.ok()) << bytes;
  }
}

}  // namespace
}  // namespace cql::protocol
