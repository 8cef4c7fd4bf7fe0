#include "cql/protocol/token.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql {
namespace {

using protocol::Bytes;

// As ScyllaDB's drivers compute them.
TEST(TokenTest, AgreesWithTheDriversOnIntegers) {
  struct Vector {
    const char* key;
    int64_t token;
    uint32_t shard_of_3, shard_of_4, shard_of_8, shard_of_96;
  };
  for (const Vector& vector :
       std::vector<Vector>{{"00000000", -3485513579396041028, 0, 0, 0, 5},
                           {"00000001", -4069959284402364209, 0, 1, 2, 27},
                           {"00000002", -3248873570005575792, 1, 2, 4, 58},
                           {"00000003", 9010454139840013625, 2, 2, 5, 69},
                           {"0000002a", -7160136740246525330, 0, 0, 1, 12}}) {
    const int64_t token = Murmur3Token(Bytes(vector.key));
    EXPECT_EQ(token, vector.token) << vector.key;
    EXPECT_EQ(ShardOf(token, 3, 12), vector.shard_of_3);
    EXPECT_EQ(ShardOf(token, 4, 12), vector.shard_of_4);
    EXPECT_EQ(ShardOf(token, 8, 12), vector.shard_of_8);
    EXPECT_EQ(ShardOf(token, 96, 12), vector.shard_of_96);
  }
}

// Values that the Python driver's own tests hold. The bytes above
// 0x7f are where the variant differs from the original hash.
TEST(TokenTest, TakesTheTailAsSignedBytes) {
  EXPECT_EQ(Murmur3Token("123"), -7468325962851647638);
  std::string key;
  for (int i = 0; i < 10; ++i) key += Bytes("00ff10fa99");
  EXPECT_EQ(Murmur3Token(key), 5837342703291459765);
  EXPECT_EQ(Murmur3Token(std::string(8, '\xfe')), -8927430733708461935);
  EXPECT_EQ(Murmur3Token(std::string(8, '\x10')), 1446172840243228796);
  EXPECT_EQ(Murmur3Token("9223372036854775807"), 7162290910810015547);
  EXPECT_EQ(Murmur3Token(""), 0);
}

// What the Python driver's own code gives for 85, ce, 17, ...: tails of every
// length, with negative bytes at every place.
TEST(TokenTest, TakesTailsOfEveryLengthAsSignedBytes) {
  const std::vector<int64_t> tokens = {
      6196436402413303652,  4134945868571201311,  3703672701019061175,
      -8253941699377130077, 8381067042554754885,  1307042805270933868,
      -1155840293162623831, -1826708785307321503, 6821934940852669196,
      6778173847026368094,  -2796718738626419630, 5166146423622375639,
      -6772435116285809832, 4840063484898357789,  -9084637260594758474,
      4374403743624038888,  -2237711814007907268, -734329897600614872,
      -3697846421316122735, 7969426955057740130,  5305756929515267025,
      2060182151814044783,  -1296147403194892807, 4107284330834694051};
  std::string key;
  for (const int64_t token : tokens) {
    key += static_cast<char>(key.size() * 73 + 0x85);
    EXPECT_EQ(Murmur3Token(key), token) << key.size();
  }
}

TEST(TokenTest, SerializesCompositeKeys) {
  std::string key;
  const std::vector<std::string_view> one = {"abc"};
  ASSERT_TRUE(AppendPartitionKey(one, &key));
  EXPECT_EQ(key, "abc");
  key.clear();
  const std::vector<std::string_view> two = {"abc", ""};
  ASSERT_TRUE(AppendPartitionKey(two, &key));
  EXPECT_EQ(key, Bytes("0003 'abc' 00 0000 00"));
  EXPECT_EQ(TokenOfKey(two), Murmur3Token(key));

  const std::string huge(65536, 'x');
  const std::vector<std::string_view> too_long = {huge, "a"};
  EXPECT_EQ(TokenOfKey(too_long), std::nullopt);
  EXPECT_EQ(TokenOfKey({}), std::nullopt);
}

TEST(TokenTest, FindsTheKeyAmongBoundValues) {
  const std::string values =
      Bytes("00000004 00000001 00000003 'abc' ffffffff 00000001 'z'");
  const std::vector<uint16_t> first = {0};
  EXPECT_EQ(TokenOfValues(values, first), Murmur3Token(Bytes("00000001")));
  // In the order of the key, not of the values.
  const std::vector<uint16_t> both = {3, 1};
  const std::vector<std::string_view> components = {"z", "abc"};
  EXPECT_EQ(TokenOfValues(values, both), TokenOfKey(components));
  for (const uint16_t missing : {2, 4, 100}) {
    const std::vector<uint16_t> index = {missing};
    EXPECT_EQ(TokenOfValues(values, index), std::nullopt);
  }
  const std::vector<uint16_t> with_null = {0, 2};
  EXPECT_EQ(TokenOfValues(values, with_null), std::nullopt);
}

TEST(ShardOfTest, StaysBelowTheNumberOfShards) {
  for (const int64_t token : {INT64_MIN, int64_t{-1}, int64_t{0}, INT64_MAX}) {
    for (const uint32_t shards : {1u, 2u, 65535u}) {
      for (const uint32_t msb : {0u, 12u, 63u}) {
        EXPECT_LT(ShardOf(token, shards, msb), shards);
      }
    }
  }
}

}  // namespace
}  // namespace cql
