// Words for a synthetic network: names, sentences, and JSON quoting.
#ifndef RINGPLANE_SERVICE_INGEST_GENERATE_TEXT_H_
#define RINGPLANE_SERVICE_INGEST_GENERATE_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "service/ingest/generate_random.h"

namespace ingest {

// "otter17.example.com"; `generation` tells a user's later handles apart.
std::string MakeHandle(uint32_t user, uint32_t generation);

// "Amber Otter".
std::string MakeDisplayName(uint64_t seed, uint32_t user);

// A sentence or a few, now and then with quotes, accents or an emoji.
void AppendSentence(GenerateRandom* random, std::string* out);

// One of a few topics, as hashtags name them.
std::string_view MakeTopic(GenerateRandom* random);

// `text` within quotes, escaped.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_GENERATE_TEXT_H_
