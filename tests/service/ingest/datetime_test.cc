#include "service/ingest/datetime.h"

#include "gtest/gtest.h"

namespace ingest {
namespace {

TEST(DatetimeTest, ReadsWhatClientsWrite) {
  constexpr int64_t kTime = 1740816617423;
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T08:10:17.423Z"), kTime);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T08:10:17.423999Z"), kTime);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T10:10:17.423+02:00"), kTime);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T02:40:17.423-0530"), kTime);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T08:10:17.423"), kTime);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01 08:10:17.423z"), kTime);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T08:10:17Z"), kTime - 423);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01T08:10Z"), kTime - 17423);
  EXPECT_EQ(ParseDatetimeMs("2025-03-01"), 1740787200000);
  EXPECT_EQ(ParseDatetimeMs("2016-12-31T23:59:60Z"), 1483228799000);
}

TEST(DatetimeTest, ReadsTimesFarAway) {
  EXPECT_EQ(ParseDatetimeMs("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseDatetimeMs("1969-12-31T23:59:59.999Z"), -1);
  EXPECT_EQ(ParseDatetimeMs("0001-01-01T00:00:00Z"), -62135596800000);
  EXPECT_EQ(ParseDatetimeMs("9999-12-31T23:59:59.999Z"), 253402300799999);
}

TEST(DatetimeTest, RefusesWhatIsNoTime) {
  for (std::string_view text :
       {"", "yesterday", "2025", "2025-13-01T00:00:00Z", "2025-00-01T00:00:00Z",
        "2025-02-29T00:00:00Z", "2025-03-01T24:00:00Z", "2025-03-01T00:60:00Z",
        "2025-03-01T00:00:61Z", "2025-03-01T00:00:00.Z",
        "2025-03-01T00:00:00ZZ", "2025-03-01T00:00:00+",
        "2025-03-01T00:00:00+25:00", "2025-03-01T00:00:00+01:00Z",
        "25-03-01T00:00:00Z", "2025-03-01T", "2025-03-01X00:00:00Z"}) {
    EXPECT_EQ(ParseDatetimeMs(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ingest
