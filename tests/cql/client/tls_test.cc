// CQL over TLS, with certificates that the openssl program makes here.
#include "cql/tls.h"

#include <stdlib.h>

#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;
using ioloop::TlsContext;
using ioloop::TlsIdentity;

constexpr StatementOptions kIdempotent{.idempotent = true};

class TlsTest : public ClientTest {
 protected:
  static void SetUpTestSuite() {
    char name[] = "/tmp/cql_tls_test_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    Make("ca", "-subj '/CN=test root'");
    Make("other_ca", "-subj '/CN=another root'");
    const std::string leaf =
        "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE ";
    Make("node",
         leaf + "-addext subjectAltName=IP:127.0.0.1,IP:127.0.0.2 -subj /CN=n");
    Make("named", leaf + "-addext subjectAltName=DNS:db.test -subj /CN=named");
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

  // A node that shows the certificate `name`.
  FakeNode* AddTlsNode(const std::string& name, bool asks_for_client = false,
                       FakeNode::Options options = {}) {
    TlsContext::ServerOptions server;
    server.identity = Identity(name);
    if (asks_for_client) {
      server.client_roots_pem = Identity("ca").certificates_pem;
    }
    auto context = TlsContext::Server(server);
    EXPECT_TRUE(context.ok()) << context.status();
    options.secure = [this, shared = *context](ioloop::Stream stream) {
      return Accept(std::move(stream), shared);
    };
    return AddNode(std::move(options));
  }
  Task<absl::StatusOr<std::unique_ptr<SecureChannel>>> Accept(
      ioloop::Stream stream, std::shared_ptr<TlsContext> context) {
    absl::StatusOr<ioloop::TlsStream> tls = co_await ioloop::TlsStream::Accept(
        std::move(stream), context, loop_->now() + absl::Seconds(20));
    if (!tls.ok()) {
      ++refused_;
      co_return tls.status();
    }
    if (tls->resumed()) ++resumed_;
    EXPECT_EQ(tls->alpn(), "");
    subject_ = tls->peer_subject();
    co_return TlsChannel(*std::move(tls));
  }

  SessionOptions TlsOptions(const std::string& roots = "ca",
                            const std::string& client = "",
                            const std::string& server_name = "") {
    SessionOptions options = Options();
    TlsContext::ClientOptions tls;
    tls.roots_pem = Identity(roots).certificates_pem;
    tls.sessions_per_host_max = 16;
    if (!client.empty()) tls.identity = Identity(client);
    auto context = TlsContext::Client(tls);
    EXPECT_TRUE(context.ok()) << context.status();
    options.tls = TlsTransport(*context, server_name);
    return options;
  }
  // Why no session comes about.
  absl::Status Failure(SessionOptions options) {
    absl::Status status;
    RunAlone([&]() -> Task<void> {
      auto session = co_await Session::Connect(loop_.get(), options);
      status = session.status();
      if (session.ok()) co_await (*session)->Close();
    });
    return status;
  }

  static inline std::string folder_;
  int refused_ = 0;
  int resumed_ = 0;
  std::string subject_;
};

TEST_F(TlsTest, RequestsGoThroughItToEveryShard) {
  FakeNode* node = AddTlsNode("node", false, {.shards = 3});
  std::string sent;
  node->on_execute = [&](const FakeRequest& request) {
    if (!request.statement->results.empty()) return false;
    sent = request.execute->bound.values[0].bytes;
    return false;
  };
  Run(TlsOptions(), [&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    int on_shard_port = 0;
    for (const auto& connection : node->Connections()) {
      if (connection->on_shard_port) ++on_shard_port;
    }
    EXPECT_GE(on_shard_port, 4);
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    QuerySet queries(session, 1000);
    for (int64_t key = 0; key < 500; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      absl::StatusOr<Rows> rows = co_await queries[i];
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(),
                static_cast<int64_t>(i));
    }
    // More than a record holds, and more than is kept for the next.
    auto update = co_await session->Prepare(std::string(kUpdate),
                                            {.access = Access::kWrite});
    CO_ASSERT_OK(update);
    const std::string large(300000, 'x');
    Query query = session->Execute(**update, large, int64_t{1});
    CO_ASSERT_OK(co_await query);
    EXPECT_EQ(sent.size(), large.size());
  });
}

TEST_F(TlsTest, ANodeThatNobodyTrustedVouchesForIsRefused) {
  AddTlsNode("node");
  const absl::Status status = Failure(TlsOptions("other_ca"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate"));
  EXPECT_EQ(refused_, 1);
}

TEST_F(TlsTest, ACertificateHasToBeForTheNodeOrTheNameGiven) {
  AddTlsNode("named");
  const absl::Status status = Failure(TlsOptions());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1"));
}

TEST_F(TlsTest, TheNameGivenIsWhatCounts) {
  AddTlsNode("named");
  Run(TlsOptions("ca", "", "db.test"), [&](Session* session) -> Task<void> {
    EXPECT_GE(session->connections(), 2u);
    co_return;
  });
}

TEST_F(TlsTest, AClientShowsItsCertificateToWhoAsks) {
  AddTlsNode("node", /*asks_for_client=*/true);
  Run(TlsOptions("ca", "client"), [&](Session* session) -> Task<void> {
    EXPECT_EQ(subject_, "CN=client");
    EXPECT_GE(session->connections(), 2u);
    co_return;
  });
}

TEST_F(TlsTest, WithoutOneItIsToldSo) {
  AddTlsNode("node", /*asks_for_client=*/true);
  const absl::Status status = Failure(TlsOptions());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate"));
}

// A node that restarts does not make every certificate be checked again.
TEST_F(TlsTest, LaterConnectionsToANodeResume) {
  FakeNode* node = AddTlsNode("node");
  Run(TlsOptions(), [&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    const int before = resumed_;
    node->KillConnections();
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return node->accepted == 6 && session->connections() == 3; }));
    EXPECT_EQ(resumed_ - before, 3);
  });
}

TEST_F(TlsTest, PlainAndTlsDoNotMeet) {
  AddTlsNode("node");
  SessionOptions plain = Options();
  plain.connect_timeout = absl::Seconds(2);
  EXPECT_FALSE(Failure(plain).ok());
}

TEST_F(TlsTest, ANodeWithoutTlsIsRefused) {
  AddNode();
  const absl::Status status = Failure(TlsOptions());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("TLS"));
}

}  // namespace
}  // namespace cql::testing
