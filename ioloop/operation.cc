#include "ioloop/operation.h"

namespace ioloop {

std::string_view OpKindName(OpKind kind) {
  switch (kind) {
    case OpKind::kNop:
      return "nop";
    case OpKind::kAccept:
      return "accept";
    case OpKind::kConnect:
      return "connect";
    case OpKind::kReceive:
      return "receive";
    case OpKind::kSend:
      return "send";
    case OpKind::kPoll:
      return "poll";
    case OpKind::kRead:
      return "read";
    case OpKind::kReadAt:
      return "read_at";
    case OpKind::kWriteAt:
      return "write_at";
    case OpKind::kSync:
      return "sync";
    case OpKind::kReceiveMessage:
      return "receive_message";
    case OpKind::kSendMessage:
      return "send_message";
  }
  return "?";
}

}  // namespace ioloop
