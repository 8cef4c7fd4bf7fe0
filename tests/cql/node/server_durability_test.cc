// What a node has acknowledged survives SIGKILL of its process. Runs
// cql_node_main, whose path is in CQL_NODE_MAIN.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>

#include "cql/protocol/response.h"
#include "gtest/gtest.h"
#include "tests/cql/node/testing.h"

namespace cql::node {
namespace {

using protocol::Opcode;

// A node as a process.
class Process {
 public:
  // `file_bytes_max`: no file may grow past it; 0: any size.
  Process(const std::string& data_dir, const std::string& sync,
          rlim_t file_bytes_max = 0) {
    int out[2];
    if (pipe(out) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      close(out[0]);
      close(out[1]);
      const std::string data = "--data=" + data_dir;
      const std::string mode = "--sync=" + sync;
      if (file_bytes_max != 0) {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit = {file_bytes_max, file_bytes_max};
        setrlimit(RLIMIT_FSIZE, &limit);
      }
      const char* program = std::getenv("CQL_NODE_MAIN");
      execl(program, program, data.c_str(), mode.c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    lines_ = fdopen(out[0], "r");
    char line[256] = {};
    unsigned port = 0;
    if (fgets(line, sizeof(line), lines_) != nullptr) {
      sscanf(line, "listening on 127.0.0.1:%u", &port);
    }
    port_ = static_cast<uint16_t>(port);
  }
  ~Process() {
    End(SIGKILL);
    if (lines_ != nullptr) fclose(lines_);
  }

  uint16_t port() const { return port_; }
  // Its exit status once it has ended by `signal`.
  int End(int signal) {
    if (pid_ <= 0) return -1;
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  FILE* lines_ = nullptr;  // What it prints; open as long as it may print.
  uint16_t port_ = 0;
};

class ServerDurabilityTest : public ::testing::TestWithParam<const char*> {};

std::set<int32_t> Stored(uint16_t port) {
  std::set<int32_t> keys;
  RawClient client(port);
  EXPECT_TRUE(client.Startup().is(Opcode::kReady));
  const Reply reply = client.Query("SELECT k FROM ks.t");
  EXPECT_EQ(reply.result_kind(), 2) << reply.error_message();
  const auto result = protocol::DecodeResult(reply.body);
  if (!result.ok()) return keys;
  protocol::Reader reader(result->rows);
  for (uint32_t i = 0; i < result->row_count; ++i) {
    keys.insert(static_cast<int32_t>(protocol::LoadBig32(reader.Bytes().data)));
  }
  return keys;
}

TEST_P(ServerDurabilityTest, AcknowledgedWritesSurviveSigkill) {
  ASSERT_NE(std::getenv("CQL_NODE_MAIN"), nullptr);
  TempDir dir;
  const std::string data = dir.path() + "/data";
  std::set<int32_t> acknowledged;
  int32_t next = 0;
  // Killed several times, each time with writes in every stage.
  for (int round = 0; round < 4; ++round) {
    Process process(data, GetParam());
    ASSERT_NE(process.port(), 0);
    RawClient client(process.port());
    ASSERT_TRUE(client.Startup().is(Opcode::kReady));
    if (round == 0) {
      ASSERT_EQ(client
                    .Query("CREATE KEYSPACE ks WITH replication = {'class': "
                           "'SimpleStrategy', 'replication_factor': 1}")
                    .result_kind(),
                5);
      ASSERT_EQ(client.Query("CREATE TABLE ks.t (k int PRIMARY KEY, v text)")
                    .result_kind(),
                5);
    }
    const std::string insert =
        client.Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
    ASSERT_FALSE(insert.empty());
    constexpr int kInFlight = 64;
    int32_t keys[kInFlight];
    const auto send = [&](int16_t stream) {
      keys[stream] = next++;
      client.Send(Opcode::kExecute,
                  RawClient::ExecuteBody(
                      insert, {Int(keys[stream]), std::string(100, 'v')}),
                  stream);
    };
    for (int16_t stream = 0; stream < kInFlight; ++stream) send(stream);
    for (int i = 0; i < 1000 + 300 * round; ++i) {
      const Reply reply = client.Receive();
      ASSERT_EQ(reply.result_kind(), 1) << reply.error_message();
      acknowledged.insert(keys[reply.header.stream]);
      send(reply.header.stream);
    }
    process.End(SIGKILL);
    // Those that were on their way may be acknowledged or not.
    for (;;) {
      const Reply reply = client.Receive();
      if (!reply.arrived) break;
      if (reply.result_kind() == 1) {
        acknowledged.insert(keys[reply.header.stream]);
      }
    }
  }
  Process process(data, GetParam());
  ASSERT_NE(process.port(), 0);
  const std::set<int32_t> stored = Stored(process.port());
  for (const int32_t key : acknowledged) {
    ASSERT_TRUE(stored.contains(key)) << key << " was acknowledged";
  }
  for (const int32_t key : stored) EXPECT_LT(key, next);
  EXPECT_GE(acknowledged.size(), 4000u);
  EXPECT_EQ(process.End(SIGTERM), 0);
}

// What a full disk looks like to a client: an error that says so, reads that go
// on, and nothing acknowledged that is not there afterwards.
TEST_P(ServerDurabilityTest, AStoreThatCannotGrowIsSaidAndLosesNothing) {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  int32_t acknowledged = 0;
  {
    Process process(data, GetParam(), 2 << 20);
    ASSERT_NE(process.port(), 0);
    RawClient client(process.port());
    ASSERT_TRUE(client.Startup().is(Opcode::kReady));
    client.Query(
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', "
        "'replication_factor': 1}");
    client.Query("CREATE TABLE ks.t (k int PRIMARY KEY, v blob)");
    const std::string insert =
        client.Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
    Reply reply;
    for (; acknowledged < 1000; ++acknowledged) {
      reply = client.Call(
          Opcode::kExecute,
          RawClient::ExecuteBody(
              insert, {Int(acknowledged), std::string(20'000, 'v')}));
      if (reply.result_kind() != 1) break;
    }
    EXPECT_TRUE(reply.is(Opcode::kError));
    EXPECT_FALSE(reply.error_message().empty());
    EXPECT_GT(acknowledged, 10);
    EXPECT_TRUE(client
                    .Call(Opcode::kExecute,
                          RawClient::ExecuteBody(insert, {Int(-1), "v"}))
                    .is(Opcode::kError));
    EXPECT_EQ(client.Query("SELECT k FROM ks.t WHERE k = 3").result_kind(), 2);
  }
  Process process(data, GetParam());
  ASSERT_NE(process.port(), 0);
  const std::set<int32_t> stored = Stored(process.port());
  for (int32_t key = 0; key < acknowledged; ++key) {
    EXPECT_TRUE(stored.contains(key)) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(EachSync, ServerDurabilityTest,
                         ::testing::Values("disk", "process"));

}  // namespace
}  // namespace cql::node
