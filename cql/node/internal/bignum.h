// Integers of any size between decimal digits and two's complement bytes, for
// varint and decimal.
#ifndef RINGPLANE_CQL_NODE_INTERNAL_BIGNUM_H_
#define RINGPLANE_CQL_NODE_INTERNAL_BIGNUM_H_

#include <string>
#include <string_view>

namespace cql::node {

// Digits past this are refused: the conversions take quadratic time.
inline constexpr size_t kBigDigitsMax = 4096;
// Bytes of such an integer.
inline constexpr size_t kBigBytesMax = 1702;

// `digits` is -?[0-9]+; the result is minimal, big-endian two's complement.
std::string TwosComplementFromDecimal(std::string_view digits);

// The reverse; "0" for no bytes.
std::string DecimalFromTwosComplement(std::string_view bytes);

// Without bytes that repeat the sign; one byte at least.
std::string_view MinimalTwosComplement(std::string_view bytes);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_INTERNAL_BIGNUM_H_
