// Messages as JSON, guarded against what protobuf's parser does with hostile
// text: its time is quadratic in the nesting of Value and Struct.
#ifndef RINGPLANE_SERVICE_RPC_JSON_H_
#define RINGPLANE_SERVICE_RPC_JSON_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace rpc {

// Nesting that a request may have: as much as protobuf's binary parser takes.
inline constexpr size_t kJsonDepthMax = 100;

// kInvalidArgument if arrays and objects nest deeper than `max`. One pass, no
// allocation; the text need not be JSON.
absl::Status CheckJsonDepth(std::string_view text, size_t max = kJsonDepthMax);

// Fields that the message does not have are ignored, as Connect's servers do.
// kInvalidArgument says what is wrong and where.
absl::Status ParseJson(std::string_view text,
                       google::protobuf::Message* message);

// Appends `message` in proto3's canonical form.
absl::Status AppendJson(const google::protobuf::Message& message,
                        std::string* out);

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_JSON_H_
