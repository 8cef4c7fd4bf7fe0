#include "tests/service/redis/redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace redis {

RedisServer::RedisServer() {
  char folder[] = "/tmp/ringplane-redis-XXXXXX";
  folder_ = mkdtemp(folder);
  Start();
}

RedisServer::~RedisServer() {
  Stop();
  unlink(socket().c_str());
  rmdir(folder_.c_str());
}

void RedisServer::Start() {
  const std::string path = socket();
  pid_ = fork();
  if (pid_ != 0) return;
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
         path.c_str(), "--save", "", "--appendonly", "no", "--dir",
         folder_.c_str(), static_cast<char*>(nullptr));
  _exit(127);
}

void RedisServer::Stop() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::Signal(int signal) { kill(pid_, signal); }

}  // namespace redis
