#include "cql/node/ordered_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cql/node/internal/bignum.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/type.h"
#include "cql/protocol/token.h"

namespace cql::node {
namespace {

template <typename T>
std::string Big(T value) {
  std::string bytes;
  AppendBig(value, &bytes);
  return bytes;
}
std::string Double(double value) { return Big(std::bit_cast<uint64_t>(value)); }
std::string Float(float value) { return Big(std::bit_cast<uint32_t>(value)); }
std::string Decimal(const std::string& unscaled, int32_t scale) {
  return Big(scale) + TwosComplementFromDecimal(unscaled);
}
std::string List(const std::vector<std::string>& parts) {
  std::string bytes = Big(static_cast<int32_t>(parts.size()));
  for (const std::string& part : parts) AppendBytes(part, &bytes);
  return bytes;
}
TypeRef Composite(TypeId id, std::vector<TypeRef> parameters) {
  auto type = std::make_shared<CqlType>();
  type->id = id;
  type->frozen = true;
  type->parameters = std::move(parameters);
  return type;
}

// `ascending`: values as CQL sorts them, each different from the next.
void ExpectOrder(const TypeRef& type,
                 const std::vector<std::string>& ascending) {
  std::vector<std::string> keys;
  for (const std::string& value : ascending) {
    ASSERT_TRUE(ValidateValue(*type, value).ok()) << TypeText(*type);
    for (bool descending : {false, true}) {
      std::string key;
      AppendOrdered(*type, value, descending, &key);
      if (!descending) keys.push_back(key);
      // What follows belongs to the next column.
      const std::string followed = key + "next";
      std::string_view rest = followed;
      std::string read;
      ASSERT_TRUE(ReadOrdered(*type, descending, &rest, &read));
      EXPECT_EQ(read, value) << TypeText(*type);
      EXPECT_EQ(rest, "next") << TypeText(*type);
      for (size_t size = 0; size < key.size(); ++size) {
        std::string_view cut = std::string_view(key).substr(0, size);
        read.clear();
        EXPECT_FALSE(ReadOrdered(*type, descending, &cut, &read));
      }
    }
  }
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j) {
      const int wanted = i < j ? -1 : i > j ? 1 : 0;
      const int by_key = keys[i].compare(keys[j]);
      EXPECT_EQ((by_key > 0) - (by_key < 0), wanted)
          << TypeText(*type) << " " << i << " " << j;
      const int by_value = CompareValues(*type, ascending[i], ascending[j]);
      EXPECT_EQ((by_value > 0) - (by_value < 0), wanted)
          << TypeText(*type) << " " << i << " " << j;
      std::string x;
      std::string y;
      AppendOrdered(*type, ascending[i], true, &x);
      AppendOrdered(*type, ascending[j], true, &y);
      EXPECT_EQ((x < y) - (y < x), wanted);
    }
  }
}

TEST(OrderedKeyTest, SortsEveryTypeAsCqlDoes) {
  constexpr auto kMin = std::numeric_limits<int64_t>::min();
  constexpr auto kMax = std::numeric_limits<int64_t>::max();
  for (TypeId id : {TypeId::kBigint, TypeId::kTimestamp}) {
    ExpectOrder(SimpleType(id),
                {Big(kMin), Big(int64_t{-256}), Big(int64_t{-1}),
                 Big(int64_t{0}), Big(int64_t{255}), Big(kMax)});
  }
  ExpectOrder(SimpleType(TypeId::kInt), {Big(int32_t{-70000}), Big(int32_t{-1}),
                                         Big(int32_t{0}), Big(int32_t{70000})});
  ExpectOrder(SimpleType(TypeId::kSmallint),
              {Big(int16_t{-3}), Big(int16_t{0}), Big(int16_t{300})});
  ExpectOrder(SimpleType(TypeId::kTinyint),
              {Big(int8_t{-128}), Big(int8_t{-1}), Big(int8_t{127})});
  ExpectOrder(SimpleType(TypeId::kTime), {Big(int64_t{0}), Big(int64_t{1000})});
  ExpectOrder(SimpleType(TypeId::kDate),
              {Big(uint32_t{0}), Big(uint32_t{1}), Big(uint32_t{0x80000000})});
  ExpectOrder(SimpleType(TypeId::kBoolean), {Big(int8_t{0}), Big(int8_t{1})});
  ExpectOrder(SimpleType(TypeId::kText),
              {"", std::string(1, '\0'), std::string("\0a", 2), "a",
               std::string("a\0", 2), "aa", "b", "\xc3\xa9"});
  ExpectOrder(SimpleType(TypeId::kBlob),
              {"", std::string(2, '\0'), std::string("\0\xff", 2), "\x01",
               "\xfe", "\xff", "\xff\xff"});
  ExpectOrder(SimpleType(TypeId::kDouble),
              {Double(-std::numeric_limits<double>::infinity()), Double(-1.5),
               Double(-0.0), Double(0.0), Double(1e-300), Double(2),
               Double(std::numeric_limits<double>::infinity()),
               Double(std::numeric_limits<double>::quiet_NaN())});
  ExpectOrder(SimpleType(TypeId::kFloat),
              {Float(-2), Float(-1.5f), Float(0), Float(3.25f)});
  ExpectOrder(SimpleType(TypeId::kInet),
              {std::string("\x0a\x00\x00\x01", 4), "\x7f\x01\x01\x01"});
}

TEST(OrderedKeyTest, SortsNumbersOfAnySize) {
  std::vector<std::string> varints;
  for (const char* digits :
       {"-340282366920938463463374607431768211456", "-65536", "-256", "-129",
        "-128", "-1", "0", "1", "127", "128", "255", "256", "65535",
        "18446744073709551616", "340282366920938463463374607431768211456"}) {
    varints.push_back(TwosComplementFromDecimal(digits));
    EXPECT_EQ(DecimalFromTwosComplement(varints.back()), digits);
  }
  ExpectOrder(SimpleType(TypeId::kVarint), varints);
  ExpectOrder(
      SimpleType(TypeId::kDecimal),
      {Decimal("-123", -5), Decimal("-13", 0), Decimal("-12", 0),
       Decimal("-1", 3), Decimal("0", 0), Decimal("1", 5), Decimal("9", 1),
       Decimal("95", 2), Decimal("1", 0), Decimal("11", 1), Decimal("9", 0),
       Decimal("11", 0), Decimal("1", -20)});
  // 1.0 and 1.00 are one key.
  std::string a;
  std::string b;
  AppendOrdered(*SimpleType(TypeId::kDecimal), Decimal("10", 1), false, &a);
  AppendOrdered(*SimpleType(TypeId::kDecimal), Decimal("100", 2), false, &b);
  EXPECT_EQ(a, b);
}

TEST(OrderedKeyTest, SortsUuidsByVersionAndTime) {
  // Times 1, 2^32, 2^48 in the order of the fields that hold them.
  const auto uuid = [](uint64_t high, uint64_t low) {
    return Big(high) + Big(low);
  };
  const std::string early = uuid(0x0000000100001000, 0x8080808080808080);
  const std::string early_greater =
      uuid(0x0000000100001000, 0x7f7f7f7f7f7f7f7f);
  const std::string later = uuid(0x0000000000011000, 0x8080808080808080);
  const std::string latest = uuid(0x0000000000001001, 0x8080808080808080);
  ExpectOrder(SimpleType(TypeId::kTimeuuid),
              {early, early_greater, later, latest});
  ExpectOrder(SimpleType(TypeId::kUuid),
              {early, later, latest, uuid(0x0000000000004000, 1),
               uuid(0xff00000000004000, 0), uuid(0x0000000000005000, 0)});
}

TEST(OrderedKeyTest, SortsCompositesPartByPart) {
  const TypeRef text = SimpleType(TypeId::kText);
  const TypeRef number = SimpleType(TypeId::kInt);
  ExpectOrder(Composite(TypeId::kList, {text}),
              {List({}), List({"a"}), List({"a", ""}), List({"a", "b"}),
               List({"aa"}), List({"b"})});
  ExpectOrder(Composite(TypeId::kTuple, {number, text}),
              {Big(int32_t{4}) + Big(int32_t{-1}) + Big(int32_t{1}) + "a",
               Big(int32_t{4}) + Big(int32_t{1}) + Big(int32_t{-1}),
               Big(int32_t{4}) + Big(int32_t{1}) + Big(int32_t{1}) + "a"});
}

TEST(OrderedKeyTest, SuccessorFollowsWhatItIsAPrefixOf) {
  std::string key = "ab";
  MakeSuccessor(&key);
  EXPECT_EQ(key, "ac");
  key = "a\xff\xff";
  MakeSuccessor(&key);
  EXPECT_EQ(key, "b");
  key = "\xff";
  MakeSuccessor(&key);
  EXPECT_EQ(key, "");
}

// The tokens that drivers were seen to compute.
TEST(OrderedKeyTest, TokensAreThoseOfTheDrivers) {
  EXPECT_EQ(Murmur3Token(Big(int32_t{0})), -3485513579396041028);
  EXPECT_EQ(Murmur3Token(Big(int32_t{1})), -4069959284402364209);
  EXPECT_EQ(Murmur3Token(Big(int32_t{42})), -7160136740246525330);
}

}  // namespace
}  // namespace cql::node
