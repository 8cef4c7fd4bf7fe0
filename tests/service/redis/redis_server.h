// A real Redis for tests.
#ifndef RINGPLANE_TESTS_SERVICE_REDIS_REDIS_SERVER_H_
#define RINGPLANE_TESTS_SERVICE_REDIS_REDIS_SERVER_H_

#include <sys/types.h>

#include <string>

namespace redis {

// A redis-server on a unix socket in a folder of its own.
class RedisServer {
 public:
  RedisServer();
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  // For ioloop::SocketAddress::Parse. It is there some time after Start().
  std::string address() const { return "unix:" + socket(); }

  void Start();
  void Stop();
  void Signal(int signal);

 private:
  std::string socket() const { return folder_ + "/redis.sock"; }

  std::string folder_;
  pid_t pid_ = -1;
};

}  // namespace redis

#endif  // RINGPLANE_TESTS_SERVICE_REDIS_REDIS_SERVER_H_
