#include <string>

#include "absl/strings/str_cat.h"
#include "service/http/http1_parser.h"
#include "service/http/text.h"

namespace http {

void WriteHttp1Response(const Response& response, bool keep_alive,
                        bool head_only, ByteSink* out) {
  // Scratch of the thread; the body goes to `out` without passing it.
  static thread_local std::string text;
  text.clear();
  auto append_fields = [](const Headers& fields) {
    for (size_t i = 0; i < fields.size(); ++i) {
      Header field = fields[i];
      text.append(field.name).append(": ");
      text.append(field.value).append("\r\n");
    }
  };
  if (response.status == 200) {
    text.append("HTTP/1.1 200 OK\r\n");
  } else {
    AppendTo(&text, "HTTP/1.1 ", response.status, " ",
             ReasonPhrase(response.status), "\r\n");
  }
  append_fields(response.headers);
  if (!keep_alive) text.append("connection: close\r\n");
  if (!response.has_trailers) {
    AppendTo(&text, "content-length: ", response.body.size(), "\r\n\r\n");
    out->Append(text);
    if (!head_only && !response.body.empty()) out->Append(response.body);
    return;
  }
  text.append("transfer-encoding: chunked\r\ntrailer: ");
  for (size_t i = 0; i < response.trailers.size(); ++i) {
    if (i > 0) text.append(", ");
    text.append(response.trailers[i].name);
  }
  text.append("\r\n\r\n");
  if (head_only) {
    out->Append(text);
    return;
  }
  if (!response.body.empty()) {
    AppendTo(&text, absl::Hex(response.body.size()), "\r\n");
    out->Append(text);
    out->Append(response.body);
    text.assign("\r\n");
  }
  text.append("0\r\n");
  append_fields(response.trailers);
  text.append("\r\n");
  out->Append(text);
}

}  // namespace http
