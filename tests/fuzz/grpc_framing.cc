// Bodies of calls in every protocol. The first byte picks protocol and codec;
// for most values the length of the message's prefix is rebuilt, or mutation
// would rarely get past it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "service/rpc/protocol.h"
#include "tests/service/rpc/test.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static rpc::MessageCodec* const codec = [] {
    rpc::CodecOptions options;
    options.message_in_bytes_max = 64 << 10;
    return new rpc::MessageCodec(options);
  }();
  const uint8_t choice = data[0];
  std::string body(reinterpret_cast<const char*>(data + 1), size - 1);
  rpc::CallHead head;
  head.protocol = static_cast<rpc::Protocol>(1 + choice % 4);
  head.codec = (choice & 4) != 0 ? rpc::Codec::kJson : rpc::Codec::kProto;
  head.gzip_request = (choice & 8) != 0;
  if ((choice & 0x30) != 0 && body.size() >= 5) {
    size_t length = body.size() - 5;
    body[0] = static_cast<char>(body[0] & 1);
    for (int i = 0; i < 4; ++i) {
      body[1 + i] = static_cast<char>(length >> (24 - 8 * i));
    }
  }
  ringplane::test::EchoRequest request;
  absl::Status status = codec->Decode(head, body, &request);
  http::Response response;
  ringplane::test::EchoResponse answer;
  answer.set_text(request.text());
  head.gzip_response = (choice & 0x40) != 0;
  codec->Encode(head, status, &answer, &response).IgnoreError();
  if (response.headers.Find("content-type").empty()) std::abort();
  return 0;
}
