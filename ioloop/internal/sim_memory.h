// How a simulated kernel touches its user's memory: behind ASan's back, as a
// real one does, since memory in the kernel's hands is poisoned.
#ifndef RINGPLANE_IOLOOP_INTERNAL_SIM_MEMORY_H_
#define RINGPLANE_IOLOOP_INTERNAL_SIM_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ioloop::internal {

void WriteToUser(void* to, std::string_view bytes);
std::string ReadFromUser(const void* from, size_t bytes);
uint64_t HashOfUser(const void* from, size_t bytes);

// Fills memory with rubbish that `key` decides, and says whether it is all
// still there: whoever wrote or read such memory too early gives himself away.
void Scribble(void* memory, size_t bytes, uint64_t key);
bool Scribbled(const void* memory, size_t bytes, uint64_t key);

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_SIM_MEMORY_H_
