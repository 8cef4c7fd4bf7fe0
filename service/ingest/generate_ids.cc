#include "service/ingest/generate_ids.h"

#include <openssl/sha.h>

#include <cstring>
#include <span>

namespace ingest {
namespace {

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kBase32Sortable = "234567abcdefghijklmnopqrstuvwxyz";

// RFC 4648 base32 without padding, as much as `out` has room for.
void EncodeBase32(std::span<const uint8_t> in, std::span<char> out) {
  size_t bit = 0;
  for (char& c : out) {
    uint32_t pair = in[bit / 8] << 8;
    if (bit / 8 + 1 < in.size()) pair |= in[bit / 8 + 1];
    c = kBase32[(pair >> (11 - bit % 8)) & 31];
    bit += 5;
  }
}

CidText MakeCid(uint8_t codec, std::string_view content) {
  // CID version 1, codec, SHA-256 of 32 bytes.
  uint8_t cid[36] = {0x01, codec, 0x12, 0x20};
  SHA256(reinterpret_cast<const uint8_t*>(content.data()), content.size(),
         cid + 4);
  CidText text;
  text.bytes[0] = 'b';
  EncodeBase32(cid, std::span(text.bytes).subspan(1));
  return text;
}

void PutDigits(char* out, int digits, int64_t value) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) out[i] = '0' + value % 10;
}

}  // namespace

DidText MakeDid(uint64_t seed, uint32_t user) {
  uint8_t input[16] = "did";
  std::memcpy(input + 4, &seed, sizeof(seed));
  std::memcpy(input + 12, &user, sizeof(user));
  uint8_t hash[SHA256_DIGEST_LENGTH];
  SHA256(input, sizeof(input), hash);
  DidText text;
  std::memcpy(text.bytes.data(), "did:plc:", 8);
  EncodeBase32(hash, std::span(text.bytes).subspan(8));
  return text;
}

CidText MakeRecordCid(std::string_view content) {
  return MakeCid(0x71, content);
}

CidText MakeBlobCid(std::string_view content) { return MakeCid(0x55, content); }

TidText MakeTid(int64_t time_us, uint32_t clock) {
  uint64_t value = static_cast<uint64_t>(time_us) << 10 | (clock & 1023);
  TidText text;
  for (size_t i = text.bytes.size(); i-- > 0; value >>= 5) {
    text.bytes[i] = kBase32Sortable[value & 31];
  }
  return text;
}

FixedText<24> MakeTimestamp(int64_t time_us) {
  int64_t ms = time_us / 1000;
  int64_t days = ms / 86400000;
  int64_t in_day = ms % 86400000;
  // Days since 1970 to a date of the proleptic Gregorian calendar, counting
  // years from March so that the leap day comes last.
  int64_t shifted = days + 719468;
  int64_t era = shifted / 146097;
  int64_t day_of_era = shifted % 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                         day_of_era / 146096) /
                        365;
  int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t march_month = (5 * day_of_year + 2) / 153;
  int64_t day = day_of_year - (153 * march_month + 2) / 5 + 1;
  int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

  FixedText<24> text;
  char* out = text.bytes.data();
  std::memcpy(out, "0000-00-00T00:00:00.000Z", 24);
  PutDigits(out, 4, year);
  PutDigits(out + 5, 2, month);
  PutDigits(out + 8, 2, day);
  PutDigits(out + 11, 2, in_day / 3600000);
  PutDigits(out + 14, 2, in_day / 60000 % 60);
  PutDigits(out + 17, 2, in_day / 1000 % 60);
  PutDigits(out + 20, 3, in_day % 1000);
  return text;
}

}  // namespace ingest
