#include "cql/protocol/tablet.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace cql::protocol {
namespace {

std::string Encode(const Tablet& tablet) {
  std::string bytes;
  Writer writer(&bytes);
  EncodeTablet(&writer, tablet);
  writer.Finish();
  return bytes;
}

Tablet Sample() {
  Tablet tablet{std::numeric_limits<int64_t>::min(),
                std::numeric_limits<int64_t>::max(),
                {}};
  tablet.replicas.push_back(
      {*Uuid::Parse("f1a5d65d-f835-4d65-adbb-3ca0a1a67793"), 2});
  return tablet;
}

// As ScyllaDB's drivers take it.
TEST(TabletTest, HasTheBytesThatOtherDriversRead) {
  constexpr char kBytes[] =
      "\0\0\0\x08\x80\0\0\0\0\0\0\0"
      "\0\0\0\x08\x7f\xff\xff\xff\xff\xff\xff\xff"
      "\0\0\0\x24\0\0\0\x01"
      "\0\0\0\x1c\0\0\0\x10"
      "\xf1\xa5\xd6\x5d\xf8\x35\x4d\x65\xad\xbb\x3c\xa0\xa1\xa6\x77\x93"
      "\0\0\0\x04\0\0\0\x02";
  const std::string bytes(kBytes, sizeof(kBytes) - 1);
  absl::StatusOr<Tablet> tablet = DecodeTablet(bytes);
  ASSERT_TRUE(tablet.ok()) << tablet.status();
  EXPECT_EQ(*tablet, Sample());
  EXPECT_EQ(Encode(Sample()), bytes);
}

TEST(TabletTest, WhatIsCutOffIsRefused) {
  const std::string bytes = Encode(Sample());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeTablet(bytes.substr(0, size)).ok()) << size;
  }
}

TEST(TabletTest, WhatMakesNoSenseIsRefused) {
  Tablet empty_range = Sample();
  empty_range.last = empty_range.first;
  EXPECT_FALSE(DecodeTablet(Encode(empty_range)).ok());
  Tablet inverted = Sample();
  std::swap(inverted.first, inverted.last);
  EXPECT_FALSE(DecodeTablet(Encode(inverted)).ok());
  Tablet nowhere = Sample();
  nowhere.replicas.clear();
  EXPECT_FALSE(DecodeTablet(Encode(nowhere)).ok());
  Tablet shard = Sample();
  shard.replicas[0].shard = kTabletShardMax + 1;
  EXPECT_FALSE(DecodeTablet(Encode(shard)).ok());
  std::string negative = Encode(Sample());
  negative[negative.size() - 4] = '\xff';
  EXPECT_FALSE(DecodeTablet(negative).ok());
  Tablet many = Sample();
  for (size_t i = 0; i < kTabletReplicasMax; ++i) {
    many.replicas.push_back(many.replicas[0]);
  }
  EXPECT_FALSE(DecodeTablet(Encode(many)).ok());
}

// Servers have been seen to name one twice.
TEST(TabletTest, AHostCountsOnce) {
  Tablet twice = Sample();
  twice.replicas.push_back({twice.replicas[0].host, 5});
  absl::StatusOr<Tablet> tablet = DecodeTablet(Encode(twice));
  ASSERT_TRUE(tablet.ok());
  EXPECT_EQ(*tablet, Sample());
}

}  // namespace
}  // namespace cql::protocol
