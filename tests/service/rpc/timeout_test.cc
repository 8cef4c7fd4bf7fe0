// Deadlines as clients write them: forty cases.
#include "service/rpc/timeout.h"

#include <string_view>

#include "gtest/gtest.h"

namespace rpc {
namespace {

struct Case {
  bool grpc;
  std::string_view text;
  bool valid;
  absl::Duration value;
};

TEST(TimeoutTest, FortyCases) {
  const absl::Duration none;
  const Case cases[] = {
      {true, "1H", true, absl::Hours(1)},
      {true, "2M", true, absl::Minutes(2)},
      {true, "3S", true, absl::Seconds(3)},
      {true, "4m", true, absl::Milliseconds(4)},
      {true, "5u", true, absl::Microseconds(5)},
      {true, "6n", true, absl::Nanoseconds(6)},
      {true, "0S", true, none},
      {true, "0n", true, none},
      {true, "00000001S", true, absl::Seconds(1)},
      {true, "99999999S", true, absl::Seconds(99999999)},
      {true, "99999999H", true, absl::Hours(99999999)},
      {true, "99999999n", true, absl::Nanoseconds(99999999)},
      {true, "100000000S", false, none},
      {true, "12345678901234567890S", false, none},
      {true, "9223372036854775808H", false, none},
      {true, "", false, none},
      {true, "1", false, none},
      {true, "S", false, none},
      {true, "-1S", false, none},
      {true, "+1S", false, none},
      {true, "1.5S", false, none},
      {true, " 1S", false, none},
      {true, "1 S", false, none},
      {true, "1S ", false, none},
      {true, "1s", false, none},
      {true, "1h", false, none},
      {true, "1ms", false, none},
      {true, "0x1S", false, none},
      {true, "NaNS", false, none},
      {true, "infS", false, none},
      {true, "1e3S", false, none},
      {false, "0", true, none},
      {false, "1", true, absl::Milliseconds(1)},
      {false, "9999999999", true, absl::Milliseconds(9999999999)},
      {false, "10000000000", false, none},
      {false, "12345678901234567890", false, none},
      {false, "-1", false, none},
      {false, "1.0", false, none},
      {false, "NaN", false, none},
      {false, "", false, none},
  };
  static_assert(std::size(cases) == 40);
  for (const Case& c : cases) {
    absl::StatusOr<absl::Duration> parsed =
        c.grpc ? ParseGrpcTimeout(c.text) : ParseConnectTimeout(c.text);
    EXPECT_EQ(parsed.ok(), c.valid) << c.text;
    if (parsed.ok()) {
      EXPECT_EQ(*parsed, c.value) << c.text;
    } else {
      EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument)
          << c.text;
    }
  }
}

}  // namespace
}  // namespace rpc
