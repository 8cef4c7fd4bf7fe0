#include "cql/node/internal/bignum.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cql::node {
namespace {

// Flips the sign of a two's complement number in place.
void Negate(std::string* bytes) {
  bool carry = true;
  for (size_t i = bytes->size(); i-- > 0;) {
    const auto flipped = static_cast<uint8_t>(~(*bytes)[i]);
    const auto sum = static_cast<uint8_t>(flipped + (carry ? 1 : 0));
    carry = carry && sum == 0;
    (*bytes)[i] = static_cast<char>(sum);
  }
}

}  // namespace

std::string TwosComplementFromDecimal(std::string_view digits) {
  const bool negative = !digits.empty() && digits.front() == '-';
  if (negative) digits.remove_prefix(1);
  std::vector<uint32_t> limbs;  // Little-endian base 2^32.
  for (size_t i = 0; i < digits.size();) {
    uint32_t chunk = 0;
    uint32_t scale = 1;
    for (int j = 0; j < 9 && i < digits.size(); ++j, ++i) {
      chunk = chunk * 10 + static_cast<uint32_t>(digits[i] - '0');
      scale *= 10;
    }
    uint64_t carry = chunk;
    for (uint32_t& limb : limbs) {
      carry += uint64_t{limb} * scale;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs.push_back(static_cast<uint32_t>(carry));
  }
  std::string bytes(1, '\0');  // Room for the sign.
  for (size_t i = limbs.size(); i-- > 0;) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<char>(limbs[i] >> shift));
    }
  }
  if (negative) Negate(&bytes);
  return std::string(MinimalTwosComplement(bytes));
}

std::string DecimalFromTwosComplement(std::string_view bytes) {
  std::string magnitude(bytes);
  const bool negative = !bytes.empty() && (bytes.front() & 0x80) != 0;
  if (negative) Negate(&magnitude);
  std::vector<uint32_t> digits;  // Little-endian base 10^9.
  for (char c : magnitude) {
    uint64_t carry = static_cast<uint8_t>(c);
    for (uint32_t& digit : digits) {
      carry += uint64_t{digit} << 8;
      digit = static_cast<uint32_t>(carry % 1000000000);
      carry /= 1000000000;
    }
    if (carry != 0) digits.push_back(static_cast<uint32_t>(carry));
  }
  if (digits.empty()) return "0";
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    uint32_t digit = digits[i];
    const bool last = i + 1 == digits.size();
    for (int j = 0; last ? digit != 0 : j < 9; ++j) {
      text.push_back(static_cast<char>('0' + digit % 10));
      digit /= 10;
    }
  }
  if (negative) text.push_back('-');
  std::reverse(text.begin(), text.end());
  return text;
}

std::string_view MinimalTwosComplement(std::string_view bytes) {
  while (bytes.size() > 1) {
    const auto first = static_cast<uint8_t>(bytes[0]);
    const bool next_negative = (bytes[1] & 0x80) != 0;
    if (!(first == 0x00 && !next_negative) && !(first == 0xff && next_negative))
      break;
    bytes.remove_prefix(1);
  }
  return bytes;
}

}  // namespace cql::node
