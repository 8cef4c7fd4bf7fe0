#include "service/rpc/json.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "service/http/text.h"
#include "service/rpc/utf8.h"

namespace rpc {

absl::Status CheckJsonDepth(std::string_view text, size_t max) {
  size_t depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
      case '\'': {
        // protobuf's parser also takes strings in single quotes.
        char quote = text[i];
        for (++i; i < text.size() && text[i] != quote; ++i) {
          if (text[i] == '\\') ++i;
        }
        break;
      }
      case '[':
      case '{':
        if (++depth > max) {
          return absl::InvalidArgumentError(
              absl::StrCat("JSON nests deeper than ", max, " at byte ", i));
        }
        break;
      case ']':
      case '}':
        if (depth > 0) --depth;
        break;
      default:
        break;
    }
  }
  return absl::OkStatus();
}

absl::Status ParseJson(std::string_view text,
                       google::protobuf::Message* message) {
  absl::Status depth = CheckJsonDepth(text);
  if (!depth.ok()) return depth;
  if (!IsUtf8(text)) {
    return absl::InvalidArgumentError("the JSON is not UTF-8");
  }
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  google::protobuf::util::Status parsed =
      google::protobuf::util::JsonStringToMessage(
          google::protobuf::StringPiece(text.data(), text.size()), message,
          options);
  if (parsed.ok()) return absl::OkStatus();
  std::string_view reason(parsed.message().data(), parsed.message().size());
  return absl::InvalidArgumentError(http::Cat("JSON: ", reason));
}

absl::Status AppendJson(const google::protobuf::Message& message,
                        std::string* out) {
  google::protobuf::util::Status printed =
      google::protobuf::util::MessageToJsonString(message, out);
  if (printed.ok()) return absl::OkStatus();
  std::string_view reason(printed.message().data(), printed.message().size());
  return absl::InternalError(http::Cat("JSON: ", reason));
}

}  // namespace rpc
