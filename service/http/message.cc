#include "service/http/message.h"

namespace http {
namespace {

// A string that one large message has grown must not keep that for ever.
void Reset(std::string* text, size_t keep_bytes) {
  if (text->capacity() > keep_bytes) {
    std::string().swap(*text);
  } else {
    text->clear();
  }
}

}  // namespace

void Headers::Add(std::string_view name, std::string_view value) {
  fields_.push_back({static_cast<uint32_t>(bytes_.size()),
                     static_cast<uint32_t>(name.size()),
                     static_cast<uint32_t>(value.size())});
  bytes_.append(name);
  bytes_.append(value);
}

void Headers::AddLowered(std::string_view name, std::string_view value) {
  size_t begin = bytes_.size();
  Add(name, value);
  for (size_t i = begin; i < begin + name.size(); ++i) {
    char c = bytes_[i];
    if (c >= 'A' && c <= 'Z') bytes_[i] = static_cast<char>(c | 0x20);
  }
}

void Headers::Clear() {
  Reset(&bytes_, 16 << 10);
  fields_.clear();
}

std::string_view Headers::Find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (field.name_bytes == name.size() &&
        bytes_.compare(field.begin, name.size(), name) == 0) {
      return std::string_view(bytes_).substr(field.begin + field.name_bytes,
                                             field.value_bytes);
    }
  }
  return {};
}

bool Headers::Contains(std::string_view name) const {
  for (const Field& field : fields_) {
    if (field.name_bytes == name.size() &&
        bytes_.compare(field.begin, name.size(), name) == 0) {
      return true;
    }
  }
  return false;
}

std::string_view Request::query() const {
  size_t mark = target.find('?');
  if (mark == std::string::npos) return {};
  return std::string_view(target).substr(mark + 1);
}

void Request::Clear(size_t keep_bytes) {
  method.clear();
  Reset(&target, 1024);
  Reset(&authority, 1024);
  headers.Clear();
  Reset(&body, keep_bytes);
  body_too_large = false;
}

void Response::Clear(size_t keep_bytes) {
  status = 200;
  headers.Clear();
  Reset(&body, keep_bytes);
  trailers.Clear();
  has_trailers = false;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace http
