#include "tests/service/server/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>

namespace server_testing {

RawClient::RawClient(uint16_t port, int receive_buffer)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  timeval patience = {30, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  if (receive_buffer > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
               sizeof(receive_buffer));
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
      0) {
    Close();
  }
}

RawClient::~RawClient() { Close(); }

void RawClient::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void RawClient::Abort() {
  linger hard = {1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  Close();
}

void RawClient::ShutdownWrite() { ::shutdown(fd_, SHUT_WR); }

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string RawClient::Receive() {
  char buffer[65536];
  ssize_t size = ::recv(fd_, buffer, sizeof(buffer), 0);
  return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : "";
}

std::string RawClient::ReceiveUntil(std::string_view text) {
  std::string all;
  while (all.find(text) == std::string::npos) {
    std::string more = Receive();
    if (more.empty()) break;
    all += more;
  }
  return all;
}

std::string RawClient::ReceiveAll() {
  std::string all;
  for (std::string more = Receive(); !more.empty(); more = Receive()) {
    all += more;
  }
  return all;
}

namespace {

// Takes a line off the front of `buffer`, reading more as needed.
bool TakeLine(RawClient* client, std::string* buffer, std::string* line) {
  size_t end;
  while ((end = buffer->find("\r\n")) == std::string::npos) {
    std::string more = client->Receive();
    if (more.empty()) return false;
    *buffer += more;
  }
  *line = buffer->substr(0, end);
  buffer->erase(0, end + 2);
  return true;
}

bool TakeBytes(RawClient* client, std::string* buffer, size_t size,
               std::string* out) {
  while (buffer->size() < size) {
    std::string more = client->Receive();
    if (more.empty()) return false;
    *buffer += more;
  }
  out->append(*buffer, 0, size);
  buffer->erase(0, size);
  return true;
}

bool TakeFields(RawClient* client, std::string* buffer,
                std::map<std::string, std::string>* fields) {
  std::string line;
  while (TakeLine(client, buffer, &line)) {
    if (line.empty()) return true;
    size_t colon = line.find(": ");
    if (colon == std::string::npos) return false;
    (*fields)[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return false;
}

}  // namespace

Http1Response ReadHttp1(RawClient* client, std::string* buffer) {
  Http1Response response;
  std::string line;
  if (!TakeLine(client, buffer, &line) || line.size() < 12) return {};
  response.status = std::atoi(line.substr(9, 3).c_str());
  if (!TakeFields(client, buffer, &response.headers)) return {};
  if (response.status == 100) return response;
  if (response.headers.count("content-length") > 0) {
    size_t size =
        std::strtoul(response.headers["content-length"].c_str(), nullptr, 10);
    if (!TakeBytes(client, buffer, size, &response.body)) return {};
    return response;
  }
  while (TakeLine(client, buffer, &line)) {
    size_t size = std::strtoul(line.c_str(), nullptr, 16);
    if (size == 0) {
      return TakeFields(client, buffer, &response.trailers) ? response
                                                            : Http1Response();
    }
    if (!TakeBytes(client, buffer, size, &response.body) ||
        !TakeLine(client, buffer, &line)) {
      break;
    }
  }
  return {};
}

std::string Http1Post(std::string_view path, std::string_view content_type,
                      std::string_view body, std::string_view headers) {
  std::string out = "POST " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n";
  out += "Content-Type: " + std::string(content_type) + "\r\n";
  out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  out += std::string(headers) + "\r\n" + std::string(body);
  return out;
}

bool H2Connection::RunUntil(const std::function<bool()>& done) {
  while (true) {
    if (done()) return true;
    if (!Flush()) return false;
    std::string bytes = raw.Receive();
    if (bytes.empty()) return done();
    client.Feed(bytes);
    Flush();
  }
}

std::string Envelope(std::string_view message) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(message.size() >> shift));
  }
  return out.append(message);
}

}  // namespace server_testing
