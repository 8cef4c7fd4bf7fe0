#include "service/http/http1_parser.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace http {
namespace {

// RFC 9110's tchar.
constexpr std::array<bool, 256> kTokenChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

bool IsToken(std::string_view text) {
  if (text.empty()) return false;
  for (char c : text) {
    if (!kTokenChars[static_cast<unsigned char>(c)]) return false;
  }
  return true;
}

bool IsFieldValue(std::string_view text) {
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(),
                    [](char a, char b) { return Lower(a) == b; });
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

// Digits only: no sign, no blanks, no list.
bool ParseLength(std::string_view text, uint64_t* value) {
  if (text.empty() || text.size() > 18) return false;
  uint64_t result = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    result = result * 10 + static_cast<uint64_t>(c - '0');
  }
  *value = result;
  return true;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// The characters of a host and port: no user, no path, no blanks.
bool IsHost(std::string_view text) {
  for (char c : text) {
    bool allowed = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                   (c >= 'A' && c <= 'Z') ||
                   std::string_view("-._~!$&'()*+,;=:[]%").find(c) !=
                       std::string_view::npos;
    if (!allowed) return false;
  }
  return true;
}

}  // namespace

Http1Parser::Event Http1Parser::Fail(int status, std::string_view why) {
  state_ = State::kFailed;
  error_status_ = status;
  error_ = why;
  keep_alive_ = false;
  return Event::kError;
}

void Http1Parser::Reset() {
  request_.Clear();
  line_.clear();
  state_ = State::kStart;
  have_request_line_ = false;
  http10_ = false;
  keep_alive_ = true;
  connection_close_ = false;
  expect_continue_ = false;
  have_length_ = false;
  chunked_ = false;
  have_host_ = false;
  first_request_ = false;
  skipped_empty_line_ = false;
  body_left_ = 0;
  head_bytes_ = 0;
  extension_bytes_ = 0;
  trailer_bytes_ = 0;
}

bool Http1Parser::TakeLine(std::string_view* input, size_t max,
                           int too_long_status, std::string_view* line) {
  const void* end = std::memchr(input->data(), '\n', input->size());
  size_t taken = end == nullptr
                     ? input->size()
                     : static_cast<const char*>(end) - input->data() + 1;
  if (line_.size() + taken > max) {
    Fail(too_long_status, "too long a line");
    return false;
  }
  std::string_view bytes = input->substr(0, taken);
  input->remove_prefix(taken);
  if (end == nullptr || !line_.empty()) {
    line_.append(bytes);
    bytes = line_;
  }
  if (end == nullptr) return false;
  bytes.remove_suffix(1);
  if (bytes.empty() || bytes.back() != '\r') {
    Fail(400, "a line ends in LF without CR");
    return false;
  }
  bytes.remove_suffix(1);
  *line = bytes;
  return true;
}

Http1Parser::Event Http1Parser::Parse(std::string_view* input) {
  while (true) {
    switch (state_) {
      case State::kStart:
        if (input->empty()) return Event::kNeedMore;
        // TLS, for one, would have us wait for the end of a line.
        if (first_request_ && input->front() != '\r' &&
            !kTokenChars[static_cast<unsigned char>(input->front())]) {
          not_http_ = true;
          return Fail(400, "the first byte begins no request");
        }
        state_ = State::kLine;
        break;

      case State::kLine: {
        std::string_view line;
        if (!TakeLine(input, limits_.header_bytes_max - head_bytes_, 431,
                      &line)) {
          if (state_ == State::kFailed) {
            // A first line that long, or without CR, may be any protocol.
            if (!have_request_line_ && error_status_ == 431) {
              error_status_ = 414;
            }
            return Event::kError;
          }
          return Event::kNeedMore;
        }
        head_bytes_ += line.size() + 2;
        bool good = true;
        bool end_of_head = false;
        if (!have_request_line_) {
          // One empty line before a request is what old clients send after a
          // body (RFC 9112, 2.2).
          if (line.empty() && !skipped_empty_line_) {
            skipped_empty_line_ = true;
          } else {
            good = ParseRequestLine(line);
          }
        } else if (line.empty()) {
          end_of_head = true;
        } else {
          good = ParseField(line);
        }
        line_.clear();
        if (!good) return Event::kError;
        if (end_of_head) {
          Event event = EndOfHead();
          if (event != Event::kNeedMore) return event;
        }
        break;
      }

      case State::kBody: {
        size_t taken = std::min<uint64_t>(input->size(), body_left_);
        request_.body.append(input->substr(0, taken));
        input->remove_prefix(taken);
        body_left_ -= taken;
        if (body_left_ > 0) return Event::kNeedMore;
        state_ = State::kComplete;
        break;
      }

      case State::kChunkSize: {
        std::string_view line;
        if (!TakeLine(input, limits_.chunk_extension_bytes_max + 20, 400,
                      &line)) {
          return state_ == State::kFailed ? Event::kError : Event::kNeedMore;
        }
        bool good = ParseChunkSize(line);
        line_.clear();
        if (!good) return Event::kError;
        break;
      }

      case State::kChunkData: {
        size_t taken = std::min<uint64_t>(input->size(), body_left_);
        request_.body.append(input->substr(0, taken));
        input->remove_prefix(taken);
        body_left_ -= taken;
        if (body_left_ > 0) return Event::kNeedMore;
        state_ = State::kChunkEnd;
        break;
      }

      case State::kChunkEnd: {
        std::string_view line;
        if (!TakeLine(input, 2, 400, &line)) {
          return state_ == State::kFailed ? Event::kError : Event::kNeedMore;
        }
        bool good = line.empty();
        line_.clear();
        if (!good) return Fail(400, "a chunk does not end in CRLF");
        state_ = State::kChunkSize;
        break;
      }

      case State::kTrailer: {
        std::string_view line;
        if (!TakeLine(input, limits_.trailer_bytes_max - trailer_bytes_, 431,
                      &line)) {
          return state_ == State::kFailed ? Event::kError : Event::kNeedMore;
        }
        trailer_bytes_ += line.size() + 2;
        bool good = ParseTrailer(line);
        line_.clear();
        if (!good) return Event::kError;
        break;
      }

      case State::kComplete:
        return Event::kRequest;

      case State::kFailed:
        return Event::kError;
    }
  }
}

bool Http1Parser::ParseRequestLine(std::string_view line) {
  size_t first = line.find(' ');
  size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
  bool is_http = second != line.npos &&
                 line.find(' ', second + 1) == line.npos &&
                 line.substr(second + 1, 5) == "HTTP/";
  if (!is_http) {
    not_http_ = first_request_;
    Fail(400, "the request line is not 'METHOD target HTTP/1.1'");
    return false;
  }
  std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, second - first - 1);
  std::string_view version = line.substr(second + 1);
  if (!IsToken(method)) {
    not_http_ = first_request_;
    Fail(400, "the method is no token");
    return false;
  }
  if (method.size() > limits_.method_bytes_max) {
    Fail(501, "the method is too long");
    return false;
  }
  if (version == "HTTP/1.0") {
    http10_ = true;
  } else if (version != "HTTP/1.1") {
    bool looks_right = version.size() == 8 && version[5] >= '0' &&
                       version[5] <= '9' && version[6] == '.' &&
                       version[7] >= '0' && version[7] <= '9';
    Fail(looks_right ? 505 : 400, "the version is not HTTP/1.1");
    return false;
  }
  if (target.size() > limits_.target_bytes_max) {
    Fail(414, "the target is too long");
    return false;
  }
  for (char c : target) {
    if (c <= ' ' || c > '~') {
      Fail(400, "the target has a character that it may not have");
      return false;
    }
  }
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!EqualsIgnoringCase(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    size_t path = target.find_first_of("/?#");
    std::string_view authority = target.substr(0, path);
    if (authority.empty() || !IsHost(authority)) {
      Fail(400, "the target's host is malformed");
      return false;
    }
    // It overrides Host (RFC 9112, 3.2.2).
    request_.authority.assign(authority);
    target = path == target.npos ? "/" : target.substr(path);
    break;
  }
  if (target.empty() ||
      (target[0] != '/' && !(target == "*" && method == "OPTIONS"))) {
    Fail(400, "the target is no path");
    return false;
  }
  request_.method.assign(method);
  request_.target.assign(target);
  have_request_line_ = true;
  return true;
}

bool Http1Parser::ParseFieldSyntax(std::string_view line,
                                   std::string_view* name,
                                   std::string_view* value) {
  if (line[0] == ' ' || line[0] == '\t') {
    Fail(400, "a header line is folded");
    return false;
  }
  size_t colon = line.find(':');
  if (colon == line.npos || !IsToken(line.substr(0, colon))) {
    Fail(400, "a header line is not 'name: value'");
    return false;
  }
  *name = line.substr(0, colon);
  *value = TrimBlanks(line.substr(colon + 1));
  if (!IsFieldValue(*value)) {
    Fail(400, "a header value has a control character");
    return false;
  }
  return true;
}

bool Http1Parser::ParseField(std::string_view line) {
  std::string_view name, value;
  if (!ParseFieldSyntax(line, &name, &value)) return false;
  if (request_.headers.size() >= limits_.header_count_max) {
    Fail(431, "too many header fields");
    return false;
  }
  request_.headers.AddLowered(name, value);

  if (EqualsIgnoringCase(name, "content-length")) {
    if (have_length_) {
      Fail(400, "Content-Length is repeated");
      return false;
    }
    if (!ParseLength(value, &body_left_)) {
      Fail(400, "Content-Length is no number");
      return false;
    }
    have_length_ = true;
  } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
    if (chunked_) {
      Fail(400, "Transfer-Encoding is repeated");
      return false;
    }
    if (!EqualsIgnoringCase(value, "chunked")) {
      Fail(501, "the transfer encoding is not chunked");
      return false;
    }
    chunked_ = true;
  } else if (EqualsIgnoringCase(name, "host")) {
    if (have_host_) {
      Fail(400, "Host is repeated");
      return false;
    }
    if (!IsHost(value)) {
      Fail(400, "Host is malformed");
      return false;
    }
    have_host_ = true;
    if (request_.authority.empty()) request_.authority.assign(value);
  } else if (EqualsIgnoringCase(name, "connection")) {
    while (!value.empty()) {
      size_t comma = value.find(',');
      std::string_view option = TrimBlanks(value.substr(0, comma));
      if (EqualsIgnoringCase(option, "close")) connection_close_ = true;
      value =
          comma == value.npos ? std::string_view() : value.substr(comma + 1);
    }
  } else if (EqualsIgnoringCase(name, "expect")) {
    if (!EqualsIgnoringCase(value, "100-continue")) {
      Fail(417, "the expectation is not 100-continue");
      return false;
    }
    expect_continue_ = true;
  }
  return true;
}

// kNeedMore here means: parse on.
Http1Parser::Event Http1Parser::EndOfHead() {
  if (chunked_ && have_length_) {
    return Fail(400, "both Content-Length and Transfer-Encoding");
  }
  if (chunked_ && http10_) {
    return Fail(400, "Transfer-Encoding in HTTP/1.0");
  }
  if (!have_host_ && !http10_) return Fail(400, "Host is missing");
  keep_alive_ = !connection_close_ && !http10_;
  if (body_left_ > limits_.body_bytes_max) {
    if (!limits_.report_large_body) {
      return Fail(413, "the body is too large");
    }
    request_.body_too_large = true;
    keep_alive_ = false;
    state_ = State::kComplete;
    return Event::kNeedMore;
  }
  if (chunked_) {
    state_ = State::kChunkSize;
  } else if (body_left_ > 0) {
    // Bytes are believed when they arrive: no reservation beyond this.
    request_.body.reserve(std::min<uint64_t>(body_left_, 64 << 10));
    state_ = State::kBody;
  } else {
    state_ = State::kComplete;
    return Event::kNeedMore;
  }
  return expect_continue_ && !http10_ ? Event::kContinue : Event::kNeedMore;
}

bool Http1Parser::ParseChunkSize(std::string_view line) {
  size_t digits = 0;
  uint64_t size = 0;
  while (digits < line.size()) {
    int digit = HexDigit(line[digits]);
    if (digit < 0) break;
    if (++digits > 15) break;
    size = size * 16 + static_cast<uint64_t>(digit);
  }
  std::string_view extension = line.substr(digits);
  if (digits == 0 || digits > 15 ||
      (!extension.empty() && extension[0] != ';') || !IsFieldValue(extension)) {
    Fail(400, "a chunk size is malformed");
    return false;
  }
  extension_bytes_ += extension.size();
  if (extension_bytes_ > limits_.chunk_extension_bytes_max) {
    Fail(400, "too many bytes of chunk extensions");
    return false;
  }
  if (size == 0) {
    state_ = State::kTrailer;
    return true;
  }
  if (request_.body.size() + size > limits_.body_bytes_max) {
    if (!limits_.report_large_body) {
      Fail(413, "the body is too large");
      return false;
    }
    request_.body.clear();
    request_.body_too_large = true;
    keep_alive_ = false;
    state_ = State::kComplete;
    return true;
  }
  body_left_ = size;
  state_ = State::kChunkData;
  return true;
}

bool Http1Parser::ParseTrailer(std::string_view line) {
  if (line.empty()) {
    state_ = State::kComplete;
    return true;
  }
  std::string_view name, value;
  if (!ParseFieldSyntax(line, &name, &value)) return false;
  for (std::string_view framing :
       {"content-length", "transfer-encoding", "host"}) {
    if (EqualsIgnoringCase(name, framing)) {
      Fail(400, "a trailer names a framing field");
      return false;
    }
  }
  return true;  // No RPC of ours reads a request's trailers.
}

}  // namespace http
