#include "cql/protocol/error.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql {
namespace {

using protocol::Bytes;
using ::testing::HasSubstr;

struct ErrorCase {
  ServerError error;
  const char* golden;
  absl::StatusCode code;
};

std::vector<ErrorCase> Cases() {
  std::vector<ErrorCase> cases;
  const auto add = [&](ServerCode code, absl::StatusCode status,
                       const char* golden) -> ServerError& {
    ErrorCase& c = cases.emplace_back();
    c.error.code = code;
    c.error.message = "m";
    c.golden = golden;
    c.code = status;
    return c.error;
  };
  add(ServerCode::kServerError, absl::StatusCode::kInternal,
      "00000000 0001 'm'");
  add(ServerCode::kBadCredentials, absl::StatusCode::kUnauthenticated,
      "00000100 0001 'm'");
  ServerError* e =
      &add(ServerCode::kUnavailable, absl::StatusCode::kUnavailable,
           "00001000 0001 'm' 0006 00000002 00000001");
  e->consistency = Consistency::kLocalQuorum;
  e->required = 2;
  e->received = 1;
  e = &add(ServerCode::kWriteTimeout, absl::StatusCode::kDeadlineExceeded,
           "00001100 0001 'm' 0004 00000001 00000002 0005 'BATCH'");
  e->consistency = Consistency::kQuorum;
  e->received = 1;
  e->required = 2;
  e->write_type = "BATCH";
  e = &add(ServerCode::kReadTimeout, absl::StatusCode::kDeadlineExceeded,
           "00001200 0001 'm' 0004 00000002 00000002 01");
  e->consistency = Consistency::kQuorum;
  e->received = 2;
  e->required = 2;
  e->data_present = true;
  e = &add(ServerCode::kReadFailure, absl::StatusCode::kUnavailable,
           "00001300 0001 'm' 0001 00000001 00000002 00000003 00");
  e->consistency = Consistency::kOne;
  e->received = 1;
  e->required = 2;
  e->failures = 3;
  e = &add(ServerCode::kFunctionFailure, absl::StatusCode::kInternal,
           "00001400 0001 'm' 0001 'k' 0001 'f' 0002 0003 'int' 0004 'text'");
  e->keyspace = "k";
  e->table = "f";
  e->argument_types = {"int", "text"};
  e = &add(ServerCode::kWriteFailure, absl::StatusCode::kUnavailable,
           "00001500 0001 'm' 0001 00000000 00000001 00000001 0006 'SIMPLE'");
  e->consistency = Consistency::kOne;
  e->required = 1;
  e->failures = 1;
  e->write_type = "SIMPLE";
  add(ServerCode::kInvalid, absl::StatusCode::kInvalidArgument,
      "00002200 0001 'm'");
  e = &add(ServerCode::kAlreadyExists, absl::StatusCode::kAlreadyExists,
           "00002400 0001 'm' 0002 'ks' 0001 't'");
  e->keyspace = "ks";
  e->table = "t";
  e = &add(ServerCode::kUnprepared, absl::StatusCode::kFailedPrecondition,
           "00002500 0001 'm' 0002 0102");
  e->statement_id = "\x01\x02";
  e = &add(ServerCode::kRateLimit, absl::StatusCode::kResourceExhausted,
           "0000f000 0001 'm' 01 01");
  e->operation = 1;
  e->rejected_by_coordinator = true;
  return cases;
}

TEST(ServerErrorTest, HasTheBytesOfTheSpecification) {
  for (const ErrorCase& c : Cases()) {
    const std::string bytes = protocol::Written(
        [&](protocol::Writer* w) { protocol::EncodeError(w, c.error); });
    EXPECT_EQ(bytes, Bytes(c.golden)) << ServerCodeName(c.error.code);
    const absl::StatusOr<ServerError> decoded =
        protocol::DecodeServerError(bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, c.error);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(
          protocol::DecodeServerError(std::string_view(bytes).substr(0, size))
              .ok());
    }
  }
}

TEST(ServerErrorTest, TravelsInAStatus) {
  for (const ErrorCase& c : Cases()) {
    const absl::Status status = protocol::DecodeError(Bytes(c.golden));
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_EQ(ErrorCode(status), c.error.code);
    EXPECT_EQ(GetServerError(status), c.error);
    EXPECT_EQ(ToStatus(c.error), status);
    EXPECT_THAT(std::string(status.message()), HasSubstr(": m"));
  }
}

TEST(ServerErrorTest, IsAbsentFromOtherStatuses) {
  EXPECT_EQ(ErrorCode(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ErrorCode(absl::InternalError("x")), std::nullopt);
  EXPECT_EQ(GetServerError(absl::InternalError("x")), std::nullopt);
}

TEST(ServerErrorTest, KeepsCodesThatAreNotKnown) {
  const absl::Status status =
      protocol::DecodeError(Bytes("00001234 0003 'odd' 0102"));
  EXPECT_EQ(status.message(), "error 0x1234: odd");
  EXPECT_EQ(ErrorCode(status), static_cast<ServerCode>(0x1234));
}

TEST(ServerErrorTest, SaysWhenItCannotBeRead) {
  const absl::Status status = protocol::DecodeError("\x01");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrorCode(status), std::nullopt);
}

TEST(ConsistencyTest, HasNames) {
  EXPECT_EQ(ConsistencyName(Consistency::kLocalQuorum), "LOCAL_QUORUM");
  EXPECT_EQ(ConsistencyName(static_cast<Consistency>(99)), "UNKNOWN");
  EXPECT_EQ(ParseConsistency("local_one"), Consistency::kLocalOne);
  EXPECT_EQ(ParseConsistency("most"), std::nullopt);
}

}  // namespace
}  // namespace cql
