#include "ioloop/internal/sim_memory.h"

#include "ioloop/internal/random.h"

// The barriers keep compilers from making calls of memcpy(3) out of the loops:
// ASan checks those wherever they are made.
#define RINGPLANE_BEHIND_ASAN __attribute__((no_sanitize("address")))
#define RINGPLANE_KEEP_LOOP() __asm__ volatile("" ::: "memory")

namespace ioloop::internal {
namespace {

char RubbishAt(size_t position, uint64_t word) {
  return static_cast<char>(word >> (8 * (position % 8)));
}

}  // namespace

RINGPLANE_BEHIND_ASAN void WriteToUser(void* to, std::string_view bytes) {
  char* out = static_cast<char*>(to);
  const char* in = bytes.data();
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[i] = in[i];
    RINGPLANE_KEEP_LOOP();
  }
}

RINGPLANE_BEHIND_ASAN std::string ReadFromUser(const void* from, size_t bytes) {
  std::string copy(bytes, '\0');
  char* out = copy.data();
  const char* in = static_cast<const char*>(from);
  for (size_t i = 0; i < bytes; ++i) {
    out[i] = in[i];
    RINGPLANE_KEEP_LOOP();
  }
  return copy;
}

RINGPLANE_BEHIND_ASAN uint64_t HashOfUser(const void* from, size_t bytes) {
  const auto* in = static_cast<const unsigned char*>(from);
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ in[i]) * 0x100000001b3u;
  return hash;
}

RINGPLANE_BEHIND_ASAN void Scribble(void* memory, size_t bytes, uint64_t key) {
  char* out = static_cast<char*>(memory);
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) {
    if (i % 8 == 0) word = Mix(key + i);
    out[i] = RubbishAt(i, word);
    RINGPLANE_KEEP_LOOP();
  }
}

RINGPLANE_BEHIND_ASAN bool Scribbled(const void* memory, size_t bytes,
                                     uint64_t key) {
  const char* in = static_cast<const char*>(memory);
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) {
    if (i % 8 == 0) word = Mix(key + i);
    if (in[i] != RubbishAt(i, word)) return false;
  }
  return true;
}

}  // namespace ioloop::internal
