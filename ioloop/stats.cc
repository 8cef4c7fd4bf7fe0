#include "ioloop/stats.h"

namespace ioloop {

std::string_view HandlerKindName(HandlerKind kind) {
  switch (kind) {
    case HandlerKind::kTimer:
      return "timer";
    case HandlerKind::kPost:
      return "post";
    case HandlerKind::kResume:
      return "resume";
    case HandlerKind::kTurnEnd:
      return "turn_end";
    case HandlerKind::kNone:
      return "none";
  }
  return OpKindName(static_cast<OpKind>(kind));
}

}  // namespace ioloop
