// The thread that a post's author continued alone.
#ifndef RINGPLANE_SERVICE_DATAPLANE_OP_THREAD_H_
#define RINGPLANE_SERVICE_DATAPLANE_OP_THREAD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dataplane {

// A reply by the author of the thread's root, kept after its deletion.
struct OpReply {
  std::string uri;
  std::string parent;
  std::optional<int64_t> deleted_at_ms;
};

// The root and the unbroken chain of the author's own replies below it: under
// each post the oldest reply goes on. A deleted reply keeps its place while a
// reply below it lives; its place goes to one written after the deletion
// otherwise. Empty if there is no such reply, or if replies run in a circle.
std::vector<std::string> OpThreadOf(std::string_view root,
                                    std::vector<OpReply> replies);

// When a record key that is a TID was made, in microseconds of the epoch;
// nothing for other keys.
std::optional<int64_t> MicrosOfTid(std::string_view rkey);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_OP_THREAD_H_
