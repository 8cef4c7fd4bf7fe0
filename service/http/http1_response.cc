#include "absl/strings/str_format.h"
#include "service/http/http1_parser.h"
#include "service/http/text.h"

namespace http {

void WriteHttp1Response(const Response& response, bool keep_alive,
                        bool head_only, std::string* out) {
  if (response.status == 200) {
    out->append("HTTP/1.1 200 OK\r\n");
  } else {
    AppendTo(out, "HTTP/1.1 ", response.status, " ",
                    ReasonPhrase(response.status), "\r\n");
  }
  auto append_fields = [out](const Headers& fields) {
    for (size_t i = 0; i < fields.size(); ++i) {
      Header field = fields[i];
      AppendTo(out, field.name, ": ", field.value, "\r\n");
    }
  };
  append_fields(response.headers);
  if (!keep_alive) out->append("connection: close\r\n");
  if (!response.has_trailers) {
    AppendTo(out, "content-length: ", response.body.size(), "\r\n\r\n");
    if (!head_only) out->append(response.body);
    return;
  }
  out->append("transfer-encoding: chunked\r\ntrailer: ");
  for (size_t i = 0; i < response.trailers.size(); ++i) {
    AppendTo(out, i == 0 ? "" : ", ", response.trailers[i].name);
  }
  out->append("\r\n\r\n");
  if (head_only) return;
  if (!response.body.empty()) {
    AppendTo(out, absl::Hex(response.body.size()), "\r\n",
                    response.body, "\r\n");
  }
  out->append("0\r\n");
  append_fields(response.trailers);
  out->append("\r\n");
}

}  // namespace http
