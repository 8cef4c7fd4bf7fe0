#include "service/ingest/generate_text.h"

#include <cstddef>

#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr std::string_view kAnimals[] = {
    "otter", "heron", "lynx",  "tapir", "newt",   "crane", "moth",  "badger",
    "finch", "gecko", "ibis",  "koala", "lemur",  "mole",  "okapi", "puffin",
    "quail", "raven", "shrew", "tern",  "urchin", "vole",  "wren",  "yak",
};
constexpr std::string_view kAnimalNames[] = {
    "Otter", "Heron", "Lynx",  "Tapir", "Newt",   "Crane", "Moth",  "Badger",
    "Finch", "Gecko", "Ibis",  "Koala", "Lemur",  "Mole",  "Okapi", "Puffin",
    "Quail", "Raven", "Shrew", "Tern",  "Urchin", "Vole",  "Wren",  "Yak",
};
constexpr std::string_view kColours[] = {
    "Amber", "Blue",  "Coral", "Dusty", "Ember", "Frosty", "Grey",  "Hazel",
    "Ivory", "Jade",  "Khaki", "Lilac", "Misty", "Noir",   "Olive", "Pale",
    "Quiet", "Rusty", "Sandy", "Tawny", "Umber", "Violet", "Warm",  "Zesty",
};
constexpr std::string_view kOpeners[] = {
    "Today I learnt that",
    "Nobody told me",
    "Still thinking about how",
    "Hot take:",
    "It turns out",
    "This morning",
    "Honestly,",
    "Reminder:",
    "Small joys:",
    "Update:",
    "I keep saying",
    "Good news,",
};
constexpr std::string_view kSubjects[] = {
    "the train",     "my sourdough", "an old compiler",  "the neighbour's cat",
    "the city",      "our library",  "this keyboard",    "the moon",
    "a café nearby", "the garden",   "one more meeting", "the first snow",
    "the database",  "my bicycle",   "the whole choir",  "a lost umbrella",
};
constexpr std::string_view kVerbs[] = {
    "was late again",        "grew overnight",
    "learnt a new trick",    "refuses to cooperate",
    "looks better by night", "needs more salt",
    "found its way home",    "sounds like rain",
    "is worth the wait",     "has opinions",
    "broke a record",        "smells of coffee",
    "has been \"improved\"", "went viral",
    "finally works",
};
constexpr std::string_view kEndings[] = {
    ".", ".", ".", "!", "?", " 🙂", " — really.", " …", " 🌱", ".\nMore soon.",
};
constexpr std::string_view kTopics[] = {
    "art",     "birds", "books",   "cats",     "climate", "coding",
    "cooking", "games", "history", "knitting", "music",   "science",
};

template <size_t N>
std::string_view Pick(const std::string_view (&words)[N],
                      GenerateRandom* random) {
  return words[random->Below(N)];
}

}  // namespace

std::string MakeHandle(uint32_t user, uint32_t generation) {
  std::string_view animal = kAnimals[user % std::size(kAnimals)];
  if (generation == 0) return Cat(animal, user, ".example.com");
  return Cat(animal, user, ".v", generation, ".example.com");
}

std::string MakeDisplayName(uint64_t seed, uint32_t user) {
  uint64_t mixed = GenerateRandom::Mix(seed ^ (uint64_t{user} << 20));
  return Cat(kColours[mixed % std::size(kColours)], " ",
             kAnimalNames[user % std::size(kAnimalNames)]);
}

void AppendSentence(GenerateRandom* random, std::string* out) {
  for (uint32_t more = 1 + random->Below(4) / 3; more > 0; --more) {
    // One after the other: the order in which arguments are evaluated is the
    // compiler's choice.
    std::string_view opener = Pick(kOpeners, random);
    std::string_view subject = Pick(kSubjects, random);
    std::string_view verb = Pick(kVerbs, random);
    std::string_view ending = Pick(kEndings, random);
    Append(out, opener, " ", subject, " ", verb, ending);
    if (more > 1) out->push_back(' ');
  }
}

std::string_view MakeTopic(GenerateRandom* random) {
  return kTopics[random->Zipf(std::size(kTopics))];
}

void AppendJsonString(std::string_view text, std::string* out) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out->push_back('"');
  for (char c : text) {
    switch (c) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out->append("\\u00");
          out->push_back(kHex[c >> 4]);
          out->push_back(kHex[c & 15]);
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

}  // namespace ingest
