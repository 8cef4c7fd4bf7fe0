// TLS with certificates that the openssl program makes here, against ourselves
// and against its s_server. (examples/tls_echo_test.sh talks to s_client.)
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "ioloop/tls_context.h"
#include "ioloop/tls_stream.h"
#include "tests/ioloop/loop_test_util.h"

namespace ioloop {
namespace {

using Context = std::shared_ptr<TlsContext>;

struct Side {
  TlsStream tls;
  absl::Status status = absl::UnknownError("not done");
};

Task<void> AcceptOn(Stream stream, Context context, absl::Time deadline,
                    Side* side) {
  absl::StatusOr<TlsStream> tls =
      co_await TlsStream::Accept(std::move(stream), context, deadline);
  side->status = tls.status();
  if (tls.ok()) side->tls = *std::move(tls);
}

Task<void> ConnectOn(Stream stream, Context context, std::string host,
                     absl::Time deadline, StopToken stop, Side* side) {
  absl::StatusOr<TlsStream> tls = co_await TlsStream::Connect(
      std::move(stream), context, host, deadline, stop);
  side->status = tls.status();
  if (tls.ok()) side->tls = *std::move(tls);
}

Task<void> ReceiveSome(TlsStream* tls, absl::Time deadline, StopToken stop,
                       std::string* into, absl::Status* status) {
  char bytes[1000];
  absl::StatusOr<size_t> got = co_await tls->Receive(bytes, deadline, stop);
  *status = got.status();
  if (got.ok()) into->append(bytes, *got);
}

Task<void> ReceiveToEnd(TlsStream* tls, std::string* into,
                        absl::Status* status) {
  char bytes[5000];
  for (;;) {
    absl::StatusOr<size_t> got = co_await tls->Receive(bytes);
    *status = got.status();
    if (!got.ok() || *got == 0) co_return;
    into->append(bytes, *got);
  }
}

Task<void> SendInPieces(TlsStream* tls, std::string_view bytes) {
  for (size_t piece = 1; !bytes.empty(); piece = piece * 3 + 1) {
    const absl::Status sent = co_await tls->SendAll(bytes.substr(0, piece));
    EXPECT_TRUE(sent.ok()) << sent;
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  tls->ShutdownWrite();
}

class TlsTest : public LoopTest {
 protected:
  using LoopTest::LoopTest;

  static void SetUpTestSuite() {
    char name[] = "/tmp/tls_test_XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    folder_ = name;
    Make("ca", "-subj '/CN=test root'");
    Make("other_ca", "-subj '/CN=another root'");
    const std::string leaf =
        "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE ";
    const std::string names =
        "-addext subjectAltName=DNS:localhost,DNS:a.test,DNS:b.test,"
        "IP:127.0.0.1 ";
    Make("server", leaf + names + "-subj /CN=server");
    Make("new_server", leaf + names + "-subj /CN=new-server");
    Make("client", leaf + "-subj /CN=client");
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(system(absl::StrCat("rm -rf ", folder_).c_str()), 0);
  }
  static void Make(const std::string& name, const std::string& how) {
    const std::string command = absl::StrCat(
        "cd ", folder_, " && openssl req -x509 -newkey ec -pkeyopt ",
        "ec_paramgen_curve:P-256 -nodes -days 2 -keyout ", name, ".key -out ",
        name, ".pem ", how, " 2>", name, ".log");
    ASSERT_EQ(system(command.c_str()), 0) << command;
  }
  static TlsIdentity Identity(const std::string& name) {
    absl::StatusOr<TlsIdentity> identity =
        TlsIdentity::FromFiles(absl::StrCat(folder_, "/", name, ".pem"),
                               absl::StrCat(folder_, "/", name, ".key"));
    EXPECT_TRUE(identity.ok()) << identity.status();
    return identity.value_or(TlsIdentity());
  }
  static std::string Root(const std::string& name = "ca") {
    return Identity(name).certificates_pem;
  }

  static TlsContext::ServerOptions ServerOptions() {
    TlsContext::ServerOptions options;
    options.identity = Identity("server");
    return options;
  }
  static TlsContext::ClientOptions ClientOptions() {
    TlsContext::ClientOptions options;
    options.roots_pem = Root();
    return options;
  }
  static Context Server(const TlsContext::ServerOptions& options) {
    absl::StatusOr<Context> context = TlsContext::Server(options);
    EXPECT_TRUE(context.ok()) << context.status();
    return context.value_or(nullptr);
  }
  static Context Client(const TlsContext::ClientOptions& options) {
    absl::StatusOr<Context> context = TlsContext::Client(options);
    EXPECT_TRUE(context.ok()) << context.status();
    return context.value_or(nullptr);
  }

  // Both sides' handshake over a socket pair, on this loop.
  void Shake(Context server, Context client, const std::string& host) {
    SocketPair pair;
    const int far = std::exchange(pair.far, -1);
    TaskGroup group;
    group.Spawn(AcceptOn(Stream::Adopt(loop_.get(), pair.TakeNear()), server,
                         absl::InfiniteFuture(), &server_));
    group.Spawn(ConnectOn(Stream::Adopt(loop_.get(), far), client, host,
                          absl::InfiniteFuture(), StopToken(), &client_));
    RunUntilIdle(&group);
  }
  void ShakeWell(Context server, Context client, const std::string& host) {
    Shake(server, client, host);
    ASSERT_TRUE(server_.status.ok()) << server_.status;
    ASSERT_TRUE(client_.status.ok()) << client_.status;
  }
  std::string Receive(Side* side, absl::Status* status) {
    std::string got;
    loop_->RunUntilDone(ReceiveSome(&side->tls, absl::InfiniteFuture(),
                                    StopToken(), &got, status));
    return got;
  }
  // One answer, so that the client has seen its tickets; then both end.
  void TalkAndClose() {
    absl::Status status;
    server_.tls.Queue("hello");
    EXPECT_EQ(Receive(&client_, &status), "hello") << status;
    CloseBoth();
  }
  void CloseBoth() {
    TaskGroup group;
    group.Spawn(client_.tls.Close());
    group.Spawn(server_.tls.Close());
    RunUntilIdle(&group);
  }
  void Converse() {
    TlsContext::ServerOptions server = ServerOptions();
    server.alpn = {"h2", "http/1.1"};
    TlsContext::ClientOptions client = ClientOptions();
    client.alpn = {"http/1.1", "h2"};
    ShakeWell(Server(server), Client(client), "localhost");
    EXPECT_EQ(client_.tls.alpn(), "h2");  // The server's wish.
    EXPECT_EQ(server_.tls.alpn(), "h2");
    EXPECT_EQ(client_.tls.protocol(), "TLSv1.3");
    EXPECT_EQ(client_.tls.peer_subject(), "CN=server");
    EXPECT_EQ(server_.tls.peer_subject(), "");
    EXPECT_FALSE(client_.tls.cipher().empty());
    // A megabyte each way at once.
    const std::string up = Pattern(1 << 20, 1);
    const std::string down = Pattern(1 << 20, 2);
    std::string got_up;
    std::string got_down;
    absl::Status status_up;
    absl::Status status_down;
    TaskGroup group;
    group.Spawn(SendInPieces(&client_.tls, up));
    group.Spawn(SendInPieces(&server_.tls, down));
    group.Spawn(ReceiveToEnd(&server_.tls, &got_up, &status_up));
    group.Spawn(ReceiveToEnd(&client_.tls, &got_down, &status_down));
    RunUntilIdle(&group);
    EXPECT_TRUE(status_up.ok()) << status_up;
    EXPECT_TRUE(status_down.ok()) << status_down;
    EXPECT_TRUE(got_up == up);
    EXPECT_TRUE(got_down == down);
    CloseBoth();
    EXPECT_EQ(loop_->in_flight(), 0u);
  }

  static std::string folder_;
  Side server_;
  Side client_;
};

std::string TlsTest::folder_;

TEST_F(TlsTest, CarriesDataBothWaysToACleanEnd) { Converse(); }

class TinyTlsTest : public TlsTest {
 protected:
  static Loop::Options Tiny() {
    Loop::Options options = SmallLoop();
    options.sq_entries = 4;
    options.cq_entries = 4;
    options.buffer_count = 4;
    options.buffer_bytes = 101;
    return options;
  }
  TinyTlsTest() : TlsTest(Tiny()) {}
};

// Records come in shreds.
TEST_F(TinyTlsTest, ConversesOverTinyBuffers) { Converse(); }

class BadKernelTlsTest : public TlsTest,
                         public ::testing::WithParamInterface<uint64_t> {
 protected:
  static Loop::Options Bad(uint64_t seed) {
    Loop::Options options = SmallLoop();
    options.fault_seed = seed;
    return options;
  }
  BadKernelTlsTest() : TlsTest(Bad(GetParam())) {}
};
TEST_P(BadKernelTlsTest, Converses) { Converse(); }
INSTANTIATE_TEST_SUITE_P(Seeds, BadKernelTlsTest,
                         ::testing::Range<uint64_t>(1, 6));

TEST_F(TlsTest, AcceptsAnAddressThatTheCertificateNames) {
  ShakeWell(Server(ServerOptions()), Client(ClientOptions()), "127.0.0.1");
  TalkAndClose();
}

TEST_F(TlsTest, RefusesACertificateOfAnotherHost) {
  for (const char* host : {"elsewhere.test", "127.0.0.2", "::1", "localhos",
                           "sub.localhost", "test root", "server"}) {
    Shake(Server(ServerOptions()), Client(ClientOptions()), host);
    EXPECT_EQ(client_.status.code(), absl::StatusCode::kUnauthenticated)
        << host << ": " << client_.status;
    EXPECT_THAT(std::string(client_.status.message()),
                ::testing::HasSubstr(host));
    // The server was told by an alert.
    EXPECT_EQ(server_.status.code(), absl::StatusCode::kUnauthenticated)
        << server_.status;
  }
  for (const std::string& host : {std::string(), std::string("a\0b", 3)}) {
    Shake(Server(ServerOptions()), Client(ClientOptions()), host);
    EXPECT_EQ(client_.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(server_.status.ok());
  }
}

TEST_F(TlsTest, RefusesACertificateOfAStranger) {
  TlsContext::ClientOptions options = ClientOptions();
  options.roots_pem = Root("other_ca");
  Shake(Server(ServerOptions()), Client(options), "localhost");
  EXPECT_EQ(client_.status.code(), absl::StatusCode::kUnauthenticated)
      << client_.status;
  options.roots_pem = "";  // The system's do not know our root either.
  Shake(Server(ServerOptions()), Client(options), "localhost");
  EXPECT_EQ(client_.status.code(), absl::StatusCode::kUnauthenticated)
      << client_.status;
}

// Takes two seconds: one for each alert to be read by a client that does not
// receive, before the server hangs up.
TEST_F(TlsTest, ServersAskForTheirClientsCertificate) {
  TlsContext::ServerOptions server = ServerOptions();
  server.client_roots_pem = Root();
  TlsContext::ClientOptions client = ClientOptions();
  client.identity = Identity("client");
  ShakeWell(Server(server), Client(client), "localhost");
  EXPECT_EQ(server_.tls.peer_subject(), "CN=client");
  TalkAndClose();
  // Of a root that is not the server's.
  client.identity = Identity("other_ca");
  Shake(Server(server), Client(client), "localhost");
  EXPECT_EQ(server_.status.code(), absl::StatusCode::kUnauthenticated)
      << server_.status;
  // None: with TLS 1.3 the client hears of it when it receives.
  Shake(Server(server), Client(ClientOptions()), "localhost");
  EXPECT_EQ(server_.status.code(), absl::StatusCode::kUnauthenticated)
      << server_.status;
  ASSERT_TRUE(client_.status.ok()) << client_.status;
  absl::Status status;
  EXPECT_EQ(Receive(&client_, &status), "");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  loop_->RunUntilDone(client_.tls.Close());
}

TEST_F(TlsTest, RefusesAClientOfOtherProtocols) {
  TlsContext::ServerOptions server = ServerOptions();
  server.alpn = {"h2"};
  TlsContext::ClientOptions client = ClientOptions();
  client.alpn = {"spdy/1"};
  Shake(Server(server), Client(client), "localhost");
  EXPECT_FALSE(server_.status.ok());
  EXPECT_FALSE(client_.status.ok());
  ShakeWell(Server(server), Client(ClientOptions()), "localhost");
  EXPECT_EQ(server_.tls.alpn(), "");
  TalkAndClose();
}

TEST_F(TlsTest, ResumesFromABoundedCache) {
  Context server = Server(ServerOptions());
  TlsContext::ClientOptions options = ClientOptions();
  options.session_cache_max = 2;
  Context client = Client(options);
  const auto connect = [&](const char* host, bool resumed) {
    ShakeWell(server, client, host);
    EXPECT_EQ(client_.tls.resumed(), resumed) << host;
    EXPECT_EQ(server_.tls.resumed(), resumed) << host;
    EXPECT_LE(client->sessions(), 2u);
    TalkAndClose();
    EXPECT_LE(client->sessions(), 2u);
  };
  connect("localhost", false);
  EXPECT_EQ(client->sessions(), 1u);
  connect("localhost", true);
  connect("localhost", true);  // Each connection brings the next ticket.
  connect("a.test", false);    // A session is its host's alone.
  connect("localhost", true);
  connect("b.test", false);  // The third: a.test goes, unused for longest.
  connect("localhost", true);
  connect("a.test", false);
  options.session_cache_max = 0;
  client = Client(options);
  connect("localhost", false);
  connect("localhost", false);
  EXPECT_EQ(client->sessions(), 0u);
}

// A server gives two tickets with TLS 1.3, each good for one connection.
TEST_F(TlsTest, KeepsAsManySessionsOfAHostAsAreAskedFor) {
  Context server = Server(ServerOptions());
  TlsContext::ClientOptions options = ClientOptions();
  options.session_cache_max = 5;
  options.sessions_per_host_max = 2;
  Context client = Client(options);
  ShakeWell(server, client, "localhost");
  TalkAndClose();
  EXPECT_EQ(client->sessions(), 2u);
  ShakeWell(server, client, "a.test");
  TalkAndClose();
  EXPECT_EQ(client->sessions(), 4u);
  for (int i = 0; i < 3; ++i) {
    ShakeWell(server, client, "localhost");
    EXPECT_TRUE(client_.tls.resumed());
    TalkAndClose();
    EXPECT_LE(client->sessions(), 4u);
  }
}

TEST_F(TlsTest, ReloadsTheCertificateUnderConnections) {
  Context server = Server(ServerOptions());
  Context client = Client(ClientOptions());
  ShakeWell(server, client, "localhost");
  ASSERT_TRUE(server->Reload(Identity("new_server")).ok());
  EXPECT_EQ(client_.tls.peer_subject(), "CN=server");
  TalkAndClose();  // The connection lives on.
  ShakeWell(server, Client(ClientOptions()), "localhost");
  EXPECT_EQ(client_.tls.peer_subject(), "CN=new-server");
  TalkAndClose();
  // So do the tickets.
  ShakeWell(server, client, "localhost");
  EXPECT_TRUE(client_.tls.resumed());
  TalkAndClose();
  // What does not fit together changes nothing.
  TlsIdentity mixed = Identity("server");
  mixed.private_key_pem = Identity("client").private_key_pem;
  TlsIdentity garbage = Identity("server");
  garbage.certificates_pem.resize(garbage.certificates_pem.size() / 2);
  for (const TlsIdentity& bad : {mixed, garbage, TlsIdentity()}) {
    const absl::Status status = server->Reload(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_FALSE(status.message().empty());
  }
  ShakeWell(server, Client(ClientOptions()), "localhost");
  EXPECT_EQ(client_.tls.peer_subject(), "CN=new-server");
  TalkAndClose();
}

TEST_F(TlsTest, OptionsThatDoNotParseAreNamed) {
  EXPECT_EQ(TlsContext::Server({}).status().code(),
            absl::StatusCode::kInvalidArgument);
  TlsContext::ClientOptions options;
  options.roots_pem = "no PEM";
  EXPECT_EQ(TlsContext::Client(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options = ClientOptions();
  options.alpn = {""};
  EXPECT_EQ(TlsContext::Client(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      TlsIdentity::FromFiles("/nowhere.pem", "/nowhere.key").status().code(),
      absl::StatusCode::kNotFound);
}

// Somebody between can end a connection, but not make it look complete.
TEST_F(TlsTest, ATruncatedStreamIsNoEnd) {
  ShakeWell(Server(ServerOptions()), Client(ClientOptions()), "localhost");
  server_.tls.Queue("part of it");
  absl::Status status;
  EXPECT_EQ(Receive(&client_, &status), "part of it");
  shutdown(server_.tls.stream().fd(), SHUT_WR);
  EXPECT_EQ(Receive(&client_, &status), "");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_EQ(Receive(&client_, &status), "");  // For good.
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  CloseBoth();
  // Announced, it is one.
  ShakeWell(Server(ServerOptions()), Client(ClientOptions()), "localhost");
  server_.tls.ShutdownWrite();
  EXPECT_EQ(Receive(&client_, &status), "");
  EXPECT_TRUE(status.ok()) << status;
  // The other direction is still open.
  client_.tls.Queue("still here");
  EXPECT_EQ(Receive(&server_, &status), "still here") << status;
  CloseBoth();
}

TEST_F(TlsTest, AForgedRecordBreaksTheConnection) {
  ShakeWell(Server(ServerOptions()), Client(ClientOptions()), "localhost");
  const std::string forged =
      std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  ASSERT_EQ(write(server_.tls.stream().fd(), forged.data(), forged.size()),
            static_cast<ssize_t>(forged.size()));
  absl::Status status;
  // Tickets may come first; the forged record comes after them.
  EXPECT_EQ(Receive(&client_, &status), "");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  CloseBoth();
}

TEST_F(TlsTest, StrangersDoNotGetPastTheHandshake) {
  for (const std::string& said :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(300, '\x16'),
        std::string("\x16\x03\x01\xff\xff", 5) + std::string(70000, 'x'),
        std::string()}) {
    SocketPair pair;
    TaskGroup group;
    group.Spawn(AcceptOn(Stream::Adopt(loop_.get(), pair.TakeNear()),
                         Server(ServerOptions()), absl::InfiniteFuture(),
                         &server_));
    Turn();
    pair.WriteFar(said);
    for (int i = 0; i < 10; ++i) Turn();
    pair.CloseFar();
    RunUntilIdle(&group);
    EXPECT_EQ(server_.status.code(), absl::StatusCode::kUnavailable)
        << server_.status;
  }
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(TlsTest, HandshakesEndByDeadlineAndStop) {
  SocketPair pair;  // Its far end says nothing.
  Side side;
  loop_->RunUntilDone(AcceptOn(Stream::Adopt(loop_.get(), pair.TakeNear()),
                               Server(ServerOptions()),
                               loop_->now() + absl::Milliseconds(1), &side));
  EXPECT_EQ(side.status.code(), absl::StatusCode::kDeadlineExceeded);
  SocketPair other;
  StopSource source;
  TaskGroup group;
  group.Spawn(ConnectOn(Stream::Adopt(loop_.get(), other.TakeNear()),
                        Client(ClientOptions()), "localhost",
                        absl::InfiniteFuture(), source.token(), &side));
  Turn();
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(side.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_F(TlsTest, ReceivesEndByDeadlineAndStopAndLoseNothing) {
  ShakeWell(Server(ServerOptions()), Client(ClientOptions()), "localhost");
  std::string got;
  absl::Status status;
  loop_->RunUntilDone(ReceiveSome(&server_.tls,
                                  loop_->now() + absl::Milliseconds(1),
                                  StopToken(), &got, &status));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  StopSource source;
  TaskGroup group;
  group.Spawn(ReceiveSome(&server_.tls, absl::InfiniteFuture(), source.token(),
                          &got, &status));
  Turn();
  client_.tls.Queue("kept");
  source.RequestStop();
  RunUntilIdle(&group);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Receive(&server_, &status), "kept") << status;
  CloseBoth();
}

Task<void> AskServer(Loop* loop, uint16_t port, Context context, Side* side) {
  absl::StatusOr<Stream> stream = co_await Stream::Connect(
      loop, SocketAddress::Loopback(port), absl::Seconds(60), nullptr);
  side->status = stream.status();
  if (!stream.ok()) co_return;
  co_await ConnectOn(*std::move(stream), context, "localhost",
                     absl::InfiniteFuture(), StopToken(), side);
}

// OpenSSL's own server, which sends every line back in reverse.
TEST_F(TlsTest, TalksToOpensslsServer) {
  for (const char* version : {"-tls1_3", "-tls1_2"}) {
    const std::string command =
        absl::StrCat("cd ", folder_, " && exec openssl s_server -accept ",
                     "127.0.0.1:0 -cert server.pem -key server.key -CAfile ",
                     "ca.pem -Verify 1 -verify_return_error -alpn line -rev ",
                     "-naccept 2 ", version, " 2>&1");
    FILE* output = popen(command.c_str(), "r");
    ASSERT_NE(output, nullptr);
    char line[512];
    int port = 0;
    while (port == 0 && fgets(line, sizeof(line), output) != nullptr) {
      static_cast<void>(sscanf(line, "ACCEPT 127.0.0.1:%d", &port));
    }
    ASSERT_NE(port, 0) << line;
    TlsContext::ClientOptions options = ClientOptions();
    options.identity = Identity("client");
    options.alpn = {"line"};
    Context context = Client(options);
    for (const bool resumed : {false, true}) {
      loop_->RunUntilDone(AskServer(loop_.get(), static_cast<uint16_t>(port),
                                    context, &client_));
      ASSERT_TRUE(client_.status.ok()) << client_.status;
      EXPECT_EQ(client_.tls.alpn(), "line");
      EXPECT_EQ(client_.tls.resumed(), resumed) << version;
      client_.tls.Queue("abc\n");
      std::string got;
      absl::Status status;
      while (got.size() < 4 && status.ok()) got += Receive(&client_, &status);
      EXPECT_EQ(got, "cba\n") << status;
      loop_->RunUntilDone(client_.tls.Close());
    }
    while (fgets(line, sizeof(line), output) != nullptr) continue;
    pclose(output);
  }
}

}  // namespace
}  // namespace ioloop
