// Writes one gRPC request body, a GetPostRecords for the URIs on standard
// input, to standard output: what h2load sends.

#include <cstdint>
#include <iostream>
#include <string>

#include "proto/bsky.pb.h"

int main() {
  bsky::GetPostRecordsRequest request;
  std::string uri;
  while (std::getline(std::cin, uri)) request.add_uris(uri);
  if (request.uris_size() == 0) {
    std::cerr << "no URI on standard input\n";
    return 1;
  }
  const std::string message = request.SerializeAsString();
  const auto size = static_cast<uint32_t>(message.size());
  const char prefix[5] = {0, static_cast<char>(size >> 24),
                          static_cast<char>(size >> 16),
                          static_cast<char>(size >> 8),
                          static_cast<char>(size)};
  std::cout.write(prefix, sizeof prefix);
  std::cout << message << std::flush;
  return std::cout ? 0 : 1;
}
